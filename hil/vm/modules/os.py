"""``os`` of an ESP32 over the VM's own: what the port adds is loaded at its first use."""

import uos
from uos import *


def __getattr__(name):
    try:
        return getattr(__import__("_os"), name)
    except AttributeError:
        raise AttributeError("module 'os' has no attribute '%s'" % name)


def ilistdir(path=""):
    entries = uos.ilistdir(path)
    if path == "/" or (path in (".", "") and uos.getcwd() == "/"):
        return (entry for entry in entries if entry[0] != "bench")  # its modules are no folder of the board
    return entries


def listdir(path=""):
    return [entry[0] for entry in ilistdir(path)]
