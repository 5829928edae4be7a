"""A GATT write and its answer: on the air between two stations, and between two MicroPython programs of separate commands."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from bumble import hci
from bumble.core import UUID as Uuid
from bumble.device import ConnectionParametersPreferences, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.board.signals import now_us
from hil.measure.series import Series
from hil.radio.medium import Medium
from hil.radio.station import Station, static_address

INTERVALS_MS = (7.5, 15.0, 30.0, 50.0)
WRITES = 100
LIMIT = 0.1  # of the connection interval
DEADLINE_S = 100.0
UUID = "2A6E"
MODES = Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE
NOTIFIES = Characteristic.Properties.NOTIFY

_PERIPHERAL = """
import bluetooth, machine
ble = bluetooth.BLE()
ble.active(True)
ble.gatts_register_services(((bluetooth.UUID(0x181A), ((bluetooth.UUID(0x2A6E), bluetooth.FLAG_WRITE),)),))
def advertise():
    ble.gap_advertise(20_000, b"\\x02\\x01\\x06\\x04\\x09rtt")
ble.irq(lambda event, data: advertise() if event == 2 else None)
advertise()
print("ready")
while True:
    machine.idle()
"""
_CENTRAL = """
import bluetooth, machine, sys, time
ble = bluetooth.BLE()
ble.active(True)
events = []
def irq(event, data):
    events.append((event, tuple(bytes(part) if isinstance(part, memoryview) else part for part in data)))
ble.irq(irq)
def wait(wanted):
    while True:
        for i in range(len(events)):
            if events[i][0] == wanted:
                return events.pop(i)[1]
        machine.idle()
ble.gap_scan(0, 30_000, 30_000)
while True:
    found = wait(5)
    if b"rtt" in found[4]:
        break
ble.gap_scan(None)
for us in (7500, 15000, 30000, 50000):
    ble.gap_connect(found[0], found[1], 5000, us, us)
    conn = wait(7)[0]
    ble.gattc_discover_characteristics(conn, 1, 0xFFFF)
    handle = 0
    while not handle:
        one = wait(11)
        handle = one[2] if one[4] == bluetooth.UUID(0x2A6E) else 0
    wait(12)
    ble.gattc_write(conn, handle, b"x", 1)
    wait(17)
    for _ in range(int(sys.argv[1])):
        began = time.ticks_us()
        ble.gattc_write(conn, handle, b"x", 1)
        wait(17)
        print(us, time.ticks_diff(time.ticks_us(), began))
    ble.gap_disconnect(conn)
    wait(8)
"""


async def measure(run: Run) -> Outcome:
    """Both, at each interval."""
    stations = {interval: Series("ms") for interval in INTERVALS_MS}
    programs = {interval: Series("ms") for interval in INTERVALS_MS}
    for interval, series in stations.items():
        run.say(f"{run.count(WRITES)} writes at a connection interval of {interval:g} ms")
        await _between_stations(interval, run.count(WRITES), series)
    run.say(f"{run.count(WRITES)} writes at each between two programs")
    await _between_programs(run.folder, run.count(WRITES), programs)
    lines: list[Line] = []
    all_series: dict[str, Series] = {}
    for what, found in (("write and answer", stations), ("the same of two programs", programs)):
        for interval, measured in found.items():
            name = f"{what} at {interval:g} ms"
            off = abs(measured.median - interval)
            lines.append(Line(f"{name}: p50", measured.median, "ms"))
            lines.append(Line(f"{name}: off the interval", off, "ms", interval, "the interval", LIMIT))
            all_series[name] = measured
    return Outcome(lines, all_series)


async def _between_stations(interval_ms: float, writes: int, series: Series) -> None:
    medium = Medium(paced=True)
    _, connection = await connected(medium, interval_ms, MODES)
    target = await characteristic(connection)
    await target.write_value(b"x", with_response=True)
    for _ in range(writes):
        began = now_us()
        await target.write_value(b"x" * 20, with_response=True)
        series.add((now_us() - began) / 1000)
    await medium.aclose()


async def connected(medium: Medium, interval_ms: float, properties: Any) -> tuple[Station, Any]:
    """A peripheral with one characteristic, and a central's connection to it."""
    peripheral, central = await _station(medium, 1), await _station(medium, 2)
    value = CharacteristicValue(read=lambda _: b"", write=lambda _, __: None)
    permissions = Characteristic.WRITEABLE | Characteristic.READABLE
    peripheral.device.add_service(Service("181A", [Characteristic(UUID, properties, permissions, value)]))
    await peripheral.device.start_advertising(advertising_interval_min=20, advertising_interval_max=20)
    wanted = ConnectionParametersPreferences(
        connection_interval_min=interval_ms, connection_interval_max=interval_ms, supervision_timeout=4000
    )
    connection = await central.device.connect_le(
        peripheral.device.random_address, connection_parameters_preferences={hci.HCI_LE_1M_PHY: wanted}
    )
    return peripheral, connection


async def _station(medium: Medium, number: int) -> Station:
    public = hci.Address(bytes((number, 0, 0, 0, 0, 2)), hci.Address.PUBLIC_DEVICE_ADDRESS)
    made = Station(medium, f"station {number}", public, static_address(bytes((number,)) * 6))
    await made.on()
    return made


async def characteristic(connection: Any) -> Any:
    peer = Peer(connection)
    await peer.discover_services()
    await peer.discover_characteristics()
    (found,) = peer.get_characteristics_by_uuid(Uuid(UUID))
    return found


async def _between_programs(folder: Path, writes: int, series: dict[float, Series]) -> None:
    """Two commands on an air of their own."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "LATCHWORK_AIR": "bench"}
    command = [str(Path(sys.executable).with_name("latchwork")), "micropython", "-c"]
    pipe = asyncio.subprocess.PIPE
    door = await asyncio.create_subprocess_exec(*command, _PERIPHERAL, stdout=pipe, env=environment)
    try:
        assert door.stdout is not None
        await asyncio.wait_for(door.stdout.readline(), DEADLINE_S)
        phone = await asyncio.create_subprocess_exec(
            *command, _CENTRAL, str(writes), stdout=pipe, env=environment
        )
        said, _ = await asyncio.wait_for(phone.communicate(), DEADLINE_S)
    finally:
        door.kill()
        await door.wait()
    for line in said.decode().splitlines():
        interval_us, took_us = map(int, line.split())
        series[interval_us / 1000].add(took_us / 1000)


ENTRY = Entry("gatt_round_trip", "GATT write at the connection interval", measure)
