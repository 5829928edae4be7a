"""Where the ``latchwork`` command begins: ``micropython`` before anything else is loaded.

It is run by the hundred, by test runners and scripts, and the command line's own machinery costs more than the VM.
"""

import sys


def main() -> None:
    """Run the command of ``sys.argv``."""
    if sys.argv[1:2] == ["micropython"] and sys.argv[2:] != ["--help"]:
        from hil.vm.executable import run

        run(sys.argv[2:])
    from hil.cli import app

    app()
