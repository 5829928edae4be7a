"""Packets between boards on an air pass through the access point that one of them has, and nowhere else."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from hil.air.folder import Airfield
from hil.board.board import Board
from tests.hil.board_rig import DEADLINE, bare, did
from tests.hil.test_network_server import ERROR, start

POINT = """
import network, socket, time
ap = network.WLAN(network.WLAN.IF_AP)
_ = ap.active(True)
ap.config(ssid="bench", key="correct horse", security=3)
s = socket.socket()
s.bind(("", 8767))
s.listen(2)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", 8767))
u.settimeout(10)
def echo():
    c, who = s.accept()
    print("from", who[0])
    while True:
        data = c.recv(9)
        if not data:
            break
        c.write(data)
"""
STATION = """
import network, socket, time
sta = network.WLAN()
_ = sta.active(True)
def join():
    sta.connect("bench", "correct horse")
    end = time.ticks_add(time.ticks_ms(), 20000)
    while not sta.isconnected():
        assert time.ticks_diff(end, time.ticks_ms()) > 0, sta.status()
        time.sleep_ms(10)
def connect():
    global c
    c = socket.socket()
    c.settimeout(10)
    c.connect(("192.168.4.1", 8767))
"""
UDP = "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.settimeout(10)\n"


@contextlib.asynccontextmanager
async def two(folder: Path, air: Airfield) -> AsyncIterator[tuple[Board, Board]]:
    """A board with an access point and a server behind it, and a station that has not joined."""
    async with (
        bare(folder, name="point", air=air.name) as point,
        bare(folder, name="sta", air=air.name) as station,
    ):
        assert await did(point, POINT) == ""
        assert await did(station, STATION) == ""
        yield point, station


async def test_a_station_that_has_joined_reaches_the_board_of_the_access_point(
    tmp_path: Path, air: Airfield
) -> None:
    async with two(tmp_path, air) as (point, station):
        assert await did(station, ERROR.format("connect()")) == "[Errno 113] EHOSTUNREACH\n"
        await did(station, "join()")
        await start(point, "echo()")
        assert (
            await did(station, "connect()\n_ = c.write(b'hello')\nprint(c.read(5))\nc.close()")
            == "b'hello'\n"
        )
        await point.console.wait_for(r"from 192\.168\.4\.2", DEADLINE)
        away = "sta.disconnect()\n" + ERROR.format("connect()")
        assert await did(station, away) == "[Errno 113] EHOSTUNREACH\n"


async def test_nothing_leads_out_of_that_network(tmp_path: Path, air: Airfield) -> None:
    async with two(tmp_path, air) as (_, station):
        await did(station, "join()")
        out = ERROR.format("c = socket.socket(); c.settimeout(0.2); c.connect(('10.1.2.3', 80))")
        silent = ERROR.format("c = socket.socket(); c.settimeout(0.2); c.connect(('192.168.4.9', 80))")
        name = ERROR.format("socket.getaddrinfo('example.invalid', 80)")
        assert await did(station, out + silent + name) == "[Errno 110] ETIMEDOUT\n" * 2 + "-202\n"


async def test_out_of_range_nothing_passes(tmp_path: Path, air: Airfield) -> None:
    async with two(tmp_path, air) as (point, station):
        assert station.seat is not None
        assert point.seat is not None
        point.seat.place((0, 0, 1))
        await did(station, "join()\nconnect()")
        await start(point, "echo()")
        assert await did(station, "_ = c.write(b'1')\nprint(c.read(1))") == "b'1'\n"
        station.seat.place((100_000, 0, 1))
        gone = "while sta.isconnected():\n    time.sleep_ms(5)\nc.settimeout(0.2)\n_ = c.write(b'2')\n"
        assert await did(station, gone + ERROR.format("c.read(1)")) == "[Errno 110] ETIMEDOUT\n"
        station.seat.place((1, 0, 1))
        back = "while not sta.isconnected():\n    time.sleep_ms(5)\nc.settimeout(10)\nprint(c.read(1))\n"
        assert await did(station, back) == "b'2'\n"


async def test_datagrams_pass_to_one_and_to_all(tmp_path: Path, air: Airfield) -> None:
    send = "print(u.sendto(b'one', ('192.168.4.1', 8767)), u.sendto(b'all', ('192.168.4.255', 8767)))"
    async with two(tmp_path, air) as (point, station):
        await did(station, "join()\n" + UDP)
        assert await did(station, send) == "3 3\n"
        got = "got = [u.recvfrom(9) for _ in range(2)]\nprint([g[0] for g in got], got[0][1][0])\n"
        assert await did(point, got + "_ = u.sendto(b'back', got[0][1])") == "[b'one', b'all'] 192.168.4.2\n"
        assert await did(station, "print(u.recvfrom(9))") == "(b'back', ('192.168.4.1', 8767))\n"


async def test_stations_of_one_access_point_reach_each_other(tmp_path: Path, air: Airfield) -> None:
    listen = UDP + "u.bind(('', 8768))\n"
    async with two(tmp_path, air) as (_, first), bare(tmp_path, name="second", air=air.name) as second:
        await did(first, "join()\n" + listen)
        await did(second, STATION + "join()\n" + listen + "_ = u.sendto(b'hi', ('192.168.4.2', 8768))")
        assert await did(first, "print(u.recvfrom(9))") == "(b'hi', ('192.168.4.3', 8768))\n"


async def test_addresses_by_hand_are_those_of_the_network(tmp_path: Path, air: Airfield) -> None:
    by_hand = "ap.ifconfig(('10.7.0.1', '255.255.255.0', '10.7.0.1', '8.8.8.8'))\n"
    send = "print(sta.ifconfig()[0], u.sendto(b'hi', ({!r}, 8767)))\n"
    async with two(tmp_path, air) as (point, station):
        await did(point, by_hand)
        assert await did(station, "join()\n" + UDP + send.format("10.7.0.1")) == "10.7.0.2 2\n"
        assert await did(point, "print(u.recvfrom(9)[1][0])") == "10.7.0.2\n"
        await did(
            station,
            "sta.ifconfig(('10.7.0.77', '255.255.255.0', '10.7.0.1', '8.8.8.8'))\n" + send.format("10.7.0.1"),
        )
        assert await did(point, "print(u.recvfrom(9)[1][0])") == "10.7.0.77\n"
        await did(point, by_hand.replace(".1'", ".9'"))
        await did(station, "sta.ifconfig('dhcp')\n" + send.format("10.7.0.9"))
        assert await did(point, "print(u.recvfrom(9)[1][0])") == "10.7.0.2\n"
