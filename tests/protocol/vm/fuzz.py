"""Feeds every decoder with damaged input: a value or a protocol error each time, and a heap that does not grow.

fuzz.py SEED INPUTS VECTORS...      prints its progress, and then one line of JSON

The heap is measured after the first inputs, half of them and all of them, each time with all that is bounded at the same point.
"""

import gc
import json
import sys
from hashlib import sha256

from protocol.errors import ProtocolError
from tests.protocol.vm.decoders import DECODERS, LABELS, SELDOM, sealed, settle
from tests.protocol.vm.vector_runner import outcome

WARM_UP = (
    5_000  # the first of everything: names that are interned, modules that are loaded, files that are made
)
PROGRESS = 5_000
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
VALUES = ("null", "true", "-1", "0", "1.5", "99999999999", '""', '"0"', "[]", "[0]", "{}", '{"a": 1}')
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


def another_value(text):
    """Some member of an object has another value: by chance alone, that would be no JSON any more."""
    at = text.find(":", below(len(text))) + 1
    ends = [end for end in (text.find(c, at) for c in ",}]") if end >= 0]
    return text[:at] + VALUES[below(len(VALUES))] + text[min(ends) if at and ends else len(text) :]


def damaged(heard):
    """`heard` with one to three changes; now and then nothing of it is left."""
    kind = str if isinstance(heard, str) else bytes
    if kind is str and heard[:1] == "{" and below(2):
        return another_value(heard)
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
    """By operation, the inputs of all vectors that a stranger's bytes go into, and the name of what is heard."""
    found = {}
    for path in paths:
        with open(path) as f:  # noqa: PTH123
            for line in f:
                if not line.startswith("  {") or len(line) > 4096:
                    continue
                vector = json.loads(line.rstrip(",\n"))
                given = vector["in"]
                # What an anchor far away costs is bounded elsewhere; here it would be most of the time.
                if vector["op"] == "anchor" or not ("wire" in given or "text" in given):
                    continue
                name = "wire" if "wire" in given else "text"
                if name == "wire":
                    given["wire"] = bytes.fromhex(given["wire"])
                found.setdefault(vector["op"], []).append((given, name))
    return found


def harmed(op, given, heard):
    """Damage what is heard; or what is in the envelope, and seal that anew."""
    if op in LABELS and below(2):
        try:
            inner = damaged(json.loads(heard)["p"].strip())
            return sealed(bytes.fromhex(given["key"]), LABELS[op] or given["label"].encode(), inner)
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # a vector whose envelope is none
    return damaged(heard)


class Fuzzer:
    """Counts values and collects reasons, by operation."""

    def __init__(self, vectors):
        self.vectors = vectors
        self.names = sorted(vectors) + sorted(DECODERS)
        self.values = dict.fromkeys(self.names, 0)
        self.reasons = {name: set() for name in self.names}
        self.fed = 0
        self.digest = sha256()

    def seeds(self):
        """Every input as it is: a decoder that takes nothing would look well fuzzed."""
        for op in self.vectors:
            for given, name in self.vectors[op]:
                self.try_vector(op, given, name, given[name])
        for name in DECODERS:
            for seed in DECODERS[name][1]:
                self.try_decoder(name, seed)

    def one(self):
        op = self.names[below(len(self.names))]
        while (op in SELDOM or op.startswith("down_")) and below(8):
            op = self.names[below(len(self.names))]
        if op in self.vectors:
            given, name = self.vectors[op][below(len(self.vectors[op]))]
            self.try_vector(op, given, name, harmed(op, given, given[name]))
        else:
            seeds = DECODERS[op][1]
            self.try_decoder(op, damaged(seeds[below(len(seeds))]))

    def try_vector(self, op, given, name, heard):
        self.feed(op, heard)
        good = given[name]
        given[name] = heard
        try:
            self.count(op, outcome(op, given)[1])
        except BaseException:
            print("failed: input", self.fed, op, given)
            raise
        finally:
            given[name] = good

    def try_decoder(self, name, heard):
        self.feed(name, heard)
        try:
            DECODERS[name][0](heard)
            self.count(name, "")
        except ProtocolError as e:
            self.count(name, e.reason)
        except BaseException:
            print("failed: input", self.fed, name, repr(heard))
            raise

    def feed(self, name, heard):
        self.fed += 1
        self.digest.update(name.encode())
        # Half of a surrogate pair is bytes to MicroPython, and to CPython none without this.
        self.digest.update(heard.encode("utf-8", "surrogatepass") if isinstance(heard, str) else heard)

    def count(self, name, reason):
        if reason:
            self.reasons[name].add(reason)
        else:
            self.values[name] += 1

    def tell(self):
        """What was found goes to the host: kept here, it would be growth of the heap."""
        print("found", json.dumps({name: sorted(self.reasons[name]) for name in self.names}))
        self.reasons = {name: set() for name in self.names}


def allocated():
    """Bytes, of what is to be the same after any inputs."""
    if settle is None:
        return 0
    settle()
    gc.collect()
    gc.collect()  # what the finalisers of the first one let go
    return gc.mem_alloc()


# MicroPython keeps each character that was ever looked at alone.
characters = [chr(n) for n in range(128)] + list("".join(TEXTS))
fuzzer = Fuzzer(load(sys.argv[3:]))
inputs = int(sys.argv[2])
fuzzer.seeds()
heap = []
for n in range(1, inputs + 1):
    fuzzer.one()
    if n in (WARM_UP, inputs // 2, inputs):
        fuzzer.tell()
        heap.append(allocated())
    if not n % PROGRESS:
        print("done", n)
report = {"implementation": sys.implementation.name, "heap": heap, "values": fuzzer.values}
report["digest"] = fuzzer.digest.digest().hex()
print(json.dumps(report))
