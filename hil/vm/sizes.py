"""``python -m hil.vm.sizes``: compile the firmware for MicroPython; list sizes as shipped, or what does not compile."""

import sys

from hil.vm import image


def main() -> int:
    """0 if everything compiles."""
    try:
        compiled = image.compile_firmware(image.firmware_files(), shipped=True)
    except image.ImageError as error:
        print(error, file=sys.stderr)
        return 1
    for name, code in compiled.items():
        print(f"{len(code):7,} {name}")
    print(f"{sum(map(len, compiled.values())):7,} bytes of bytecode")
    return 0


if __name__ == "__main__":
    sys.exit(main())
