"""Modules that a chip's MicroPython has and the VM's has otherwise or not at all."""

import re
import socket
import struct
import threading
from pathlib import Path

import pytest

from hil.vm.image import MODULES
from tests.hil.board_rig import DEADLINE, bare
from tests.hil.machine_vm import printed


def test_select_tells_who_can_be_read_and_written_and_knows_no_descriptors() -> None:
    assert printed(
        """
        import select, socket
        one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for port in range(31200, 31300):
            try:
                one.bind(("127.0.0.1", port))
                break
            except OSError:
                pass
        names = {id(one): "one", id(other): "other"}
        def show(*lists):
            print([[names[id(s)] for s in found] for found in select.select(*lists)])
        show([one, other], [one], [other], 0)
        other.sendto(b"x", ("127.0.0.1", port))
        show([one, other], [one, other], [])
        show([other], [], [], 0.01)
        for wrong in (1, object()):
            try:
                select.select([wrong], [], [])
            except OSError as e:
                print(e)
        """
    ) == [
        "[[], ['one'], []]",
        "[['one'], ['one', 'other'], []]",
        "[[], [], []]",
        "stream operation not supported",
        "stream operation not supported",
    ]


def test_a_listing_asks_a_file_system_of_the_program_nothing_else() -> None:
    assert printed(
        """
        import os, vfs
        class Disk:
            def mount(self, readonly, mkfs):
                pass
            def umount(self):
                pass
            def __getattr__(self, name):
                print(name)
                raise AttributeError(name)
            def chdir(self, path):
                pass
            def ilistdir(self, path):
                yield "a", 0, 0
        vfs.mount(Disk(), "/disk")
        os.chdir("/disk")
        print(os.listdir(), os.listdir("/disk"))
        """
    ) == ["['a'] ['a']"]


def test_seconds_count_from_the_year_2000_and_a_date_has_eight_fields() -> None:
    assert printed(
        """
        import time
        from machine import RTC
        print(time.gmtime(0), time.mktime((2000, 1, 1, 0, 0, 60, 0, 0)), time.mktime((2024, 2, 30, 25, 0, 0, 0, 0, 0)))
        RTC().datetime((2026, 5, 4, 0, 3, 2, 1, 0))
        now = time.localtime()
        print(now, time.mktime(now) - time.time() <= 0, time.time_ns() // 10**9 - time.time() <= 1)
        try:
            time.mktime((2000, 1, 1))
        except TypeError as e:
            print(e)
        """
    ) == [
        "(2000, 1, 1, 0, 0, 0, 5, 1) 60 762656400",
        "(2026, 5, 4, 3, 2, 1, 0, 124) True True",
        "mktime needs a tuple of length 8 or 9 (3 given)",
    ]


def test_the_clock_is_set_from_a_time_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(DEADLINE)

        def answer() -> None:
            for second in (3999999999, 5):  # of the first era of NTP, and of the second
                asked, who = server.recvfrom(100)
                if len(asked) == 48 and asked[0] & 7 == 3:
                    server.sendto(bytes(40) + struct.pack("!II", second, 0), who)

        thread = threading.Thread(target=answer)
        thread.start()
        said = printed(
            f"""
            import ntptime, socket, time
            class Near:
                AF_INET, SOCK_DGRAM, socket = socket.AF_INET, socket.SOCK_DGRAM, socket.socket
                def getaddrinfo(host, port):
                    print(host, port)
                    return socket.getaddrinfo("127.0.0.1", {server.getsockname()[1]})
            ntptime.socket, ntptime.timeout = Near, {DEADLINE}
            ntptime.settime()
            print(time.localtime()[:5])
            print(time.gmtime(ntptime.time()))
            """
        )
        thread.join()
    assert said == [
        "pool.ntp.org 123",
        "(2026, 10, 3, 7, 6)",
        "pool.ntp.org 123",
        "(2036, 2, 7, 6, 28, 21, 3, 38)",
    ]


def test_micropython_shows_itself_as_built_in_and_has_the_port_s_names() -> None:
    said = printed(
        """
        import machine, micropython
        help(micropython)
        print(micropython, hasattr(micropython, "mem_peak"))
        micropython.alloc_emergency_exception_buf(100)
        """
    )
    assert said[:4] == [
        "object <module 'micropython'> is of type module",
        "  __name__ -- micropython",
        "  const -- <function>",
        "  opt_level -- <function>",
    ]
    assert said[-1] == "<module 'micropython'> False"


def test_modules_are_the_board_s_under_their_older_names_too() -> None:
    assert printed(
        """
        import machine, uos, utime
        import os, time
        print(uos is os, utime is time, uos.uname().sysname)
        fired = []
        machine.Timer(0).init(period=5, callback=fired.append)
        utime.sleep_ms(50)
        machine.RTC().datetime((2026, 1, 2, 0, 3, 4, 5, 0))
        print(len(fired) > 2, utime.localtime()[:6], machine.RTC().datetime()[:3])
        """
    ) == ["True True esp32", "True (2026, 1, 2, 3, 4, 5) (2026, 1, 2)"]


async def test_a_board_that_stays_has_all_older_names(tmp_path: Path) -> None:
    async with bare(tmp_path) as board:
        board.console.write("import uselect, select, usocket, socket, uos, os\r")
        board.console.write("print('same', uselect is select, usocket is socket, uos is os)\r")
        await board.console.wait_for("^same True True True", DEADLINE)


@pytest.mark.parametrize("first", ["neopixel", "apa106", "dht", "ds18x20", "esp32", "flashbdev"])
def test_a_driver_may_be_what_a_program_imports_first(first: str) -> None:
    assert printed(f"import {first}, machine; print(hasattr(machine, 'bitstream'))") == ["True"]


def test_the_bench_s_modules_take_the_vm_s_own_from_the_link() -> None:
    """By then their older names may be those of the board's: these alone are loaded before."""
    before = {"_board.py", "os.py", "socket.py", "_socket.py"}
    asks = re.compile(r"^\s*(import|from) (uos|utime|uselect|usocket)\b", re.MULTILINE)
    assert {path.name for path in MODULES.glob("*.py") if asks.search(path.read_text())} == before
