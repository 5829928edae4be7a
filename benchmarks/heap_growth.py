"""Ten thousand Bluetooth unlocks on one board, without the radio: what they leave on its heap."""

from benchmarks.outcome import Line, Outcome
from benchmarks.provisioned import board
from benchmarks.run import Entry, Run
from tests.device.rig import phone_side

UNLOCKS = 10_000


async def measure(run: Run) -> Outcome:
    """Handshake, decision, relay and journal; one proof in a hundred is wrong."""
    count = run.count(UNLOCKS)
    async with board(run.folder) as rig:
        token, _, key = phone_side(rig.site.key_for_phone())
        run.say(f"{count} unlocks")
        call = f"grown({token!r}, {key!r}, {count})"
        grown, granted, refused, committed = await rig.call("heap_growth.py", call)
    if granted < count * 0.99 or committed < granted:
        raise RuntimeError(f"{granted} granted, {committed} committed")
    what = f"heap in use after {count} unlocks, more than before"
    facts = {"grown": grown, "granted": granted, "refused": refused, "committed": committed}
    return Outcome([Line(what, max(0, grown), "bytes", 0, "limit", 1.0)], facts=facts)


ENTRY = Entry("heap_growth", "Heap that unlocks leave behind", measure)
