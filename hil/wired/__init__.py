"""Boards on a serial port: the firmware put on them, and their identity."""
