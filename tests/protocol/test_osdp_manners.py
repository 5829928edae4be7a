"""A reader that holds the right key and says anything: nothing but an event or a count comes of it, and no failure."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hil.osdp_reader import ADDRESS, SCBK
from protocol.host.aes import Aes
from protocol.osdp import crc16
from protocol.osdp_panel import ONLINE, Panel
from protocol.osdp_secure import Session

RND_B = b"reader B"
CAPABILITIES = b"\x46\x09\x01\x01"


class Reader:
    """The reader's half of Secure Channel, made of the panel's: what one signs the other opens."""

    def __init__(self) -> None:
        self.events = []
        self.counts = []
        self.panel = Panel(ADDRESS, SCBK, Aes, lambda size: bytes(range(size)), self, self.counts.append)
        self.now = 0
        self._session = None

    def __getattr__(self, name):
        if name in ("card", "key", "state", "tamper"):
            return lambda *told: self.events.append((name, *told))
        raise AttributeError(name)

    def connect(self):
        for code in (0x61, 0x62, 0x76, 0x77):
            command = self._command()
            at = 8 if command[4] & 8 else 5
            assert command[at] == code
            self._reply(command, *self._answer(code, command[at + 1 : -2]))
        assert self.panel.state == ONLINE
        return self

    def say(self, body, kind=0x18):
        """Answer the next command with this body, encrypted and signed as it should be."""
        command = self._command()
        session = self._session
        session.sign(command[:-6])
        if kind == 0x18:
            body = body[:1] + session._cipher().encrypt(body[1:] + b"\x80" + bytes(~len(body[1:]) & 15))
        head = bytes((0x53, 0x80 | ADDRESS, 13 + len(body), 0, command[4], 2, kind)) + body
        self._send(head + session.sign(head))

    def _command(self):
        while True:
            command = self.panel.poll(self.now)
            self.now += 5
            if command:
                return command

    def _answer(self, code, data):
        if code == 0x61:
            return b"", b"\x45" + bytes(12)
        if code == 0x62:
            return b"", CAPABILITIES
        if code == 0x76:
            self._session = session = Session(Aes, SCBK, data)
            client = Aes(session.s_enc, None).encrypt(data + RND_B)
            return b"\x03\x12\x01", b"\x76" + bytes(8) + RND_B + client
        rnd_a = self._session.rnd_a
        client = Aes(self._session.s_enc, None).encrypt(rnd_a + RND_B)
        assert self._session.answer(b"\x03\x12\x01", b"\x76" + bytes(8) + RND_B + client) == data
        return b"\x03\x14\x01", b"\x78" + self._session.icv

    def _reply(self, command, block, body):
        size = 7 + len(block) + len(body)
        self._send(
            bytes((0x53, 0x80 | ADDRESS, size, 0, command[4] & 3 | (12 if block else 4))) + block + body
        )

    def _send(self, frame):
        self.panel.feed(frame + crc16(frame).to_bytes(2, "little"), self.now)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=90), min_size=1, max_size=8))
def test_any_authentic_body_is_an_event_or_is_counted(bodies):
    reader = Reader().connect()
    for body in bodies:
        if reader.panel.state != ONLINE:
            break
        reader.say(body)
    for event in reader.events:
        if event[0] == "card":
            assert 0 < event[1] <= 8 * len(event[2]) < event[1] + 8
        if event[0] == "key":
            assert event[1] in "0123456789*#"
    assert set(reader.counts) <= {"osdp_data", "osdp_nak"}


@settings(deadline=None)
@given(st.integers(0, 0xFFFF), st.binary(max_size=80))
def test_a_card_is_taken_only_with_as_many_bits_as_it_says(bits, raw):
    reader = Reader().connect()
    reader.say(b"\x50\x00\x01" + bits.to_bytes(2, "little") + raw)
    fits = bits > 0 and (bits + 7) // 8 == len(raw)
    assert reader.events[1:] == ([("card", bits, raw)] if fits else [])
    assert reader.panel.state == ONLINE


def test_keys_come_as_the_standard_and_as_others_send_them():
    reader = Reader().connect()
    reader.say(b"\x53\x00\x0e0123456789*#\x7f\x0d")
    reader.say(b"\x53\x00\x03\x000A")
    assert "".join(event[1] for event in reader.events[1:]) == "0123456789*#*#0"
    assert reader.counts == ["osdp_data", "osdp_data"]


def test_a_card_that_is_signed_and_not_encrypted_ends_the_session():
    reader = Reader().connect()
    reader.say(b"\x50\x00\x01\x1a\x00" + bytes(4), kind=0x16)
    assert reader.events == [("state", True), ("state", False)]
    assert reader.counts == ["osdp_block"]


def test_a_reader_that_cannot_do_what_it_was_told_goes_on_and_one_that_lost_its_session_does_not():
    reader = Reader().connect()
    reader.say(b"\x41\x03", kind=0x16)  # unknown command
    reader.say(b"\x41\x09")
    assert reader.panel.state == ONLINE
    reader.say(b"\x41\x06", kind=0x16)
    assert reader.panel.state != ONLINE
    assert reader.counts == ["osdp_data", "osdp_data", "osdp_nak"]
