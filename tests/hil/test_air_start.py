"""What makes an air's start short: dataclasses whose methods were compiled before, and a radio that is loaded early."""

import dataclasses
import marshal
from pathlib import Path

import pytest

from hil.air.precompiled import precompiled


def point(folder: Path) -> object:
    """An instance of a class that is made while the methods of ``folder`` are known."""
    with precompiled(folder):

        @dataclasses.dataclass
        class Point:
            x: int
            y: int = 2

    return Point(1)


def kept(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_a_dataclass_is_the_same_with_its_methods_compiled_before(tmp_path: Path) -> None:
    first = point(tmp_path)
    written = kept(tmp_path).stat().st_mtime_ns
    second = point(tmp_path)
    for made in (first, second):
        assert repr(made).endswith("Point(x=1, y=2)")
        assert made == type(made)(1, 2)  # type: ignore[call-arg]
        assert made != type(made)(2, 1)  # type: ignore[call-arg]
    assert kept(tmp_path).stat().st_mtime_ns == written  # nothing was compiled
    assert "exec" not in vars(dataclasses)


def test_what_was_compiled_before_is_used(tmp_path: Path) -> None:
    point(tmp_path)
    methods = marshal.loads(kept(tmp_path).read_bytes())
    text = next(text for text in methods if "__init__" in text)
    methods[text] = compile(text.replace("=y", "=y+40"), "<string>", "exec")
    kept(tmp_path).write_bytes(marshal.dumps(methods))
    assert "y=42" in repr(point(tmp_path))


@pytest.mark.parametrize("damage", [b"", b"nonsense", marshal.dumps([1, 2])])
def test_a_damaged_file_is_written_again(tmp_path: Path, damage: bytes) -> None:
    point(tmp_path)
    whole = kept(tmp_path).read_bytes()
    kept(tmp_path).write_bytes(damage)
    point(tmp_path)
    assert set(marshal.loads(kept(tmp_path).read_bytes())) == set(marshal.loads(whole))


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert point(tmp_path / "file" / "cache") is not None
