"""The medium with real Bumble hosts and controllers on it."""

import asyncio
from functools import partial
from typing import Any

import pytest
from bumble import core, hci, ll
from bumble.device import AdvertisingType, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address
from bumble.testing import test_utils

from hil.radio.advertiser import MIN_INTERVAL
from hil.radio.controller import RadioController
from hil.radio.link import MAX_HELD
from hil.radio.medium import Medium
from hil.radio.path_loss import PathLoss, Position
from hil.radio.station import Station, static_address

DEADLINE = 20.0
UUID = "6c617463-6877-6f72-6b00-0000000000b1"
DATA = b"\x02\x01\x06\x04\x09abc"
RESPONSE = b"\x05\xff\xff\xff\x01\x02"


async def station(medium: Medium, number: int, position: Position | None = None) -> Station:
    public = Address(bytes((number, 0, 0, 0xC4, 0x0A, 0x24)), Address.PUBLIC_DEVICE_ADDRESS)
    made = Station(medium, f"station-{number}", public, static_address(bytes((number,)) * 6), position)
    await made.on()
    return made


async def advertise(
    door: Station,
    own: hci.OwnAddressType = hci.OwnAddressType.RANDOM,
    kind: AdvertisingType = AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE,
) -> None:
    await door.device.start_advertising(
        advertising_type=kind,
        own_address_type=own,
        advertising_data=DATA,
        scan_response_data=RESPONSE,
        advertising_interval_min=20,
        advertising_interval_max=20,
    )


def writable(door: Station) -> list[bytes]:
    written: list[bytes] = []
    value = CharacteristicValue(write=lambda _connection, data: written.append(data))
    properties = Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE
    door.device.add_service(
        Service("B0A0", [Characteristic(UUID, properties, Characteristic.WRITEABLE, value)])
    )
    return written


async def link(phone: Station, door: Station) -> tuple[Any, Any]:
    """Connect; returns the connection as each end sees it."""
    accepted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    door.device.once("connection", accepted.set_result)
    await advertise(door)
    connection = await asyncio.wait_for(phone.device.connect_le(door.device.random_address), DEADLINE)
    return connection, await asyncio.wait_for(accepted, DEADLINE)


def end_of(connection: Any) -> "asyncio.Future[int]":
    reason: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    connection.once("disconnection", reason.set_result)
    return reason


async def characteristic(connection: Any) -> Any:
    peer = Peer(connection)
    await peer.discover_services()
    await peer.discover_characteristics()
    return peer.get_characteristics_by_uuid(core.UUID(UUID))[0]


async def hear(phone: Station, active: bool = True) -> Any:
    heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    phone.device.once("advertisement", heard.set_result)
    await phone.device.start_scanning(active=active)
    advertisement = await asyncio.wait_for(heard, DEADLINE)
    await phone.device.stop_scanning()
    return advertisement


async def test_bumbles_own_controllers_work_on_it_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_utils, "LocalLink", Medium)
    two = await test_utils.TwoDevices.create_with_connection()
    assert isinstance(two.link, Medium)
    peer = Peer(two.connections[0])
    assert await peer.request_mtu(100) == 100
    assert await peer.discover_services()
    ends = [end_of(connection) for connection in two.connections.values()]
    await two.connections[0].disconnect()
    assert await asyncio.wait_for(ends[1], DEADLINE) == hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR


@pytest.mark.parametrize("paced", [False, True])
async def test_bumbles_hosts_work_with_the_medium_and_its_controllers(
    monkeypatch: pytest.MonkeyPatch, paced: bool
) -> None:
    monkeypatch.setattr(test_utils, "LocalLink", partial(Medium, paced=paced))
    monkeypatch.setattr(test_utils, "Controller", RadioController)
    two = await test_utils.TwoDevices.create_with_connection()
    peer = Peer(two.connections[0])
    assert await peer.request_mtu(100) == 100
    assert await peer.discover_services()
    ends = [end_of(connection) for connection in two.connections.values()]
    await two.connections[0].disconnect()
    reasons = await asyncio.wait_for(asyncio.gather(*ends), DEADLINE)
    assert reasons == [
        hci.HCI_CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR,
        hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR,
    ]


@pytest.mark.parametrize("own", [hci.OwnAddressType.PUBLIC, hci.OwnAddressType.RANDOM])
async def test_data_reaches_a_peripheral_at_its_public_and_its_random_address(
    medium: Medium, own: hci.OwnAddressType
) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    written = writable(door)
    await advertise(door, own)
    public = own == hci.OwnAddressType.PUBLIC
    address = door.device.public_address if public else door.device.random_address
    connection = await asyncio.wait_for(phone.device.connect_le(address), DEADLINE)
    await (await characteristic(connection)).write_value(b"hello", with_response=True)
    assert written == [b"hello"]


async def test_a_scan_hears_the_response_only_if_it_asks(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    await advertise(door)
    assert bytes(core.AdvertisingData((await hear(phone)).data.ad_structures)) == DATA + RESPONSE
    passive = await hear(phone, active=False)
    assert bytes(core.AdvertisingData(passive.data.ad_structures)) == DATA
    assert passive.is_connectable


async def test_broadcasts_are_heard_and_cannot_be_connected_to(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    await advertise(door, kind=AdvertisingType.UNDIRECTED_SCANNABLE)
    assert not (await hear(phone)).is_connectable
    with pytest.raises(core.TimeoutError):
        await phone.device.connect_le(door.device.random_address, timeout=0.1)


async def test_the_interval_is_the_one_asked_for_and_an_unheard_advertiser_rests(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    await door.device.start_advertising(advertising_interval_min=100, advertising_interval_max=100)
    advertiser = door.controller.le_legacy_advertiser
    assert advertiser.interval == pytest.approx(0.1)
    assert advertiser.timer_handle is None
    await phone.device.start_scanning()
    assert advertiser.timer_handle is not None
    await phone.device.stop_scanning()
    assert advertiser.timer_handle is None


async def test_in_an_eager_medium_all_advertise_as_often_as_bluetooth_allows(medium: Medium) -> None:
    medium.eager = True
    door = await station(medium, 1)
    await door.device.start_advertising(advertising_interval_min=100, advertising_interval_max=100)
    assert door.controller.le_legacy_advertiser.interval == MIN_INTERVAL


async def test_a_cancelled_attempt_leaves_the_controller_free(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    with pytest.raises(core.TimeoutError):
        await phone.device.connect_le(door.device.random_address, timeout=0.05)
    assert (await link(phone, door))[0].handle


async def test_of_two_phones_at_the_same_advertisement_one_gets_the_door(medium: Medium) -> None:
    door = await station(medium, 1)
    phones = [await station(medium, 2), await station(medium, 3)]
    attempts = [asyncio.create_task(p.device.connect_le(door.device.random_address)) for p in phones]
    await advertise(door)  # takes more turns of the loop than the attempts need to reach their controllers
    connections = await asyncio.wait_for(asyncio.gather(*attempts), DEADLINE)
    assert len(door.controller.le_connections) == 1
    ends = [end_of(connection) for connection in connections]
    done, pending = await asyncio.wait(ends, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    assert [end.result() for end in done] == [hci.HCI_CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR]
    assert len(pending) == 1


async def test_a_power_cut_is_noticed_by_the_supervision_timeout_and_the_address_can_return(
    medium: Medium,
) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    connection, _ = await link(phone, door)
    end = end_of(connection)
    door.cut()
    assert await asyncio.wait_for(end, DEADLINE) == hci.HCI_CONNECTION_TIMEOUT_ERROR
    again = await station(medium, 1)
    assert (await link(phone, again))[0].peer_address == connection.peer_address


async def test_a_cut_phone_frees_its_slot_on_the_door(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    _, at_door = await link(phone, door)
    end = end_of(at_door)
    phone.cut()
    assert await asyncio.wait_for(end, DEADLINE) == hci.HCI_CONNECTION_TIMEOUT_ERROR
    assert not door.device.connections


async def test_rssi_follows_the_distance(medium: Medium) -> None:
    door, phone = await station(medium, 1, Position(0, 0)), await station(medium, 2, Position(1, 0))
    await advertise(door)
    near = (await hear(phone)).rssi
    medium.place(phone.controller, Position(10, 0))
    far = (await hear(phone)).rssi
    assert (near, far) == (-40, -65)
    connection, _ = await link(phone, door)
    assert await connection.get_rssi() == far


async def test_out_of_range_nothing_is_heard_and_links_end_with_a_timeout(medium: Medium) -> None:
    door, phone = await station(medium, 1, Position(0, 0)), await station(medium, 2, Position(1, 0))
    ends = [end_of(connection) for connection in await link(phone, door)]
    medium.place(phone.controller, Position(1000, 0))
    reasons = await asyncio.wait_for(asyncio.gather(*ends), DEADLINE)
    assert reasons == [hci.HCI_CONNECTION_TIMEOUT_ERROR] * 2
    await advertise(door)
    with pytest.raises(core.TimeoutError):
        await phone.device.connect_le(door.device.random_address, timeout=0.1)


async def test_a_link_that_heals_in_time_loses_nothing(medium: Medium) -> None:
    door, phone = await station(medium, 1, Position(0, 0)), await station(medium, 2, Position(1, 0))
    written = writable(door)
    connection, _ = await link(phone, door)
    target = await characteristic(connection)
    medium.place(phone.controller, Position(1000, 0))
    for i in range(5):
        await target.write_value(bytes((i,)))
    await asyncio.sleep(0)
    assert written == []
    medium.place(phone.controller, Position(1, 0))
    await target.write_value(b"last", with_response=True)
    assert written == [bytes((i,)) for i in range(5)] + [b"last"]


async def test_what_waits_for_a_lost_peer_is_bounded(medium: Medium) -> None:
    door, phone = await station(medium, 1, Position(0, 0)), await station(medium, 2, Position(1, 0))
    writable(door)
    connection, _ = await link(phone, door)
    end = end_of(connection)
    target = await characteristic(connection)
    medium.place(phone.controller, Position(1000, 0))
    for _ in range(MAX_HELD + 1):
        await target.write_value(b"x")
    assert await asyncio.wait_for(end, DEADLINE) == hci.HCI_CONNECTION_TIMEOUT_ERROR


async def test_both_ends_may_hang_up_at_once(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    ends = await link(phone, door)
    reasons = [end_of(connection) for connection in ends]
    await asyncio.gather(*(connection.disconnect() for connection in ends))
    await asyncio.wait_for(asyncio.gather(*reasons), DEADLINE)
    assert not phone.controller.le_connections
    assert (await link(phone, door))[0].handle


async def test_a_request_from_a_phone_that_is_connected_already_is_ignored(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    await link(phone, door)
    (before,) = door.controller.le_connections.values()
    await advertise(door)
    request = ll.ConnectInd(phone.device.random_address, door.device.random_address, 12, 0, 72)
    door.controller.on_ll_advertising_pdu(request)
    assert list(door.controller.le_connections.values()) == [before]


async def test_closing_leaves_no_task_and_no_timer(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    await link(phone, door)
    await advertise(door)
    await phone.device.start_scanning()
    door.cut()
    await medium.aclose()
    assert not medium._links
    assert not medium._timers
    assert not medium.controllers
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_without_a_place_a_station_is_as_near_as_bumble_has_it() -> None:
    loss = PathLoss()
    assert loss.rssi(None, Position(1e6, 0)) == -50
    assert loss.rssi(Position(0, 0), Position(0, 0)) == loss.rssi(Position(0, 0), Position(0.1, 0))
    assert not loss.hears(loss.rssi(Position(0, 0), Position(1000, 0)))


async def test_a_command_on_its_way_to_a_chip_whose_power_is_cut_does_nothing(medium: Medium) -> None:
    door, phone = await station(medium, 1), await station(medium, 2)
    enable = hci.HCI_LE_Set_Advertising_Enable_Command(advertising_enable=1)
    door.device.host.send_hci_packet(enable)
    door.cut()
    door.device.host.send_hci_packet(enable)
    with pytest.raises(core.TimeoutError):
        await phone.device.connect_le(door.device.public_address, timeout=0.2)
    assert not door.controller.le_legacy_advertiser.enabled
