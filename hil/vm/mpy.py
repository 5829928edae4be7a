"""What is read of .mpy files: the names that MicroPython interns as it loads one (py/persistentcode.c)."""

_HEAD = 4  # magic, version, flags, bits of a small integer


def names(code: bytes) -> set[bytes]:
    """Of a module of bytecode, without those that every MicroPython has under a fixed number."""
    count, at = _number(code, _HEAD)
    _, at = _number(code, at)  # of its other constants
    found = set()
    for _ in range(count):
        size, at = _number(code, at)
        if not size & 1:
            found.add(code[at : at + (size >> 1)])
            at += (size >> 1) + 1
    return found


def _number(code: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    while True:
        byte, at = code[at], at + 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at
