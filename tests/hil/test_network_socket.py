"""``socket`` on a board without firmware: as the ESP32 port has it, addresses are tuples."""

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
