"""Runs the test vectors on CPython and on MicroPython: whole, cut at every length, with more behind, byte by byte."""

# ruff: noqa: PTH123  (MicroPython)

import json

from protocol.errors import ProtocolError
from tests.protocol.vm import ops_phone, ops_readers, ops_site  # noqa: F401  (they enter their operations)
from tests.protocol.vm.vector_ops import OPS, unhex

# Here a part of the wire, or more behind it, may be a value of its own; everywhere else it must be refused.
OPEN_ENDED = ("caveats", "mqtt_decode", "chunk", "windows", "holidays", "zone")


def outcome(name, given):
    """(value, "") or (None, reason). Anything but a protocol error goes through, and fails the run."""
    try:
        return OPS[name](**given), ""
    except ProtocolError as e:
        assert e.reason
        return None, e.reason


def _heard(given):
    """The vector's input, with the bytes of the wire as bytes."""
    given = dict(given)
    if "wire" in given:
        given["wire"] = unhex(given["wire"])
    return given


def _others(given):
    """The same input with what was heard cut at every length, and with more behind it."""
    name = "wire" if "wire" in given else "text"
    heard = given[name]
    more = (b"\0", b"\x01\x02", heard) if name == "wire" else ("x", "\0", "{}")
    # Every length; of what is too large anyway, every 97th.
    for cut in range(0, len(heard), 1 if len(heard) <= 2048 else 97):
        yield dict(given, **{name: heard[:cut]})
    for tail in more:
        if len(heard):
            yield dict(given, **{name: heard + tail})


def run(vector):
    """How often the decoder ran for this vector; raises AssertionError where it does not do as it should."""
    name, given = vector["op"], _heard(vector["in"])
    value, reason = outcome(name, given)
    expected = (vector.get("out"), vector.get("error", ""))
    assert (value, reason) == expected, (vector["name"], value, reason)
    runs = 1
    if "wire" in given or "text" in given:
        for other in _others(given):
            value, reason = outcome(name, other)
            assert reason or vector.get("error") or name in OPEN_ENDED, (vector["name"], "taken", other)
            runs += 1
    if "wire" in given:
        # A view, as the radio and the socket give it; and the bytes given twice the same answer.
        assert outcome(name, dict(given, wire=memoryview(given["wire"]))) == expected
        runs += 1
    for item, _ in vector.get("parts", []):
        assert item
    return runs


def run_file(path):
    """(vectors, runs) of one file."""
    vectors = runs = 0
    with open(path) as f:
        for line in f:
            if line.startswith("  {"):  # one vector per line, so that a board need not hold them all
                vectors += 1
                runs += run(json.loads(line.rstrip(",\n")))
    return vectors, runs
