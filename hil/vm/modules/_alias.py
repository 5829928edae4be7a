"""Older programs know modules of a port by a name with a ``u``: on a bare board those are the bench's too, not the VM's own. A
command that runs one program in a small heap has two of them; the others, which work as well there, would fill it.
"""

import sys

from _board import os

for _name in ("tls", "vfs"):
    sys.modules[_name] = __import__("_" + _name)
for _name in ("os", "time", "select", "socket")[: 4 if os.getenv("LATCHWORK_FLASH") else 2]:
    sys.modules["u" + _name] = __import__(_name)
