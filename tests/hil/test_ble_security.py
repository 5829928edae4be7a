"""MicroPython's pairing and bonding, between real VMs whose programs keep the secrets."""

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.radio import ble_ops
from hil.radio.ble_address import RPA_TIMEOUT_S
from hil.radio.ble_security import REENCRYPT_AFTER
from hil.radio.ble_stack import BleStack
from hil.radio.medium import Medium
from tests.hil import ble_vm as ble
from tests.hil.ble_vm import BleVm, connect, vms
from tests.hil.virtual_time import run

SERVICES = (
    f"((bluetooth.UUID(0x1815), ((bluetooth.UUID(0x2a56), {ble.READ | ble.READ_ENCRYPTED}),"
    f" (bluetooth.UUID(0x2a57), {ble.READ | ble.READ_AUTHENTICATED}))),)"
)
ENCRYPTED_HANDLE, AUTHENTICATED_HANDLE = 16, 18
INSUFFICIENT_AUTHENTICATION, INSUFFICIENT_ENCRYPTION = 0x105, 0x10F
DISPLAY, DISPLAY_YES_NO, KEYBOARD, NONE = 0, 1, 2, 3
INPUT, SHOW, COMPARE = 2, 3, 4
BOTH_KEPT = ["secret 1 True", "secret 2 True"]


@pytest.fixture
async def boards(medium: Medium, tmp_path: Path) -> AsyncIterator[list[BleVm]]:
    """A central and a peripheral, not active yet."""
    async with vms(medium, tmp_path, 2) as boards:
        yield boards


async def up(board: BleVm, **config: bool | int) -> None:
    settings = ", ".join(f"{name}={value}" for name, value in config.items())
    if settings:
        await board.do(f"ble.config({settings})")
    await board.do("ble.active(True)")


async def serve(peripheral: BleVm, **config: bool | int) -> None:
    await up(peripheral, **config)
    await peripheral.do(f"ble.gatts_register_services({SERVICES})")
    for handle in (ENCRYPTED_HANDLE, AUTHENTICATED_HANDLE):
        await peripheral.do(f"ble.gatts_write({handle}, 'secret')")


async def read(central: BleVm, conn: int, handle: int) -> int:
    """Status of a read."""
    await central.do(f"ble.gattc_read({conn}, {handle})")
    status = (await central.irq(ble.READ_DONE))[2]
    assert bool(status) != bool(central.since(ble.READ_RESULT))
    return int(status)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_bond_outlives_the_processes_of_both(boards: list[BleVm], secure: bool) -> None:
    central, peripheral = boards
    for restarted in (False, True):
        if restarted:
            for board in boards:
                await board.power_cut()
                await board.start()
        await serve(peripheral, bond=True, le_secure=secure)
        await up(central, bond=True, le_secure=secure)
        conn, theirs = await connect(central, peripheral)
        refusal = INSUFFICIENT_ENCRYPTION if restarted else INSUFFICIENT_AUTHENTICATION
        assert await read(central, conn, ENCRYPTED_HANDLE) == refusal
        await central.do(f"ble.gap_pair({conn})")
        assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 0, 1, 16)
        assert await peripheral.irq(ble.ENCRYPTION_UPDATE) == (theirs, 1, 0, 1, 16)
        assert await read(central, conn, ENCRYPTED_HANDLE) == 0
        assert await read(central, conn, AUTHENTICATED_HANDLE) == INSUFFICIENT_AUTHENTICATION
    assert central.secrets == peripheral.secrets == BOTH_KEPT  # of the first life alone


async def test_a_bonded_peer_that_comes_back_is_encrypted_without_being_asked(boards: list[BleVm]) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=True, le_secure=True)
    await up(central, bond=True, le_secure=True)
    conn, theirs = await connect(central, peripheral)
    await peripheral.do(f"ble.gap_pair({theirs})")  # the peripheral asks for it
    await central.irq(ble.ENCRYPTION_UPDATE)
    await peripheral.irq(ble.ENCRYPTION_UPDATE)
    await central.do(f"ble.gap_disconnect({conn})")
    await peripheral.irq(ble.CENTRAL_DISCONNECT)
    conn, theirs = await connect(central, peripheral)
    assert await peripheral.irq(ble.ENCRYPTION_UPDATE) == (theirs, 1, 0, 1, 16)
    assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 0, 1, 16)
    assert central.secrets == BOTH_KEPT


async def test_a_program_that_keeps_no_secrets_is_asked_once(boards: list[BleVm]) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=True)
    await central.do("asked = []")
    await central.do("get_secret = lambda *fields: asked.append(fields)")
    await central.do("set_secret = lambda *_: False")
    await up(central, bond=True)
    await central.do("asked.clear()")
    conn, _ = await connect(central, peripheral)
    await asyncio.sleep(REENCRYPT_AFTER * 1.5)
    assert await read(central, conn, ENCRYPTED_HANDLE) == INSUFFICIENT_AUTHENTICATION
    assert await central.do("asked") == []


async def test_a_program_that_finds_bonds_by_their_peer_alone_is_encrypted_in_its_next_life(
    boards: list[BleVm],
) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=True)
    await central.do("ask = get_secret")
    await central.do("get_secret = lambda kind, index, key: key and ask(kind, index, key)")
    for restarted in (False, True):
        await up(central, bond=True)
        conn, theirs = await connect(central, peripheral)
        if not restarted:
            await central.do(f"ble.gap_pair({conn})")
        assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 0, 1, 16)
        assert await peripheral.irq(ble.ENCRYPTION_UPDATE) == (theirs, 1, 0, 1, 16)
        await central.do("ble.active(False)")
        await peripheral.irq(ble.CENTRAL_DISCONNECT)


async def test_a_wrong_passkey_encrypts_nothing(boards: list[BleVm]) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=True, mitm=True, io=DISPLAY)
    await up(central, bond=True, mitm=True, io=KEYBOARD)
    conn, theirs = await connect(central, peripheral)
    await central.do(f"ble.gap_pair({conn})")
    await peripheral.irq(ble.PASSKEY_ACTION)
    await peripheral.do(f"ble.gap_passkey({theirs}, {SHOW}, 111111)")
    await central.irq(ble.PASSKEY_ACTION)
    await central.do(f"ble.gap_passkey({conn}, {INPUT}, 111112)")
    for board, number in ((central, conn), (peripheral, theirs)):
        assert await board.irq(ble.ENCRYPTION_UPDATE) == (number, 0, 0, 0, 0)
    assert await read(central, conn, ENCRYPTED_HANDLE) == INSUFFICIENT_AUTHENTICATION
    assert central.secrets == peripheral.secrets == []


async def test_a_starting_radio_asks_for_what_nimble_asks_for(boards: list[BleVm]) -> None:
    board, _ = boards
    await board.do("asked = []")
    await board.do("ask, keep = get_secret, set_secret")
    await board.do("get_secret = lambda *fields: (asked.append(fields), ask(*fields))[1]")
    await board.do("set_secret = lambda *fields: (asked.append(fields[:2]), keep(*fields))[1]")
    await up(board)
    peers, key = (2, 0, None), (10, 0, b"irk")
    assert await board.do("asked") == [peers, key, key[::2], peers]
    await board.do("asked.clear()")
    await up(board)
    assert await board.do("asked") == [peers, key, peers]


async def test_without_bonding_nothing_is_kept(boards: list[BleVm]) -> None:
    central, peripheral = boards
    await serve(peripheral, io=9)  # would bond; no capability that there is counts as none
    await up(central, bond=False)
    conn, _ = await connect(central, peripheral)
    for _ in range(2):  # also twice on one connection
        await central.do(f"ble.gap_pair({conn})")
        assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 0, 0, 16)
        await peripheral.irq(ble.ENCRYPTION_UPDATE)
    assert await read(central, conn, ENCRYPTED_HANDLE) == 0
    assert central.secrets == peripheral.secrets == []


async def test_a_peer_that_lost_its_keys_pairs_anew(boards: list[BleVm]) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=True, le_secure=True)
    await up(central, bond=True, le_secure=True)
    conn, _ = await connect(central, peripheral)
    await central.do(f"ble.gap_pair({conn})")
    await central.irq(ble.ENCRYPTION_UPDATE)
    await peripheral.irq(ble.ENCRYPTION_UPDATE)
    await central.do(f"ble.gap_disconnect({conn})")
    await peripheral.irq(ble.CENTRAL_DISCONNECT)
    await central.do("secrets.clear()")
    conn, theirs = await connect(central, peripheral)
    await central.do(f"ble.gap_pair({conn})")
    assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 0, 1, 16)
    assert await peripheral.irq(ble.ENCRYPTION_UPDATE) == (theirs, 1, 0, 1, 16)
    assert peripheral.secrets == [*BOTH_KEPT, "secret 1 False", "secret 2 False", *BOTH_KEPT]


@pytest.mark.parametrize(("secure", "passkey"), [(True, 123456), (False, 0), (True, 0)])
async def test_a_passkey_authenticates(boards: list[BleVm], secure: bool, passkey: int) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=False, mitm=True, le_secure=secure, io=DISPLAY)
    await up(central, bond=False, mitm=True, le_secure=secure, io=KEYBOARD)
    conn, theirs = await connect(central, peripheral)
    assert await central.error(f"ble.gap_passkey({conn}, {INPUT}, 1)") == errno.ENOENT
    await central.do(f"ble.gap_pair({conn})")
    assert await central.error(f"ble.gap_pair({conn})") == errno.EALREADY
    assert await peripheral.irq(ble.PASSKEY_ACTION) == (theirs, SHOW, 0)
    assert await peripheral.error(f"ble.gap_passkey({theirs}, {INPUT}, 1)") == errno.EINVAL
    assert await peripheral.error(f"ble.gap_passkey({theirs}, {SHOW}, 1000000)") == errno.EINVAL
    await peripheral.do(f"ble.gap_passkey({theirs}, {SHOW}, {passkey})")
    assert await central.irq(ble.PASSKEY_ACTION) == (conn, INPUT, 0)
    await central.do(f"ble.gap_passkey({conn}, {INPUT}, {passkey})")
    assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 1, 0, 16)
    assert await peripheral.irq(ble.ENCRYPTION_UPDATE) == (theirs, 1, 1, 0, 16)
    assert await read(central, conn, AUTHENTICATED_HANDLE) == 0


@pytest.mark.parametrize("same", [True, False])
async def test_numbers_are_compared(boards: list[BleVm], same: bool) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=False, mitm=True, le_secure=True, io=DISPLAY_YES_NO)
    await up(central, bond=False, mitm=True, le_secure=True, io=DISPLAY_YES_NO)
    conn, theirs = await connect(central, peripheral)
    await central.do(f"ble.gap_pair({conn})")
    shown = [(await board.irq(ble.PASSKEY_ACTION))[1:] for board in boards]
    assert shown[0] == shown[1]
    assert shown[0][0] == COMPARE
    await central.do(f"ble.gap_passkey({conn}, {COMPARE}, 1)")
    await peripheral.do(f"ble.gap_passkey({theirs}, {COMPARE}, {int(same)})")
    for board, number in ((central, conn), (peripheral, theirs)):
        update = await board.irq(ble.ENCRYPTION_UPDATE)
        assert update == ((number, 1, 1, 0, 16) if same else (number, 0, 0, 0, 0))
    expected = 0 if same else INSUFFICIENT_AUTHENTICATION
    assert await read(central, conn, AUTHENTICATED_HANDLE) == expected


async def test_the_key_of_private_addresses_is_the_programs(boards: list[BleVm]) -> None:
    central, peripheral = boards
    await serve(peripheral, bond=True, le_secure=True)
    await up(central, bond=True, le_secure=True)
    await peripheral.do("ble.config(addr_mode=2)")
    assert await peripheral.error("ble.config('mac')") == errno.EINVAL
    await peripheral.do(f"ble.gap_advertise(20000, {ble.FLAGS!r})")
    await central.do("ble.gap_scan(0, 30000, 30000)")
    kind, private = (await central.irq(ble.SCAN_RESULT))[:2]
    assert (kind, private[0] >> 6) == (1, 1)  # resolvable
    await central.do(f"ble.gap_connect({kind}, {private!r}, 15000)")
    conn = (await central.irq(ble.PERIPHERAL_CONNECT))[0]
    await central.do(f"ble.gap_pair({conn})")
    await central.irq(ble.ENCRYPTION_UPDATE)
    await peripheral.irq(ble.ENCRYPTION_UPDATE)
    await central.do(f"ble.gap_disconnect({conn})")
    await peripheral.irq(ble.CENTRAL_DISCONNECT)
    for restarted in (False, True):
        if restarted:
            await central.power_cut()
            await central.start()
            await up(central, bond=True)
        await peripheral.do(f"ble.gap_advertise(20000, {ble.FLAGS!r})")
        await central.do("ble.gap_scan(0, 30000, 30000)")
        central.since(ble.SCAN_RESULT)
        identity = 0, bytes.fromhex("240ac4000001")
        assert (await central.irq(ble.SCAN_RESULT))[:2] == identity
        await central.do(f"ble.gap_connect({identity[0]}, {identity[1]!r}, 15000)")
        conn, *peer = await central.irq(ble.PERIPHERAL_CONNECT)
        assert tuple(peer) == identity
        await central.do(f"ble.gap_pair({conn})")
        assert await central.irq(ble.ENCRYPTION_UPDATE) == (conn, 1, 0, 1, 16)
        await central.do(f"ble.gap_disconnect({conn})")
        await peripheral.irq(ble.CENTRAL_DISCONNECT)
    assert central.secrets == peripheral.secrets == BOTH_KEPT


async def test_a_private_address_that_runs_out_is_known_to_bonded_peers_and_strange_to_others(
    medium: Medium, tmp_path: Path
) -> None:
    async with vms(medium, tmp_path, 3) as (friend, peripheral, stranger):
        await serve(peripheral, bond=True)
        await peripheral.do("ble.config(addr_mode=2)")
        await up(friend, bond=True)
        await up(stranger)
        conn, first = await connect_to_any(friend, peripheral)
        await friend.do(f"ble.gap_pair({conn})")
        await friend.irq(ble.ENCRYPTION_UPDATE)
        await peripheral.irq(ble.ENCRYPTION_UPDATE)
        medium.expire_addresses()
        await peripheral.do(f"ble.gap_advertise(20000, {ble.FLAGS!r})")
        seen = {first}
        for _ in range(3):  # in mid-advertising, and the connection goes on
            address = await seen_at(stranger)
            assert address[0] == 1
            assert address[1][0] >> 6 == 1
            assert address not in seen
            seen.add(address)
            assert await seen_at(friend) == (0, bytes.fromhex("240ac4000001"))
            medium.expire_addresses()
        assert await read(friend, conn, ENCRYPTED_HANDLE) == 0
        await peripheral.do("ble.config(addr_mode=3)")
        address = await seen_at(stranger)
        assert (address[0], address[1][0] >> 6) == (1, 0)  # not resolvable
        medium.expire_addresses()
        assert await seen_at(stranger) == address  # NimBLE's does not change by itself


async def connect_to_any(central: BleVm, peripheral: BleVm) -> tuple[int, tuple[int, bytes]]:
    """Handle at the central, and the address that the peripheral was found at."""
    await peripheral.do(f"ble.gap_advertise(20000, {ble.FLAGS!r})")
    kind, address = await seen_at(central)
    await central.do(f"ble.gap_connect({kind}, {address!r}, 15000)")
    return (await central.irq(ble.PERIPHERAL_CONNECT))[0], (kind, address)


async def seen_at(scanner: BleVm) -> tuple[int, bytes]:
    """The address of the next advertisement."""
    await scanner.do("ble.gap_scan(0, 30000, 30000)")
    scanner.since(ble.SCAN_RESULT)
    kind, address = (await scanner.irq(ble.SCAN_RESULT))[:2]
    await scanner.do("ble.gap_scan(None)")
    return kind, address


async def chosen_mode(stack: BleStack, mode: int) -> None:
    chosen = stack.handle(ble_ops.CONFIG_SET, b"addr_mode=%c" % mode)
    assert chosen is not None
    assert not isinstance(chosen, bytes)
    await chosen


def test_a_private_address_lasts_a_quarter_of_an_hour() -> None:
    async def addresses() -> list[object]:
        stack = BleStack(Medium(), "board", lambda _op, _payload: None, bytes(6), None)
        await stack.start(False)
        found = []
        await chosen_mode(stack, 2)
        for _ in range(4):
            found.append(stack.station.controller.random_address)
            await asyncio.sleep(RPA_TIMEOUT_S / 2 + 1e-3)
        await stack.stop()
        return found

    first, same, second, still = run(addresses())
    assert first == same
    assert second == still != first


def test_an_address_that_was_chosen_as_the_private_one_ran_out_stays() -> None:
    async def addresses() -> tuple[object, object]:
        medium = Medium()
        stack = BleStack(medium, "board", lambda _op, _payload: None, bytes(6), None)
        await stack.start(False)
        await chosen_mode(stack, 2)
        medium.expire_addresses()
        await asyncio.sleep(0)  # the next one is being drawn
        await chosen_mode(stack, 1)
        await asyncio.sleep(1.5 * RPA_TIMEOUT_S)
        found = stack.station.controller.random_address, stack.station.device.static_address
        await stack.stop()
        return found

    now, chosen = run(addresses())
    assert now == chosen


async def test_a_bonded_peers_subscription_ends_with_its_connection(boards: list[BleVm]) -> None:
    """NimBLE could keep it; MicroPython's store has no place for it (BLE_STORE_OBJ_TYPE_CCCD)."""
    central, peripheral = boards
    await up(peripheral, bond=True)
    flags = ble.READ | ble.NOTIFIES
    await peripheral.do(
        f"ble.gatts_register_services(((bluetooth.UUID(0x1815), ((bluetooth.UUID(0x2a56), {flags}),)),))"
    )
    await up(central, bond=True)
    for bonded in (False, True):
        conn, _ = await connect(central, peripheral)
        await central.do(f"ble.gap_pair({conn})")
        await central.irq(ble.ENCRYPTION_UPDATE)
        await peripheral.irq(ble.ENCRYPTION_UPDATE)
        if not bonded:
            await central.do(f"ble.gattc_write({conn}, 17, b'\x01\x00', 1)")
            await central.irq(ble.WRITE_DONE)
        await peripheral.do("ble.gatts_write(16, 'news', True)")
        assert await read(central, conn, 16) == 0
        assert len(central.since(ble.NOTIFY)) == (0 if bonded else 1)
        await central.do(f"ble.gap_disconnect({conn})")
        await peripheral.irq(ble.CENTRAL_DISCONNECT)
    assert peripheral.secrets == BOTH_KEPT


async def test_the_program_goes_on_between_its_pairing_and_the_first_access(tmp_path: Path) -> None:
    medium = Medium(paced=True)
    async with vms(medium, tmp_path, 2) as (central, peripheral):
        await serve(peripheral)
        await up(central)
        conn, _ = await connect(central, peripheral)
        await central.do(f"answers[28] = lambda *_: ble.gattc_read({conn}, {ENCRYPTED_HANDLE})")
        await peripheral.do("ended = []")
        await peripheral.do("answers[28] = lambda *_: ended.append(28)")
        await peripheral.do("answers[4] = lambda *_: ended.append(4)")
        await central.do(f"ble.gap_pair({conn})")
        await peripheral.irq(ble.ENCRYPTION_UPDATE)
        assert await peripheral.do("ended") == [28]
        await peripheral.irq(ble.GATTS_READ_REQUEST)
        assert (await central.irq(ble.READ_DONE))[2] == 0
    await medium.aclose()
