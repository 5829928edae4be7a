# ruff: noqa: PTH123 (no pathlib on MicroPython)
"""Runs on MicroPython: says every event of bluetooth, and does what stdin says. Argument: the file of its secrets.

Lines out: ``irq EVENT [fields]``; ``= VALUE`` or ``! EXCEPTION ARGUMENTS`` for each line in. Memoryviews are shown as bytes.
"""

import select
import sys

import bluetooth

GET_SECRET, SET_SECRET = 29, 30
ble = bluetooth.BLE()
answers = {}  # what the handler returns, by event: a value, or a function of the event's fields
quiet = []  # events that are not told
secrets = {}


def plain(field):
    if isinstance(field, bluetooth.UUID):
        return repr(field)
    return bytes(field) if isinstance(field, memoryview) else field


def irq(event, data):
    fields = [plain(field) for field in data]
    if event == GET_SECRET:
        return get_secret(*fields)
    if event == SET_SECRET:
        return set_secret(*fields)
    if event not in quiet:
        print("irq", event, fields)
    answer = answers.get(event)
    return answer(*fields) if callable(answer) else answer


def get_secret(kind, index, key):
    if key is not None:
        return secrets.get((kind, key))
    found = [value for (other, _), value in secrets.items() if other == kind]
    return found[index] if index < len(found) else None


def set_secret(kind, key, value):
    if kind != 10:
        print("secret", kind, value is not None)
    if value is None:
        secrets.pop((kind, key), None)
    else:
        secrets[kind, key] = value
    with open(sys.argv[1], "w") as f:
        f.write(repr(secrets))
    return True


def do(line):
    try:
        try:
            code = compile(line, "stdin", "eval")
        except SyntaxError:
            code = compile(line, "stdin", "exec")
        print("=", repr(plain(eval(code, globals()))))
    except Exception as e:
        print("!", type(e).__name__, repr(e.args))


try:
    with open(sys.argv[1]) as f:
        secrets.update(eval(f.read()))
except OSError:
    pass
ble.irq(irq)
poll = select.poll()
poll.register(sys.stdin, select.POLLIN)
print("ready")
while True:
    if poll.poll():
        line = sys.stdin.readline()
        if not line:
            break
        do(line.strip())
