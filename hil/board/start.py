"""What a board's VM is started with: images, files, heap, and what its flash is to do."""

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from hil.board import flash
from hil.board.flash import Cut
from hil.vm import image
from hil.vm.footprint import BENCH_KIB, NETWORK_KIB, PROMPT_KIB
from hil.vm.orders import BENCH
from hil.vm.spawner import VmProcess, Zygote

if TYPE_CHECKING:
    from hil.board.description import Description

# Mounts the bench's modules before anything is imported; the rest of the boot is hil/vm/modules/_boot.py.
BOOT = (
    "import sys,os,vfs,uctypes;a,_,n=os.getenv('LATCHWORK_BENCH').partition(',');"
    f"vfs.mount(vfs.VfsRom(uctypes.bytearray_at(int(a),int(n))),{BENCH!r});sys.path.insert(0,{BENCH!r});"
    "del a,_,n,sys,os,vfs,uctypes;import _boot;_boot.boot();del _boot"
)
SLOTS_KIB = 256
FLASH = "flash.img"


class VmStart:
    """Makes the files of a board in ``workdir`` and starts VMs on them. ``cut`` is for the next VM, ``worn`` for all,
    ``due`` for whichever does that write, counted from the first of the flash."""

    def __init__(
        self,
        zygote: Zygote,
        description: "Description",
        workdir: Path,
        *,
        firmware: Path | None,
        bare: bool,
        networked: bool,
    ) -> None:
        self.cut: Cut | None = None
        self.due: Cut | None = None
        self.worn = b""
        self.flash_path = workdir / FLASH
        self.slots_path = workdir / "slots.img"
        self._zygote = zygote
        self._description = description
        self._workdir = workdir
        self._firmware = firmware
        self._bare = bare
        self._networked = networked
        workdir.mkdir(parents=True, exist_ok=True)
        flash.create(self.flash_path, description.mcu.flash_kib)
        flash.create(self.slots_path, SLOTS_KIB)

    async def spawn(self, terminal: int, link: socket.socket, raw: bool) -> VmProcess:
        """A VM with its console on ``terminal`` and its bench behind ``link``; ``raw``: its REPL goes on in raw mode."""
        mcu = self._description.mcu
        heap_kib = mcu.heap_kib + BENCH_KIB + NETWORK_KIB * self._networked + PROMPT_KIB * raw
        images = await self._images()
        return await self._zygote.spawn(
            ["-X", f"heapsize={heap_kib}K", "-c", BOOT],
            terminal=terminal,
            link=link,
            cwd=self._workdir,
            env=self._environment(raw),
            images=images,
            own={"LATCHWORK_SLOTS": self.slots_path},
        )

    def writes(self) -> int:
        """Program and erase operations of all flash so far."""
        return sum(map(sum, (*flash.wear(self.flash_path), *flash.wear(self.slots_path))))

    def _left(self) -> Cut | None:
        """What a VM that starts now has to count down."""
        left = self.due.write - self.writes() if self.due is not None else 0
        return self.due._replace(write=left) if self.due is not None and left > 0 else None

    async def _images(self) -> dict[str, Path]:
        images = {"LATCHWORK_BENCH": await asyncio.to_thread(image.bench_image)}
        rom = self._firmware
        if rom is None and not self._bare:
            rom = await asyncio.to_thread(image.firmware_image)
        if rom is not None:
            images["LATCHWORK_ROM"] = rom
        return images

    def _environment(self, raw: bool) -> dict[str, str]:
        cut, self.cut = self.cut or self._left() or Cut(0, flash.Where.BEFORE), None
        return {
            "MICROPYPATH": ".frozen",
            "TZ": "UTC",
            "LATCHWORK_FLASH": str(self.flash_path),
            "LATCHWORK_ROM_FILE": str(self.slots_path),
            "LATCHWORK_CUT": f"{cut.write},{int(cut.where)},{cut.slots}",
            "LATCHWORK_WORN": self.worn.hex(),
            "LATCHWORK_NETWORK": "1" if self._networked else "0",
            "LATCHWORK_RAW": "1" if raw else "0",
            "LATCHWORK_BARE": "1" if self._bare or self._description.bare or raw else "0",
            "LATCHWORK_DRIFT": str(self._description.mcu.drift_ppm),
        }
