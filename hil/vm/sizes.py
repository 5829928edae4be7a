"""``python -m hil.vm.sizes``: link and compile the firmware as it is shipped; list the sizes of its units, or what does not
compile. Its modules are compiled for the bench, too.
"""

import sys

from hil.vm import image, shipped


def main() -> int:
    """0 if everything compiles, and is not too large."""
    files = image.firmware_files()
    try:
        image.compile_firmware(files)
        compiled = shipped.build(files).files
    except image.ImageError as error:
        print(error, file=sys.stderr)
        return 1
    for name, code in compiled.items():
        print(f"{len(code):7,} {name}")
    size = sum(map(len, compiled.values()))
    print(f"{size:7,} bytes of bytecode, of {shipped.LIMIT:,}")
    if size > shipped.LIMIT:
        print("the firmware is too large", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
