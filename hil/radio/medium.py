"""The air between Bumble controllers: who hears whom, and the links that live and die in it.

A drop-in for Bumble's ``LocalLink``. It differs where that is not true to a radio:

- data of a link goes by the addresses the link was made with, so a peripheral may use its public one;
- stations have positions: RSSI follows the distance, and out of range nothing is heard;
- a silent station (power cut) says no goodbye: its peers lose the link after the supervision timeout (0x08);
- a connection request that nobody takes fails as on air (0x3E) and does not leave half a link.

Data of a link goes by its connection events (``link``) if the medium is ``paced``; losses and noise are those of ``loss``.
"""

import asyncio
import functools
import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bumble import core, hci, ll
from bumble.link import LocalLink

from hil.log import Log
from hil.radio.airtime import Airtime
from hil.radio.link import CONTROL_OCTETS, Link, Timing
from hil.radio.loss import ADVERTISING, Losses, Noise
from hil.radio.path_loss import PathLoss, Position

if TYPE_CHECKING:
    from hil.radio.controller import RadioController

log = Log(__name__)

SETUP_EVENTS = 6  # connection events without an answer before a new link is given up: Core Vol 6 Part B 4.5.2
TIMEOUT = int(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
NOT_ESTABLISHED = int(hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR)

Key = tuple[hci.Address, hci.Address]  # (own address, peer address)


class Medium(LocalLink):  # type: ignore[misc]
    """Joins controllers; ``place``, ``silence``, ``lose``, ``interfere`` and ``link_rssi`` are for the bench.

    ``paced``: links have connection events, as on a real radio; else data goes at once, for who does not look at the time.
    ``seed`` decides what is lost (see ``loss``) and the advertisers' random delays.

    ``eager``: all advertise as often as Bluetooth allows, whatever they ask for. The two waits for an advertisement are nine
    tenths of an unlock, and say nothing where it is not they that are looked at.
    """

    def __init__(
        self, path_loss: PathLoss | None = None, *, eager: bool = False, paced: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        self.eager = eager
        self.paced = paced
        self.path_loss = path_loss or PathLoss()
        self.losses = Losses(seed, self.path_loss)
        self._positions: dict[Any, Position] = {}
        self._links: dict[Key, Link] = {}
        self.airtime = Airtime()
        self._advertisers: set[Any] = set()
        self._listeners: dict[Any, None] = {}
        self._plain: dict[Any, None] = {}  # Bumble's own controllers, which take everything
        self._timers: set[asyncio.TimerHandle] = set()
        self._private: dict[Any, Callable[[], None]] = {}

    def controller(self, name: str, public: hci.Address, **options: Any) -> "RadioController":
        """A new station's; ``options`` are those of RadioController."""
        from hil.radio.controller import RadioController

        return RadioController(name, link=self, public_address=public, **options)

    def fresh_address(self) -> hci.Address:
        """A public address for a station that does not care."""
        return hci.Address(secrets.token_bytes(6), hci.Address.PUBLIC_DEVICE_ADDRESS)

    def add_controller(self, controller: Any) -> None:
        super().add_controller(controller)
        if not hasattr(controller, "on_advertisement"):
            self._plain[controller] = None

    def place(self, controller: Any, position: Position | None) -> None:
        """Put a station somewhere (None: near everything); links break and heal with the distance."""
        if position is None:
            self._positions.pop(controller, None)
        else:
            self._positions[controller] = position
        for link in tuple(self.airtime.links_of(controller)):
            self._assess(link)
            link.watch()
        if controller in self._listeners:
            self._arm_for(controller)
        for advertiser in _advertisers_of(controller):
            if advertiser in self._advertisers and self.is_heard(controller):
                advertiser.arm()

    def lose(self, probability: float, pair: tuple[str, str] | None = None) -> None:
        """Lose this part of all packets, or of those between two stations, by their names."""
        self.losses.configure(probability, pair)
        self._watch()

    def interfere(self, name: str, noise: Noise | None) -> None:
        """Switch a source of interference on, or off."""
        self.losses.noise.pop(name, None)
        if noise is not None:
            self.losses.noise[name] = noise
        self._watch()

    def when_addresses_expire(self, controller: Any, renew: Callable[[], None] | None) -> None:
        """Whom to tell that a station's private address has run out; None: it has none any more."""
        if renew is None:
            self._private.pop(controller, None)
        else:
            self._private[controller] = renew

    def expire_addresses(self) -> None:
        """Let all resolvable private addresses run out now, which they do by themselves after a quarter of an hour."""
        for renew in tuple(self._private.values()):
            renew()

    def _watch(self) -> None:
        for link in set(self._links.values()):
            link.watch()

    def silence(self, controller: Any) -> None:
        """Cut a station's power: it leaves at once, and each peer finds out by its supervision timeout."""
        links = tuple(self.airtime.links_of(controller))
        self.remove_controller(controller)
        for link in links:
            self._assess(link)

    def remove_controller(self, controller: Any) -> None:
        self.controllers.discard(controller)
        self._plain.pop(controller, None)
        self._positions.pop(controller, None)
        self._private.pop(controller, None)
        self.stopped_listening(controller)
        for advertiser in _advertisers_of(controller):
            advertiser.stop()
            self._advertisers.discard(advertiser)

    def rssi(self, sender: Any, receiver: Any) -> int:
        """dBm at which receiver hears sender."""
        return self.path_loss.rssi(self._positions.get(sender), self._positions.get(receiver))

    def probability(self, sender: Any, receiver: Any) -> float:
        """Of the loss of a packet on its way."""
        at = self._positions.get(receiver)
        return self.losses.probability(sender.name, receiver.name, self.rssi(sender, receiver), at)

    def loses(self, a: Any, b: Any) -> bool:
        """Whether packets between two stations may get lost, one way or the other."""
        return self.probability(a, b) > 0 or self.probability(b, a) > 0

    def lost(self, sender: Any, receiver: Any, stream: str) -> bool:
        """Roll the dice of one packet."""
        return self.losses.lost(self.probability(sender, receiver), sender.name, receiver.name, stream)

    def link_rssi(self, controller: Any, peer_address: hci.Address) -> int | None:
        """dBm of the link from controller to peer_address, None if there is none."""
        for link in tuple(self.airtime.links_of(controller)):
            for address, other in link.ends.items():
                if address == peer_address and other is not controller:
                    return self.rssi(other, controller)
        return None

    def links_of(self, controller: Any) -> list[Link]:
        """The connections that a station has now."""
        return list(self.airtime.links_of(controller))

    def link_of(self, connection: Any) -> Link | None:
        """The link of one end's connection."""
        return self._links.get((connection.peer_address, connection.self_address))

    def set_octets(self, link: Link, octets: int) -> None:
        """Change the length of a link's data PDUs to what both ends can do, and tell both hosts."""
        link.octets = min(octets, *(int(end.supported_max_tx_octets) for end in link.ends.values()))
        for address, end in link.ends.items():
            connection = end.le_connections.get(link.peer_of(address))
            if connection is not None:
                end.octets_changed(connection, link.octets)

    def dice(self, name: str, purpose: str) -> random.Random:
        """Random numbers that are the same for the same seed."""
        return random.Random(f"{self.losses.seed} {name} {purpose}")  # noqa: S311

    async def aclose(self) -> None:
        """Stop every timer; controllers keep their state but hear nothing more."""
        for link in set(self._links.values()):
            link.stop()
        for timer in self._timers:
            timer.cancel()
        for controller in list(self.controllers):
            self.remove_controller(controller)
        self._links.clear()
        self.airtime = Airtime()
        self._timers.clear()

    def started_advertising(self, advertiser: Any) -> None:
        """An idle advertiser costs nothing: its timer runs only while somebody listens within its reach."""
        self._advertisers.add(advertiser)
        if self.is_heard(advertiser.controller):
            advertiser.arm()

    def stopped_advertising(self, advertiser: Any) -> None:
        self._advertisers.discard(advertiser)

    def is_heard(self, controller: Any) -> bool:
        """Whether anybody listens within its reach."""
        return any(
            listener is not controller and self._audible(controller, listener) for listener in self._listeners
        )

    def _arm_for(self, listener: Any) -> None:
        for advertiser in self._advertisers:
            if self._audible(advertiser.controller, listener):
                advertiser.arm()

    def started_listening(self, controller: Any) -> None:
        if controller in self._listeners or controller not in self.controllers:
            return
        self._listeners[controller] = None
        self._arm_for(controller)

    def stopped_listening(self, controller: Any) -> None:
        if controller not in self._listeners:
            return
        del self._listeners[controller]
        if not self._listeners:
            for advertiser in self._advertisers:
                advertiser.disarm()

    def send_advertising_pdu(self, sender_controller: Any, packet: ll.AdvertisingPdu) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(packet, ll.ConnectInd):
            loop.call_soon(self._connect, sender_controller, packet)
            return
        if self.airtime.is_taken(sender_controller, loop.time()):
            return
        for receiver in self._listeners:
            rssi = self._received(sender_controller, receiver)
            if rssi is not None:
                loop.call_soon(receiver.on_advertisement, packet, rssi)
        for receiver in self._plain:
            if self._received(sender_controller, receiver) is not None:
                loop.call_soon(receiver.on_ll_advertising_pdu, packet)

    def _received(self, sender: Any, receiver: Any) -> int | None:
        """dBm at which an advertisement arrives, if it does."""
        rssi = self.rssi(sender, receiver)
        if sender is receiver or not self.path_loss.hears(rssi) or self.lost(sender, receiver, ADVERTISING):
            return None
        if self.airtime.is_taken(receiver, asyncio.get_running_loop().time()):
            return None
        return rssi

    def _connect(self, central: Any, packet: ll.ConnectInd) -> None:
        """Offer a connection request to the advertiser; make the link if it takes it."""
        for controller in self._connectable_at(packet.advertiser_address):
            if controller is central or not self._audible(central, controller):
                continue
            if self.lost(central, controller, ADVERTISING):
                break
            before = controller.le_connections.get(packet.initiator_address)
            controller.on_ll_advertising_pdu(packet)
            if controller.le_connections.get(packet.initiator_address) is not before:
                ends = {packet.initiator_address: central, packet.advertiser_address: controller}
                timing = Timing.of(packet.interval, packet.latency, packet.timeout)
                self._join(Link(self, ends, timing, self.paced))
                return
        half = central.le_connections.get(packet.advertiser_address)
        self._later(SETUP_EVENTS * packet.interval * 1.25e-3, self._not_taken, central, half)

    def _connectable_at(self, address: hci.Address) -> list[Any]:
        """Stations that may take a connection there; plain Bumble controllers look for themselves."""
        those = [a.controller for a in self._advertisers if a.address == address]
        return [c for c in those if c.advertiser_at(address) is not None] + list(self._plain)

    def _not_taken(self, central: Any, half: Any) -> None:
        if half is not None and central.le_connections.get(half.peer_address) is half:
            central.on_le_disconnected(half, NOT_ESTABLISHED)

    def _join(self, link: Link) -> None:
        a, b = link.ends
        self._links[a, b] = self._links[b, a] = link
        self.airtime.join(link)

    def send_acl_data(
        self,
        sender_controller: Any,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
        sent: Callable[[], None] | None = None,
    ) -> None:
        """``sent`` is called when the data has got to the other end."""
        connection = sender_controller.le_connections.get(destination_address)
        if transport != core.PhysicalTransport.LE or connection is None:
            super().send_acl_data(sender_controller, destination_address, transport, data)
            return
        source = connection.self_address

        def carry() -> None:
            link = self._links.get((destination_address, source))
            if link is not None:
                receiver = link.ends[destination_address]
                deliver = functools.partial(receiver.on_link_acl_data, source, transport, data)
                link.send(source, len(data), deliver, sent)

        asyncio.get_running_loop().call_soon(carry)

    def send_ll_control_pdu(
        self,
        sender_address: hci.Address,
        receiver_address: hci.Address,
        packet: ll.ControlPdu,
        sent: Callable[[], None] | None = None,
    ) -> None:
        """``sent`` is called when the peer has it, or if there is no link to send it on."""
        asyncio.get_running_loop().call_soon(self._control, sender_address, receiver_address, packet, sent)

    def _control(
        self,
        sender: hci.Address,
        receiver: hci.Address,
        packet: ll.ControlPdu,
        sent: Callable[[], None] | None,
    ) -> None:
        link = self._links.get((receiver, sender))
        if link is None:  # both ends let go at the same time
            if sent is not None:
                sent()
            return
        controller = link.ends[receiver]

        def deliver() -> None:
            if isinstance(packet, ll.TerminateInd):
                self._forget(link)
            elif isinstance(packet, ll.ConnectionUpdateInd):
                link.retime(Timing.of(packet.interval, packet.latency, packet.timeout))
            if sender in controller.le_connections:
                controller.on_ll_control_pdu(sender, packet)

        link.send(sender, CONTROL_OCTETS, deliver, sent)

    def _audible(self, a: Any, b: Any) -> bool:
        return self.path_loss.hears(self.rssi(a, b))

    def _assess(self, link: Link) -> None:
        """Start the supervision timer of a link that has gone quiet, or let a healed one go on."""
        a, b = link.ends.values()
        alive = a in self.controllers and b in self.controllers and self._audible(a, b)
        if not alive and link.expiry is None:
            link.expiry = asyncio.get_running_loop().call_later(link.timeout, self.expire, link)
        elif alive and link.expiry is not None:
            link.expiry.cancel()
            link.expiry = None
            link.healed()

    def expire(self, link: Link) -> None:
        self._forget(link)
        for address, controller in link.ends.items():
            connection = controller.le_connections.get(link.peer_of(address))
            if connection is not None and controller in self.controllers:
                log.debug("link_timed_out", controller=controller.name, peer=str(connection.peer_address))
                controller.on_le_disconnected(connection, TIMEOUT)

    def _forget(self, link: Link) -> None:
        link.stop()
        a, b = link.ends
        for key in ((a, b), (b, a)):
            if self._links.get(key) is link:
                del self._links[key]
        self.airtime.part(link)

    def _later(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            call(*args)

        timer = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(timer)


def _advertisers_of(controller: Any) -> list[Any]:
    return [controller.le_legacy_advertiser, *controller.advertising_sets.values()]
