"""Feeds the decoders with damaged vectors: a value or a protocol error each time, and a heap that does not grow."""

import gc
import json
import sys

from tests.protocol.vm.vector_runner import outcome

WARM_UP = 2_000  # the first of everything: names that are interned, modules that are loaded
TEXTS = (
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "9",
    "-",
    "e",
    " ",
    "\0",
    "\n",
    "é",
    "\u20ac",
    "/",
    "_",
    "null",
)
# The same at every run: a failure can be looked at again.
state = int(sys.argv[1])


def below(limit):
    """The next pseudo-random number (Numerical Recipes' generator; its low bits repeat, so they are dropped)."""
    global state
    state = (state * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
    return (state >> 8) % limit


def some(kind):
    """One piece of what is inserted."""
    if kind is str:
        return TEXTS[below(len(TEXTS))]
    return bytes((below(256),)) if below(3) else bytes((0, 1, 0x7F, 0x80, 0xFF)[below(5) : below(5) + 1])


def damaged(heard):
    """`heard` with one to three changes; now and then nothing of it is left."""
    kind = str if isinstance(heard, str) else bytes
    if not below(12):
        return kind().join([some(kind) for _ in range(below(40))])
    for _ in range(below(3) + 1):
        at = below(len(heard) + 1)
        end = min(len(heard), at + (1, 1, 1, 2, 8)[below(5)])
        change = below(5)
        if change == 0:
            heard = heard[:at] + some(kind) + heard[end:]
        elif change == 1:
            heard = heard[:at] + some(kind) + heard[at:]
        elif change == 2:
            heard = heard[:at] + heard[end:]
        elif change == 3:
            heard = heard[:at] + heard[at:end] * (below(4) + 1) + heard[end:]
        else:
            heard = heard[:at]
    return heard


def load(paths):
    """(operation, input, name of what is heard) of every vector that a stranger's bytes go into."""
    found = []
    for path in paths:
        with open(path) as f:  # noqa: PTH123
            for line in f:
                if not line.startswith("  {") or len(line) > 2048:
                    continue
                vector = json.loads(line.rstrip(",\n"))
                given = vector["in"]
                # What an anchor far away costs is bounded elsewhere; here it would be most of the time.
                if vector["op"] == "anchor" or not ("wire" in given or "text" in given):
                    continue
                name = "wire" if "wire" in given else "text"
                if name == "wire":
                    given["wire"] = bytes.fromhex(given["wire"])
                found.append((vector["op"], given, name))
    return found


def fuzz(seeds, count):
    """How many of `count` damaged inputs gave a value, and how many reasons the others gave."""
    values, reasons = 0, set()
    for _ in range(count):
        op, given, name = seeds[below(len(seeds))]
        heard = given[name]
        given[name] = damaged(heard)
        try:
            _, reason = outcome(op, given)
        except BaseException:
            print("failed:", op, given)
            raise
        finally:
            given[name] = heard
        if reason:
            reasons.add(reason)
        else:
            values += 1
    return values, sorted(reasons)


def allocated():
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


seeds = load(sys.argv[3:])
print(sys.implementation.name)
print(json.dumps(fuzz(seeds, WARM_UP)))
before = allocated()
print(json.dumps(fuzz(seeds, int(sys.argv[2]) - WARM_UP)))
print(allocated() - before)
