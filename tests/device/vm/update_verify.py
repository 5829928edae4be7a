"""What proving an update costs: one RSA verification, SHA-256 over the image, and how often the first is done."""

import asyncio
import hashlib
import time

from device import release_key, update
from device.parts import Parts
from protocol import manifest, rsa

PIECE = 512  # as the firmware reads an image
HEAD, SIGNED = 452, 68
parts = Parts()
verifications = 0
verify = rsa.verify


def timed(function, count):
    took = []
    for _ in range(count):
        began = time.ticks_us()
        function()
        took.append(time.ticks_diff(time.ticks_us(), began))
    return took


def proved(path, count):
    """Microseconds of RSA verifications and of hashes of the image in this package."""
    with open(path, "rb") as f:
        head = f.read(HEAD)
    digest = hashlib.sha256(head[:SIGNED]).digest()
    buffer = bytearray(PIECE)

    def image():
        state = hashlib.sha256()
        with open(path, "rb") as f:
            f.seek(HEAD)
            while True:
                size = f.readinto(buffer)
                if not size:
                    return
                state.update(memoryview(buffer)[:size])

    return [timed(lambda: verify(release_key.MODULUS, digest, head[SIGNED:]), count), timed(image, count)]


def taken(path, version):
    """RSA verifications while the firmware takes that package; its switch to the other slot is for the next boot."""

    def counting(*args):
        global verifications
        verifications += 1
        verify(*args)

    rsa.verify = manifest.verify = counting
    asyncio.run(update.take(parts, path, version))
    return verifications
