"""The panel at a real reader (libosdp), with somebody on the line between them: no event but the reader's, each once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.osdp_reader import ADDRESS, BUZZER, GREEN, LED, RED, SCBK, SCBK_D, Reader, Wire
from protocol.host.aes import Aes
from protocol.osdp import crc16
from protocol.osdp_panel import MAX_BACKOFF_MS, OFFLINE, ONLINE, Panel

CARD = (26, bytes.fromhex("0606c040"))
_STEP_MS = 5


def untouched(data: bytes) -> bytes:
    return data


class Random:
    """Never the same twice, and the same in every run."""

    def __init__(self) -> None:
        self._n = 0

    def __call__(self, size: int) -> bytes:
        self._n += 1
        return (self._n * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "big")[:size]


class Line:
    """One panel, one reader; ``down`` and ``up`` are what becomes of commands and replies on their way."""

    def __init__(self, scbk: bytes | None = SCBK, **reader: Any) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.counts: list[str] = []
        self.sent: list[bytes] = []
        self.now = 0
        self.down: Callable[[bytes], bytes] = untouched
        self.up: Callable[[bytes], bytes] = untouched
        self.repeats = False  # as the standard asks of a reader, and libosdp's does not
        self._last = (b"", b"")
        self.wire = Wire()
        self.reader: Reader | None = Reader(self.wire, scbk, **reader)
        self.panel = Panel(ADDRESS, SCBK, Aes, Random(), self, self.counts.append)

    def card(self, bits: int, raw: bytes) -> None:
        self.events.append(("card", bits, raw))

    def key(self, digit: str) -> None:
        self.events.append(("key", digit))

    def state(self, online: bool) -> None:
        self.events.append(("state", online))

    def tamper(self, active: bool) -> None:
        self.events.append(("tamper", active))

    def run(self, ms: int, until: Callable[[], bool] = lambda: False) -> bool:
        end = self.now + ms
        while self.now < end and not until():
            self.now += _STEP_MS
            command = self.panel.poll(self.now)
            if command:
                self.sent.append(command)
                self._command(self.down(command))
            if self.reader is not None:
                self.reader.refresh()
                reply, self.wire.from_reader = self.wire.from_reader, b""
                if reply:
                    self._last = (self._last[0], reply)
                    self.panel.feed(self.up(reply), self.now)
        return until()

    def _command(self, heard: bytes) -> None:
        command, reply = self._last
        if self.repeats and heard and heard == command:
            self.wire.from_reader += reply
            return
        self._last = (heard or command, reply)
        self.wire.to_reader += heard

    @property
    def online(self) -> bool:
        return self.panel.state == ONLINE

    def seen(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]


@pytest.fixture
def line() -> Line:
    made = Line()
    assert made.run(1000, lambda: made.online)
    made.run(300)
    return made


def recheck(frame: bytes) -> bytes:
    """The check characters of who changed a frame and knows how to hide it."""
    return frame[:-2] + crc16(frame[:-2]).to_bytes(2, "little")


def split(reply: bytes) -> tuple[bytes, bytes]:
    """What comes before the frame, and the frame."""
    at = reply.index(0x53)
    return reply[:at], reply[at:]


def test_cards_keys_and_tamper_arrive_in_order_and_once(line):
    line.reader.present(*CARD)
    line.reader.present(96, bytes(range(12)))
    line.reader.type("12*90#")
    line.reader.tamper(True)
    line.reader.tamper(False)
    line.run(1000)
    assert line.seen("card") == [CARD, (96, bytes(range(12)))]
    assert "".join(key for (key,) in line.seen("key")) == "12*90#"
    assert line.seen("tamper") == [(True,), (False,)]
    assert line.counts == []


def test_light_and_sound_reach_the_person(line):
    line.panel.show(True)
    line.run(300)
    line.panel.show(False)
    line.run(300)
    temporary = [
        command for command in line.reader.shown(LED) if command["temporary"] and command["control_code"] == 2
    ]
    assert [command["on_color"] for command in temporary] == [GREEN, RED]
    assert [command["rep_count"] for command in line.reader.shown(BUZZER)] == [1, 3]
    line.panel.idle()
    line.run(300)
    assert line.reader.shown(LED)[-1]["on_color"] == RED


def test_what_is_shown_waits_for_its_turn_and_only_the_last_is_kept(line):
    for granted in (True, False) * 50 + (True,):
        line.panel.show(granted)
    before = len(line.reader.commands)
    line.run(500)
    assert len(line.reader.commands) == before + 2
    assert line.reader.shown(LED)[-1]["on_color"] == GREEN


def test_a_reader_without_power_is_offline_within_a_second_and_back_soon(line):
    line.reader = None
    assert line.run(1000, lambda: not line.online)
    assert line.seen("state") == [(True,), (False,)]
    line.reader = Reader(line.wire)
    assert line.run(MAX_BACKOFF_MS + 1000, lambda: line.online)


def test_no_reader_is_asked_ever_less_often(line):
    line.reader = None
    line.run(60_000)
    begins = [command for command in line.sent if command[5] == 0x61]
    assert 3 * 10 <= len(begins) <= 3 * 30
    line.reader = Reader(line.wire)
    assert line.run(MAX_BACKOFF_MS + 1000, lambda: line.online)


@pytest.mark.parametrize(
    "scbk", [bytes(16), SCBK_D, SCBK[:15] + b"\0", None], ids=["other", "scbk_d", "close", "new"]
)
def test_a_reader_with_another_key_is_never_online_and_heard(scbk):
    line = Line(scbk)
    line.reader.present(*CARD)
    line.run(60_000)
    assert line.events == []
    assert set(line.counts) == {"osdp_cryptogram"}


def test_a_reader_that_offers_the_default_key_is_refused_and_reported():
    """As one that was never set up does; with the cryptogram that it would have under that key."""
    line = Line(None)
    ask_default = {0x76: lambda frame: recheck(frame[:7] + b"\0" + frame[8:])}
    line.down = lambda command: ask_default.get(command[8], untouched)(command)
    line.run(20_000)
    assert line.events == []
    assert set(line.counts) == {"osdp_default_key"}


@pytest.mark.parametrize("code", [0x41, 0x40, 0x50, 0x48])
@pytest.mark.parametrize("at", [0x61, 0x62, 0x76, 0x77])
def test_another_reply_than_the_one_that_is_due_leads_nowhere(at, code):
    line, asked = Line(), [0]

    def up(reply):
        if asked[0] != at:
            return reply
        control = line.sent[-1][4] & 3 | 4
        return recheck(bytes((0x53, 0x80 | ADDRESS, 9, 0, control, code, 1, 0, 0)))

    def down(command):
        asked[0] = command[8 if command[4] & 8 else 5]
        return command

    line.down, line.up = down, up
    line.run(5000)
    assert line.events == []
    assert set(line.counts) == {"osdp_nak" if code == 0x41 else "osdp_reply"}


def test_a_reader_that_cannot_encrypt_is_told_from_one_with_another_key():
    line = Line()

    def up(reply):
        head, frame = split(reply)
        if frame[5] != 0x46:
            return reply
        at = frame.index(b"\x09\x01", 6)
        return head + recheck(frame[: at + 1] + b"\0" + frame[at + 2 :])

    line.up = up
    line.run(5000)
    assert line.events == []
    assert set(line.counts) == {"osdp_insecure"}


def test_a_lost_reply_is_asked_for_again_and_its_card_counted_once(line):
    lost = []

    def up(reply):
        if len(reply) > 20 and len(lost) < 2:
            lost.append(reply)
            return b""
        return reply

    line.up, line.repeats = up, True
    line.reader.present(*CARD)
    line.run(2000)
    assert line.seen("card") == [CARD]
    assert len(lost) == 2
    assert lost[0] == lost[1]
    assert line.online
    assert line.counts == []


def test_a_reader_that_has_forgotten_its_reply_loses_its_session_and_gets_another(line):
    lost = []

    def up(reply):
        if lost:
            return reply
        lost.append(reply)
        return b""

    line.up = up
    assert line.run(1000, lambda: not line.online)
    assert line.counts == ["osdp_block"]  # it says so in the clear
    assert line.run(1000, lambda: line.online)


def test_a_lost_command_is_repeated_under_the_same_number(line):
    lost = []

    def down(command):
        if len(lost) < 2:
            lost.append(command)
            return b""
        return command

    line.down = down
    line.run(1000)
    assert lost[0] == lost[1] == line.sent[line.sent.index(lost[1]) + 2]
    assert line.online


def test_a_reply_that_comes_twice_counts_once(line):
    line.up = lambda reply: reply + reply
    line.reader.present(*CARD)
    line.run(1000)
    assert line.seen("card") == [CARD]
    assert line.online


def test_a_late_reply_to_the_command_before_is_passed_over(line):
    replies = []

    def up(reply):
        replies.append(reply)
        return (replies[-2] if len(replies) > 1 else b"") + reply

    line.up = up
    line.reader.present(*CARD)
    line.run(1000)
    assert line.seen("card") == [CARD]
    assert line.online
    assert set(line.counts) == {"osdp_sequence"}


def test_a_card_that_is_played_again_ends_the_session_and_is_no_event(line):
    """At every later moment, under its own sequence number and, with fitting check characters, under the due one."""
    recorded = []

    def record(reply):
        if len(reply) > 20:
            recorded.append(split(reply)[1])
        return reply

    line.up = record
    line.reader.present(*CARD)
    line.run(500)
    (card,) = recorded
    for renumbered in (False, True):
        for _ in range(8):
            replayed = []

            def replay(reply, renumbered=renumbered, replayed=replayed):
                head, frame = split(reply)
                if not line.online or replayed:
                    return reply
                if not renumbered and frame[4] & 3 != card[4] & 3:
                    return reply
                replayed.append(frame)
                return head + recheck(card[:4] + frame[4:5] + card[5:])

            line.up = replay
            assert line.run(6000, lambda: bool(replayed))  # noqa: B023
            assert not line.online
            assert line.counts[-1] == "osdp_mac"
            line.up = untouched
            assert line.run(6000, lambda: line.online)
    assert line.seen("card") == [CARD]


def test_a_session_that_is_played_again_is_none(line):
    """Everything that a reader said, from its first byte on, to a panel that begins anew."""
    script = []
    first = Line()
    first.up = lambda reply: script.append(reply) or reply
    first.reader.present(*CARD)
    first.run(2000)
    assert first.seen("card") == [CARD]
    again = Line()
    again.panel = Panel(ADDRESS, SCBK, Aes, line.panel._random, again, again.counts.append)
    left = list(script)
    again.up = lambda reply: left.pop(0) if left else b""
    again.run(5000)
    assert again.events == []
    assert "osdp_cryptogram" in again.counts


@pytest.mark.parametrize("sequence", range(4))
def test_a_plain_card_in_a_session_ends_it(line, sequence):
    def up(reply):
        head, frame = split(reply)
        plain = bytes((0x53, frame[1], 16, 0, 4 | sequence, 0x50, 0, 1, 26, 0)) + CARD[1] + b"\0\0"
        return head + recheck(plain)

    line.up = up
    line.run(3000)
    assert line.seen("card") == []
    assert not line.online or set(line.counts) == {"osdp_sequence"}
    assert set(line.counts) <= {
        "osdp_block",
        "osdp_sequence",
        "osdp_timeout",
        "osdp_cryptogram",
        "osdp_reply",
    }
    assert line.counts


def test_a_security_block_that_is_taken_off_ends_the_session(line):
    def up(reply):
        head, frame = split(reply)
        stripped = frame[:4] + bytes((frame[4] & ~8,)) + frame[5 + frame[5] :] if frame[4] & 8 else frame
        return head + recheck(stripped[:2] + bytes((len(stripped),)) + stripped[3:])

    line.up = up
    line.reader.present(*CARD)
    line.run(3000)
    assert line.seen("card") == []
    assert not line.online
    assert line.counts[0] == "osdp_block"


@pytest.mark.parametrize("kind", [0x15, 0x16, 0x17, 0x18, 0x11, 0xFF])
def test_a_security_block_that_says_something_else_ends_the_session(line, kind):
    def up(reply):
        head, frame = split(reply)
        if line.online and frame[4] & 8:
            frame = recheck(frame[:6] + bytes((kind,)) + frame[7:])
        return head + frame

    line.reader.present(*CARD)
    line.up = up
    line.run(600)
    if kind == 0x18:
        assert line.seen("card") == [CARD]  # its reply was of that kind; the next was not
    else:
        assert line.seen("card") == []
    assert line.counts[0] in ("osdp_block", "osdp_mac")
    assert line.seen("state")[1] == (False,)


def test_a_reader_that_is_always_busy_is_offline_after_eight_seconds(line):
    line.up = lambda reply: recheck(bytes((0x53, 0x80 | ADDRESS, 8, 0, 4, 0x79, 0, 0)))
    line.run(7000)
    assert line.online
    assert line.run(1500, lambda: not line.online)
    assert line.counts[-1] == "osdp_timeout"


def test_one_busy_reply_has_the_command_repeated(line):
    said = []

    def up(reply):
        if said:
            return reply
        said.append(reply)
        return recheck(bytes((0x53, 0x80 | ADDRESS, 8, 0, 4, 0x79, 0, 0)))

    line.up, line.repeats = up, True
    line.reader.present(*CARD)
    line.run(1000)
    assert line.seen("card") == [CARD]
    assert line.online


def test_a_line_that_never_rests_is_no_reader(line):
    """Somebody sends the begin of a frame for ever: the reader is missed all the same."""
    line.reader = None
    end = line.now + 5000
    while line.now < end and line.online:
        line.run(_STEP_MS)
        line.panel.feed(b"\x53\x81", line.now)
    assert not line.online


def test_the_reader_forgets_the_session_and_the_panel_begins_anew(line):
    line.reader = Reader(line.wire)
    assert line.run(6000, lambda: len(line.seen("state")) == 3)
    line.reader.present(*CARD)
    line.run(500)
    assert line.seen("card") == [CARD]


def test_another_address_and_an_echo_of_our_own_are_passed_over(line):
    line.up = lambda reply: line.sent[-1] + recheck(bytes((0x53, 0x82, 8, 0, 4, 0x41, 0, 0))) + reply
    line.reader.present(*CARD)
    line.run(1000)
    assert line.seen("card") == [CARD]
    assert line.counts == []


TOUCHES = st.lists(
    st.tuples(
        st.sampled_from(("pass", "drop", "flip", "hide", "replay", "swap", "strip", "double", "insert")),
        st.integers(0, 200),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(TOUCHES)
def test_whatever_is_done_to_the_line_no_event_is_made_and_none_is_heard_twice(touches):
    line = Line()
    line.run(500)
    shown = [(26, bytes((n, 1, 2, 0))) for n in range(6)]
    for bits, raw in shown:
        line.reader.present(bits, raw)
    line.reader.type("1234")
    past: list[bytes] = []
    script = iter(touches)

    def touch(data: bytes) -> bytes:
        what, where, how = next(script, ("pass", 0, 0))
        past.append(data)
        changed = bytearray(data)
        if what == "drop":
            return b""
        if what in ("flip", "hide"):
            changed[where % len(data)] ^= how or 1
            return recheck(bytes(changed)) if what == "hide" else bytes(changed)
        if what == "replay":
            return past[where % len(past)]
        if what == "swap":
            return data[::-1]
        if what == "strip" and data[-3:]:
            return recheck(data[: where % len(data)] + data[where % len(data) + 1 + how % 8 :] + b"\0\0")
        if what == "double":
            return data + past[where % len(past)]
        if what == "insert":
            return data[: where % len(data)] + bytes((how, 0x53)) + data[where % len(data) :]
        return data

    def take_away(data: bytes) -> bytes:
        past.append(data)
        return b"" if next(script, ("pass",))[0] == "drop" else data

    # A changed command that passes its check characters takes libosdp 3.2.9 down, and this process with it.
    line.up, line.down = touch, take_away
    line.run(8000)
    cards = line.seen("card")
    assert cards == [card for card in shown if card in cards]
    keys = [key for (key,) in line.seen("key")]
    assert keys == list("1234") or not keys
    assert line.seen("tamper") == []
    line.up = line.down = untouched
    assert line.run(MAX_BACKOFF_MS + 2000, lambda: line.online)


def test_the_states_are_those_of_the_table_and_offline_is_first():
    line, passed = Line(), []
    line.down = lambda command: passed.append(line.panel.state) or command
    line.run(400)
    assert passed == [1, 2, 3, 4, ONLINE, ONLINE, ONLINE, ONLINE]
    line.panel.reset("osdp_restart", line.now)
    assert line.panel.state == OFFLINE
    assert line.seen("state") == [(True,), (False,)]
