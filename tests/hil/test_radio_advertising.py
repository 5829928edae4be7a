"""Advertising, scanning and connecting by the book: types, intervals, duty, filters, addresses, PHY; on a clock of their own."""

import asyncio
import itertools
from typing import Any

import pytest
from bumble import core, hci
from bumble.device import AdvertisingEventProperties, AdvertisingParameters, AdvertisingType
from bumble.hci import Address

from hil.radio.advertiser import MAX_DELAY
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.radio.station import Station, static_address
from tests.hil.test_radio_medium import DATA, RESPONSE, advertise, end_of, station
from tests.hil.virtual_time import run

Kind = hci.HCI_LE_Advertising_Report_Event.EventType


class Reports:
    """What a phone's controller reports, and when."""

    def __init__(self, phone: Station) -> None:
        self.times: list[float] = []
        self.kinds: set[int] = set()
        self.data: list[bytes] = []
        phone.device.host.on("advertising_report", self._take)

    def _take(self, report: Any) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.kinds.add(report.event_type)
        self.data.append(report.data)


async def five(medium: Medium, number: int) -> Station:
    """A station with Bluetooth 5 advertising."""
    public = Address(bytes((number, 0, 0, 0xC4, 0x0A, 0x24)), Address.PUBLIC_DEVICE_ADDRESS)
    made = Station(medium, f"five-{number}", public, static_address(bytes((number,)) * 6), extended=True)
    await made.on()
    return made


async def scan(phone: Station, seconds: float, **options: Any) -> Reports:
    heard = Reports(phone)
    await phone.device.start_scanning(**options)
    await asyncio.sleep(seconds)
    await phone.device.stop_scanning()
    return heard


@pytest.mark.parametrize(
    ("kind", "reported"),
    [
        (AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE, {Kind.ADV_IND, Kind.SCAN_RSP}),
        (AdvertisingType.UNDIRECTED_SCANNABLE, {Kind.ADV_SCAN_IND, Kind.SCAN_RSP}),
        (AdvertisingType.UNDIRECTED, {Kind.ADV_NONCONN_IND}),
    ],
)
def test_each_legacy_type_is_reported_as_what_it_is(kind: AdvertisingType, reported: set[Kind]) -> None:
    async def measure() -> set[int]:
        medium = Medium()
        door, phone = await station(medium, 1), await station(medium, 2)
        await advertise(door, kind=kind)
        return (await scan(phone, 1)).kinds

    assert run(measure()) == reported


def test_events_come_at_the_interval_and_a_random_delay_that_a_seed_replays() -> None:
    async def measure(seed: int) -> list[float]:
        medium = Medium(seed=seed)
        door, phone = await station(medium, 1), await station(medium, 2)
        await door.device.start_advertising(advertising_interval_min=100, advertising_interval_max=100)
        times = (await scan(phone, 3, active=False)).times
        return [b - a for a, b in itertools.pairwise(times)]

    gaps = run(measure(1))
    assert len(gaps) > 20
    assert all(0.1 <= round(gap, 6) <= 0.1 + MAX_DELAY for gap in gaps)
    assert len({round(gap, 4) for gap in gaps}) > 10
    assert run(measure(1)) == pytest.approx(gaps)
    assert run(measure(2)) != pytest.approx(gaps)


def test_a_scanner_that_listens_a_tenth_of_the_time_hears_a_tenth_of_the_events() -> None:
    async def measure() -> int:
        medium = Medium()
        door, phone = await station(medium, 1), await station(medium, 2)
        await door.device.start_advertising(advertising_interval_min=20, advertising_interval_max=20)
        heard = await scan(phone, 100, active=False, scan_interval=1280, scan_window=128)
        return len(heard.times)

    assert run(measure()) == pytest.approx(100 / 0.025 / 10, rel=0.15)


def test_an_advertiser_works_only_while_somebody_listens_within_its_reach() -> None:
    """A thousand doors with one phone among them cost the bench what the phone hears, wherever it walks to."""

    async def measure() -> list[int]:
        far = Position(5000, 0)
        medium = Medium()
        near, away = await station(medium, 1, Position(0, 0)), await station(medium, 2, far)
        phone = await station(medium, 3, Position(1, 0))
        await advertise(near)
        await advertise(away)

        async def counted() -> list[int]:
            at_work[:] = [0, 0]
            await asyncio.sleep(1)
            return list(at_work)

        at_work = [0, 0]
        for number, door in enumerate((near, away)):
            send = door.controller.send_advertising_pdu

            def sent(pdu: Any, number: int = number, send: Any = send) -> None:
                at_work[number] += 1
                send(pdu)

            door.controller.send_advertising_pdu = sent
        counts = await counted()
        await phone.device.start_scanning()
        counts += await counted()
        medium.place(phone.controller, far)
        counts += await counted()
        medium.place(near.controller, far)
        counts += await counted()
        await phone.device.stop_scanning()
        return counts + await counted()

    counts = run(measure())
    assert [min(count, 30) for count in counts] == [0, 0, 30, 0, 1, 30, 30, 30, 0, 0]


def test_a_weak_air_loses_advertisements_and_scan_responses_each_for_itself() -> None:
    async def measure() -> tuple[int, int]:
        medium = Medium()
        door, phone = await station(medium, 1), await station(medium, 2)
        medium.lose(0.5)
        await advertise(door)
        data = (await scan(phone, 100)).data
        return data.count(DATA), data.count(RESPONSE)

    events, responses = run(measure())
    assert events == pytest.approx(100 / 0.025 / 2, rel=0.1)
    assert responses == pytest.approx(events / 4, rel=0.2)


@pytest.mark.parametrize(
    "kind", [AdvertisingType.DIRECTED_CONNECTABLE_HIGH_DUTY, AdvertisingType.DIRECTED_CONNECTABLE_LOW_DUTY]
)
def test_directed_advertising_is_for_one_phone(kind: AdvertisingType) -> None:
    async def measure() -> None:
        medium = Medium()
        door, phone, other = [await station(medium, number) for number in (1, 2, 3)]
        await door.device.start_advertising(
            advertising_type=kind,
            target=phone.device.random_address,
            advertising_interval_min=20,
            advertising_interval_max=20,
        )
        reports = await asyncio.gather(scan(phone, 0.5), scan(other, 0.5))
        assert [report.kinds for report in reports] == [{Kind.ADV_DIRECT_IND}, set()]
        with pytest.raises(core.TimeoutError):
            await other.device.connect_le(door.device.random_address, timeout=0.3)
        assert await phone.device.connect_le(door.device.random_address, timeout=0.3)

    run(measure())


def test_high_duty_directed_advertising_ends_after_1280_ms_and_says_so() -> None:
    async def measure() -> None:
        medium = Medium()
        door, phone = await station(medium, 1), await station(medium, 2)
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        door.device.host.on("connection_failure", lambda _transport, _peer, status: ended.set_result(status))
        began = asyncio.get_running_loop().time()
        await door.device.start_advertising(
            advertising_type=AdvertisingType.DIRECTED_CONNECTABLE_HIGH_DUTY,
            target=phone.device.random_address,
        )
        assert await ended == hci.HCI_ADVERTISING_TIMEOUT_ERROR
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.28, abs=0.01)
        assert (await scan(phone, 1)).times == []

    run(measure())


async def accept(who: Station, address: Address) -> None:
    await who.device.send_sync_command(
        hci.HCI_LE_Add_Device_To_Filter_Accept_List_Command(
            address_type=address.address_type, address=address
        )
    )


def test_a_scanner_with_an_accept_list_hears_who_is_on_it() -> None:
    async def measure() -> set[bytes]:
        medium = Medium()
        friend, stranger, phone = [await station(medium, number) for number in (1, 2, 3)]
        await friend.device.start_advertising(advertising_data=b"\x02\x0a\x01")
        await stranger.device.start_advertising(advertising_data=b"\x02\x0a\x02")
        await accept(phone, friend.device.random_address)
        await phone.device.send_sync_command(
            hci.HCI_LE_Set_Scan_Parameters_Command(0, 16, 16, hci.OwnAddressType.RANDOM, 1)
        )
        heard = Reports(phone)
        await phone.device.send_sync_command(hci.HCI_LE_Set_Scan_Enable_Command(1, 0))
        await asyncio.sleep(5)
        return set(heard.data)

    assert run(measure()) == {b"\x02\x0a\x01"}


def test_an_advertiser_with_an_accept_list_takes_connections_from_who_is_on_it() -> None:
    async def measure() -> None:
        medium = Medium()
        door, friend, stranger = [await station(medium, number) for number in (1, 2, 3)]
        await accept(door, friend.device.random_address)
        await advertise(door)
        door.controller.le_legacy_advertiser.advertising_filter_policy = 2
        connection = await stranger.device.connect_le(door.device.random_address, timeout=1)
        assert await end_of(connection) == hci.HCI_CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR
        await friend.device.connect_le(door.device.random_address, timeout=1)
        assert len(door.device.connections) == 1

    run(measure())


def test_a_controller_resolves_the_private_addresses_of_peers_whose_key_it_has() -> None:
    async def measure() -> None:
        medium = Medium()
        door, phone = await station(medium, 1), await station(medium, 2)
        irk = bytes(range(16))
        identity = door.device.public_address
        private = Address.generate_private_address(irk)
        await door.device.send_sync_command(hci.HCI_LE_Set_Random_Address_Command(private))
        await advertise(door)
        await phone.device.send_sync_command(
            hci.HCI_LE_Add_Device_To_Resolving_List_Command(0, identity, irk, bytes(16))
        )
        await phone.device.send_sync_command(hci.HCI_LE_Set_Address_Resolution_Enable_Command(1))
        found: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        phone.device.host.once("advertising_report", lambda report: found.set_result(report.address))
        await phone.device.start_scanning()
        assert (await found).address_type == Address.PUBLIC_IDENTITY_ADDRESS
        assert bytes(await found) == bytes(identity)
        connection = await phone.device.connect_le(identity, timeout=1)
        assert connection.peer_resolvable_address == private

    run(measure())


def test_a_controller_has_so_many_connection_slots() -> None:
    async def measure() -> None:
        medium = Medium()
        door, phone, other = [await station(medium, number) for number in (1, 2, 3)]
        phone.controller.slots = door.controller.slots = 1
        await advertise(door)
        await phone.device.connect_le(door.device.random_address, timeout=1)
        await asyncio.sleep(0.1)
        for refused in (advertise(door), phone.device.connect_le(other.device.random_address, timeout=1)):
            with pytest.raises(hci.HCI_Error) as error:
                await refused
            assert error.value.error_code == hci.HCI_CONNECTION_LIMIT_EXCEEDED_ERROR

    run(measure())


def test_extended_advertising_carries_long_data_and_only_bluetooth_5_hears_it() -> None:
    long = bytes((239, 0xFF, 1, 0)) + bytes(range(236))  # more than one report holds

    async def measure() -> tuple[list[Any], Reports]:
        medium = Medium()
        door, phone, old = await five(medium, 1), await five(medium, 2), await station(medium, 3)
        heard: list[Any] = []
        phone.device.on("advertisement", heard.append)
        await door.device.create_advertising_set(
            advertising_parameters=AdvertisingParameters(
                advertising_event_properties=AdvertisingEventProperties(is_connectable=False),
                primary_advertising_interval_min=50,
                primary_advertising_interval_max=50,
                secondary_advertising_phy=hci.Phy.LE_2M,
                advertising_sid=5,
            ),
            advertising_data=long,
        )
        await phone.device.start_scanning(active=False)
        return heard, await scan(old, 1)

    heard, old = run(measure())
    assert old.times == []
    whole = heard[: -(-len(long) // 229)]
    assert b"".join(part.data_bytes for part in whole) == long
    assert (whole[0].sid, whole[0].secondary_phy, whole[0].is_connectable) == (5, 2, False)


def test_an_advertising_set_with_a_duration_ends_by_itself() -> None:
    async def measure() -> float:
        medium = Medium()
        door = await five(medium, 1)
        made = await door.device.create_advertising_set(auto_start=False)
        ended = asyncio.Event()
        made.on("termination", lambda _status: ended.set())
        began = asyncio.get_running_loop().time()
        await made.start(duration=2.0)
        await ended.wait()
        return asyncio.get_running_loop().time() - began

    assert run(measure()) == pytest.approx(2.0, abs=0.1)


def test_a_faster_phy_is_told_to_both_ends_and_shorter_pdus_too() -> None:
    async def measure() -> None:
        medium = Medium()
        door, phone = await station(medium, 1), await station(medium, 2)
        accepted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        door.device.once("connection", accepted.set_result)
        await advertise(door)
        near = await phone.device.connect_le(door.device.random_address)
        far = await accepted
        lengths = [asyncio.Event(), asyncio.Event()]
        for connection, told in zip((near, far), lengths, strict=True):
            connection.once("connection_data_length_change", told.set)
        await near.set_phy([hci.Phy.LE_2M], [hci.Phy.LE_2M])
        await far.get_phy()
        assert (await near.get_phy()).tx_phy == hci.Phy.LE_2M
        await near.set_data_length(100, 1000)
        await asyncio.gather(*(told.wait() for told in lengths))
        assert (near.data_length.max_tx_octets, far.data_length.max_tx_octets) == (100, 100)

    run(measure())
