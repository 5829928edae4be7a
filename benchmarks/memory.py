"""Memory and processor time of processes, from /proc."""

from pathlib import Path


def pss_kib(pid: int) -> int:
    """Proportional set size: own pages, and a share of those that others map too."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise OSError(f"no Pss of process {pid}")


def cpu_ms(pid: int) -> float:
    """Processor time so far, user and system; `schedstat` counts nanoseconds where `stat` counts hundredths."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6
