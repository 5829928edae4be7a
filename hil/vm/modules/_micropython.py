"""``micropython`` of an ESP32 over the VM's own, on a bare board: what is not of the port is left out."""

from micropython import *

del mem_current, mem_peak, mem_total  # noqa: F821

emergency = 0  # bytes for the arguments of what is raised while the heap is locked


def alloc_emergency_exception_buf(size):
    """The VM has one from the start, of the size that it needs."""
    global emergency
    emergency = int(size)
