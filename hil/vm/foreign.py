"""Names of attributes that are MicroPython's: the VM is asked, of every type and object that the firmware can meet."""

import functools
import subprocess
import sys
from collections.abc import Iterable

from hil.vm import image

_ASK = """
import asyncio, io, sys, tls
names = set()
def look(thing):
    names.update(dir(thing))
async def nothing():
    pass
for module in sys.argv[1:]:
    module = __import__(module)
    for member in [getattr(module, name, None) for name in dir(module)]:
        if isinstance(member, type) or not callable(member):
            look(member)
async def main():
    task = asyncio.create_task(nothing())
    look(task)
    await task
asyncio.run(main())
work = nothing()
for thing in (OSError(1), StopIteration(1), (i for i in ()), work, look, iter([]), iter({}), {}.keys(), memoryview(b""),
              tls.SSLContext(tls.PROTOCOL_TLS_CLIENT), super, property):
    look(thing)
work.close()
print(*sorted(names))
"""
_RUN = "import sys; from hil.vm.executable import run; run(sys.argv[1:])"
_ALWAYS = ("builtins", "io", "asyncio", "usocket")  # a bare board's socket is over the VM's, which a door has


@functools.cache
def _ask(modules: tuple[str, ...]) -> frozenset[str]:
    image.bench_folder()  # the VM's own modules, of which the firmware uses some
    command = [sys.executable, "-c", _RUN, "-c", _ASK, *modules]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode:
        raise image.ImageError(f"MicroPython does not tell its names: {answer.stderr.strip()}")
    return frozenset(answer.stdout.split())


def attributes(modules: Iterable[str]) -> frozenset[str]:
    """Of all types and objects of these modules of MicroPython, and of what is always there. Raises ImageError."""
    return _ask((*_ALWAYS, *sorted(set(modules))))
