"""A VM that waits is woken by what it waits for, by interrupts and by timers, and by nothing else."""

import asyncio
import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hil.board_rig import DEADLINE, powered, switches

IDLE_S = 1.0
IDLE_SWITCHES = 20  # a native poll with a TLS socket or a flag in it makes about 1000 in that time


def server_context(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def echo_server(
    context: ssl.SSLContext | None,
) -> tuple[asyncio.Server, int, list[asyncio.StreamWriter]]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(1000):
            writer.write(data)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    return server, server.sockets[0].getsockname()[1], writers


CLIENT = """
import asyncio, tls, machine
async def main():
    ctx = None
    if {tls}:
        ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        ctx.verify_mode = tls.CERT_NONE
    r, w = await asyncio.open_connection("127.0.0.1", {port}, ssl=ctx)
    flag = asyncio.ThreadSafeFlag()
    pin = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    pin.irq(lambda p: flag.set(), machine.Pin.IRQ_FALLING)
    async def button():
        while True:
            await flag.wait()
            w.write(b"pressed")
            await w.drain()
    task = asyncio.create_task(button())
    w.write(b"hello")
    await w.drain()
    while True:
        print("got", await r.read(100))
asyncio.run(main())
"""


async def check_client(tmp_path: Path, context: ssl.SSLContext | None) -> None:
    server, port, writers = await echo_server(context)
    source = CLIENT.format(tls=context is not None, port=port)
    async with server, powered(tmp_path, source) as board:
        await board.console.wait_for("got b'hello'", DEADLINE)
        assert board.pid is not None
        before = switches(board.pid)
        await asyncio.sleep(IDLE_S)
        assert switches(board.pid) - before < IDLE_SWITCHES
        board.door.press_rex()
        await board.console.wait_for("got b'pressed'", DEADLINE)
        writers[0].write(b"x" * 40)
        await board.console.wait_for("got b'x{40}'", DEADLINE)
        for writer in writers:
            writer.close()


async def test_tls_client_sleeps_while_idle_and_is_woken_by_peer_and_pin(tmp_path: Path) -> None:
    await check_client(tmp_path, server_context(tmp_path))


async def test_plain_client_sleeps_while_idle_and_is_woken_by_peer_and_pin(tmp_path: Path) -> None:
    await check_client(tmp_path, None)


async def test_tls_client_does_not_spin_while_a_handshake_waits(tmp_path: Path) -> None:
    silent = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    source = f"""
    import asyncio, tls, socket
    async def main():
        ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        ctx.verify_mode = tls.CERT_NONE
        s = socket.socket()
        s.connect(socket.getaddrinfo("127.0.0.1", {port})[0][-1])
        s.setblocking(False)
        stream = asyncio.StreamReader(ctx.wrap_socket(s, do_handshake_on_connect=False))
        print("shaking")
        stream.write(b"hello")
        await stream.drain()
    asyncio.run(main())
    """
    async with silent, powered(tmp_path, source) as board:
        await board.console.wait_for("shaking", DEADLINE)
        assert board.pid is not None
        before = switches(board.pid)
        await asyncio.sleep(IDLE_S)
        assert switches(board.pid) - before < 150  # it looks every 20 ms


async def test_timeouts_and_sleeps_of_asyncio_end(tmp_path: Path) -> None:
    source = """
    import asyncio, time
    async def main():
        t = time.ticks_ms()
        await asyncio.sleep_ms(50)
        flag = asyncio.ThreadSafeFlag()
        try:
            await asyncio.wait_for_ms(flag.wait(), 50)
        except asyncio.TimeoutError:
            print("timeout", time.ticks_diff(time.ticks_ms(), t) >= 100)
    asyncio.run(main())
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("timeout True", DEADLINE)


async def test_poll_reports_what_the_native_one_does(tmp_path: Path) -> None:
    source = """
    import select, socket, io
    class Ready(io.IOBase):
        def ioctl(self, request, arg):
            return arg & select.POLLIN if request == 3 else -1
    a = socket.socket(); a.bind(socket.getaddrinfo("127.0.0.1", 0)[0][-1]); a.listen(1)
    p = select.poll()
    r = Ready()
    p.register(a, select.POLLIN)
    print("none", p.poll(0), p.poll(10))
    p.register(r, select.POLLIN)
    print("one", p.poll() == [(r, select.POLLIN)], [e for o, e in p.ipoll(10, 1)])
    print("oneshot", p.poll(10))
    p.modify(r, select.POLLIN)
    print("again", len(p.poll(10)))
    p.unregister(r)
    print("gone", p.poll(10))
    """
    async with powered(tmp_path, source) as board:
        for line in ("none .. ..", "one True .1.", "oneshot ..", "again 1", "gone .."):
            await board.console.wait_for(line, DEADLINE)
