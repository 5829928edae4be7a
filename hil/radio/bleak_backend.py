"""bleak over the bench's radio: ``backend_for`` makes the classes that BleakClient and BleakScanner take.

radio = backend_for(medium, "phone-1", position=Position(1, 2))
device = await BleakScanner.find_device_by_name("LW-1a2b3c", backend=radio.scanner)
async with BleakClient(device, backend=radio.client) as client: ...
await radio.adapter.aclose()
"""

from typing import NamedTuple

from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import BaseBleakScanner

from hil.radio.adapter import PHONE_MTU, Adapter
from hil.radio.bleak_client import BumbleClient
from hil.radio.bleak_scanner import BumbleScanner
from hil.radio.medium import Medium
from hil.radio.path_loss import Position


class PhoneRadio(NamedTuple):
    """One phone's adapter and its two bleak backend classes."""

    client: type[BaseBleakClient]
    scanner: type[BaseBleakScanner]
    adapter: Adapter


def backend_for(
    medium: Medium,
    name: str,
    address: str | None = None,
    position: Position | None = None,
    mtu: int | None = PHONE_MTU,
) -> PhoneRadio:
    """A new phone on ``medium``; see Adapter for the arguments."""
    adapter = Adapter(medium, name, address, position, mtu)
    client = type("BumbleClientOf_" + name, (BumbleClient,), {"adapter": adapter})
    scanner = type("BumbleScannerOf_" + name, (BumbleScanner,), {"adapter": adapter})
    return PhoneRadio(client, scanner, adapter)
