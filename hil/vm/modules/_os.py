"""What the ``os`` of an ESP32 has beyond the VM's."""

import sys
from collections import namedtuple

_Uname = namedtuple("uname_result", ("sysname", "nodename", "release", "version", "machine"))


def uname():
    release = ".".join([str(n) for n in sys.implementation.version[:3]])
    version = sys.version.split("MicroPython ")[-1]
    return _Uname(sys.platform, sys.platform, release, version, sys.implementation._machine)


def sync():
    pass
