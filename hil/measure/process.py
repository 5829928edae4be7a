"""Memory and processor time of processes, from /proc."""

from pathlib import Path


def pss_kib(pid: int) -> int:
    """Proportional set size: own pages, and a share of those that others map too."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise OSError(f"no Pss of process {pid}")


def cpu_ms(pid: int) -> float:
    """Processor time of its threads so far, user and system; `schedstat` counts nanoseconds where `stat` counts hundredths."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid)) / 1e6


def family(pid: int) -> list[int]:
    """A process, and all that descend from it."""
    children = [int(child) for task in _tasks(pid) for child in (task / "children").read_text().split()]
    return [pid, *(member for child in children for member in family(child))]


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())
