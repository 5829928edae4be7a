"""One reader on an OSDP bus, and what the control panel says to it when: no port, no clock.

States follow each other down `_STEPS`; whatever goes wrong leads to OFFLINE, and after a while to IDENTIFY again.
A reader counts for nothing before Secure Channel stands, and nothing that is not of that channel is an event.
"""

from protocol.errors import LocalError, ProtocolError
from protocol.osdp import Decoder, encode
from protocol.osdp_secure import CHALLENGE, PROOF, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional

    from protocol.keys import Buffer
    from protocol.osdp_secure import Aes

POLL_MS = 50
REPLY_MS = 200
LOOK_MS = 5
SECURE_MS = 8000  # a session in which no authentic reply came for so long is over
MAX_TRIES = 3
MAX_BACKOFF_MS = 4000
_FIRST_BACKOFF_MS = 250

_SCBK_D = b"0123456789:;<=>?"  # every reader and every attacker has it
OFFLINE = 0
ONLINE = 5
# Of states 1 to 4: the command, and the reply that leads to the next. ID, CAP, CHLNG, SCRYPT; PDID, PDCAP, CCRYPT, RMAC_I.
_STEPS = b"\x00\x00\x61\x45\x62\x46\x76\x76\x77\x78"

_KEYS = b"0123456789*#\x7f\x0d"  # the standard's * and # are DEL and CR


class Panel:
    """`heard` is told: card(bits, raw), key(digit), state(online), tamper(active). `count(reason)` hears of all else.

    Times are milliseconds that do not wrap; `random(n)` gives n bytes that nobody can guess.
    """

    def __init__(
        self,
        address: int,
        scbk: bytes,
        aes: "Aes",
        random: "Callable[[int], bytes]",
        heard: "Any",
        count: "Callable[[str], None]",
    ) -> None:
        if len(scbk) != 16 or scbk == _SCBK_D:
            raise LocalError("scbk")
        self._address = address
        self._scbk = scbk
        self._aes = aes
        self._random = random
        self._heard = heard
        self._count = count
        self._decoder = Decoder()
        self._session: "Optional[Session]" = None
        self._proof = b""
        self._todo: "List[bytes]" = [b"", b"", b""]  # LED, BUZ, LSTAT: one of each waits, the latest
        self._wire = b""  # the command that awaits its reply
        self._sequence = 0
        self._tries = 0
        self._due_ms = 0  # when there is something to send
        self._sent_ms = 0
        self._alive_ms = 0  # the last reply that counted
        self._backoff_ms = _FIRST_BACKOFF_MS
        self._tamper = False
        self.state = OFFLINE

    def show(self, granted: bool) -> None:
        """Tell the person at the reader: green for 3 s and one beep, or red blinking and three."""
        # LED: reader 0, LED 0 | set for a time: on, off, on colour (1 red, 2 green), off colour, timer 2 | no change.
        # BUZ: reader 0, tone 2, on, off, count. Times are in 100 ms.
        self._todo[0] = (
            b"\x69\x00\x00"
            + (b"\x02\x01\x00\x02\x00\x1e\x00" if granted else b"\x02\x01\x01\x01\x00\x0f\x00")
            + bytes(5)
        )
        self._todo[1] = b"\x6a\x00\x02\x02\x01\x01" if granted else b"\x6a\x00\x02\x01\x01\x03"

    def idle(self) -> None:
        """Steady red: locked, and waiting for a card. Ends what `show` began."""
        self._todo[0] = b"\x69\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x01\x00\x01\x00"

    def wait_ms(self, now_ms: int) -> int:
        """How long there is nothing to do: until the next command, or the next look for a reply."""
        return LOOK_MS if self._wire else max(0, self._due_ms - now_ms)

    def poll(self, now_ms: int) -> bytes:
        """The frame to send now, or nothing."""
        if now_ms < self._due_ms:
            return b""
        if self.state and (self._tries >= MAX_TRIES or now_ms - self._alive_ms > SECURE_MS):
            self.reset("osdp_timeout", now_ms)
            return b""
        if not self._wire:
            self._wire = self._command(now_ms)
        self._tries += 1
        self._decoder.have = 0
        self._sent_ms = now_ms
        self._due_ms = now_ms + REPLY_MS
        return self._wire

    def feed(self, data: "Buffer", now_ms: int) -> None:
        """Bytes of the line, in any pieces."""
        for byte in data:
            try:
                found = self._decoder.push(byte)
            except ProtocolError as e:
                self._count(e.reason)  # noise: the command will be repeated
                continue
            if found and self._wire:
                try:
                    self._take(found[0], found[1], now_ms)
                except ProtocolError as e:
                    self.reset(e.reason, now_ms)
        if self._wire and self._decoder.have:
            self._due_ms = self._sent_ms + 2 * REPLY_MS  # it has begun in time; a slow line takes a while

    def reset(self, reason: str, now_ms: int) -> None:
        """Forget the session; all begins anew after the back-off."""
        was = self.state
        self.state = OFFLINE
        self._session = None
        self._wire = b""
        self._tries = 0
        step = self._backoff_ms
        self._backoff_ms = min(MAX_BACKOFF_MS, step * 2)
        self._due_ms = now_ms + step - step * self._random(1)[0] // 512
        self._count(reason)
        if was == ONLINE:
            self._heard.state(False)

    def _command(self, now_ms: int) -> bytes:
        sequence = self._sequence = self._sequence % 3 + 1
        if self.state == ONLINE:
            body = b"\x60"
            for i in range(3):
                if self._todo[i]:
                    body, self._todo[i] = self._todo[i], b""
                    break
            return encode(self._address, sequence, b"", body, self._session)
        if self.state == OFFLINE:
            self.state = 1
            self._sequence = sequence = 0
            self._alive_ms = now_ms
        body = _STEPS[2 * self.state : 2 * self.state + 1]
        block = b""
        if self.state == 3:
            self._session = Session(self._aes, self._scbk, self._random(8))
            block, body = CHALLENGE, body + self._session.rnd_a
        elif self.state == 4:
            block, body = PROOF, body + self._proof
        else:
            body += b"\x00"
        return encode(self._address, sequence, block, body)

    def _take(self, frame: bytes, at: int, now_ms: int) -> None:
        if frame[1] != self._address | 0x80:
            return  # another's, or our own from a line that echoes
        code = frame[at]
        if code == 0x79 and at == 5:  # BUSY: the same command again; never encrypted, always with sequence 0
            self._tries = 0
            self._due_ms = now_ms + POLL_MS
            return
        if frame[4] & 3 != self._sequence:
            self._count("osdp_sequence")
            return
        state, session = self.state, self._session
        block, body = frame[5:at], frame[at:]
        if state == ONLINE and session:
            body = session.open(frame, at)
            if code == 0x41 and 4 <= body[-1] <= 6:
                return self.reset("osdp_nak", now_ms)
        elif code != _STEPS[2 * state + 1]:
            return self.reset("osdp_nak" if code == 0x41 else "osdp_reply", now_ms)
        # Capabilities are triples: function, compliance, items. Function 9 at level 1 is Secure Channel with AES-128.
        elif state == 2 and b"\x09\x01" not in [body[i : i + 2] for i in range(1, len(body), 3)]:
            return self.reset("osdp_insecure", now_ms)
        elif state == 3 and session:
            self._proof = session.answer(block, body)
        elif state == 4 and session:
            session.check(block, body)
        self._wire = b""
        self._tries = 0
        self._alive_ms = now_ms
        self._due_ms = self._sent_ms + POLL_MS
        if state == ONLINE:
            self._event(body)
            return
        self.state = state + 1
        if state == 4:
            self._backoff_ms = _FIRST_BACKOFF_MS
            self.idle()
            self._todo[2] = b"\x64"  # LSTAT
            self._heard.state(True)

    def _event(self, body: bytes) -> None:
        code, size = body[0], len(body)
        if code == 0x50 and size > 5 and (body[3] | body[4] << 8) + 7 >> 3 == size - 5:  # RAW
            self._heard.card(body[3] | body[4] << 8, body[5:])
        elif code == 0x53 and size > 3 and body[2] == size - 3:  # KEYPAD
            for key in body[3:]:
                at = _KEYS.find(bytes((key,)))
                if at < 0:
                    self._count("osdp_data")
                else:
                    self._heard.key(chr(_KEYS[at if at < 12 else at - 2]))
        elif code == 0x48 and size == 3:  # LSTATR
            if self._tamper != bool(body[1]):
                self._tamper = not self._tamper
                self._heard.tamper(self._tamper)
        elif code != 0x40:
            self._count("osdp_data")
