"""A thousand boards with the real firmware, each with its own certificate, at one site: the time until all are connected,
unlocks while they are, and what a board costs the bench in memory and processor time.
"""

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.fleet.fleet import Fleet
from hil.fleet.plan import Plan

BOARDS, QUICK_BOARDS = 1000, 20
CONNECT_LIMIT_S = 60.0  # of all of them
MEMORY_LIMIT_KIB = 1536.0
HOLD_S, IDLE_S, QUICK_IDLE_S = 20.0, 15.0, 2.0


async def measure(run: Run) -> Outcome:
    """Provision, switch on as fast as they connect, let them idle, then put people at their doors."""
    count = QUICK_BOARDS if run.quick else BOARDS
    shown: dict[str, int] = {}

    def say(phase: str, done: int, of: int) -> None:
        if shown.get(phase) != 4 * done // of:
            shown[phase] = 4 * done // of
            run.say(f"{phase}: {done} of {of}")

    plan = Plan(count, hold_s=HOLD_S / 10 if run.quick else HOLD_S, chaos=0)
    async with Fleet.built(plan, run.folder, say) as fleet:
        await fleet.ramp()
        await fleet.idle(QUICK_IDLE_S if run.quick else IDLE_S)
        await fleet.hold()
        await fleet.count()
    report = fleet.report
    if not report.ok or report.ramp is None or report.idle is None:
        raise RuntimeError(report.model_dump_json())
    idle = report.idle
    limit = CONNECT_LIMIT_S * count / BOARDS
    whole = idle.vm_kib.p99 + idle.bench_kib
    lines = [
        Line(f"{count} boards, all connected after", report.ramp.took_s, "s", limit, "limit", 1.0),
        Line("memory of a board, VM and bench (PSS): p99", whole, "KiB", MEMORY_LIMIT_KIB, "limit", 1.0),
        Line("memory of a board's VM (PSS): p50", idle.vm_kib.p50, "KiB"),
        Line("processor time of an idle board: VM, p50", idle.vm_cpu.p50, "ms/s"),
        Line("processor time of it in the bench", idle.bench_cpu, "ms/s"),
    ]
    for kind, unlocks in (("the cloud", report.remote), ("Bluetooth", report.bluetooth)):
        if unlocks is not None and unlocks.took is not None:
            lines.append(Line(f"unlock by {kind}, of the fleet: p50", unlocks.took.p50, "ms"))
            lines.append(Line(f"unlock by {kind}, of the fleet: p99", unlocks.took.p99, "ms"))
    return Outcome(lines, {}, report.model_dump(mode="json"))


ENTRY = Entry("fleet", "A thousand boards at one site", measure)
