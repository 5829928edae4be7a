"""The numbers that a chip was born with."""

import hashlib
import secrets


def unique_id(name: str | None) -> bytes:
    """6 bytes, the Wi-Fi station's address: the same for the same name, and for None another each time."""
    return bytes((0x02, *(hashlib.sha256(name.encode()).digest()[:5] if name else secrets.token_bytes(5))))


def ble_address(chip: bytes) -> bytes:
    """The public address, as printed: two after the Wi-Fi one, as on an ESP32."""
    return ((int.from_bytes(chip, "big") + 2) % (1 << 48)).to_bytes(6, "big")
