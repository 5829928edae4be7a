"""One connection on the air: its connection events, its losses, and its end by the supervision timeout.

A ``paced`` link is true to a radio. It has connection events at its anchor and at each interval after it. Both sides send at
the anchor what they have by then, so what a peripheral's host says to what it has just got comes an interval later. An event
in which data went stays open for most of the interval, as controllers keep one open while there is more: in it the central
can go on. An event has room for ``MAX_PDUS`` PDUs of one side, and for as many as fit into the
interval. A lost PDU ends the event for its side, and is sent again in the next one. With a peripheral latency the peripheral
listens at one event of (latency + 1), unless it has something to say. A radio with several links is with one at a time
(``airtime``): an event for which an end has no time is missed.

A link that is not paced hands everything over at once; one on which packets get lost is always paced.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from bumble import hci

from hil.radio.loss import DATA, POLL

if TYPE_CHECKING:
    from hil.radio.medium import Medium

MAX_HELD = (
    256  # PDUs of one side that wait; more ends the link. Hosts stop before, at their controller's buffers
)
MAX_PDUS = 6  # of one side in one event: what phones and an ESP32 send at most
OPEN = 0.75  # of the interval: how long an event in which data went takes more of the central's
DEFAULT_TIMEOUT = 0.72  # seconds, for a request that names no supervision timeout
CONTROL_OCTETS = 12  # of an LL control PDU, about
_T_IFS_US = 150
_EMPTY_US = 80  # an empty PDU at LE 1M
_POLL_S = (2 * _EMPTY_US + _T_IFS_US) * 1e-6
_FIRST_S = 2.5e-3  # the longest PDU at LE 1M with its acknowledgement
_OVERHEAD = 14  # bytes around the payload of a data PDU: preamble, access address, header, MIC, CRC
_US_PER_BYTE = {1: 8.0, 2: 4.0, 3: 64.0}  # by PHY: 1M, 2M, Coded with S=8
_AIRTIME = 0.9  # of an interval that data may fill


class Timing(NamedTuple):
    """Connection parameters; interval and timeout in seconds."""

    interval: float
    latency: int
    timeout: float

    @classmethod
    def of(cls, interval: int, latency: int, timeout: int) -> "Timing":
        """From HCI's units of 1.25 and 10 ms; plain Bumble controllers leave zeros."""
        return cls(max(interval, 6) * 1.25e-3, latency, timeout / 100 or DEFAULT_TIMEOUT)


class Pdu:
    """What one side sends as a whole: an L2CAP PDU in as many packets as it takes, or a control PDU in one."""

    __slots__ = ("deliver", "left", "sent")

    def __init__(self, octets: int, deliver: Callable[[], None], sent: Callable[[], None] | None) -> None:
        self.left = octets
        self.deliver = deliver
        self.sent = sent


class _Event:
    """What is used up of one connection event."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.until = 0.0
        self.us = 0.0
        self.pdus = [0, 0]
        self.closed = [False, False]  # by a lost PDU


class Link:
    """``ends``: the two controllers by the addresses the link was made with, the central first."""

    def __init__(self, medium: "Medium", ends: dict[hci.Address, Any], timing: Timing, paced: bool) -> None:
        self.ends = ends
        self.timing = timing
        self.paced = paced
        self._asked = paced
        self._lossy = False
        self.phy = 1
        self.octets = min(int(end.supported_max_tx_octets) for end in ends.values())
        self.expiry: asyncio.TimerHandle | None = None  # runs while the ends do not hear each other at all
        self._medium = medium
        self._addresses = tuple(ends)
        self._queues: tuple[deque[Pdu], deque[Pdu]] = (deque(), deque())
        self._loop = asyncio.get_running_loop()
        self.missed = 0  # events in a row
        self._central = next(iter(ends.values()))
        self._heard = self._loop.time()
        self._anchor = self._place(self._heard)
        self._event = _Event(-1)
        self._timer: asyncio.TimerHandle | None = None
        self._next = -1  # event of the timer
        self._ended = False
        self.watch()

    def peer_of(self, address: hci.Address) -> hci.Address:
        return self._addresses[1 - self._addresses.index(address)]

    @property
    def timeout(self) -> float:
        return self.timing.timeout

    @property
    def begins(self) -> float:
        """Loop time of its anchor."""
        return self._anchor

    @property
    def due(self) -> float:
        """When it needs its next event; infinity if it has nothing to say."""
        return float("inf") if self._timer is None else self._start(self._next)

    def _start(self, number: int) -> float:
        return self._anchor + number * self.timing.interval

    def _place(self, after: float) -> float:
        return self._medium.airtime.anchor(self._central, self, after + 1.25e-3)

    def waiting(self, address: hci.Address) -> int:
        """PDUs that the end with this address has not got rid of yet."""
        return len(self._queues[self._addresses.index(address)])

    def send(
        self,
        source: hci.Address,
        octets: int,
        deliver: Callable[[], None],
        sent: Callable[[], None] | None = None,
    ) -> None:
        """Carry a PDU to the other end; ``sent`` is called when it has got there."""
        side = self._addresses.index(source)
        queue = self._queues[side]
        if len(queue) >= MAX_HELD:
            self._medium.expire(self)
            return
        queue.append(Pdu(octets, deliver, sent))
        if not self.paced:
            self._pour()
            return
        if side == 0 and self._is_open():
            self._transfer(side)
        self._arm()

    def watch(self) -> None:
        """The losses may have changed: a link on which packets get lost has its events, used or not."""
        self._lossy = self._medium.loses(*self.ends.values())
        self.paced = self._asked or self._lossy
        if self.paced:
            self._arm()
        else:
            self._disarm()
            self._pour()

    def retime(self, timing: Timing) -> None:
        """New parameters, from an anchor of their own."""
        self.timing = timing
        self._anchor = self._place(self._loop.time() - 1.25e-3)
        self._event = _Event(-1)
        self._disarm()
        if self.paced:
            self._arm()

    def healed(self) -> None:
        """Both ends hear each other again."""
        self._heard = self._loop.time()
        if self.paced:
            self._arm()
        else:
            self._pour()

    def stop(self) -> None:
        """The link is no more: what waits is dropped."""
        self._ended = True
        self._disarm()
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        for queue in self._queues:
            queue.clear()

    def _pour(self) -> None:
        for queue in self._queues:
            while queue and self.expiry is None and not self.paced:
                self._hand_over(queue.popleft())

    def _hand_over(self, pdu: Pdu) -> None:
        pdu.deliver()
        if pdu.sent is not None:
            pdu.sent()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        """Wake up at the next event that somebody needs."""
        if self._ended:
            return
        interval, latency, _ = self.timing
        following = max(int((self._loop.time() - self._anchor) // interval), self._event.number) + 1
        if self._queues[1]:
            wanted = following
        elif self._queues[0] or self._lossy:
            wanted = -(-following // (latency + 1)) * (latency + 1)
        else:
            return
        if self._timer is not None:
            if self._next <= wanted:
                return
            self._disarm()
        self._next = wanted
        self._timer = self._loop.call_at(self._start(wanted), self._on_anchor, wanted)

    def _on_anchor(self, number: int) -> None:
        self._timer = None
        if self._event.number != number:
            self._event = _Event(number)
        if self.expiry is None and self._has_the_air(self._start(number)):
            self._poll()
            self._transfer(0)
            self._transfer(1)
        if not self._over():
            self._arm()

    def _has_the_air(self, now: float) -> bool:
        """Whether both radios have time for the event that begins; one that is missed is over."""
        airtime = self._medium.airtime
        if airtime.is_free(self, now) and not airtime.goes_before(self, now, now + _FIRST_S):
            self.missed = 0
            return True
        self.missed += 1
        self._event.closed = [True, True]
        return False

    def _is_open(self) -> bool:
        """Whether the present event has carried data and takes what the central says next."""
        event, now = self._event, self._loop.time()
        in_time = any(event.pdus) and now - self._start(event.number) <= OPEN * self.timing.interval
        return in_time and self.expiry is None and self._medium.airtime.is_idle(self, now)

    def _transfer(self, side: int) -> None:
        """Send what fits into the rest of the event."""
        queue = self._queues[side]
        for _ in range(len(queue)):
            if not queue or self.expiry is not None or not self._transmit(side, queue[0]):
                break
            self._hand_over(queue.popleft())

    def _transmit(self, side: int, pdu: Pdu) -> bool:
        """Send the packets of a PDU; False if it is not through yet."""
        event = self._event
        while not event.closed[side]:
            size = min(pdu.left, self.octets)
            us = (size + _OVERHEAD) * _US_PER_BYTE[self.phy] + _EMPTY_US + 2 * _T_IFS_US
            first = not any(event.pdus)  # however short the interval, one PDU goes
            if event.pdus[side] >= MAX_PDUS or (
                event.us + us > _AIRTIME * self.timing.interval * 1e6 and not first
            ):
                return False
            ends = max(event.until, self._loop.time()) + us * 1e-6
            if not (first or self._medium.airtime.fits(self, self._start(event.number), ends)):
                return False
            event.pdus[side] += 1
            event.us += us
            event.until = ends
            self._medium.airtime.take(self, ends)
            if self._lost(side, DATA):
                event.closed[side] = True
                return False
            self._heard = self._loop.time()
            pdu.left -= size
            if pdu.left <= 0:
                return True
        return False

    def _lost(self, side: int, stream: str) -> bool:
        if not self._lossy:
            return False
        sender, receiver = self.ends[self._addresses[side]], self.ends[self._addresses[1 - side]]
        return self._medium.lost(sender, receiver, stream)

    def _poll(self) -> None:
        """The empty packets of an event with no data: they keep a lossy link alive."""
        if self._lossy and not any(self._queues):
            self._medium.airtime.take(self, self._loop.time() + _POLL_S)
            if not self._lost(0, POLL) and not self._lost(1, POLL):
                self._heard = self._loop.time()

    def _over(self) -> bool:
        """End the link if nothing has been received for the supervision timeout."""
        quiet = self._loop.time() - self._heard
        if not self._lossy or self.expiry is not None or quiet < self.timing.timeout:
            return False
        self._medium.expire(self)
        return True
