"""What makes an air's start short: dataclasses whose methods were compiled before, and a radio that is loaded early."""

import asyncio
import dataclasses
import errno
import marshal
import socket
from pathlib import Path

import pytest

from hil.air.early_radio import ACTIVE, WAKE, EarlyRadio, Spectrum
from hil.air.ops import BLE, Identity
from hil.air.precompiled import precompiled
from hil.radio.ble_ops import CONFIG_GET
from hil.vm import wire
from hil.vm.link import Link

DEADLINE = 20.0


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


async def test_a_radio_that_is_woken_is_loaded_before_anybody_switches_it_on() -> None:
    spectrum = Spectrum()
    EarlyRadio(spectrum, Identity("board", bytes(6)), Link("board")).handle(WAKE, b"")
    assert spectrum._loading is not None
    medium = await asyncio.wait_for(spectrum._loading, DEADLINE)
    await medium.aclose()


async def test_a_vm_that_resets_while_its_radio_comes_on_leaves_one_that_answers() -> None:
    spectrum, link = Spectrum(), Link("board")
    radio = EarlyRadio(spectrum, Identity("board", bytes(6)), link)
    link.attach(BLE, radio)
    ours, vm = socket.socketpair()
    link.connect(ours)
    decoder, frames = wire.Decoder(), list[wire.Frame]()
    with vm:
        vm.setblocking(False)
        calls = (ACTIVE, b"\1"), (CONFIG_GET, b"mac")
        vm.send(b"".join(wire.encode(wire.CALL, BLE, op, payload) for op, payload in calls))
        async with asyncio.timeout(DEADLINE):
            while radio._radio is None:  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0)
            radio.vm_lost()
            vm.send(wire.encode(wire.CALL, BLE, ACTIVE, b"\0"))
            while len(frames) < 3:
                frames += decoder.feed(await asyncio.get_running_loop().sock_recv(vm, 4096))
    link.disconnect()
    medium = await spectrum.ready()
    await medium.aclose()
    on, asked, off = frames
    assert (on.kind, asked.kind, off.kind) == (wire.REPLY, wire.ERROR, wire.REPLY)
    assert int.from_bytes(asked.payload, "little") in (errno.ECANCELED, errno.ENODEV)
