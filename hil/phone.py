"""A phone that opens doors, offline. It knows bleak alone, so it runs on a real adapter as on the bench.

phone = Phone.on(medium, "anna")                      # or Phone("anna"): the computer's own adapter
result = await phone.unlock(bundle["doors"][0])       # PhoneResult(status="granted", ...)
await phone.carry(cargo)                              # a newer list of revocations, for a door without a network
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bleak import BleakClient, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError

from protocol.access import STATUS_GRANTED, STATUS_NAMES
from protocol.carry import WANT_CHUNK, WANT_NOTHING
from protocol.credential import attenuate
from protocol.errors import ProtocolError
from protocol.fragment import ATT_OVERHEAD, Reassembler, split
from protocol.handshake import ACTION_UNLOCK, PhoneSide, Result, decode_challenge
from protocol.host.carry import Cargo, decode_want
from protocol.ids import id_bytes

if TYPE_CHECKING:
    from hil.radio.medium import Medium
    from hil.radio.path_loss import Position

SERVICE_UUID = "6c617463-6877-6f72-6b00-000000000001"
CHALLENGE_UUID = "6c617463-6877-6f72-6b00-000000000002"
AUTH_UUID = "6c617463-6877-6f72-6b00-000000000003"
RESULT_UUID = "6c617463-6877-6f72-6b00-000000000004"
NO_COMPANY = 0xFFFF  # the company identifier under which a door advertises its id

SCAN_TIMEOUT = 6.0  # seconds; a door advertises every 100 ms
SCAN_SHARE = (
    0.8  # of a short deadline: a door that is not there is told as such, and not as one that does not answer
)
TIMEOUT = 10.0  # seconds for the whole unlock: nobody waits longer in front of a door
CARRY_TIMEOUT = 60.0  # seconds for a full table over a slow link at MTU 23
MAX_ANSWERS = 32  # notifications that may wait; a door sends at most 2 at MTU 23


class PhoneError(Exception):
    """``may_have_opened``: the proof was sent, so the door may have moved. ``retry``: it makes sense."""

    retry = True

    def __init__(self, message: str, may_have_opened: bool = False) -> None:
        super().__init__(message)
        self.may_have_opened = may_have_opened


class DoorNotFound(PhoneError):
    """No advertisement of this door was heard."""


class DoorTimeout(PhoneError):
    """The door was heard, but a step took too long."""


class DoorHungUp(PhoneError):
    """The link ended before the answer. A door drops a phone whose proof is wrong, and one that idles."""


class DoorAnswerForged(PhoneError):
    """The answer does not prove that the door knows the key: it is not this door, or not alone."""

    retry = False


@dataclass(frozen=True)
class DoorKey:
    """A credential for one door: an entry of the bundle's ``doors``."""

    door_id: str
    name: str
    token: bytes
    key: bytes = field(repr=False)
    caveats: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> "DoorKey":
        return cls(
            entry["door_id"],
            entry["name"],
            bytes.fromhex(entry["token"]),
            bytes.fromhex(entry["key"]),
            tuple(bytes.fromhex(item) for item in entry["caveats"]),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "door_id": self.door_id,
            "name": self.name,
            "token": self.token.hex(),
            "key": self.key.hex(),
            "caveats": [item.hex() for item in self.caveats],
        }


@dataclass(frozen=True)
class PhoneResult:
    """The door's authenticated answer. ``timings`` in ms: scan, connect (with discovery), discover (challenge
    read and notifications on), answer (proof written to answer verified)."""

    status: str
    audit_seq: int
    rev_seq: int
    time: int
    timings: dict[str, float]

    @property
    def granted(self) -> bool:
        return self.status == STATUS_NAMES[STATUS_GRANTED]


def is_behind(told: int, cargo: Cargo) -> bool:
    """Whether a door that tells this revocation sequence, in CHAL or RESULT, lacks what is carried."""
    return told < cargo.sequence


def share(entry: Mapping[str, Any], *caveats: bytes) -> dict[str, Any]:
    """Narrow a bundle entry by caveats (``protocol.credential.caveat``) for another phone, offline."""
    key = DoorKey.parse(entry)
    narrowed = key.key
    for item in caveats:
        narrowed = attenuate(narrowed, item)
    return DoorKey(key.door_id, key.name, key.token, narrowed, key.caveats + caveats).to_json()


class Phone:
    """Without backends, the computer's own Bluetooth adapter is used."""

    def __init__(
        self,
        name: str,
        client_backend: type[BaseBleakClient] | None = None,
        scanner_backend: type[BaseBleakScanner] | None = None,
    ) -> None:
        self.name = name
        self.adapter: Any = None
        self._client_backend = client_backend
        self._scanner_backend = scanner_backend

    @classmethod
    def on(
        cls,
        medium: "Medium",
        name: str,
        address: str | None = None,
        position: "Position | None" = None,
        mtu: int | None = 517,
    ) -> "Phone":
        """A simulated phone; its ``adapter`` can be placed, cut and closed."""
        from hil.radio.bleak_backend import backend_for

        radio = backend_for(medium, name, address, position, mtu)
        phone = cls(name, radio.client, radio.scanner)
        phone.adapter = radio.adapter
        return phone

    async def aclose(self) -> None:
        """Leave the air; a real adapter is left alone."""
        if self.adapter is not None:
            await self.adapter.aclose()

    async def unlock(
        self,
        door: DoorKey | Mapping[str, Any],
        timeout: float = TIMEOUT,
        action: int = ACTION_UNLOCK,
    ) -> PhoneResult:
        """Find the door, prove the key, return the answer. Raises PhoneError; a denial is an answer."""
        key = door if isinstance(door, DoorKey) else DoorKey.parse(door)
        attempt = _Attempt(key, action)
        try:
            async with asyncio.timeout(timeout):
                device = await self._find(key.door_id, key.name, min(SCAN_SHARE * timeout, SCAN_TIMEOUT))
                attempt.lap("scan_ms")
                return await self._authenticate(attempt, device)
        except TimeoutError as error:
            raise DoorTimeout(f"{key.name}: no answer in {timeout} s", attempt.proof_sent) from error
        except BleakError as error:
            raise DoorHungUp(f"{key.name}: {error}", attempt.proof_sent) from error

    async def carry(self, cargo: Cargo, timeout: float = CARRY_TIMEOUT, *, always: bool = False) -> bool:
        """Hand the door what it lacks; whether it then says that it has it in force. No key is needed for it.

        Raises PhoneError; what was handed over until then is kept by the door. What the door says here is not proved:
        the revocation sequence in the RESULT of an unlock is. ``always``: ask even a door that is not behind.
        """
        try:
            async with asyncio.timeout(timeout):
                device = await self._find(
                    cargo.door_id, cargo.door_id, min(SCAN_SHARE * timeout, SCAN_TIMEOUT)
                )
                return await self._hand_over(cargo, device, always)
        except TimeoutError as error:
            raise DoorTimeout(f"{cargo.door_id}: not handed over in {timeout} s") from error
        except BleakError as error:
            raise DoorHungUp(f"{cargo.door_id}: {error}") from error
        except ProtocolError as error:
            raise DoorAnswerForged(f"{cargo.door_id}: {error.reason}") from error

    async def _hand_over(self, cargo: Cargo, device: BLEDevice, always: bool) -> bool:
        link = _Link()
        client = BleakClient(
            device, link.on_disconnected, services=[SERVICE_UUID], backend=self._client_backend
        )
        async with client:
            challenge = decode_challenge(bytes(await client.read_gatt_char(CHALLENGE_UUID)))
            if not always and not is_behind(challenge.rev_seq, cargo):
                return True
            await client.start_notify(RESULT_UUID, link.on_notification)
            await link.send(client, cargo.carry())
            while True:
                status, offset = decode_want(await link.receive())
                if status != WANT_CHUNK:
                    return status == WANT_NOTHING
                for piece in cargo.pieces(offset):
                    await link.send(client, piece)

    async def _find(self, door_id: str, name: str, timeout: float) -> BLEDevice:
        wanted = id_bytes(door_id)

        def is_it(_device: BLEDevice, advertisement: AdvertisementData) -> bool:
            return advertisement.manufacturer_data.get(NO_COMPANY) == wanted

        extra: BleakScanner.ExtraArgs = {"service_uuids": [SERVICE_UUID]}
        if self._scanner_backend is not None:
            extra["backend"] = self._scanner_backend
        device = await BleakScanner.find_device_by_filter(is_it, timeout, **extra)
        if device is None:
            raise DoorNotFound(f"{name} was not heard in {timeout} s")
        return device

    async def _authenticate(self, attempt: "_Attempt", device: BLEDevice) -> PhoneResult:
        client = BleakClient(
            device, attempt.on_disconnected, services=[SERVICE_UUID], backend=self._client_backend
        )
        async with client:
            attempt.lap("connect_ms")
            challenge = bytes(await client.read_gatt_char(CHALLENGE_UUID))
            await client.start_notify(RESULT_UUID, attempt.on_notification)
            attempt.lap("discover_ms")
            await attempt.prove(client, challenge)
            result = await attempt.answer()
            attempt.lap("answer_ms")
        name = STATUS_NAMES.get(result.status, f"status_{result.status}")  # of a newer firmware
        return PhoneResult(name, result.audit_seq, result.rev_seq, result.time, attempt.timings)


class _Link:
    """Messages to and from one door that is connected."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_ANSWERS)

    def on_notification(self, _characteristic: Any, data: bytearray) -> None:
        self._offer(bytes(data))

    def on_disconnected(self, _client: BleakClient) -> None:
        self._offer(None)

    def _offer(self, item: bytes | None) -> None:
        if not self._answers.full():  # a door that floods us loses by it, not we
            self._answers.put_nowait(item)

    async def send(self, client: BleakClient, message: bytes) -> None:
        characteristic = client.services.get_characteristic(AUTH_UUID)
        if characteristic is None:
            raise DoorAnswerForged("the door has no AUTH characteristic")
        for fragment in split(message, characteristic.max_write_without_response_size + ATT_OVERHEAD):
            await client.write_gatt_char(characteristic, fragment, response=True)

    async def receive(self) -> bytes:
        """The next message; DoorHungUp, or a ProtocolError for what is none."""
        fragments = Reassembler()
        message = None
        while message is None:
            fragment = await self._answers.get()
            if fragment is None:
                raise DoorHungUp("the door ended the link without an answer")
            message = fragments.push(fragment)
        return message


class _Attempt(_Link):
    """One unlock under way."""

    def __init__(self, key: DoorKey, action: int) -> None:
        super().__init__()
        self.proof_sent = False
        self.timings: dict[str, float] = {}
        self._action = action
        self._side = PhoneSide(key.token, list(key.caveats), key.key, id_bytes(key.door_id))
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name] = (now - self._since) * 1000
        self._since = now

    async def prove(self, client: BleakClient, challenge: bytes) -> None:
        try:
            message = self._side.authenticate(challenge, self._action, os.urandom(16))
        except ProtocolError as error:
            raise DoorAnswerForged(f"challenge: {error.reason}") from error
        self.proof_sent = True
        await self.send(client, message)

    async def answer(self) -> Result:
        try:
            return self._side.receive_result(await self.receive())
        except DoorHungUp as error:
            error.may_have_opened = True
            raise
        except ProtocolError as error:
            raise DoorAnswerForged(f"answer: {error.reason}", may_have_opened=True) from error
