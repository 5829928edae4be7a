"""Vectors of what a door advertises."""

from protocol.host.vectors.case import DOOR, Parts, Vector, good, joined

SERVICE = "6c617463-6877-6f72-6b00-000000000001"
_NO_COMPANY = "ffff"


def gatt() -> list[Vector]:
    service = bytes.fromhex(SERVICE.replace("-", ""))[::-1]
    name = b"LW-" + DOOR.hex()[:6].encode()
    advertisement: Parts = (
        ("020106", "flags: general discoverable, no BR/EDR"),
        ("1107", "complete list of 128-bit services"),
        (service, "the service, little-endian"),
    )
    response: Parts = (
        ("0a09", "complete local name"),
        (name, name.decode()),
        ("0bff", "manufacturer data"),
        (_NO_COMPANY, "no company"),
        (DOOR, "door"),
    )
    return [
        good("advertisement", "advertisement", {"door": DOOR}, joined(advertisement), advertisement),
        good("scan_response", "scan_response", {"door": DOOR}, joined(response), response),
    ]
