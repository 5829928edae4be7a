"""Advertising events as Bluetooth times them, legacy and extended: interval, random delay, directed, limited in time.

A radio that nobody listens to costs nothing: its timer runs only while the medium has listeners.
"""

import asyncio
import math
import random
from dataclasses import dataclass
from typing import Any

from bumble import hci, ll
from bumble.controller import AdvertisingSet, LegacyAdvertiser

UNIT = 0.625e-3  # seconds per unit of an advertising interval
MIN_INTERVAL = 0.02  # seconds: Core Vol 4 Part E 7.8.5
MAX_DELAY = 0.01  # seconds: advDelay, Core Vol 6 Part B 4.4.2.2
HIGH_DUTY_INTERVAL = 3.75e-3
HIGH_DUTY_S = 1.28  # after which high duty cycle directed advertising ends: Core Vol 6 Part B 4.4.2.4.3

_LATE_S = 1e-3  # an event this late is sent, not missed

Type = hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType

# Advertising event properties: Core Vol 4 Part E 7.8.53
CONNECTABLE, SCANNABLE, DIRECTED, HIGH_DUTY, LEGACY, ANONYMOUS, WITH_TX_POWER = (1 << bit for bit in range(7))
_PROPERTIES = {
    Type.ADV_IND: CONNECTABLE | SCANNABLE | LEGACY,
    Type.ADV_DIRECT_IND: CONNECTABLE | DIRECTED | HIGH_DUTY | LEGACY,
    Type.ADV_SCAN_IND: SCANNABLE | LEGACY,
    Type.ADV_NONCONN_IND: LEGACY,
    Type.ADV_DIRECT_IND_LOW_DUTY: CONNECTABLE | DIRECTED | LEGACY,
}
# advertising_filter_policy: who is answered
_SCANS_FILTERED, _CONNECTS_FILTERED = 1, 2


@dataclass
class Advertisement(ll.AdvertisingPdu):  # type: ignore[misc]
    """One advertising event, as scanners and initiators take it."""

    advertiser: "Timed"
    advertiser_address: hci.Address
    properties: int
    data: bytes
    scan_response: bytes = b""
    target: hci.Address | None = None
    sid: int = 0
    primary_phy: int = 1
    secondary_phy: int = 0
    tx_power: int = 0x7F
    periodic_data: bytes | None = None

    def has(self, properties: int) -> bool:
        return self.properties & properties == properties


class Timed:
    """The schedule that both kinds of advertisers have. A mixin: what is declared without a value is Bumble's."""

    controller: Any
    enabled: bool
    address: Any
    timer_handle: asyncio.TimerHandle | None
    _due = 0.0
    _until: asyncio.TimerHandle | None = None
    _dice: random.Random | None = None

    # A dataclass with eq=True has no hash; the medium keeps advertisers in a set.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def properties(self) -> int:
        raise NotImplementedError

    @property
    def interval(self) -> float:
        """Seconds between two advertising events, without their delay."""
        raise NotImplementedError

    def pdu(self) -> Advertisement:
        raise NotImplementedError

    def answers(self, peer: hci.Address, connect: bool) -> bool:
        """Whether a request from peer is taken, by the filter policy and by whom it is directed to."""
        policy = self._filter_policy()
        target = self._target()
        if target is not None and not self.controller.is_same(target, peer):
            return False
        filtered = policy & (_CONNECTS_FILTERED if connect else _SCANS_FILTERED)
        return not filtered or self.controller.accepts(peer)

    def start(self, for_s: float = 0.0) -> None:
        """``for_s``: seconds until it ends by itself, 0 is never."""
        self.stop()
        self.enabled = True
        loop = asyncio.get_running_loop()
        self._due = loop.time()
        if self.properties & HIGH_DUTY:
            for_s = HIGH_DUTY_S
        if for_s:
            self._until = loop.call_later(for_s, self._timed_out)
        self.controller.link.started_advertising(self)

    def stop(self) -> None:
        self.disarm()
        self.enabled = False
        if self._until is not None:
            self._until.cancel()
            self._until = None
        if self.controller.link is not None:
            self.controller.link.stopped_advertising(self)

    def arm(self) -> None:
        """Wait for the next event; those that nobody heard are reckoned, not sent."""
        if self.enabled and self.timer_handle is None:
            loop = asyncio.get_running_loop()
            missed = loop.time() - self._due
            if missed > _LATE_S:
                mean = self.interval + self._delays() / 2
                self._due += math.ceil(missed / mean) * mean
            self.timer_handle = loop.call_at(self._due, self._fire)

    def disarm(self) -> None:
        if self.timer_handle is not None:
            self.timer_handle.cancel()
            self.timer_handle = None

    def _delays(self) -> float:
        return 0.0 if self.controller.link.eager or self.properties & HIGH_DUTY else MAX_DELAY

    def _fire(self) -> None:
        self.timer_handle = None
        if not self.enabled:
            return
        self.controller.send_advertising_pdu(self.pdu())
        if self._dice is None:
            self._dice = self.controller.link.dice(self.controller.name, "advertising delay")
        self._due += self.interval + self._dice.random() * self._delays()
        if self.controller.link.is_heard(self.controller):
            self.arm()

    def _timed_out(self) -> None:
        self.stop()
        self.controller.advertising_timed_out(self)

    def _filter_policy(self) -> int:
        raise NotImplementedError

    def _target(self) -> hci.Address | None:
        raise NotImplementedError


class RadioAdvertiser(Timed, LegacyAdvertiser):  # type: ignore[misc]
    """Advertising by the commands of Bluetooth 4."""

    @property
    def properties(self) -> int:
        return _PROPERTIES[Type(self.advertising_type)]

    @property
    def interval(self) -> float:
        if self.properties & HIGH_DUTY:
            return HIGH_DUTY_INTERVAL
        asked = 0.0 if self.controller.link.eager else float(self.advertising_interval_min) * UNIT
        return max(asked, MIN_INTERVAL)

    def pdu(self) -> Advertisement:
        target = self._target()
        return Advertisement(
            self,
            self.address,
            self.properties,
            b"" if target else self.advertising_data,
            b"" if target else self.scan_response_data,
            target,
        )

    def _filter_policy(self) -> int:
        return int(self.advertising_filter_policy)

    def _target(self) -> hci.Address | None:
        return self.peer_address if self.properties & DIRECTED else None


class RadioAdvertisingSet(Timed, AdvertisingSet):  # type: ignore[misc]
    """Advertising by the commands of Bluetooth 5; periodic advertising data goes along with it."""

    @property
    def properties(self) -> int:
        return int(self.parameters.advertising_event_properties) if self.parameters else 0

    @property
    def interval(self) -> float:
        if self.properties & HIGH_DUTY:
            return HIGH_DUTY_INTERVAL
        units = self.parameters.primary_advertising_interval_min if self.parameters else 0
        return max(0.0 if self.controller.link.eager else units * UNIT, MIN_INTERVAL)

    @property
    def address(self) -> hci.Address:
        """Without an address of its own a set has the controller's."""
        if self.parameters and self.parameters.own_address_type == hci.OwnAddressType.PUBLIC:
            return self.controller.public_address
        return self.random_address or self.controller.random_address

    def pdu(self) -> Advertisement:
        about = self.parameters
        legacy = bool(self.properties & LEGACY)
        periodic = bytes(self.periodic_advertising_data) if self.periodic_advertising_data else None
        return Advertisement(
            self,
            self.address,
            self.properties,
            bytes(self.data),
            bytes(self.scan_response_data),
            self._target(),
            sid=about.advertising_sid if about and not legacy else 0xFF,
            primary_phy=int(about.primary_advertising_phy) if about else 1,
            secondary_phy=0 if legacy else int(about.secondary_advertising_phy) if about else 1,
            tx_power=0 if self.properties & WITH_TX_POWER else 0x7F,
            periodic_data=periodic,
        )

    def _filter_policy(self) -> int:
        return int(self.parameters.advertising_filter_policy) if self.parameters else 0

    def _target(self) -> hci.Address | None:
        return self.parameters.peer_address if self.parameters and self.properties & DIRECTED else None
