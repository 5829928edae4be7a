"""What a board's interfaces lead to: the site's network, which is this machine, and networks of an air."""

import asyncio
import errno
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hil.board import address
from hil.board.address import Addresses

NO_ADDRESS = b"0.0.0.0,0.0.0.0,0.0.0.0,0.0.0.0"
ANY = "0.0.0.0"  # noqa: S104
EVERYBODY = "255.255.255.255"


class Attached(NamedTuple):
    """An interface that is up. ``neighbours`` of an air's network: their outer addresses by those that they have there; None: it
    is in the site's network, where the board has its outer address, and ``own`` is another one by hand."""

    own: str = ""
    neighbours: Mapping[str, str] | None = None


class Target(NamedTuple):
    """``address`` of a peer, "" where nobody is, and whether packets get there now."""

    address: str
    passes: Callable[[], bool]


class Routes:
    """``put`` and ``take`` interfaces by their name; ``on_change`` is called with each change of who can be reached."""

    def __init__(self, unique_id: bytes = bytes(6)) -> None:
        self.parted = False
        self.on_change: Callable[[], None] = lambda: None
        self._unique_id = unique_id
        self._up: dict[str, Attached] = {}
        self._claimed: Addresses | None = None
        self._turned = asyncio.Event()

    @property
    def addresses(self) -> Addresses:
        if self._claimed is None:
            self._claimed = address.claim(self._unique_id)
        return self._claimed

    @property
    def up(self) -> bool:
        """Whether any interface is."""
        return bool(self._up)

    @property
    def site(self) -> bool:
        """Whether it is in the site's network."""
        return any(each.neighbours is None for each in self._up.values())

    @property
    def site_addresses(self) -> bytes:
        """As ``ifconfig`` has them in the site's network."""
        return f"{self.addresses.outer},{address.MASK},{address.HOST},{address.HOST}".encode()

    def put(self, interface: str, attached: Attached) -> None:
        if self._up.get(interface) != attached:
            self._up[interface] = attached
            self.turn()

    def has(self, interface: str) -> bool:
        return interface in self._up

    def take(self, interface: str) -> None:
        if self._up.pop(interface, None) is not None:
            self.turn()

    def part(self, parted: bool) -> None:
        self.parted = parted
        self.turn()

    def turn(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()
        self.on_change()

    async def open(self, passes: Callable[[], bool]) -> None:
        """Wait until packets pass."""
        while self.parted or not passes():
            await self._turned.wait()

    def is_own(self, host: str) -> bool:
        """Whether it names the board itself, and this machine only where nobody listens on the board."""
        return (
            host == ANY
            or address.is_local(host)
            or any(host in (each.own, self._own(each)) for each in self._up.values())
        )

    def target(self, host: str) -> Target:
        """Where packets to a peer go. Raises OSError(EHOSTUNREACH) without any interface."""
        if host == ANY or address.is_local(host):
            return Target(address.HOST if host == ANY else host, _always)
        if not self._up:
            raise OSError(errno.EHOSTUNREACH, "no interface is up")
        outer = self._neighbours().get(host)
        if outer is not None:
            return Target(outer, self._leads(host, outer))
        if self.site:
            return Target(host, lambda: self.site)
        return Target("", _never)

    def everybody(self, host: str) -> list[str] | None:
        """The outer addresses that a broadcast goes to, which includes those of others that use a network's; None: it is none."""
        nets = [each for each in self._up.values() if host in (EVERYBODY, self._broadcast(each))]
        if not nets:
            return [] if host == EVERYBODY else None
        return list({outer for each in nets for outer in self._reached(each)})

    def neighbours(self) -> list[str]:
        """Outer addresses of those on the air's networks."""
        return list(set(self._neighbours().values()))

    def named(self, outer: str) -> Target:
        """Who comes from there, by the address that the board knows; "" if it cannot reach the board."""
        for host, at in self._neighbours().items():
            if at == outer:
                return Target(host, self._leads(host, outer))
        return Target(outer if self.site else "", lambda: self.site)

    def close(self) -> None:
        if self._claimed is not None:
            self._claimed.claim.close()

    def _leads(self, host: str, outer: str) -> Callable[[], bool]:
        return lambda: self._neighbours().get(host) == outer

    def _own(self, attached: Attached) -> str:
        return self.addresses.outer if attached.neighbours is None else attached.own

    def _neighbours(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in self._up.values():
            found.update(each.neighbours or {})
        return found

    @staticmethod
    def _broadcast(attached: Attached) -> str:
        return address.BROADCAST if attached.neighbours is None else attached.own.rpartition(".")[0] + ".255"

    @staticmethod
    def _reached(attached: Attached) -> list[str]:
        return [address.BROADCAST] if attached.neighbours is None else list(attached.neighbours.values())


def _always() -> bool:
    return True


def _never() -> bool:
    return False
