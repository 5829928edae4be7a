"""What the vectors' operations share: the table that they enter by name, and how vectors write things."""

from protocol import clock

OPS = {}


def op(function):
    """An operation: takes a vector's `in`, returns its `out`, or raises a ProtocolError."""
    OPS[function.__name__] = function
    return function


def unhex(text):
    return bytes.fromhex(text)


def interval(pair):
    return clock.Interval(pair[0], pair[1]) if pair else None
