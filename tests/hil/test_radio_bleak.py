"""bleak's public API over the bench's radio, where no firmware is needed, and hostile advertising data."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address
from hypothesis import given
from hypothesis import strategies as st

from hil.radio.adapter import Adapter
from hil.radio.bleak_backend import PhoneRadio, backend_for
from hil.radio.bleak_scanner import parse_advertisement, structures
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.radio.station import Station, static_address

DEADLINE = 20.0
SERVICE = "6c617463-6877-6f72-6b00-0000000000c0"
UUID = "6c617463-6877-6f72-6b00-0000000000c1"
ADVERTISING = b"\x02\x01\x06\x11\x07" + bytes.fromhex(SERVICE.replace("-", ""))[::-1]
RESPONSE = b"\x04\x09abc\x05\xff\xff\xff\x01\x02\x02\x0a\xf4\x05\x16\x0f\x18\x64\x00"


@pytest.fixture
async def radio(medium: Medium) -> AsyncIterator[PhoneRadio]:
    radio = backend_for(medium, "phone", "F0:00:00:00:00:01", Position(0, 0))
    yield radio
    await radio.adapter.aclose()


async def door(medium: Medium, number: int = 1, slow_reads: asyncio.Event | None = None) -> Station:
    async def read(_connection: object) -> bytes:
        if slow_reads is not None:
            await slow_reads.wait()
        return b"value"

    public = Address(bytes((number, 0, 0, 0xC4, 0x0A, 0x24)), Address.PUBLIC_DEVICE_ADDRESS)
    made = Station(medium, f"door-{number}", public, static_address(bytes((number,)) * 6), Position(3, 4))
    properties = Characteristic.Properties.READ | Characteristic.Properties.WRITE
    value = CharacteristicValue(read=read, write=lambda _connection, _data: None)
    characteristic = Characteristic(
        UUID, properties, Characteristic.READABLE | Characteristic.WRITEABLE, value
    )
    made.device.add_service(Service(SERVICE, [characteristic]))
    await made.on()
    await advertise(made)
    return made


async def advertise(made: Station) -> None:
    await made.device.start_advertising(
        advertising_data=ADVERTISING,
        scan_response_data=RESPONSE,
        advertising_interval_min=20,
        advertising_interval_max=20,
    )


async def test_a_scan_gives_all_that_is_advertised(medium: Medium, radio: PhoneRadio) -> None:
    made = await door(medium)
    found = await BleakScanner.discover(0.1, return_adv=True, backend=radio.scanner)
    ((device, advertisement),) = found.values()
    assert device.address == made.device.random_address.to_string(False)
    assert device.name == "abc"
    assert advertisement[:6] == (
        "abc",
        {0xFFFF: b"\x01\x02"},
        {"0000180f-0000-1000-8000-00805f9b34fb": b"\x64\x00"},
        [SERVICE],
        -12,
        -57,
    )


async def test_a_scan_filters_by_service_and_passive_ones_do_not_ask(
    medium: Medium, radio: PhoneRadio
) -> None:
    await door(medium)
    heard: asyncio.Queue[AdvertisementData] = asyncio.Queue()

    def on_detection(_device: BLEDevice, advertisement: AdvertisementData) -> None:
        heard.put_nowait(advertisement)

    async with BleakScanner(on_detection, ["180f"], backend=radio.scanner) as other:
        async with BleakScanner(on_detection, [SERVICE.upper()], "passive", backend=radio.scanner):
            assert (await asyncio.wait_for(heard.get(), DEADLINE)).service_uuids == [SERVICE]
        assert other.discovered_devices == []


async def test_two_scans_at_once_share_the_adapter(medium: Medium, radio: PhoneRadio) -> None:
    await door(medium)
    first = BleakScanner(backend=radio.scanner)
    await first.start()
    assert await BleakScanner.find_device_by_name("abc", DEADLINE, backend=radio.scanner)
    assert radio.adapter.device.is_scanning
    await first.stop()
    await first.stop()
    assert not radio.adapter.device.is_scanning


async def test_a_client_connects_by_address_and_discovers(medium: Medium, radio: PhoneRadio) -> None:
    made = await door(medium)
    address = made.device.random_address.to_string(False)
    async with BleakClient(address.lower(), backend=radio.client) as client:
        assert client.is_connected
        assert client.mtu_size == 517
        assert bytes(await client.read_gatt_char(UUID)) == b"value"
        assert bytes(await client.read_gatt_char(UUID, use_cached=True)) == b"value"
        with pytest.raises(BleakError, match="already connected"):
            await client.connect()
        with pytest.raises(BleakError, match="neither notifies"):
            await client.start_notify(UUID, lambda *_: None)
        with pytest.raises(BleakError, match="not started"):
            await client.stop_notify(UUID)
        with pytest.raises(BleakError, match="pairing"):
            await client.pair()
    assert not client.is_connected
    with pytest.raises(BleakError):
        await client.read_gatt_char(UUID)
    await client.disconnect()


async def test_only_the_services_asked_for_are_resolved(medium: Medium, radio: PhoneRadio) -> None:
    await door(medium)
    device = await BleakScanner.find_device_by_name("abc", DEADLINE, backend=radio.scanner)
    assert device is not None
    async with BleakClient(device, services=["180f"], backend=radio.client) as client:
        assert client._backend.services is not None
        assert list(client._backend.services) == []


async def test_an_address_that_nobody_has_is_not_found(medium: Medium, radio: PhoneRadio) -> None:
    with pytest.raises(BleakDeviceNotFoundError):
        await BleakClient("F0:00:00:00:00:99", timeout=0.2, backend=radio.client).connect()


async def test_a_connection_that_is_not_accepted_times_out_and_another_works(
    medium: Medium, radio: PhoneRadio
) -> None:
    gone, there = await door(medium, 1), await door(medium, 2)
    found = await BleakScanner.discover(0.1, backend=radio.scanner)
    devices = {device.details: device for device in found}
    gone.cut()
    with pytest.raises(TimeoutError):
        await BleakClient(devices[gone.device.random_address], timeout=0.2, backend=radio.client).connect()
    async with BleakClient(devices[there.device.random_address], backend=radio.client) as client:
        assert client.is_connected


async def test_one_phone_talks_to_two_doors(medium: Medium, radio: PhoneRadio) -> None:
    await door(medium, 1)
    await door(medium, 2)
    first, second = await BleakScanner.discover(0.1, backend=radio.scanner)
    async with BleakClient(first, backend=radio.client) as a, BleakClient(second, backend=radio.client) as b:
        assert await a.read_gatt_char(UUID) == await b.read_gatt_char(UUID) == b"value"
        await a.disconnect()
        assert await b.read_gatt_char(UUID) == b"value"


async def test_a_link_lost_in_mid_read_is_an_error_and_is_told_once(
    medium: Medium, radio: PhoneRadio
) -> None:
    never = asyncio.Event()
    made = await door(medium, slow_reads=never)
    device = await BleakScanner.find_device_by_name("abc", DEADLINE, backend=radio.scanner)
    assert device is not None
    told: list[BleakClient] = []
    client = BleakClient(device, told.append, backend=radio.client)
    await client.connect()
    reads = [asyncio.create_task(client.read_gatt_char(UUID)) for _ in range(2)]
    await asyncio.sleep(0)
    made.cut()
    errors = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), DEADLINE)
    assert [type(error) for error in errors] == [BleakError, BleakError]
    assert told == [client]
    never.set()


async def test_a_reader_that_gives_up_does_not_disturb_the_next_one(
    medium: Medium, radio: PhoneRadio
) -> None:
    release = asyncio.Event()
    await door(medium, slow_reads=release)
    device = await BleakScanner.find_device_by_name("abc", DEADLINE, backend=radio.scanner)
    assert device is not None
    async with BleakClient(device, backend=radio.client) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.read_gatt_char(UUID), 0.05)
        later = asyncio.create_task(client.write_gatt_char(UUID, b"x", response=True))
        release.set()
        await asyncio.wait_for(later, DEADLINE)
        assert bytes(await client.read_gatt_char(UUID)) == b"value"


async def test_a_phone_that_is_cut_off_ends_its_own_operations_and_closes(medium: Medium) -> None:
    made = await door(medium, slow_reads=asyncio.Event())
    radio = backend_for(medium, "phone")
    device = await BleakScanner.find_device_by_name("abc", DEADLINE, backend=radio.scanner)
    assert device is not None
    client = BleakClient(device, backend=radio.client)
    await client.connect()
    read = asyncio.create_task(client.read_gatt_char(UUID))
    await asyncio.sleep(0)
    (at_door,) = made.device.connections.values()
    freed = asyncio.Event()
    at_door.once("disconnection", lambda _: freed.set())
    radio.adapter.cut()
    with pytest.raises(BleakError):
        await asyncio.wait_for(read, DEADLINE)
    await client.disconnect()
    await radio.adapter.aclose()
    await asyncio.wait_for(freed.wait(), DEADLINE)


async def test_closing_the_adapter_disconnects_and_leaves_the_air(medium: Medium) -> None:
    made = await door(medium)
    radio = backend_for(medium, "phone")
    device = await BleakScanner.find_device_by_name("abc", DEADLINE, backend=radio.scanner)
    assert device is not None
    client = BleakClient(device, backend=radio.client)
    await client.connect()
    await radio.adapter.aclose()
    assert not client.is_connected
    assert list(medium.controllers) == [made.controller]


@given(st.binary(max_size=64))
def test_any_advertising_data_is_parsed_or_left_out(data: bytes) -> None:
    parsed = parse_advertisement(data, -60)
    assert parsed.rssi == -60
    assert sum(2 + len(value) for _, value in structures(data)) <= len(data)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=29)), max_size=8))
def test_what_is_well_formed_is_found_again(fields: list[tuple[int, bytes]]) -> None:
    data = b"".join(bytes((len(value) + 1, kind)) + value for kind, value in fields)
    assert list(structures(data)) == fields


class Deaf:
    """A host that hears nothing of its controller."""

    def on_packet(self, packet: bytes) -> None:
        pass


async def test_a_phone_whose_controller_answers_no_more_leaves_the_air_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    medium = Medium()
    phone = Adapter(medium, "anna")
    await phone.power_on()
    (controller,) = medium.controllers
    controller.set_packet_sink(Deaf())
    monkeypatch.setattr("hil.radio.adapter.POWER_TIMEOUT", 0.05)
    async with asyncio.timeout(10):
        await phone.aclose()
    assert not medium.controllers
    await medium.aclose()
