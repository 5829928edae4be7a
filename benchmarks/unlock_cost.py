"""What one Bluetooth unlock costs a board, counted on its VM: HMACs, and commits to flash that the relay waits for."""

from benchmarks.outcome import Line, Outcome
from benchmarks.provisioned import board
from benchmarks.run import Entry, Run
from hil.phone import share
from protocol.credential import CAVEAT_ACTIONS, ONE_TIME, caveat
from tests.device.rig import phone_side

CAVEATS = 4  # as many as there may be
HMACS = 10
COMMITS = 1
KEYS = (("ordinary", 0), ("one-time", ONE_TIME))


async def measure(run: Run) -> Outcome:
    """Counts are exact, so once for each kind of key is enough."""
    lines = []
    for name, flags in KEYS:
        async with board(run.folder / name) as rig:
            key = share(rig.site.key_for_phone(flags=flags), *[caveat(CAVEAT_ACTIONS, b"\xff")] * CAVEATS)
            status, hmacs, before, after = await rig.call("unlock_cost.py", f"unlock{phone_side(key)}")
        if status:
            raise RuntimeError(f"the {name} key was refused: {status}")
        lines += [
            Line(f"{name} key with {CAVEATS} caveats: HMACs", hmacs, "", HMACS, "limit", 1.0),
            Line(f"{name} key: commits to flash before the relay", before, "", COMMITS, "limit", 1.0),
            Line(f"{name} key: commits to flash in all", after, ""),
        ]
    return Outcome(lines)


ENTRY = Entry("unlock_cost", "HMACs and flash commits of a Bluetooth unlock", measure)
