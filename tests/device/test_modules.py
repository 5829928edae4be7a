"""Every module of the firmware on the real VM: it imports there, and it needs nothing that is not there."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.vm import image, shipped, sizes
from tests.device.on_vm import ROOT
from tests.device.rig import DEADLINE, Rig

# Modules of MicroPython on an ESP32 that the firmware may use; the rest of CPython's library is not there.
ON_BOARD = {
    *("asyncio", "binascii", "collections", "errno", "gc", "hashlib", "json", "os", "select", "socket"),
    *(
        "struct",
        "sys",
        "time",
        "tls",
        "bluetooth",
        "cryptolib",
        "machine",
        "micropython",
        "network",
        "device",
        "protocol",
    ),
}
PURE = {"protocol", "binascii", "hashlib", "json", "struct"}  # no socket, file, clock or event loop
FILES = image.firmware_files(ROOT)
AT_ONCE = 15


def run_time_imports(tree: ast.AST) -> Iterator[str]:
    """Top packages that are imported outside ``if TYPE_CHECKING``, at any depth."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module).split(".")[0]
        else:
            yield from run_time_imports(node)


@pytest.mark.parametrize("name", FILES)
def test_a_module_needs_only_what_a_board_has(name: str) -> None:
    needed = set(run_time_imports(ast.parse(FILES[name].read_text())))
    assert needed <= (PURE if name.startswith("protocol/") else ON_BOARD)


async def test_every_module_is_imported_on_the_board_and_none_is_from_elsewhere(blank: Rig) -> None:
    """A few at a time: no board ever has all of them loaded."""
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in FILES]
    for at in range(0, len(modules), AT_ONCE):
        some = modules[at : at + AT_ONCE]
        await blank.board.console.wait_for("latchwork: not provisioned", DEADLINE)
        blank.board.console.clear()
        out = await blank.execute(f"""
            import sys
            for name in {some!r}:
                __import__(name)
                print(name, getattr(sys.modules[name], "__file__", ""))
        """)
        found = dict(line.split() for line in out.strip().splitlines())
        assert list(found) == some
        assert all(file.startswith("/rom/") and file.endswith(".mpy") for file in found.values())
        await blank.reset()


def test_what_does_not_compile_fails_the_check_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("match 1:\n    case 1: pass\n")
    with pytest.raises(image.ImageError, match=r"broken\.py"):
        image.compile_firmware({"device/broken.py": broken})
    broken.write_text("broken(:\n")
    with pytest.raises(image.ImageError, match=r"broken\.py"):
        image.compile_firmware({"device/broken.py": broken})
    command = [sys.executable, "-m", "hil.vm.sizes"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(unit.replace(".", "/") + ".mpy" in done.stdout for unit in shipped.UNITS)


def test_a_firmware_that_is_too_large_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sizes.main() == 0
    monkeypatch.setattr(shipped, "LIMIT", 1024)
    assert sizes.main() == 1
    assert "too large" in capsys.readouterr().err


def test_the_manifest_freezes_every_module_and_nothing_else() -> None:
    """Run as MicroPython's build runs it; what it lacks, `device/manifest.py` must name."""
    manifest, frozen = ROOT / "device" / "manifest.py", []

    def package(name: str, files: tuple[str, ...], base_path: str, opt: int) -> None:
        folder = (manifest.parent / base_path / name).resolve()
        assert all((folder / file).is_file() for file in files)
        frozen.extend(f"{folder.relative_to(ROOT)}/{file}" for file in files)

    included: list[str] = []
    exec(
        compile(manifest.read_text(), "manifest.py", "exec"), {"package": package, "include": included.append}
    )
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    assert sorted(frozen) == sorted(FILES)
