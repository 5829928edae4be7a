"""Interrupts of the board model's channel BUS, by their operation."""

import _board
from micropython import const

_BUS = const(16)
_own = {}  # (handler, whether it only stores what it is told) by operation


def on(op, handler, stores=False):
    """Run handler(payload) at an interrupt ``op``; one that only stores is run even within another handler."""
    _own[op] = handler, stores


def _early(op, payload):
    handler, stores = _own.get(op, (None, False))
    if stores:
        handler(payload)
    return handler and not stores


def _run(op, payload):
    _own[op][0](payload)


_board.on(_BUS, _run, _early)
