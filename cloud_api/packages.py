"""Firmware packages: what is looked at before one is stored. The signature is the boards' business: the key is not ours."""

import hashlib

from protocol.errors import Malformed
from protocol.manifest import HEAD_SIZE, MANIFEST_SIZE, Manifest, read_manifest
from protocol.transfer import MAX_SIZE


def check_package(data: bytes) -> Manifest:
    """What a package says of itself; Malformed for what no board takes, whoever signed it."""
    if not HEAD_SIZE < len(data) <= MAX_SIZE:
        raise Malformed("package_size")
    manifest = read_manifest(data[:MANIFEST_SIZE])
    image = data[HEAD_SIZE:]
    if len(image) != manifest.size or hashlib.sha256(image).digest() != manifest.sha256:
        raise Malformed("package_image")
    return manifest
