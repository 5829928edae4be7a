"""The name that ``bluetooth`` had before MicroPython 1.21, by which the port still finds it."""

from bluetooth import *
