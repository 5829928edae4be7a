"""The firmware as it is shipped, on real boards: every way to the door, with few units in place of the modules."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hil import package
from hil.board.description import builtin
from hil.stack.station import StationError
from hil.vm import image, shipped, symbols
from protocol import journal
from protocol.host.tables import User
from tests.device.rig import DEADLINE, Rig, rig
from tests.device.test_carry import BERT as OTHER_KEY
from tests.device.test_carry import cargo, status
from tests.device.test_reader_ports import (
    ANNA,
    BERT,
    CARD,
    OSDP,
    WIRE,
    card,
    code,
    opened_by,
    reader_of,
    refused_by,
    users,
)
from tests.device.test_update import firmware, heard, works

TRIAL_S = 16


@functools.cache
def vendor() -> rsa.RSAPrivateKey:
    return package.new_key()


@functools.cache
def built() -> package.Built:
    return package.build(vendor())


@contextlib.asynccontextmanager
async def shipped_board(folder: Path, name: str = "strike_door", **pins: Any) -> AsyncIterator[Rig]:
    """A blank board whose vendor is ours."""
    firmware = folder / "firmware.romfs"
    firmware.write_bytes(built().image)
    description = builtin(name)
    async with rig(folder, description=description, firmware=firmware) as one:
        await one.put("/pins.json", json.dumps({**description.pin_map, **pins}).encode())
        yield one


@contextlib.asynccontextmanager
async def connected(one: Rig) -> AsyncIterator[None]:
    async with one.site.serving():
        await one.provision()
        await one.site.synchronised()
        yield


async def test_a_door_is_provisioned_opens_for_phone_cloud_card_and_code_and_is_updated(
    tmp_path: Path,
) -> None:
    async with shipped_board(tmp_path, "osdp_door", osdp=OSDP) as one, connected(one):
        assert (await one.phone().unlock(one.site.key_for_phone())).granted
        await one.door.strike.wait(1, DEADLINE)
        await works(one)
        await one.door.strike.wait(0, DEADLINE)
        await users(one, 1, pins={"4711": User(ANNA)}, cards={CARD: User(BERT)})
        with reader_of(one) as reader:
            async with asyncio.timeout(DEADLINE):
                while not reader.secure:  # noqa: ASYNC110  (another thread)
                    await asyncio.sleep(0.02)
            before = one.site.newest
            reader.present(26, WIRE)
            await opened_by(one, journal.METHOD_CARD, BERT, before)
            before = one.site.newest
            reader.type("4711#")
            await opened_by(one, journal.METHOD_PIN, ANNA, before)
            before = one.site.newest
            reader.type("4712#")
            await refused_by(one, journal.METHOD_PIN, before)
            signed = package.sign(built().image, vendor(), 3, trial_s=TRIAL_S)
            await one.site.offer("firmware", 3, signed)
            await heard(one, journal.EVENT_UPDATE_ACTIVATED, 3)
            one.site.booted()
            assert await firmware(one) == "0.1.0+3"
            await heard(one, journal.EVENT_UPDATE_CONFIRMED, 3)
        await works(one)
        kinds = [record.type for record in one.site.verify()]
        assert journal.EVENT_TASK_RESTARTED not in kinds
        # Modes, configuration, counters: the rest of what the site may ask.
        assert (await one.ordered("mode", mode="lockdown"))["ok"]
        assert not (await one.ordered("unlock"))["ok"]
        assert (await one.ordered("mode", mode="normal"))["ok"]
        await one.configured(policy={"free_egress": 1})
        assert (await one.site.counters())["uplink_connected"] >= 1


async def test_wiegand_reader_and_keypad_open(tmp_path: Path) -> None:
    async with shipped_board(tmp_path, "reader_door") as one, connected(one):
        await users(one, 1, pins={"4711": User(ANNA)}, cards={CARD: User(BERT)})
        await opened_by(one, journal.METHOD_CARD, BERT, await card(one, 3456))
        await refused_by(one, journal.METHOD_CARD, await card(one, 3457))
        await opened_by(one, journal.METHOD_PIN, ANNA, await code(one, "4711#"))
        await refused_by(one, journal.METHOD_PIN, await code(one, "4712#"))


async def test_a_phone_carries_revocations_to_a_door_without_a_network(tmp_path: Path) -> None:
    async with shipped_board(tmp_path) as one:
        one.site.port = 1
        await one.provision()
        await one.running()
        assert await one.phone().carry(cargo(one))
        assert await status(one) == ("revoked", 9)
        assert await status(one, **OTHER_KEY) == ("granted", 9)


async def test_a_bad_bundle_is_refused_by_the_name_of_its_error_and_the_traceback_can_be_read(
    tmp_path: Path,
) -> None:
    async with shipped_board(tmp_path) as one:
        bundle = {**one.site.bundle(), "epoch": 256}
        with pytest.raises(StationError, match="Malformed: bundle_epoch") as refused:
            await one.execute(f"from device import provision\nprovision.apply({json.dumps(bundle)!r})")
        told = [symbols.explain(line, built().symbols) for line in str(refused.value).splitlines()]
        frames = [line.partition("#")[2] for line in told if "device.provision" in line]
        assert [frame.split(" or ")[0].split()[0] for frame in frames] == [
            "device.provision.apply",
            "device.provision._Bundle.__init__",
            "device.provision._integer",
        ]
        assert told[-1].endswith("Malformed: bundle_epoch  # protocol.errors.Malformed")
        assert not any(name.startswith("device.provision") for name in refused_names(str(refused.value)))


def refused_names(text: str) -> list[str]:
    return [line.rpartition(" in ")[2] for line in text.splitlines() if "File" in line]


async def test_what_is_not_needed_is_not_loaded(tmp_path: Path) -> None:
    """And every unit that is there can be."""
    async with shipped_board(tmp_path) as one:
        code = """
            import sys, device.agent
            before = [name for name in sys.modules if name.startswith("device.")]
            for name in {units!r}:
                __import__(name)
            print(sorted(before), len([name for name in sys.modules if name.startswith("device.")]))
        """
        said = await one.execute(code.replace("{units!r}", repr(list(shipped.UNITS))))
        assert said.split("]")[0] == "['device.agent', 'device.main'"
        assert int(said.split()[-1]) == len(shipped.UNITS)


def test_an_image_of_the_bench_has_the_modules_as_they_are() -> None:
    files = image.firmware_files()
    made = image.compile_firmware(files)
    assert list(made) == [name.replace(".py", ".mpy") for name in files]
    assert b"lock_first" in made["device/main.mpy"]
    assert b"run_agent" in made["device/agent.mpy"]
