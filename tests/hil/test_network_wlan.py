"""``network.WLAN`` as on an ESP32: one board's access point, another's station, on one air of separate commands."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hil.test_vm_executable import BOARD, run

DEADLINE = 40.0
SEEN = ("192.168.4.2", 7)  # where the access point tells its first station that it has noticed it
HERE = "import network, socket, time\nN = network.WLAN\nap, sta = N(N.IF_AP), N(N.IF_STA)\n"
WAIT = """
def wait(f):
    end = time.ticks_add(time.ticks_ms(), 20000)
    while not f():
        assert time.ticks_diff(end, time.ticks_ms()) > 0, sta.status()
        time.sleep_ms(10)
def fails(f, *args, **kw):
    try:
        print(f(*args, **kw))
    except Exception as e:
        print(repr(e))
"""
POINT = f"""{HERE}{WAIT}
import sys
ap.active(True)
ap.config(ssid="bench", key="correct horse", security=N.SEC_WPA2, channel=8)
print("up")
wait(ap.isconnected)
print("joined", ap.status("stations"))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"seen", {SEEN})
wait(lambda: not ap.isconnected())
print("left")
sys.stdin.readline()
ap.active(False)
print("down")
"""


@pytest.fixture(autouse=True)
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LATCHWORK_AIR", "wlan")


@pytest.fixture
def point(air: None) -> Iterator[subprocess.Popen[str]]:
    """A board whose access point is up."""
    with subprocess.Popen(
        [*BOARD, "-c", POINT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_a_station_finds_joins_and_leaves_the_access_point_of_another_board(
    point: subprocess.Popen[str],
) -> None:
    program = f"""{HERE}{WAIT}
sta.active(True)
found = [row for row in sta.scan() if row[0] == b"bench"]
print(found[0][2:], len(found[0][1]))
sta.connect("bench", "wrong")
wait(lambda: sta.status() == network.STAT_WRONG_PASSWORD)
sta.disconnect()
told = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
told.bind(("0.0.0.0", {SEEN[1]}))
sta.connect("bench", "correct horse")
wait(sta.isconnected)
told.settimeout(20)
told.recv(4)
print(sta.status() == network.STAT_GOT_IP, sta.ifconfig(), sta.config("channel"), sta.status("rssi"))
print(sta.config("mac") == N().config("mac"), sta.config("ssid"))
sta.disconnect()
print(sta.status() == network.STAT_IDLE, sta.isconnected())
"""
    assert run(BOARD, "-c", program) == (
        0,
        "(8, -50, 3, False) 6\n"
        "True ('192.168.4.2', '255.255.255.0', '192.168.4.1', '192.168.4.1') 8 -50\n"
        "True bench\nTrue False\n",
        "",
    )
    assert point.stdout is not None
    assert point.stdout.readline().startswith("joined [(b")
    assert point.stdout.readline() == "left\n"


def test_a_station_notices_that_the_access_point_is_gone(point: subprocess.Popen[str]) -> None:
    program = f"""{HERE}{WAIT}
sta.active(True)
sta.connect("bench", "correct horse")
wait(sta.isconnected)
sta.disconnect()
sta.connect("bench", "correct horse")
wait(sta.isconnected)
print("in")
wait(lambda: not sta.isconnected())
wait(lambda: sta.status() == network.STAT_NO_AP_FOUND)
print("gone")
"""
    with subprocess.Popen([*BOARD, "-c", program], stdout=subprocess.PIPE, text=True) as station:
        assert station.stdout is not None
        assert station.stdout.readline() == "in\n"
        point.kill()
        assert station.communicate(timeout=DEADLINE)[0] == "gone\n"


def test_what_is_asked_at_the_wrong_time_or_of_the_wrong_interface_is_refused_as_on_an_esp32() -> None:
    program = f"""{HERE}{WAIT}
fails(sta.connect, "x")
fails(sta.scan)
fails(N, 2)
ap.active(True)
fails(sta.scan)
fails(ap.config, "reconnects")
fails(sta.config, "hidden")
fails(sta.status, "stations")
fails(ap.status, "rssi")
fails(sta.config, "none")
fails(sta.config, none=1)
fails(sta.config, "mac", "ssid")
fails(sta.config, mac=b"short")
fails(ap.config, ssid="x", key="short", security=3)
fails(sta.status, "none")
sta.active(True)
fails(sta.status, "rssi")
"""
    assert run(BOARD, "-c", program) == (
        0,
        "OSError('Wifi Not Started',)\nOSError('Wifi Not Started',)\n"
        "ValueError('invalid WLAN interface identifier',)\nOSError('STA must be active',)\n"
        "OSError('STA required',)\nOSError('AP required',)\nOSError('AP required',)\nOSError('STA required',)\n"
        "ValueError('unknown config param',)\nValueError('unknown config param',)\n"
        "TypeError('can query only one param',)\nValueError('invalid buffer length',)\n"
        "OSError('Wifi Invalid Password',)\nValueError('unknown status param',)\nOSError('Wifi Not Connected',)\n",
        "",
    )


def test_addresses_and_parameters_are_set_and_told() -> None:
    program = f"""{HERE}{WAIT}
print(ap.ifconfig(), ap.ipconfig("addr4"), sta.ipconfig("dhcp4"))
sta.ifconfig(("10.0.0.5", 16, "10.0.0.1", "8.8.8.8"))
print(sta.ifconfig(), sta.ipconfig("has_dhcp4"))
sta.ipconfig(addr4="10.0.0.6/24", gw4="10.0.0.2")
print(sta.ipconfig("addr4"), sta.ipconfig("gw4"))
sta.ifconfig("dhcp")
print(sta.ifconfig()[0])
ap.config(ssid=b"name", max_clients=2, hidden=True)
sta.config(reconnects=3, pm=N.PM_NONE, mac=b"abcdef")
print(*[ap.config(name) for name in ("ssid", "max_clients", "hidden")], end=" ")
print(*[sta.config(name) for name in ("reconnects", "pm", "mac")])
print(network.hostname())
for wrong in (network.hostname, network.country):
    fails(wrong, "x" * 33)
network.hostname("door")
print(network.hostname(), sta.config("hostname"), network.country(), ap.config("mac") != sta.config("mac"))
"""
    assert run(BOARD, "-c", program) == (
        0,
        "('192.168.4.1', '255.255.255.0', '192.168.4.1', '0.0.0.0') ('192.168.4.1', '255.255.255.0') True\n"
        "('10.0.0.5', '255.255.0.0', '10.0.0.1', '8.8.8.8') False\n"
        "('10.0.0.6', '255.255.255.0') 10.0.0.2\n0.0.0.0\n"
        "name 2 True 3 0 b'abcdef'\nmpy-esp32\nValueError()\nValueError()\ndoor door XX True\n",
        "",
    )
