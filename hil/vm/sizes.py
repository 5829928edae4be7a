"""``python -m hil.vm.sizes``: compile the firmware for MicroPython; list sizes as shipped, or what does not compile."""

import sys

from hil.vm import image


def main() -> int:
    """0 if everything compiles."""
    errors: list[str] = []
    total = 0
    for name, path in image.firmware_files().items():
        try:
            (compiled,) = image.compile_files({name: path}, shipped=True).values()
        except image.ImageError as error:
            errors.append(str(error))
            continue
        total += len(compiled)
        print(f"{len(compiled):7,} {name}")
    print(f"{total:7,} bytes of bytecode")
    for line in errors:
        print(line, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
