"""``os`` of an ESP32 over the VM's own: what the port adds is loaded at its first use."""

import uos
from uos import *


def __getattr__(name):
    try:
        return getattr(__import__("_os"), name)
    except AttributeError:
        raise AttributeError("module 'os' has no attribute '%s'" % name)


def ilistdir(path=""):
    return (entry for entry in uos.ilistdir(path) if entry[0] != "bench" or not _hidden(path))


def _hidden(path):
    # The folder of the bench's modules is no folder of the board.
    return path == "/" or (path in (".", "") and uos.getcwd() == "/")


def listdir(path=""):
    return [entry[0] for entry in ilistdir(path)]
