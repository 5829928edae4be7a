"""Firmware packages: an image of the sources behind a manifest that is signed for a fleet.

The key is the vendor's: RSA-3072, in a PEM file that no board, gateway or cloud ever sees.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from device.release_key import PRODUCT
from hil.vm import image, shipped
from hil.vm.symbols import Symbols
from protocol.manifest import Manifest
from protocol.rsa import SIGNATURE_SIZE

EXPONENT = 65537
TRIAL_S = 600
_MODULE = '''"""Whose firmware this board takes; written by `latchwork package key`."""

PRODUCT = {product!r}
MODULUS = {modulus!r}
'''


class PackageError(Exception):
    """This key cannot sign a package."""


def new_key() -> rsa.RSAPrivateKey:
    """A key of the one size that boards verify."""
    return rsa.generate_private_key(EXPONENT, 8 * SIGNATURE_SIZE)


def write_key(key: rsa.RSAPrivateKey, path: Path) -> None:
    """As PEM, for its owner alone; raises FileExistsError rather than lose a key that boards trust."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """Raises PackageError for a key of another kind or size."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise PackageError(f"{path}: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != 8 * SIGNATURE_SIZE:
        raise PackageError(f"{path}: not an RSA-3072 key")
    return key


def key_module(key: rsa.RSAPrivateKey, product: str = PRODUCT) -> str:
    """Source of `device/release_key.py` for a firmware that takes packages of this key."""
    return _MODULE.format(product=product, modulus=modulus(key))


def modulus(key: rsa.RSAPrivateKey) -> bytes:
    """What a board verifies with."""
    return key.public_key().public_numbers().n.to_bytes(SIGNATURE_SIZE, "big")


class Built(NamedTuple):
    """An image, and what its short names are short for."""

    image: bytes
    symbols: Symbols


def build(key: rsa.RSAPrivateKey, root: Path = image.ROOT, product: str = PRODUCT) -> Built:
    """The image of a source tree, for boards that go on with this key. Raises ImageError."""
    with tempfile.TemporaryDirectory() as scratch:
        trusted = Path(scratch) / "release_key.py"
        trusted.write_text(key_module(key, product))
        files = {**image.firmware_files(root), "device/release_key.py": trusted}
        made = shipped.built(files)
        return Built(image.pack(made.files), made.symbols)


def sign(
    firmware: bytes,
    key: rsa.RSAPrivateKey,
    version: int,
    *,
    floor: int = 0,
    trial_s: int = TRIAL_S,
    product: str = PRODUCT,
) -> bytes:
    """The package of an image, as it is offered to boards."""
    sha = hashlib.sha256(firmware).digest()
    manifest = Manifest(product, version, floor, trial_s, len(firmware), sha).encode()
    return manifest + key.sign(manifest, padding.PKCS1v15(), hashes.SHA256()) + firmware
