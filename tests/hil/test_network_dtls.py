"""TLS over datagrams between two boards, as a program for an ESP32 writes it."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hil.board_rig import DEADLINE, bare, did
from tests.hil.test_network_server import JOIN, start

PORT = 8769
SERVER = """
import tls
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", {port}))
print("bound", 1)
_, who = u.recvfrom(1)
u.connect(who)
context = tls.SSLContext(tls.PROTOCOL_DTLS_SERVER)
context.load_cert_chain({cert!r}, {key!r})
s = context.wrap_socket(u, server_side=1)
_ = s.write(s.read(4))
"""
CLIENT = """
import tls
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(10)
u.connect(({address!r}, {port}))
_ = u.write("X")
context = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)
context.verify_mode = tls.CERT_REQUIRED
context.load_verify_locations({cert!r})
s = context.wrap_socket(u, server_hostname="board")
_ = s.write("ping")
print(context.verify_mode == tls.CERT_REQUIRED, s.read(4))
"""


def identity() -> tuple[bytes, bytes]:
    """A certificate and its key, in DER; valid at a board's time."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "board")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    begin = datetime.datetime(1999, 1, 1, tzinfo=datetime.UTC)
    builder = builder.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=365 * 90))
    certificate = builder.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    return certificate.public_bytes(serialization.Encoding.DER), der


async def test_a_server_of_dtls_answers_a_client_that_checks_it(tmp_path: Path) -> None:
    cert, key = identity()
    async with bare(tmp_path, name="one") as one, bare(tmp_path, name="two") as two:
        address = (await did(one, JOIN + "print(sta.ifconfig()[0])")).strip()
        await start(one, SERVER.format(port=PORT, cert=cert, key=key))
        await one.console.wait_for("bound 1", DEADLINE)
        client = CLIENT.format(port=PORT, cert=cert, address=address)
        assert await did(two, JOIN + client) == "True b'ping'\n"
