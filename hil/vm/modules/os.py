"""``os`` of an ESP32 over the VM's own: what the port adds is loaded at its first use."""

from uos import *


def __getattr__(name):
    try:
        return getattr(__import__("_os"), name)
    except AttributeError:
        raise AttributeError("module 'os' has no attribute '%s'" % name)
