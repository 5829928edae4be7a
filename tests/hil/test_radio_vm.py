"""MicroPython's bluetooth module on a real VM, seen through bleak."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError, BleakGATTProtocolError

from hil.radio.bleak_backend import PhoneRadio, backend_for
from hil.radio.medium import Medium
from tests.hil.radio_vm import DEADLINE, RadioVm

SCRIPT = Path(__file__).with_name("vm_peripheral.py")
MAC = "240ac4000102"
PUBLIC, RANDOM, NON_RESOLVABLE = "0", "1", "3"


def char(n: int) -> str:
    return f"6c617463-6877-6f72-6b00-0000000000a{n}"


COUNTED, LONG, SHORT, ECHO, NOTIFY, INDICATE, CONTROL, APPEND, SECURE = map(char, range(1, 10))


@asynccontextmanager
async def phone_on(medium: Medium, name: str = "phone", mtu: int | None = 517) -> AsyncIterator[PhoneRadio]:
    radio = backend_for(medium, name, mtu=mtu)
    yield radio
    await radio.adapter.aclose()


async def find(radio: PhoneRadio) -> BLEDevice:
    device = await BleakScanner.find_device_by_name("vmp1", DEADLINE, backend=radio.scanner)
    assert device is not None
    return device


@asynccontextmanager
async def connected(
    medium: Medium, mode: str = PUBLIC, mtu: str = "247", phone_mtu: int | None = 517
) -> AsyncIterator[tuple[RadioVm, BleakClient]]:
    async with AsyncExitStack() as stack:
        vm = await stack.enter_async_context(RadioVm(medium, SCRIPT, mode, mtu, mac=MAC))
        await vm.line("ready")
        radio = await stack.enter_async_context(phone_on(medium, mtu=phone_mtu))
        client = await stack.enter_async_context(BleakClient(await find(radio), backend=radio.client))
        yield vm, client


async def heard(client: BleakClient, characteristic: str) -> "asyncio.Queue[bytes]":
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    await client.start_notify(characteristic, lambda _, data: queue.put_nowait(bytes(data)))
    return queue


@pytest.mark.parametrize(("mode", "kind"), [(PUBLIC, "0"), (RANDOM, "1"), (NON_RESOLVABLE, "1")])
async def test_a_central_reads_writes_and_is_notified_at_every_kind_of_address(
    medium: Medium, mode: str, kind: str
) -> None:
    async with connected(medium, mode) as (vm, client):
        mac = next(line for line in vm.printed if line.startswith("mac"))
        assert mac.split() == ["mac", kind, client.address.replace(":", "").lower()]
        assert (mode == PUBLIC) == (mac.split()[2] == MAC)
        queue = await heard(client, NOTIFY)
        await client.write_gatt_char(ECHO, b"with response", response=True)
        assert await asyncio.wait_for(queue.get(), DEADLINE) == b"with response"
        assert await client.read_gatt_char(COUNTED) == b"read 1"
        assert client.name == "vmp1"
        assert bytes(await client.read_gatt_char("00002a00-0000-1000-8000-00805f9b34fb")) == b"vm door"


async def test_two_writes_in_a_row_are_both_seen_by_the_handler(medium: Medium) -> None:
    async with connected(medium) as (_, client):
        queue = await heard(client, NOTIFY)
        for text in (b"first", b"second", b"third"):
            await client.write_gatt_char(ECHO, text, response=False)
        got = [await asyncio.wait_for(queue.get(), DEADLINE) for _ in range(3)]
        assert got == [b"first", b"second", b"third"]


async def test_a_read_request_is_denied_with_the_code_the_handler_returns(medium: Medium) -> None:
    async with connected(medium) as (_, client):
        assert await client.read_gatt_char(COUNTED) == b"read 1"
        await client.write_gatt_char(CONTROL, b"deny 8", response=True)
        with pytest.raises(BleakGATTProtocolError) as denied:
            await client.read_gatt_char(COUNTED)
        assert denied.value.code == 8
        await client.write_gatt_char(CONTROL, b"deny 0", response=True)
        assert await client.read_gatt_char(COUNTED) == b"read 3"


@pytest.mark.parametrize(
    ("door", "phone", "agreed"), [("247", None, 23), ("23", 517, 23), ("185", 517, 185), ("517", 247, 247)]
)
async def test_long_values_pass_at_every_mtu(
    medium: Medium, door: str, phone: int | None, agreed: int
) -> None:
    async with connected(medium, mtu=door, phone_mtu=phone) as (vm, client):
        assert client.mtu_size == agreed
        if phone is not None:
            assert (await vm.line("irq 21")).endswith(f" {agreed})")
        assert await client.read_gatt_char(LONG) == bytes(range(200))
        queue = await heard(client, NOTIFY)
        long_write = bytes(i & 0xFF for i in range(240))
        await client.write_gatt_char(ECHO, long_write, response=True)
        assert await asyncio.wait_for(queue.get(), DEADLINE) == long_write[: agreed - 3]
        characteristic = client.services.get_characteristic(ECHO)
        assert characteristic is not None
        assert characteristic.max_write_without_response_size == agreed - 3
        with pytest.raises(BleakError):
            await client.write_gatt_char(ECHO, bytes(agreed - 2), response=False)


async def test_values_are_cut_to_their_buffer_and_append_buffers_add_up(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        await client.write_gatt_char(SHORT, b"x" * 50, response=True)
        assert await client.read_gatt_char(SHORT) == b"x" * 20
        await client.write_gatt_char(APPEND, b"a" * 25, response=True)
        assert (await vm.line("write 0 32")).count("a") == 25
        await client.write_gatt_char(APPEND, b"b" * 40, response=True)
        # The firmware's read emptied the buffer, so the second write starts anew, cut to 30.
        assert (await vm.line("write 0 32")).count("b") == 31  # with the b of the bytes literal


async def test_what_the_flags_do_not_allow_is_refused(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        for operation, code in (
            (client.read_gatt_char(ECHO), 2),
            (client.write_gatt_char(COUNTED, b"", response=True), 3),
            (client.read_gatt_char(SECURE), 5),
            (client.write_gatt_char(SECURE, b"", response=True), 5),
        ):
            with pytest.raises(BleakGATTProtocolError) as refused:
                await operation
            assert refused.value.code == code
        assert not [line for line in vm.printed if line.startswith(("read ", "write "))]


async def test_descriptors_are_found_read_and_written(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        characteristic = client.services.get_characteristic(APPEND)
        assert characteristic is not None
        (descriptor,) = characteristic.descriptors
        assert await client.read_gatt_descriptor(descriptor) == b"append"
        await client.write_gatt_descriptor(descriptor, b"renamed")
        assert await client.read_gatt_descriptor(descriptor) == b"renamed"
        await vm.line(f"write 0 {descriptor.handle}")


async def test_an_update_reaches_subscribers_only_but_a_notification_reaches_anyone(medium: Medium) -> None:
    async with connected(medium) as (_, client):
        queue = await heard(client, NOTIFY)
        await client.write_gatt_char(CONTROL, b"update one", response=True)
        assert await asyncio.wait_for(queue.get(), DEADLINE) == b"one"
        await client.stop_notify(NOTIFY)
        await client.write_gatt_char(CONTROL, b"update two", response=True)
        await client.start_notify(NOTIFY, lambda _, data: queue.put_nowait(bytes(data)))
        await client.write_gatt_char(CONTROL, b"local three", response=True)
        assert await asyncio.wait_for(queue.get(), DEADLINE) == b"three"
        assert await client.read_gatt_char(NOTIFY) == b"three"
        assert queue.empty()


async def test_an_indication_is_confirmed_to_the_firmware(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        queue = await heard(client, INDICATE)
        await client.write_gatt_char(CONTROL, b"indicate now", response=True)
        assert await asyncio.wait_for(queue.get(), DEADLINE) == b"now"
        assert (await vm.line("irq 20")).endswith(" 0)")


async def test_new_connection_parameters_reach_the_firmware(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        connection = client._backend._connection  # type: ignore[attr-defined]
        await connection.update_parameters(30, 30, 1, 2000)
        assert await vm.line("irq 27") == "(0, 24, 1, 200, 0)"


async def test_two_centrals_hold_a_link_each(medium: Medium) -> None:
    async with connected(medium) as (vm, first), phone_on(medium, "second") as radio:
        async with BleakClient(await find(radio), backend=radio.client) as second:
            queues = [await heard(client, NOTIFY) for client in (first, second)]
            for client, text in ((first, b"1"), (second, b"2"), (first, b"3")):
                await client.write_gatt_char(ECHO, text, response=True)
            assert await asyncio.wait_for(queues[1].get(), DEADLINE) == b"2"
            assert await asyncio.wait_for(queues[0].get(), DEADLINE) == b"1"
            assert await asyncio.wait_for(queues[0].get(), DEADLINE) == b"3"
            assert queues[1].empty()
        assert (await vm.line("disconnect 1")).endswith(radio.adapter.address.replace(":", "").lower())
        assert first.is_connected


async def test_the_firmware_can_drop_a_central(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        await client.write_gatt_char(CONTROL, b"drop", response=False)
        assert await vm.line("dropped") == "True False"
        await vm.line("disconnect 0")
        with pytest.raises(BleakError):
            await client.read_gatt_char(LONG)


async def test_an_address_kept_after_the_handler_is_not_an_address(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        await client.write_gatt_char(CONTROL, b"kept", response=True)
        assert await vm.line("kept") == "000000000000"


async def test_a_handler_that_raises_costs_the_handler_not_the_link(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        await client.write_gatt_char(CONTROL, b"crash", response=True)
        assert await client.read_gatt_char(LONG) == bytes(range(200))
        assert "Unhandled exception in IRQ callback handler" in vm.printed
        assert "ValueError: on purpose" in vm.printed
        assert await client.read_gatt_char(COUNTED) == b""  # the port takes the handler away


async def test_a_power_cut_drops_the_link_and_the_door_comes_back(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        gone = asyncio.Event()
        client._backend.set_disconnected_callback(gone.set)
        await vm.power_cut()
        with pytest.raises(BleakError):
            await client.read_gatt_char(LONG)
        await asyncio.wait_for(gone.wait(), DEADLINE)
        assert not client.is_connected
        await vm.start()
        await vm.line("ready")
        await client.connect()
        assert await client.read_gatt_char(LONG) == bytes(range(200))


async def test_a_firmware_that_does_not_answer_costs_an_error_not_a_hung_link(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.radio.ble_host.ANSWER_TIMEOUT", 0.2)
    async with connected(medium) as (_, client):
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(CONTROL, b"sleep 600", response=True)
        assert refused.value.code == 14
        # Answers that come late belong to no request any more.
        await client.write_gatt_char(SHORT, b"x", response=False)
        assert client.is_connected


async def test_switching_the_radio_off_ends_links_properly(medium: Medium) -> None:
    async with connected(medium) as (vm, client):
        gone = asyncio.Event()
        client._backend.set_disconnected_callback(gone.set)
        await client.write_gatt_char(CONTROL, b"off", response=False)
        await vm.line("off")
        await asyncio.wait_for(gone.wait(), DEADLINE)
        assert [c.name for c in medium.controllers] == ["phone"]


async def test_errors_are_those_of_the_esp32_port(medium: Medium) -> None:
    async with RadioVm(medium, SCRIPT, PUBLIC, "247", mac=MAC) as vm:
        assert await vm.line("inactive") == "19 19 19 b''"
        assert await vm.line("busy") == "16"
        assert await vm.line("handles") == "16 18 24 30"
        await vm.line("ready")


async def test_five_reboots_leave_nothing_on_the_air(medium: Medium) -> None:
    vm = RadioVm(medium, SCRIPT, PUBLIC, "247", mac=MAC)
    for _ in range(5):
        await vm.start()
        await vm.line("ready")
        assert len(medium.controllers) == 1
        await vm.power_cut()
        assert not medium.controllers
