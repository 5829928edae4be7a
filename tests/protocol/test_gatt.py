"""What the firmware advertises, asked of a board: the bytes of the vectors."""

import asyncio
import json

from hil.stack.station import execute
from tests.device.on_vm import ROOT
from tests.device.rig import board

CODE = """
import bluetooth
from device import ble_service
door = bytes.fromhex("{door}")
print(ble_service.advertisement().hex(), ble_service.scan_response(door).hex())
"""


async def test_a_door_advertises_what_the_vectors_say(tmp_path):
    text = (ROOT / "protocol" / "vectors" / "gatt.json").read_text()
    vectors = {vector["name"]: vector for vector in json.loads(text)["vectors"]}
    door = vectors["scan_response"]["in"]["door"]
    async with board(tmp_path) as one:
        out = await asyncio.to_thread(execute, one.console.path, CODE.format(door=door))
    assert out.split() == [vectors["advertisement"]["out"], vectors["scan_response"]["out"]]
