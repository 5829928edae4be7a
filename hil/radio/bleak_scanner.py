"""bleak's scanner backend over an Adapter."""

import uuid
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from bleak.assigned_numbers import AdvertisementDataType as Ad
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.uuids import normalize_uuid_str

from hil.radio.adapter import Adapter

_UUID_LISTS: dict[int, int] = {
    Ad.INCOMPLETE_LIST_SERVICE_UUID16: 2,
    Ad.COMPLETE_LIST_SERVICE_UUID16: 2,
    Ad.INCOMPLETE_LIST_SERVICE_UUID32: 4,
    Ad.COMPLETE_LIST_SERVICE_UUID32: 4,
    Ad.INCOMPLETE_LIST_SERVICE_UUID128: 16,
    Ad.COMPLETE_LIST_SERVICE_UUID128: 16,
}
_SERVICE_DATA: dict[int, int] = {
    Ad.SERVICE_DATA_UUID16: 2,
    Ad.SERVICE_DATA_UUID32: 4,
    Ad.SERVICE_DATA_UUID128: 16,
}


def uuid_text(data: bytes) -> str:
    """bleak's form of a little endian UUID of 2, 4 or 16 bytes."""
    text = data[::-1].hex()
    return normalize_uuid_str(text if len(data) < 16 else str(uuid.UUID(text)))


def structures(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (type, value) pairs of advertising data; a length that overruns ends it: Core Vol 3 Part C 11."""
    at = 0
    while at < len(data) and data[at] and at + 1 + data[at] <= len(data):
        yield data[at + 1], data[at + 2 : at + 1 + data[at]]
        at += 1 + data[at]


def parse_advertisement(data: bytes, rssi: int, platform_data: tuple[Any, ...] = ()) -> AdvertisementData:
    """Advertising data and scan response, joined, as bleak presents them; what is malformed is left out."""
    name: str | None = None
    tx_power: int | None = None
    manufacturer: dict[int, bytes] = {}
    services: list[str] = []
    service_data: dict[str, bytes] = {}
    for kind, value in structures(data):
        if kind == Ad.COMPLETE_LOCAL_NAME or (kind == Ad.SHORTENED_LOCAL_NAME and name is None):
            name = value.decode("utf-8", "replace")
        elif kind == Ad.MANUFACTURER_SPECIFIC_DATA and len(value) >= 2:
            manufacturer[int.from_bytes(value[:2], "little")] = value[2:]
        elif kind == Ad.TX_POWER_LEVEL and len(value) == 1:
            tx_power = int.from_bytes(value, "little", signed=True)
        elif size := _UUID_LISTS.get(kind):
            whole = len(value) - len(value) % size
            services += [uuid_text(value[i : i + size]) for i in range(0, whole, size)]
        elif (size := _SERVICE_DATA.get(kind)) and len(value) >= size:
            service_data[uuid_text(value[:size])] = value[size:]
    return AdvertisementData(name, manufacturer, service_data, services, tx_power, rssi, platform_data)


class BumbleScanner(BaseBleakScanner):
    """Subclassed by ``backend_for`` with the phone's adapter."""

    adapter: ClassVar[Adapter]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: Literal["active", "passive"] = "active",
        **_platform_arguments: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        if self._service_uuids is not None:
            self._service_uuids = [normalize_uuid_str(text) for text in self._service_uuids]
        self._active = scanning_mode == "active"

    async def start(self) -> None:
        self.seen_devices = {}
        await self.adapter.listen(self._on_advertisement, self._active)

    async def stop(self) -> None:
        await self.adapter.stop_listening(self._on_advertisement)

    def _on_advertisement(self, advertisement: Any) -> None:
        data = b"".join(
            bytes((len(value) + 1, kind)) + value for kind, value in advertisement.data.ad_structures
        )
        parsed = parse_advertisement(data, advertisement.rssi, (advertisement,))
        if not self.is_allowed_uuid(parsed.service_uuids):
            return
        address = advertisement.address
        device = self.create_or_update_device(
            address.to_string(),
            address.to_string(False),
            parsed.local_name or address.to_string(False).replace(":", "-"),
            address,
            parsed,
        )
        self.call_detection_callbacks(device, parsed)
