"""What happens to a board while its power is cut: the steps of one scenario, each a small function.

A step acts on the rig and returns when what it did is done; with `rig.promised` it notes, as soon as anybody was told
so, what must be true after any loss of power. A step that needs something to be there first has it made by `prepared`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hil.phone import Phone
from protocol import journal
from protocol.credential import ONE_TIME
from tests.device.rig import DEADLINE, Rig

Act = Callable[["Scene"], Awaitable[None]]
BACKLOG = 70  # records: the watermark is kept lazily


@dataclass
class Scene:
    """One run of one step."""

    rig: Rig
    phone: Phone
    cfg: set[int] = field(default_factory=set)  # versions, of which one is in force afterwards
    records: list[int] = field(default_factory=list)  # that somebody was told of
    checks: "list[Act]" = field(default_factory=list)  # of the step itself, after the boot
    state: dict[str, Any] = field(default_factory=dict)  # that the board told after the boot


@dataclass(frozen=True)
class Step:
    """`off`: it begins with the board off, and is its boot. Every `every`-th write is cut, counted from the `slots`-th
    to the firmware slots if there are any. If it `stays`, the next step goes on from here.
    """

    name: str
    act: Act
    prepare: Act | None = None
    off: bool = False
    every: int = 1
    slots: int = 0
    stays: bool = True


async def _boot(scene: Scene) -> None:
    await scene.rig.board.power_on()
    await scene.rig.site.synchronised()


async def _unlock(scene: Scene) -> None:
    result = await scene.phone.unlock(scene.rig.site.key_for_phone(), timeout=DEADLINE)
    scene.records.append(result.audit_seq)


ONCE = {"credential_id": b"once0001", "flags": ONE_TIME}


async def _spend(scene: Scene) -> None:
    """A key that opens once: if the door was released, it never is by that key again."""
    released = asyncio.ensure_future(scene.rig.door.strike.wait(1, DEADLINE))

    async def spent(later: Scene) -> None:
        if released.done() and not released.cancelled() and released.exception() is None:
            again = await later.phone.unlock(later.rig.site.key_for_phone(**ONCE), timeout=DEADLINE)
            assert not again.granted
        released.cancel()

    scene.checks.append(spent)
    result = await scene.phone.unlock(scene.rig.site.key_for_phone(**ONCE), timeout=DEADLINE)
    assert result.granted
    scene.records.append(result.audit_seq)


async def _command(scene: Scene) -> None:
    site = scene.rig.site
    await site.down("command", site.command())
    result = await site.result()
    assert result["ok"]
    scene.records.append(result["jseq"])


async def _pass_through(scene: Scene) -> None:
    """The door's own records, which wait for nobody."""
    site, door = scene.rig.site, scene.rig.door
    newest = site.newest
    door.press_rex()
    await door.strike.wait(1, DEADLINE)
    door.release_rex()
    await door.pass_through(0.2)
    closed = await site.record(journal.EVENT_DOOR_CLOSED, after=newest)
    scene.records.append(closed.seq)


async def _configure(scene: Scene) -> None:
    await configure(scene)


async def configure(scene: Scene, **changes: Any) -> None:
    """The next configuration: once its record was told, it is the one in force."""
    site, version, newest = scene.rig.site, scene.rig.configuration + 1, scene.rig.site.newest
    scene.cfg.add(version)
    await site.down("config", site.config(version, **changes))
    await site.record(journal.EVENT_CONFIG_APPLIED, after=newest)
    scene.cfg = {version}


OVER, OLD_EPOCH, NEW_EPOCH = 1, 2, 3


async def _second_epoch(scene: Scene) -> None:
    """So that the epoch before the old one has been, and could come back."""
    await scene.rig.board.power_on()
    await online(scene.rig)
    await scene.rig.configured(epoch=OLD_EPOCH)


async def _raise_epoch(scene: Scene) -> None:
    """In force is one of the two, and each key but its own is refused. The record is there before the configuration, and
    nothing older is in force once it is.
    """

    async def one_of_them(later: Scene) -> None:
        epoch, site = later.state["epoch"], later.rig.site
        assert epoch in (OLD_EPOCH, NEW_EPOCH)
        raised = [record.value for record in site.verify() if record.type == journal.EVENT_EPOCH_RAISED]
        assert epoch >= max(raised)
        assert later.state["cfg"] != version or max(raised) == NEW_EPOCH
        for tried in (OVER, OLD_EPOCH, NEW_EPOCH):
            key = site.key_for_phone(epoch=tried, credential_id=b"epoch%03d" % tried)
            status = (await later.phone.unlock(key, timeout=DEADLINE)).status
            assert status == ("granted" if tried == epoch else "key_epoch_over")

    scene.checks.append(one_of_them)
    version = scene.rig.configuration + 1
    await configure(scene, epoch=NEW_EPOCH)


async def _backlog(scene: Scene) -> None:
    """Records that were never delivered."""
    rig = scene.rig
    await rig.board.power_on()
    await rig.site.synchronised()
    rig.site.acknowledges = False
    rig.board.console.write(b"\x03")
    await rig.execute(f"""
        from device.identity import Identity
        from device.journal_store import JournalStore
        store = JournalStore(Identity().base + "/journal", 1)
        for n in range({BACKLOG}):
            store.add(1)
            if n % 32 == 31:
                store.commit()
        store.commit()
    """)


async def _acknowledge(scene: Scene) -> None:
    site = scene.rig.site
    site.acknowledges = True
    await site.down("ack", {"seq": site.newest})
    boot = await site.record(journal.EVENT_TIME_SET, after=site.before_boot + BACKLOG)
    scene.records.append(boot.seq)


STEPS = (
    Step("boot", _boot, off=True),
    Step("unlock over Bluetooth", _unlock),
    Step("a key that opens once", _spend),
    Step("unlock by command", _command),
    Step("pass through the door", _pass_through),
    Step("configuration", _configure),
    Step("acknowledgement of a backlog", _acknowledge, _backlog),
    Step("key epoch", _raise_epoch, _second_epoch),  # last: it ends the key of the other steps
)


async def online(rig: Rig) -> None:
    """Wait until the board has a session and the time; it may have more to deliver than it was acknowledged."""
    async with asyncio.timeout(DEADLINE):
        while (state := await rig.site.next("state"))["clk"] is None:
            pass
    rig.site.boot = state["boot"]
