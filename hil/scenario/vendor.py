"""The maker of a run's firmware: a key, boards that trust it, and packages, of which one cannot start."""

from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from hil import package
from hil.vm import image

_BROKEN = "raise ValueError('this firmware cannot start')\n"


class Vendor:
    """The key is made when first needed; so are the images, which blocks for seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def firmware(self) -> Path:
        """This tree's, for boards that take the vendor's packages."""
        return image.firmware_image(replaced=self._trusting)

    def packed(self, kind: str, version: int, trial_s: int) -> bytes:
        """A signed package: ``good`` is the firmware as it is, ``broken`` cannot start."""
        rom = self.firmware if kind == "good" else self._broken
        return package.sign(rom.read_bytes(), self._key, version, trial_s=trial_s)

    @cached_property
    def _key(self) -> RSAPrivateKey:
        return package.new_key()

    @cached_property
    def _trusting(self) -> dict[str, Path]:
        path = self._folder / "release_key.py"
        path.write_text(package.key_module(self._key))
        return {"device/release_key.py": path}

    @cached_property
    def _broken(self) -> Path:
        path = self._folder / "broken.py"
        path.write_text(_BROKEN)
        return image.firmware_image(replaced={**self._trusting, "device/main.py": path})
