"""``network.LAN`` as on an ESP32, and the cable at the bench's end."""

from pathlib import Path

from tests.hil.board_rig import bare, did
from tests.hil.machine_vm import REFUSED, printed

LAN = """
import machine, network, time
def lan(**given):
    pins = dict(mdc=machine.Pin(23), mdio=18, power=machine.Pin(5), ref_clk=17, ref_clk_mode=machine.Pin.OUT)
    return network.LAN(phy_type=network.PHY_LAN8720, phy_addr=0, **pins)
def reached(status):
    end = time.ticks_add(time.ticks_ms(), 10000)
    while l.status() != status and time.ticks_diff(end, time.ticks_ms()) > 0:
        time.sleep_ms(1)
    return l.status() == status
"""


def test_arguments_that_the_port_refuses() -> None:
    program = f"""{REFUSED}
import network
refused(lambda: network.LAN())
refused(lambda: network.LAN(phy_addr=0))
refused(lambda: network.LAN(phy_addr=0, phy_type=50))
refused(lambda: network.LAN(phy_addr=32, phy_type=network.PHY_IP101))
refused(lambda: network.LAN(1, phy_addr=0, phy_type=network.PHY_IP101))
refused(lambda: network.LAN(phy_addr=0, phy_type=network.PHY_IP101))
refused(lambda: network.LAN(phy_addr=0, phy_type=network.PHY_W5500))
"""
    assert printed(program) == [
        "TypeError 'phy_addr' argument required",
        "TypeError 'phy_type' argument required",
        "ValueError invalid phy type",
        "ValueError invalid phy address",
        "ValueError invalid LAN interface identifier",
        "ValueError mdc and mdio must be specified",
        "ValueError expecting a SPI object",
    ]


def test_it_comes_up_has_an_address_and_can_be_set_by_hand() -> None:
    program = f"""{REFUSED}{LAN}
l = lan()
print(l.active(), l.status() == network.ETH_INITIALIZED, l.isconnected(), l.ipconfig("addr4"), machine.Pin(5).value())
print(l.active(True), reached(network.ETH_GOT_IP), l.isconnected(), lan() is l, l.config("ifname"))
address = l.ifconfig()[0]
print(address.startswith("127."), address != "127.0.0.1", l.ifconfig()[1:])
print(l.ipconfig("dhcp4"), network.ipconfig("dns") == l.ifconfig()[3])
l.ipconfig(addr4="10.0.0.5/24", gw4="10.0.0.1")
print(l.ipconfig("addr4"), l.ipconfig("gw4"), l.ipconfig("dhcp4"))
refused(lambda: l.config(mac=b"1"))
refused(lambda: l.config(mac=b"\\1" * 6))
l.config(mac=b"\\2" * 6)
print(l.config("mac"), l.active(False), l.status() == network.ETH_STOPPED, l.isconnected())
"""
    assert printed(program) == [
        "False True False ('0.0.0.0', '0.0.0.0') 1",
        "True True True True en1",
        "True True ('255.0.0.0', '127.0.0.1', '127.0.0.1')",
        "True True",
        "('10.0.0.5', '255.255.255.0') 10.0.0.1 False",
        "ValueError invalid buffer length",
        "OSError failed setting MAC address",
        "b'\\x02\\x02\\x02\\x02\\x02\\x02' False True False",
    ]


async def test_the_cable_is_pulled_and_put_back(tmp_path: Path) -> None:
    async with bare(tmp_path) as board:
        board.ethernet.plug(False)
        assert await did(board, f"{LAN}l = lan()\nprint(l.active(True), l.status())\n") == "True 1\n"
        board.ethernet.plug()
        assert await did(board, "print(reached(network.ETH_GOT_IP), l.isconnected())") == "True True\n"
        board.ethernet.plug(False)
        gone = "print(reached(network.ETH_DISCONNECTED), l.isconnected(), l.ipconfig('addr4')[0])"
        assert await did(board, gone) == "True False 0.0.0.0\n"
        unreachable = "import socket\ntry:\n    socket.socket().connect(('10.1.2.3', 80))\nexcept OSError as e:\n    print(e)\n"
        assert await did(board, unreachable) == "[Errno 113] EHOSTUNREACH\n"


NAMES = """
AUTH_OPEN AUTH_WEP AUTH_WPA_PSK AUTH_WPA2_PSK AUTH_WPA_WPA2_PSK AUTH_WPA2_ENTERPRISE AUTH_WPA3_PSK AUTH_WPA2_WPA3_PSK
AUTH_WAPI_PSK AUTH_OWE AUTH_WPA3_ENT_192 AUTH_WPA3_EXT_PSK AUTH_WPA3_EXT_PSK_MIXED_MODE AUTH_MAX
MODE_11B MODE_11G MODE_11N MODE_LR STA_IF AP_IF WLAN LAN hostname country ipconfig phy_mode
PHY_LAN8710 PHY_LAN8720 PHY_IP101 PHY_RTL8201 PHY_DP83848 PHY_KSZ8041 PHY_KSZ8081 PHY_KSZ8851SNL PHY_DM9051 PHY_W5500
ETH_INITIALIZED ETH_STARTED ETH_STOPPED ETH_CONNECTED ETH_DISCONNECTED ETH_GOT_IP
STAT_IDLE STAT_CONNECTING STAT_GOT_IP STAT_NO_AP_FOUND STAT_WRONG_PASSWORD STAT_BEACON_TIMEOUT STAT_ASSOC_FAIL
STAT_CONNECT_FAIL STAT_HANDSHAKE_TIMEOUT STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD
STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD
"""


def test_every_name_of_the_port_is_there() -> None:
    program = f"import network\nprint([n for n in {NAMES!r}.split() if not hasattr(network, n)])"
    assert printed(program) == ["[]"]
