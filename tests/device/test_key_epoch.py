"""The key epoch of a real board rises by configuration, at once and for good, and nothing brings an older one back."""

from typing import Any

import pytest

from protocol import journal
from protocol.host.tables import User
from tests.device.rig import DEADLINE, Rig
from tests.device.users_bench import ANNA, BERT, CARD, Bench


async def opens(rig: Rig, epoch: int) -> str:
    """What a key of that epoch gets at the door."""
    key = rig.site.key_for_phone(epoch=epoch, credential_id=b"anna%04d" % epoch)
    return (await rig.phone().unlock(key, timeout=DEADLINE)).status


async def rebooted(door: Rig) -> dict[str, Any]:
    await door.reset()
    return await door.site.synchronised()


async def test_only_keys_of_the_new_epoch_open_from_then_on_also_after_a_reset(door: Rig) -> None:
    site = door.site
    assert (await opens(door, 1), await opens(door, 255)) == ("granted", "key_epoch_over")
    await door.configured(epoch=255)
    raised = await site.record(journal.EVENT_EPOCH_RAISED)
    assert raised.value == 255
    applied = await site.record(journal.EVENT_CONFIG_APPLIED)
    assert applied.seq > raised.seq
    while (state := await site.next("state"))["cfg"] != door.configuration:
        pass
    assert state["epoch"] == 255
    assert (await opens(door, 1), await opens(door, 255)) == ("key_epoch_over", "granted")
    assert (await rebooted(door))["epoch"] == 255
    assert (await opens(door, 254), await opens(door, 255)) == ("key_epoch_over", "granted")


async def test_a_configuration_of_an_older_epoch_is_refused_audited_and_told(door: Rig) -> None:
    """Also one of a newer version, as of a cloud whose store was put back."""
    site = door.site
    await door.configured(epoch=3)
    newest = site.newest
    await site.down("config", site.config(9, epoch=2))
    await site.record(journal.EVENT_CONFIG_REFUSED, after=newest)
    while (state := await site.next("state")).get("cfg_refused") is None:
        pass
    assert (state["cfg"], state["epoch"], state["cfg_refused"]) == (2, 3, "config_epoch")
    assert (await opens(door, 2), await opens(door, 3)) == ("key_epoch_over", "granted")
    await door.configured()  # it says nothing of an epoch
    assert (await rebooted(door))["epoch"] == 3
    raised = [record.value for record in site.verify() if record.type == journal.EVENT_EPOCH_RAISED]
    assert raised == [3]


@pytest.mark.parametrize("lost", ["config.1", "config.epoch.*"])
async def test_what_a_damaged_flash_loses_brings_no_older_epoch_back(door: Rig, lost: str) -> None:
    """The newest configuration, so that the one before is in force again; or the floor."""
    await door.configured(epoch=2)
    door.board.console.write(b"\x03")
    await door.execute(f"""
        import os
        names = [n for n in os.listdir("/lw") if n.startswith({lost.rstrip("*")!r})]
        print(names)
        assert names
        for name in names:
            os.remove("/lw/" + name)
    """)
    state = await rebooted(door)
    assert (state["cfg"], state["epoch"]) == (1 if lost == "config.1" else 2, 2)
    assert (await opens(door, 1), await opens(door, 2)) == ("key_epoch_over", "granted")


async def test_cards_and_codes_know_no_epoch(bench: Bench) -> None:
    await bench.provision()
    await bench.users({"1234": User(ANNA)}, {CARD: User(BERT)})
    raised = bench.rig.site.config(2, epoch=7)
    take = f"parts.config.accept({raised!r}.encode())"
    assert await bench.do("pin('1234')", take, "pin('1234')", f"card({CARD!r})") == ["granted"] * 3
    assert (await bench.execute("print(parts.config.epoch)")).strip() == "7"


async def test_a_board_that_is_provisioned_again_begins_at_the_epoch_of_its_bundle(bench: Bench) -> None:
    await bench.provision(epoch=9)
    site = bench.rig.site
    await bench.execute(f"parts.config.accept({site.config(2, epoch=255)!r}.encode())")
    assert (await bench.execute("print(parts.config.epoch)")).strip() == "255"
    site.k_dev = bytes(32)
    await bench.rig.reset()
    await bench.provision()
    assert (await bench.execute("print(parts.config.epoch)")).strip() == "1"
