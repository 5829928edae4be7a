"""An air: ``python -m hil.air.server FD NAME`` serves the listening Unix socket FD until its last member is gone.

Its socket is bound by the member that starts it, which holds the air's lock (``folder``); the server takes the same lock to
end, so nobody connects to a socket that is about to go. Peers of another user are turned away.
"""

import asyncio
import contextlib
import errno
import functools
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from hil.air import conditions, ops
from hil.air.early_radio import EarlyRadio, Spectrum
from hil.air.folder import Airfield
from hil.air.hci_port import HciPort
from hil.air.ops import AirError, Identity
from hil.air.snapshot import radios
from hil.air.wifi import WifiRadio
from hil.credentials import of_peer
from hil.vm.link import Answer, Channel, Link

FIRST_S = 20.0  # to the first JOIN; a start that nobody follows up ends
JOIN_S = 20.0  # for a connection to say who it is
MAX_MEMBERS = 1024  # descriptors
MAX_PART = 12 * 1024  # bytes of a snapshot in one frame
_LOCK_AGAIN_S = 0.01

# The channels of a member, by its kind.
CHANNELS: dict[str, Callable[[Spectrum, Identity, Link], dict[int, Channel]]] = {
    ops.BOARD: lambda spectrum, who, link: {
        ops.BLE: EarlyRadio(spectrum, who, link),
        ops.WIFI: WifiRadio(spectrum.wifi, who, link),
    },
    ops.HOST: lambda spectrum, who, link: {ops.BLE: HciPort(spectrum, who, link)},
    ops.WATCHER: lambda _spectrum, _who, _link: {},
}


class Seat:
    """One connection, and channel AIR of it."""

    def __init__(self, air: "Air", sock: socket.socket) -> None:
        self.who: Identity | None = None
        self.kind = ""
        self.channels: dict[int, Channel] = {}
        self.link = Link("somebody", on_lost=lambda: air.left(self))
        self._air = air
        self._said = ""
        self._shown = b""
        self.link.attach(ops.AIR, self)
        self.link.connect(sock)
        self._late = asyncio.get_running_loop().call_later(JOIN_S, self._too_late)

    def handle(self, op: int, payload: bytes) -> Answer:
        try:
            return _OPERATIONS[op](self, payload)
        except (ValueError, LookupError, TypeError) as error:
            raise self._refusal(errno.EINVAL, str(error)) from None
        except AirError as error:
            raise self._refusal(error.errno or errno.EINVAL, error.strerror or str(error)) from None

    def vm_lost(self) -> None:
        """The connection is gone."""
        self._late.cancel()
        for channel in self.channels.values():
            if isinstance(channel, EarlyRadio | HciPort | WifiRadio):
                channel.close()

    def place(self, place: ops.Place) -> None:
        assert self.who is not None
        self.who = replace(self.who, position=place)
        for channel in self.channels.values():
            if isinstance(channel, EarlyRadio | HciPort | WifiRadio):
                channel.place(place)

    def join(self, payload: bytes) -> bytes:
        wanted = json.loads(payload)
        if not isinstance(wanted, dict) or wanted.get("version") != ops.VERSION:
            raise AirError(
                errno.EPROTO, "the air runs another version of latchwork: end its other members first"
            )
        if self.who is not None or wanted.get("kind") not in CHANNELS:
            raise ValueError(f"a member joins once, as one of {', '.join(CHANNELS)}")
        self.kind = wanted["kind"]
        self.who = self._air.seated(ops.identity(wanted), self.kind)
        self.link.name = self.who.name
        self.channels = CHANNELS[self.kind](self._air.spectrum, self.who, self.link)
        for number, channel in self.channels.items():
            self.link.attach(number, channel)
        self._late.cancel()
        return json.dumps({"name": self.who.name}).encode()

    def reset(self, payload: bytes) -> None:
        channel = self.channels.get(payload[0])
        if channel is not None:
            channel.vm_lost()

    def put(self, payload: bytes) -> None:
        wanted = json.loads(payload)
        place = ops.place(wanted["position"])
        seat = self._air.member(wanted["name"]) if wanted["name"] else self
        seat.place(place)

    def disturb(self, payload: bytes) -> Awaitable[None]:
        return self._disturb(conditions.change(payload))

    async def _disturb(self, change: conditions.Change) -> None:
        change(await self._air.spectrum.ready())

    def show(self, payload: bytes) -> bytes:
        offset = int.from_bytes(payload, "little")
        if not offset:
            self._shown = json.dumps(self._air.snapshot()).encode()
        return self._shown[offset : offset + MAX_PART]

    def said(self, _payload: bytes) -> bytes:
        return self._said.encode()

    def _refusal(self, number: int, text: str) -> AirError:
        self._said = text[: ops.MAX_SAID]
        return AirError(number, text)

    def _too_late(self) -> None:
        self.link.disconnect()
        self._air.left(self)


_OPERATIONS: dict[int, Callable[[Seat, bytes], Answer]] = {
    ops.JOIN: Seat.join,
    ops.RESET: Seat.reset,
    ops.PLACE: Seat.put,
    ops.SHOW: Seat.show,
    ops.DISTURB: Seat.disturb,
    ops.SAID: Seat.said,
}


class Air:
    """``run`` until nobody is left."""

    def __init__(self, field: Airfield, listening: socket.socket) -> None:
        self.spectrum = Spectrum()
        self._field = field
        self._listening = listening
        self._seats: set[Seat] = set()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        loop.add_reader(self._listening, self._arrived)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, True)
        loop.call_later(FIRST_S, self._end_if_empty)
        await self._ended.wait()
        for seat in tuple(self._seats):
            seat.link.disconnect()

    def seated(self, who: Identity, kind: str) -> Identity:
        """Its identity with a name of its own; raises AirError if another has its address."""
        members = [seat.who for seat in self._seats if seat.who is not None and seat.kind != ops.WATCHER]
        if kind == ops.WATCHER:
            return who
        for other in members:
            if other.mac == who.mac:
                raise AirError(
                    errno.EADDRINUSE,
                    f"{other.name} on air {self._field.name} has address {who.mac.hex(':')}: use another name",
                )
        names = {other.name for other in members}
        name, number = who.name, 1
        while name in names:
            number += 1
            name = f"{who.name}-{number}"
        return replace(who, name=name)

    def member(self, name: str) -> Seat:
        for seat in self._seats:
            if seat.who is not None and seat.who.name == name and seat.kind != ops.WATCHER:
                return seat
        raise AirError(errno.ENOENT, f"{name} is not on air {self._field.name}")

    def snapshot(self) -> dict[str, Any]:
        members = [seat for seat in self._seats if seat.who is not None and seat.kind != ops.WATCHER]
        return {
            "air": self._field.name,
            "pid": os.getpid(),
            "members": sorted(
                ({"kind": seat.kind, **seat.who.to_json()} for seat in members if seat.who is not None),
                key=lambda member: str(member["name"]),
            ),
            "radios": radios(self.spectrum.medium),
        }

    def left(self, seat: Seat) -> None:
        self._seats.discard(seat)
        self._end_if_empty()

    def _arrived(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._take(self._listening.accept()[0])

    def _take(self, sock: socket.socket) -> None:
        if not of_peer(sock).same_user or len(self._seats) >= MAX_MEMBERS:
            sock.close()
        else:
            self._seats.add(Seat(self, sock))

    def _end_if_empty(self) -> None:
        if all(seat.kind == ops.WATCHER for seat in self._seats):
            self._end(False)

    def _end(self, now: bool) -> None:
        """Close the door and end; but not with somebody just before it, unless ``now``."""
        with self._field.locked() as locked:
            if not locked:  # somebody is about to start what is there already
                again = functools.partial(self._end, True) if now else self._end_if_empty
                asyncio.get_running_loop().call_later(_LOCK_AGAIN_S, again)
                return
            with contextlib.suppress(BlockingIOError):
                if not now:
                    self._take(self._listening.accept()[0])
                    return
            asyncio.get_running_loop().remove_reader(self._listening)
            self._field.socket.unlink(missing_ok=True)
            self._listening.close()
            self._ended.set()


def _room() -> None:
    """Descriptors for all members that there may be, if the user may have as many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_MEMBERS + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))


async def _main(fd: int, name: str) -> None:
    with socket.socket(fileno=fd) as listening:
        await Air(Airfield(name), listening).run()
    os._exit(0)  # not later: a thread may still be loading what nobody needs any more


def serve(fd: int, name: str) -> None:
    """Be the air until nobody is left, and end this process."""
    _room()
    asyncio.run(_main(fd, name))


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
