"""MicroPython's central role and GATT client, between real VMs."""

import contextlib
import errno
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from bumble import att

from hil.radio.ble_client import MAX_PUSHED, GattClient
from hil.radio.ble_host import HOST_BUFFERS, BleHost
from hil.radio.controller import BUFFERS
from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from tests.hil import ble_vm as ble
from tests.hil.ble_vm import BleVm, connect, vms

SERVICE = "6c617463-6877-6f72-6b00-0000000000a0"
VALUE, OTHER = (f"6c617463-6877-6f72-6b00-0000000000a{n}" for n in (1, 2))
ALL = ble.READ | ble.WRITE | ble.WRITE_NO_RESPONSE | ble.NOTIFIES | ble.INDICATES
SERVICES = (
    f"((bluetooth.UUID('{SERVICE}'), ((bluetooth.UUID('{VALUE}'), {ALL}, ((bluetooth.UUID(0x2901), 2),)),"
    f" (bluetooth.UUID('{OTHER}'), {ble.READ | ble.READ_ENCRYPTED}))),)"
)
FLOOD = """
def flood(send):
    for n in range(1000):
        try:
            send(n)
        except OSError as e:
            return n, e.errno
"""
VALUE_HANDLE, CCCD_HANDLE, TEXT_HANDLE, OTHER_HANDLE = 16, 17, 18, 20


@pytest.fixture
async def boards(medium: Medium, tmp_path: Path) -> AsyncIterator[list[BleVm]]:
    """A central, a peripheral with SERVICES, and one that can be either; all active."""
    async with vms(medium, tmp_path, 3) as boards:
        for board in boards:
            await board.do("ble.active(True)")
        assert await boards[1].do(f"ble.gatts_register_services({SERVICES})") == (
            (VALUE_HANDLE, TEXT_HANDLE, OTHER_HANDLE),
        )
        yield boards


@contextlib.contextmanager
def apart(medium: Medium) -> Iterator[None]:
    """Nobody hears another: what is asked meanwhile is answered afterwards."""
    for number, controller in enumerate(medium.controllers):
        medium.place(controller, Position(number * 5000, 0))
    yield
    for controller in medium.controllers:
        medium.place(controller, None)


@contextlib.asynccontextmanager
async def linked(medium: Medium, folder: Path) -> AsyncIterator[tuple[BleVm, BleVm, int, int]]:
    """A central, a peripheral with SERVICES, and their handles of the connection."""
    async with vms(medium, folder, 2) as boards:
        central, peripheral = boards
        for board in boards:
            await board.do("ble.active(True)")
        await peripheral.do(f"ble.gatts_register_services({SERVICES})")
        yield central, peripheral, *await connect(central, peripheral)


async def test_a_scan_finds_data_and_responses_of_what_advertises(boards: list[BleVm]) -> None:
    central, peripheral, _ = boards
    kind, address = await peripheral.advertise(ble.FLAGS, resp_data=b"\x04\x09abc")
    await central.do("ble.gap_scan(0, 30000, 30000, True)")
    assert await central.error("ble.gap_scan(0)") == errno.EALREADY
    found: dict[int, bytes] = {}
    while {0, 4} - set(found):
        other_kind, other, advertised, rssi, data = await central.irq(ble.SCAN_RESULT)
        assert (other_kind, other) == (kind, address)
        assert -100 < rssi < 0
        found[advertised] = data
    assert found == {0: ble.FLAGS, 4: b"\x04\x09abc"}
    assert await central.do("ble.gap_scan(None)") is None
    assert (ble.SCAN_DONE, ()) in central.events  # handled before gap_scan returned


async def test_a_passive_scan_ends_by_itself_and_sees_no_responses(boards: list[BleVm]) -> None:
    central, peripheral, _ = boards
    await peripheral.advertise(resp_data=b"\x04\x09abc", connectable=False)
    await central.do("ble.gap_scan(200, 30000, 30000)")
    await central.irq(ble.SCAN_DONE)
    assert {fields[2] for fields in central.since(ble.SCAN_RESULT)} == {2}
    await central.do("ble.gap_scan(0, 30000, 30000)")  # the next can begin
    await central.do("ble.active(False)")  # ends it
    assert await central.irq(ble.SCAN_DONE) == ()


async def test_a_client_finds_services_characteristics_and_descriptors(
    medium: Medium, boards: list[BleVm]
) -> None:
    central, peripheral, _ = boards
    conn, _ = await connect(central, peripheral)
    await central.do(f"ble.gattc_discover_services({conn})")
    assert await central.irq(ble.SERVICE_DONE) == (conn, 0)
    services = {fields[3]: fields[1:3] for fields in central.since(ble.SERVICE_RESULT)}
    assert list(services) == ["UUID(0x1800)", "UUID(0x1801)", f"UUID('{SERVICE}')"]
    first, last = services[f"UUID('{SERVICE}')"]
    await central.do(f"ble.gattc_discover_services({conn}, bluetooth.UUID('{SERVICE}'))")
    assert await central.irq(ble.SERVICE_DONE) == (conn, 0)
    assert central.since(ble.SERVICE_RESULT) == [(conn, first, last, f"UUID('{SERVICE}')")]
    await central.do(f"ble.gattc_discover_services({conn}, bluetooth.UUID(0x1234))")
    assert await central.irq(ble.SERVICE_DONE) == (conn, 0)
    assert not central.since(ble.SERVICE_RESULT)

    with apart(medium):
        await central.do(f"ble.gattc_discover_characteristics({conn}, {first}, {last})")
        assert await central.error(f"ble.gattc_discover_characteristics({conn}, 1, 9)") == errno.EBUSY
    assert await central.irq(ble.CHARACTERISTIC_DONE) == (conn, 0)
    assert central.since(ble.CHARACTERISTIC_RESULT) == [
        (conn, TEXT_HANDLE, VALUE_HANDLE, ALL, f"UUID('{VALUE}')"),
        (conn, OTHER_HANDLE, OTHER_HANDLE, ble.READ, f"UUID('{OTHER}')"),
    ]
    await central.do(f"ble.gattc_discover_characteristics({conn}, 1, 65535, bluetooth.UUID('{VALUE}'))")
    await central.irq(ble.CHARACTERISTIC_DONE)
    assert central.since(ble.CHARACTERISTIC_RESULT) == [
        (conn, TEXT_HANDLE, VALUE_HANDLE, ALL, f"UUID('{VALUE}')")
    ]
    await central.do(f"ble.gattc_discover_descriptors({conn}, {VALUE_HANDLE}, {TEXT_HANDLE})")
    assert await central.irq(ble.DESCRIPTOR_DONE) == (conn, 0)
    assert central.since(ble.DESCRIPTOR_RESULT) == [
        (conn, CCCD_HANDLE, "UUID(0x2902)"),
        (conn, TEXT_HANDLE, "UUID(0x2901)"),
    ]


async def test_values_are_read_written_notified_and_indicated(medium: Medium, boards: list[BleVm]) -> None:
    central, peripheral, _ = boards
    conn, theirs = await connect(central, peripheral)
    await peripheral.do(f"ble.gatts_write({VALUE_HANDLE}, 'one')")
    await central.do(f"ble.gattc_read({conn}, {VALUE_HANDLE})")
    assert await central.irq(ble.READ_RESULT) == (conn, VALUE_HANDLE, b"one")
    assert await central.irq(ble.READ_DONE) == (conn, VALUE_HANDLE, 0)
    assert await peripheral.irq(ble.GATTS_READ_REQUEST) == (theirs, VALUE_HANDLE)

    await peripheral.do("answers[4] = 8")
    await central.do(f"ble.gattc_read({conn}, {VALUE_HANDLE})")
    assert await central.irq(ble.READ_DONE) == (conn, VALUE_HANDLE, 0x108)
    assert not central.since(ble.READ_RESULT)

    await central.do(f"ble.gattc_write({conn}, {VALUE_HANDLE}, 'two', 1)")
    assert await central.irq(ble.WRITE_DONE) == (conn, VALUE_HANDLE, 0)
    assert await peripheral.irq(ble.GATTS_WRITE) == (theirs, VALUE_HANDLE)
    await central.do(f"ble.gattc_write({conn}, {VALUE_HANDLE}, 'three')")
    await peripheral.irq(ble.GATTS_WRITE)
    assert await peripheral.do(f"ble.gatts_read({VALUE_HANDLE})") == b"three"

    await central.do(f"ble.gattc_write({conn}, {CCCD_HANDLE}, b'\\x01\\x00', 1)")
    await central.irq(ble.WRITE_DONE)
    await peripheral.do(f"ble.gatts_write({VALUE_HANDLE}, 'four', True)")
    assert await central.irq(ble.NOTIFY) == (conn, VALUE_HANDLE, b"four")
    with apart(medium):
        await peripheral.do(f"ble.gatts_indicate({theirs}, {VALUE_HANDLE}, 'five')")
        assert await peripheral.error(f"ble.gatts_indicate({theirs}, {VALUE_HANDLE})") == errno.EBUSY
    assert await central.irq(ble.INDICATE) == (conn, VALUE_HANDLE, b"five")
    assert await peripheral.irq(ble.INDICATE_DONE) == (theirs, VALUE_HANDLE, 0)
    assert await peripheral.do(f"ble.gatts_read({VALUE_HANDLE})") == b"four"


async def test_what_does_not_fit_the_mtu_is_cut_off(boards: list[BleVm]) -> None:
    central, peripheral, _ = boards
    conn, theirs = await connect(central, peripheral)
    await peripheral.do(f"ble.gatts_set_buffer({VALUE_HANDLE}, 400)")
    await peripheral.do(f"ble.gatts_write({VALUE_HANDLE}, bytes(range(200)))")
    await peripheral.do("ble.config(mtu=150)")
    for mtu in (23, 150):
        await central.do(f"ble.gattc_read({conn}, {VALUE_HANDLE})")
        assert (await central.irq(ble.READ_RESULT))[2] == bytes(range(200))[: mtu - 1]
        await peripheral.do(f"ble.gatts_notify({theirs}, {VALUE_HANDLE})")
        assert (await central.irq(ble.NOTIFY))[2] == bytes(range(200))[: mtu - 3]
        if mtu == 23:
            await peripheral.do(f"ble.gattc_exchange_mtu({theirs})")  # either side may
            assert await central.irq(ble.MTU_EXCHANGED) == (conn, 150)
            assert await peripheral.irq(ble.MTU_EXCHANGED) == (theirs, 150)
            assert await peripheral.error(f"ble.gattc_exchange_mtu({theirs})") == errno.EALREADY
    await central.do(f"ble.gattc_write({conn}, {VALUE_HANDLE}, bytes(range(200)), 1)")
    await peripheral.irq(ble.GATTS_WRITE)
    assert await peripheral.do(f"ble.gatts_read({VALUE_HANDLE})") == bytes(range(147))


async def test_what_cannot_begin_raises_and_what_fails_tells_its_status(boards: list[BleVm]) -> None:
    central, peripheral, _ = boards
    nowhere = "0, b'\\x02' + bytes(5)"
    for line in (
        "ble.gattc_read(7, 1)",
        "ble.gattc_discover_services(7)",
        "ble.gattc_exchange_mtu(7)",
        "ble.gap_pair(7)",
        "ble.gatts_notify(7, 3)",
        "ble.l2cap_connect(7, 22, 100)",
    ):
        assert await central.error(line) == errno.ENOTCONN, line
    assert await central.error("ble.gattc_write(7, 1, '', 2)") == errno.EINVAL
    services = "[(bluetooth.UUID(n), ()) for n in range({})]"
    assert await central.error(f"ble.gatts_register_services({services.format(9)})") == errno.E2BIG
    assert len(await central.do(f"ble.gatts_register_services({services.format(8)})")) == 8
    assert await central.error("ble.gap_connect(None)") == errno.EALREADY
    assert await central.error(f"ble.gap_connect({nowhere}, 100, 1000, 2000)") == errno.EINVAL
    invalid_parameters = -0x212  # the controller's word
    assert await central.error("ble.gap_scan(0, 30000, 60000)") == invalid_parameters
    await central.do(f"ble.gap_connect({nowhere}, 100)")
    assert await central.error(f"ble.gap_connect({nowhere})") == errno.EALREADY
    assert await central.error("ble.gap_scan(0)") == errno.EBUSY
    nobody = (0xFFFF, 0xFF, bytes(6))
    assert await central.irq(ble.PERIPHERAL_DISCONNECT) == nobody
    await central.do(f"ble.gap_connect({nowhere})")
    await central.do("ble.gap_connect(None)")
    assert await central.irq(ble.PERIPHERAL_DISCONNECT) == nobody

    conn, _ = await connect(central, peripheral)
    kind, address = await peripheral.do("ble.config('mac')")
    assert await central.error(f"ble.gap_connect({kind}, {address!r})") == errno.EIO
    await central.do(f"ble.gattc_read({conn}, 99)")
    assert await central.irq(ble.READ_DONE) == (conn, 99, 0x101)
    await central.do(f"ble.gattc_read({conn}, {OTHER_HANDLE})")
    assert await central.irq(ble.READ_DONE) == (conn, OTHER_HANDLE, 0x105)
    await central.do(f"ble.gattc_write({conn}, {OTHER_HANDLE}, 'x', 1)")
    assert await central.irq(ble.WRITE_DONE) == (conn, OTHER_HANDLE, 0x103)
    assert await central.error(f"ble.gattc_discover_descriptors({conn}, 5, 5)") == errno.EINVAL
    assert await central.error(f"ble.gattc_write({conn}, 5, '', 2)") == errno.EINVAL
    await peripheral.do("import time")
    await peripheral.do("answers[4] = lambda *_: (ble.gap_disconnect(0), time.sleep_ms(500))[1]")
    await central.do(f"ble.gattc_read({conn}, {VALUE_HANDLE})")
    await central.irq(ble.PERIPHERAL_DISCONNECT)
    assert (await central.irq(ble.READ_DONE))[2] == 7  # BLE_HS_ENOTCONN
    assert [event for event, _ in central.events][-1] == ble.PERIPHERAL_DISCONNECT
    assert await central.do(f"ble.gap_disconnect({conn})") is False


async def test_a_board_holds_connections_in_both_roles(boards: list[BleVm]) -> None:
    central, peripheral, both = boards
    down, _ = await connect(both, peripheral)
    up, at_both = await connect(central, both)
    assert at_both != down
    await both.do(f"ble.gattc_read({down}, 3)")
    assert await both.irq(ble.READ_RESULT) == (down, 3, b"MPY ESP32")
    await both.do("ble.config(gap_name='between')")
    await central.do(f"ble.gattc_read({up}, 3)")
    assert await central.irq(ble.READ_RESULT) == (up, 3, b"between")
    await both.do(f"ble.gattc_read({at_both}, 3)")  # a peripheral is a client too
    assert (await both.irq(ble.READ_RESULT))[2] == b"MPY ESP32"
    assert await both.do(f"ble.gap_disconnect({down})") is True
    assert (await both.irq(ble.PERIPHERAL_DISCONNECT))[0] == down
    await peripheral.irq(ble.CENTRAL_DISCONNECT)
    assert await both.do(f"ble.gap_disconnect({at_both})") is True
    assert (await both.irq(ble.CENTRAL_DISCONNECT))[0] == at_both


async def test_the_older_name_of_the_module_gives_the_same_radio(boards: list[BleVm]) -> None:
    assert await boards[0].do("__import__('ubluetooth').BLE() is ble")


async def test_off_and_on_begins_anew(boards: list[BleVm]) -> None:
    central, peripheral, _ = boards
    conn, _ = await connect(central, peripheral)
    assert await central.do("ble.active(False)") is False
    await peripheral.irq(ble.CENTRAL_DISCONNECT)
    assert await central.error("ble.gap_scan(0)") == errno.ENODEV
    assert await central.error(f"ble.gattc_read({conn}, 3)") == errno.ENODEV
    assert await central.do("ble.active(True)") is True
    assert await connect(central, peripheral) == (conn, 0)


async def test_what_arrives_together_is_told_in_the_order_in_which_it_was_sent(tmp_path: Path) -> None:
    medium = Medium(paced=True)  # the answer and the notification wait for the same event
    async with linked(medium, tmp_path) as (central, peripheral, conn, theirs):
        for number in range(3):
            await central.do(f"ble.gattc_write({conn}, {VALUE_HANDLE}, 'x', 1)")
            await peripheral.irq(ble.GATTS_WRITE)
            await peripheral.do(f"ble.gatts_notify({theirs}, {VALUE_HANDLE}, '{number}')")
            await central.irq(ble.NOTIFY)
            await central.irq(ble.WRITE_DONE)
        told = [event for event, _ in central.events if event in (ble.NOTIFY, ble.WRITE_DONE)]
        assert told == [ble.WRITE_DONE, ble.NOTIFY] * 3
    await medium.aclose()


async def test_all_that_was_going_on_ends_before_a_connection_that_is_lost(tmp_path: Path) -> None:
    medium = Medium(paced=True)
    async with linked(medium, tmp_path) as (central, peripheral, conn, theirs):
        for metres, controller in enumerate(medium.controllers):
            medium.place(controller, Position(metres * 5000, 0))
        await central.do(f"ble.gattc_read({conn}, {VALUE_HANDLE})")
        await central.do(f"ble.gattc_write({conn}, {VALUE_HANDLE}, 'x', 1)")
        await central.do(f"ble.gattc_discover_services({conn})")
        await central.do(f"ble.gattc_discover_characteristics({conn}, 1, 99)")
        assert (
            await central.error(f"ble.gattc_read({conn}, {VALUE_HANDLE})") == errno.ENOMEM
        )  # four at a time
        await peripheral.do(f"ble.gatts_indicate({theirs}, {VALUE_HANDLE}, 'x')")
        await central.irq(ble.PERIPHERAL_DISCONNECT)
        await peripheral.irq(ble.CENTRAL_DISCONNECT)
        ended = [(event, fields[-1]) for event, fields in central.events[1:-1]]
        lost = 7  # BLE_HS_ENOTCONN
        assert ended == [
            (done, lost)
            for done in (ble.READ_DONE, ble.WRITE_DONE, ble.SERVICE_DONE, ble.CHARACTERISTIC_DONE)
        ]
        assert (ble.INDICATE_DONE, (theirs, VALUE_HANDLE, lost)) in peripheral.events
    await medium.aclose()


async def test_a_program_that_sends_faster_than_the_radio_runs_out_of_memory(tmp_path: Path) -> None:
    medium = Medium(paced=True)
    async with linked(medium, tmp_path) as (central, peripheral, conn, theirs):
        for board in (central, peripheral):
            await board.do(f"exec({FLOOD!r}, globals())")
        for board, event, line in (
            (peripheral, ble.NOTIFY, f"ble.gatts_notify({theirs}, {VALUE_HANDLE}, str(n))"),
            (central, ble.GATTS_WRITE, f"ble.gattc_write({conn}, {VALUE_HANDLE}, str(n))"),
        ):
            other = central if board is peripheral else peripheral
            sent, number = await board.do(f"flood(lambda n: {line})")
            assert number == errno.ENOMEM
            assert BUFFERS + HOST_BUFFERS <= sent < 500
            for _ in range(sent):  # nothing of it is lost, and then there is room again
                await other.irq(event)
            await board.do(line.replace("n)", "1)"))
            await other.irq(event)
    await medium.aclose()


async def test_what_a_server_pushes_at_a_client_that_does_not_read_has_a_bound() -> None:
    client = GattClient(BleHost(None, "client", lambda _op, _payload: None))
    connection = SimpleNamespace(handle=1)
    client.connected(connection)
    bearer = connection.gatt_client
    for _ in range(2 * MAX_PUSHED):
        bearer.on_gatt_pdu(att.ATT_Handle_Value_Notification(attribute_handle=1, attribute_value=b""))
        bearer.on_gatt_pdu(att.ATT_Write_Response())
    assert bearer._incoming.qsize() == MAX_PUSHED + 1
    bearer.broken()
