"""``socket`` on a board without firmware: as the ESP32 port has it, addresses are tuples."""

import socket
import struct
import subprocess
from pathlib import Path

from tests.hil.airs import eventually
from tests.hil.test_vm_executable import BOARD, run


def test_streams_take_and_give_tuples() -> None:
    program = """
import select, socket
for port in range(31000, 31100):
    try:
        s = socket.socket()
        s.bind(("", port))
        s.listen(1)
        break
    except OSError:
        s.close()
c = socket.socket()
c.connect(("localhost", port))
d, peer = s.accept()
print(peer[0], type(peer[1]), d)
c.write(b"line\\n")
p = select.poll()
p.register(d, select.POLLIN)
print(p.poll(5000) == [(d, select.POLLIN)], d.readline(), p.poll(0))
d.send(b"abc")
print(c.recv(2), c.read(1))
with d:
    pass
print(c.recv(1), socket.getaddrinfo("127.0.0.1", 80), socket.getaddrinfo("192.168.4.1", 80)[0][-1])
try:
    c.connect(("no.such.name.invalid", 1))
except OSError as e:
    print(e.errno)
"""
    assert run(BOARD, "-c", program) == (
        0,
        "127.0.0.1 <class 'int'> <socket>\nTrue b'line\\n' []\nb'ab' b'c'\n"
        "b'' [(2, 1, 0, '127.0.0.1', ('127.0.0.1', 80))] ('192.168.4.1', 80)\n-202\n",
        "",
    )


def test_datagrams_take_and_give_tuples() -> None:
    program = """
import socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(31100, 31200):
    try:
        a.bind(("127.0.0.1", port))
        break
    except OSError:
        pass
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
b.sendto(b"ping", ("127.0.0.1", port))
data, back = a.recvfrom(10)
a.sendto(b"pong", back)
print(data, back[0], b.recvfrom(10) == (b"pong", ("127.0.0.1", port)))
"""
    assert run(BOARD, "-c", program) == (0, "b'ping' 127.0.0.1 True\n", "")


def test_asyncio_streams_run_on_them() -> None:
    program = """
import asyncio
async def serve(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
async def main():
    for port in range(31200, 31300):
        try:
            server = await asyncio.start_server(serve, "0.0.0.0", port)
            break
        except OSError:
            pass
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"echo\\n")
    await writer.drain()
    print(await reader.readline(), await reader.read(1))
asyncio.run(main())
"""
    code, out, err = run(BOARD, "-c", program)
    assert (code, err) == (0, "")
    assert out.endswith("b'echo\\n' b''\n")


ERRORS = """
import socket
s = socket.socket()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def told(f, *args):
    try:
        print(f(*args))
    except Exception as e:
        print(e)
"""


def test_what_is_wrong_is_told_as_on_an_esp32() -> None:
    program = f"""{ERRORS}
told(s.recv, 1)
told(s.send, b"x")
told(s.bind, ("x",))
told(s.bind, "1.2.3.4")
told(s.connect, ("127.0.0.1", 70000))
told(s.setsockopt, socket.SOL_SOCKET, 99, 1)
told(u.setsockopt, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, b"123")
told(u.sendto, b"x", ("localhost", 9))
told(u.listen, 1)
told(socket.socket, socket.AF_INET, 99)
s.close()
told(s.recv, 1)
told(s.accept)
print(s.fileno(), s)
"""
    assert run(BOARD, "-c", program) == (
        0,
        "[Errno 107] ENOTCONN\n[Errno 107] ENOTCONN\n"
        "requested length 2 but object has length 1\nobject 'str' isn't a tuple or list\n-201\n"
        "Warning: lwip.setsockopt() option not implemented\nNone\n\ninvalid arguments\n[Errno 95] EOPNOTSUPP\n[Errno 22] EINVAL\n"
        "[Errno 9] EBADF\n[Errno 9] EBADF\n-1 <socket>\n",
        "",
    )


def test_the_module_has_the_ports_names_and_numbers() -> None:
    names = (
        "AF_INET=2 AF_INET6=10 SOCK_STREAM=1 SOCK_DGRAM=2 SOCK_RAW=3 IPPROTO_TCP=6 IPPROTO_UDP=17 IPPROTO_IP=0 SOL_SOCKET=4095 "
        "SO_REUSEADDR=4 SO_BROADCAST=32 SO_BINDTODEVICE=4107 IP_ADD_MEMBERSHIP=3 TCP_NODELAY=1"
    )
    program = "import socket\n"
    program += (
        "print(' '.join(sorted('%s=%d' % (n, getattr(socket, n)) for n in dir(socket) if n[0] in 'AIST')))"
    )
    code, out, _ = run(BOARD, "-c", program)
    assert (code, out.split()) == (0, sorted(names.split()))


def test_a_peer_that_has_gone_and_one_that_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        program = f"""{ERRORS}
s.settimeout(0.05)
s.connect(("127.0.0.1", {server.getsockname()[1]}))
for f in (s.recv, s.read):
    told(f, 1)
told(s.readline)
s.setblocking(False)
told(s.recv, 1)
print(s.read(1), s.readline())
s.settimeout(10)
s.write(b"go")
told(s.recv, 1)
told(s.recv, 1)
told(s.write, b"x")
"""
        with subprocess.Popen([*BOARD, "-c", program], stdout=subprocess.PIPE, text=True) as board:
            caller, _ = server.accept()
            assert caller.recv(9) == b"go"
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.close()
            out, _ = board.communicate(timeout=30)
    timed_out, reset = "[Errno 110] ETIMEDOUT\n", "[Errno 104] ECONNRESET\n"
    assert out == timed_out * 3 + "[Errno 11] EAGAIN\nNone None\n" + reset + "b''\n" + reset


def test_what_was_sent_before_the_end_of_a_program_arrives() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        there = server.getsockname()[1]
        program = (
            f"import socket\ns = socket.socket()\ns.connect(('127.0.0.1', {there}))\ns.send(bytes(200000))"
        )
        with subprocess.Popen([*BOARD, "-c", program]):
            caller, _ = server.accept()
            with caller:
                assert sum(iter(lambda: len(caller.recv(65536)), 0)) == 200_000


def test_nonsense_and_a_flood_are_refused_and_the_next_socket_works() -> None:
    program = """
import _board, socket
for op in range(20):
    for size in (0, 1, 3, 6, 7, 8, 20):
        try:
            _board.call(18, op, bytes([255]) * size)
        except OSError:
            pass
kept = []
def flood(make):
    try:
        for n in range(40):
            kept.append(make(n))
    except OSError as e:
        return 0 < n <= 16
def bound(n):
    s = socket.socket()
    s.bind(("127.0.0.1", 31300 + n))
    return s
print(flood(bound), flood(lambda n: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
for s in kept:
    s.close()
s = bound(0)
s.listen(1)
c = socket.socket()
c.connect(("127.0.0.1", 31300))
d, _ = s.accept()
c.write(b"ok")
print(d.read(2))
"""
    assert run(BOARD, "-c", program) == (0, "True True\nb'ok'\n", "")


def test_the_model_of_a_killed_vm_sees_out_what_was_sent_and_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        there = server.getsockname()[1]
        program = f"import socket\ns = socket.socket()\ns.connect(('127.0.0.1', {there}))\ns.send(b'last')\n"
        program += "print('sent')\nwhile True: pass"
        with subprocess.Popen([*BOARD, "-c", program], stdout=subprocess.PIPE, text=True) as board:
            assert board.stdout is not None
            assert board.stdout.readline() == "sent\n"
            children = Path(f"/proc/{board.pid}/task/{board.pid}/children").read_text().split()
            assert children
            board.kill()
        caller, _ = server.accept()
        with caller:
            assert caller.recv(9) == b"last"
            assert caller.recv(9) == b""
            eventually(lambda: not any(running(child) for child in children))


def running(pid: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
