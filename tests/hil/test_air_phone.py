"""A phone of this process on an air, and a board of another."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner

from hil.air import client
from hil.air.remote_medium import RemoteMedium
from hil.radio.bleak_backend import backend_for
from hil.radio.path_loss import Position
from tests.hil.test_air_processes import DEADLINE, LATCHWORK, eventually, seen

BOARD = """
import bluetooth, machine
ble = bluetooth.BLE()
ble.active(True)
FLAGS = bluetooth.FLAG_READ | bluetooth.FLAG_WRITE
(((value,),)) = ble.gatts_register_services(((bluetooth.UUID(0x181A), ((bluetooth.UUID(0x2A6E), FLAGS),)),))
ble.gatts_write(value[0] if isinstance(value, tuple) else value, b"warm")
ble.gap_advertise(30_000, b"\\x02\\x01\\x06\\x05\\x09oven")
print("ready")
while True:
    machine.idle()
"""
UUID = "00002a6e-0000-1000-8000-00805f9b34fb"


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return "kitchen"


async def test_a_phone_finds_reads_and_leaves_a_board_of_another_process(air: str) -> None:
    board = await asyncio.create_subprocess_exec(
        LATCHWORK, "micropython", "--air", air, "--name", "oven", "-c", BOARD, stdout=subprocess.PIPE
    )
    try:
        assert board.stdout is not None
        assert await asyncio.wait_for(board.stdout.readline(), DEADLINE) == b"ready\n"
        radio = backend_for(await RemoteMedium.join(air, "anna"), "anna", position=Position(0, 0))
        device = await BleakScanner.find_device_by_name("oven", DEADLINE, backend=radio.scanner)
        assert device is not None
        async with BleakClient(device, backend=radio.client) as connection:
            assert bytes(await connection.read_gatt_char(UUID)) == b"warm"
            (phone,) = [one for one in (await client.look(air))["radios"] if one["name"] == "anna"]
            assert [link["peer"] for link in phone["links"]] == ["oven"]
        await radio.adapter.aclose()
        await asyncio.to_thread(
            eventually, lambda: [member["name"] for member in seen(air)["members"]] == ["oven"]
        )
    finally:
        board.kill()
        await board.wait()
