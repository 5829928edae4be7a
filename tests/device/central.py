"""A Bluetooth central that does as the test says, right or wrong."""

import asyncio
import contextlib
import os
from types import TracebackType
from typing import Any, Self

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from hil.phone import AUTH_UUID, CHALLENGE_UUID, NO_COMPANY, RESULT_UUID, SERVICE_UUID
from hil.radio.bleak_backend import backend_for
from hil.radio.medium import Medium
from protocol.fragment import Reassembler, split
from protocol.handshake import ACTION_UNLOCK, PhoneSide, Result
from tests.device.site import DOOR_BYTES

DEADLINE = 20.0


class Central:
    """Connected inside ``async with``; ``gone`` is set when the link ends."""

    def __init__(self, medium: Medium, name: str, mtu: int | None = 517) -> None:
        self._radio = backend_for(medium, name, mtu=mtu)
        self.gone = asyncio.Event()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        device = await BleakScanner.find_device_by_filter(
            lambda _, heard: heard.manufacturer_data.get(NO_COMPANY) == DOOR_BYTES,
            DEADLINE,
            service_uuids=[SERVICE_UUID],
            backend=self._radio.scanner,
        )
        assert device is not None
        self.client = BleakClient(device, lambda _: self.gone.set(), backend=self._radio.client)
        await self.client.connect()
        await self.client.start_notify(RESULT_UUID, lambda _, data: self._answers.put_nowait(bytes(data)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.disconnect()
        await self._radio.adapter.aclose()

    async def challenge(self) -> bytes:
        return bytes(await self.client.read_gatt_char(CHALLENGE_UUID))

    async def write(self, raw: bytes) -> None:
        """One write of the AUTH characteristic."""
        await self.client.write_gatt_char(AUTH_UUID, raw, response=True)

    async def send(self, message: bytes) -> None:
        """A whole message; the door may hang up before it has answered the last write."""
        with contextlib.suppress(BleakError):
            for fragment in split(message, self.client.mtu_size):
                await self.write(fragment)

    def proof(self, key: dict[str, Any], challenge: bytes, action: int = ACTION_UNLOCK) -> bytes:
        caveats = [bytes.fromhex(item) for item in key["caveats"]]
        self.side = PhoneSide(bytes.fromhex(key["token"]), caveats, bytes.fromhex(key["key"]))
        return self.side.authenticate(challenge, action, os.urandom(16))

    async def answer(self) -> Result:
        return self.side.receive_result(await self.message())

    async def message(self) -> bytes:
        """The next whole message that the door notifies."""
        fragments = Reassembler()
        async with asyncio.timeout(DEADLINE):
            while (message := fragments.push(await self._answers.get())) is None:
                pass
        return message

    @property
    def silent(self) -> bool:
        """Whether the door has said nothing that was not read."""
        return self._answers.empty()

    async def dropped(self) -> None:
        await asyncio.wait_for(self.gone.wait(), DEADLINE)
