"""JSON within the size limit that wants more heap than there is: refused, and the next message is read."""

import gc

from protocol.envelope import LABEL_COMMAND, MAX_ENVELOPE, open_sealed, seal
from protocol.errors import Malformed

KEY = bytes(32)
HUNGRY = ("[" * 5000, '{"a":' * 1000, '{"a":[' + '"b",' * 1200 + '"b"]}', '{"p":"' + "p" * 5000 + '"}')

gc.collect()
# Leave what a busy board leaves.
hold = [bytearray(1000) for _ in range((gc.mem_free() - 25_000) // 1040)]
reasons = []
for raw in HUNGRY:
    assert len(raw) <= MAX_ENVELOPE
    try:
        open_sealed(KEY, LABEL_COMMAND, raw)
    except Malformed as e:
        reasons.append(e.reason)
    assert open_sealed(KEY, LABEL_COMMAND, seal(KEY, LABEL_COMMAND, {"a": 1})) == {"a": 1}
print(" ".join(reasons))
