"""``python -m benchmarks.one NAME FILE [--quick]``: measure one entry in this process and write its report."""

import asyncio
import datetime
import gc
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

from benchmarks import report
from benchmarks.entries import ENTRIES
from benchmarks.machine import load
from benchmarks.run import Entry, Run


def measure(entry: Entry, path: Path, quick: bool) -> None:
    """Measure, saying how far it is, and write `path`. Raises what the entry raises."""
    began, busy = time.monotonic(), load()
    about = {"quick": quick, "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {entry.name}: {text}", flush=True)

    say(entry.title)
    # A full collection over all that was imported takes 0.1 s, and would be charged to some sample.
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="latchwork-bench-") as folder:
        outcome = asyncio.run(entry.measure(Run(Path(folder), quick, say)))
    about |= {"seconds": round(time.monotonic() - began, 1), "load": [round(busy, 2), round(load(), 2)]}
    report.write(path, entry, outcome, about)
    say(f"wrote {path}")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    measure(ENTRIES[sys.argv[1]], Path(sys.argv[2]), "--quick" in sys.argv[3:])
