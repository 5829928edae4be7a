"""What is said on every wire, and every decision that follows from it. Pure: runs on MicroPython and CPython."""
