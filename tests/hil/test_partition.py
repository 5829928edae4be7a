"""Flash by its partitions: ``esp32.Partition``, updates with roll-back, romfs, and flash that wears out."""

import asyncio
from pathlib import Path

import pytest

from hil.board.flash import Worn
from tests.hil.board_rig import DEADLINE, bare, did
from tests.hil.test_vm_executable import BOARD, run

TABLE = """
from esp32 import Partition as P
print(P(P.RUNNING).info(), P(P.BOOT).info()[4], P("vfs", 512).ioctl(4, 0), P("vfs").ioctl(5, 0))
print([p.info()[4] for p in P.find()], [p.info()[4] for p in P.find(P.TYPE_DATA, label="romfs")], P.find(label="x"))
print(P("nvs"), P(P.RUNNING).get_next_update().info()[4])
def fails(f, *args):
    try:
        f(*args)
    except Exception as e:
        print(repr(e))
fails(P, "none")
fails(P, 7)
p = P("ota_1")
fails(p.set_boot)
fails(p.readblocks, 384, bytearray(4096))
fails(P("vfs").set_boot)
b = bytearray(bytes(range(256)) * 16)
p.writeblocks(2, b)
p.writeblocks(2, b"\\xf0\\x00", 1)
got = bytearray(4)
p.readblocks(2, got)
print(got)
q = P("ota_1", 512)
q.writeblocks(17, b"x" * 512)
p.readblocks(2, b)
print(b[:3], b[511:514], b[1023:1026], q.ioctl(6, 0), p.ioctl(6, 2), p.ioctl(9, 0))
p.readblocks(2, got)
print(got)
"""
TOLD = """(0, 16, 65536, 1572864, 'ota_0', False) ota_0 {blocks} 4096
['ota_0', 'ota_1'] ['romfs'] []
<Partition type=1, subtype=2, address=36864, size=16384, label=nvs, encrypted=0> ota_1
OSError(2,)
ValueError()
OSError(-5379, 'ESP_ERR_OTA_VALIDATE_FAILED')
OSError(-260, 'ESP_ERR_INVALID_SIZE')
OSError(-5379, 'ESP_ERR_OTA_VALIDATE_FAILED')
bytearray(b'\\x00\\x00\\x00\\x03')
bytearray(b'\\x00\\x00\\x00') bytearray(b'\\xffxx') bytearray(b'x\\x00\\x01') -22 0 None
bytearray(b'\\xff\\xff\\xff\\xff')
"""


async def test_partitions_are_found_read_and_written(tmp_path: Path) -> None:
    async with bare(tmp_path) as board:
        assert await did(board, TABLE) == TOLD.format(blocks=4096)


def test_partitions_are_on_a_board_for_one_program_too() -> None:
    assert run(BOARD, "-c", TABLE) == (0, TOLD.format(blocks=2048), "")


INSTALL = """
from esp32 import Partition as P
nxt = P(P.RUNNING).get_next_update()
nxt.writeblocks(0, b"\\xe9" + bytes(4095))
nxt.set_boot()
"""
WHERE = "from esp32 import Partition as P; print(P(P.RUNNING).info()[4])"
WELL = "from esp32 import Partition as P; P.mark_app_valid_cancel_rollback()"


async def test_an_image_that_does_not_say_that_it_is_well_is_rolled_back(tmp_path: Path) -> None:
    async def reset() -> str:
        board.console.clear()
        await board.reset()
        await board.console.wait_for(">>> ", DEADLINE)
        return (await did(board, WHERE)).strip()

    async with bare(tmp_path) as board:
        await did(board, INSTALL)
        assert await reset() == "ota_1"
        assert await reset() == "ota_0"
        await did(board, INSTALL)
        assert await reset() == "ota_1"
        await did(board, WELL)
        assert await reset() == "ota_1"
    async with bare(tmp_path) as board:
        assert (await did(board, WHERE)).strip() == "ota_1"


async def test_an_image_in_romfs_is_mounted_at_boot(tmp_path: Path) -> None:
    from hil.vm import image

    rom = image.pack({"inrom.py": b"X = 'from rom'\n"})
    store = f"""
import vfs
dev = vfs.rom_ioctl(2, 0)
print(vfs.rom_ioctl(1), dev.ioctl(4, 0) * dev.ioctl(5, 0), len(memoryview(dev)), vfs.rom_ioctl(2, 1))
dev.writeblocks(0, {rom!r} + bytes({-len(rom) % 4096}))
"""
    async with bare(tmp_path) as board:
        assert await did(board, store) == "1 262144 262144 -22\n"
        board.console.clear()
        board.console.write(b"\x04")
        await board.console.wait_for("soft reboot(.|\n)*>>> ", DEADLINE)
        program = "import inrom, sys, os; print(inrom.X, sys.path[-2:], os.listdir('/'))"
        assert await did(board, program) == "from rom ['/rom', '/rom/lib'] ['rom', 'boot.py']\n"


KEEP = """
import os
for i in range(30):
    with open("/f%d" % i, "wb") as f:
        n = f.write(bytes([i]) * 3000)
for i in range(30):
    with open("/f%d" % i, "rb") as f:
        assert f.read() == bytes([i]) * 3000
print("all kept")
"""


async def test_littlefs_goes_round_bad_blocks_and_gives_up_where_there_are_too_many(tmp_path: Path) -> None:
    async with bare(tmp_path) as board:
        board.wear_out(Worn(bad=tuple(range(5, 500, 7))))
        assert await did(board, KEEP) == "all kept\n"
        assert not any(board.flash_path.read_bytes()[12 * 4096 : 13 * 4096])
        board.wear_out(Worn(bad=tuple(range(2, 512))))
        assert "OSError" in await did(board, KEEP.replace("/f", "/g"))


async def test_read_noise_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    read = """
from esp32 import Partition
b = bytearray(4096)
p = Partition("vfs")
wrong = []
p.readblocks(400, b)
first = bytes(b)
print("go")
for i in range(20):
    p.readblocks(400, b)
    wrong.append([(i, x ^ y) for i, (x, y) in enumerate(zip(first, b)) if x != y])
print(wrong)
"""
    seen = []
    async with bare(tmp_path) as board:
        for seed in (5, 5, 6):
            board.wear_out(Worn(noise_ppm=0))
            assert (await did(board, read)).endswith("[[], " + "[], " * 18 + "[]]\n")
            board.wear_out(Worn(noise_ppm=100, seed=seed))
            seen.append(
                await did(
                    board, read.replace("p.readblocks(400, b)\nfirst = bytes(b)", "first = bytes(4096)")
                )
            )
    assert seen[0] == seen[1] != seen[2]
    assert 3 < seen[0].count("(") < 16


@pytest.mark.parametrize("worn", [Worn(noise_ppm=2_000_000), Worn(seed=0)])
async def test_impossible_wear_is_refused(tmp_path: Path, worn: Worn) -> None:
    async with bare(tmp_path) as board:
        with pytest.raises(ValueError, match=r"outside|not within"):
            board.wear_out(worn)
        await asyncio.sleep(0)


def test_the_flash_is_read_and_written_by_its_addresses() -> None:
    program = """
import esp
from esp32 import Partition
at = Partition("ota_1").info()[2]
esp.flash_erase(at // 4096)
esp.flash_write(at + 16, b"\\xf0\\x0f")
esp.flash_write(at + 16, b"\\x3f\\xff")
buf = bytearray(4)
esp.flash_read(at + 15, buf)
print(buf.hex())
end = sum(Partition("romfs").info()[2:4])
print(esp.flash_size() >= end, esp.flash_user_start())
for outside in (lambda: esp.flash_read(0, buf), lambda: esp.flash_write(end - 1, b"ab"), lambda: esp.flash_erase(1 << 20)):
    try:
        outside()
    except OSError as e:
        print(e.errno)
"""
    assert run(BOARD, "-c", program) == (0, "ff300fff\nTrue 2097152\n5\n5\n5\n", "")
