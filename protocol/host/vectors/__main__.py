"""`python -m protocol.host.vectors` writes protocol/vectors and the worked bytes of SPEC.md; `--check` compares."""

import sys
from pathlib import Path

from protocol.host.vectors.files import rendered

USAGE = "usage: python -m protocol.host.vectors [--check]"


def main(arguments: list[str]) -> int:
    """Exit status: 0, 1 when something differs, 2 for a wrong call."""
    if arguments not in ([], ["--check"]):
        print(USAGE, file=sys.stderr)
        return 2
    protocol = Path(__file__).absolute().parents[2]
    wanted = rendered(protocol)
    stale = [path for path in protocol.glob("vectors/*.json") if path not in wanted]
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if arguments:
        for path in (*changed, *stale):
            print(f"differs: {path.relative_to(protocol)}")
        return 1 if changed or stale else 0
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])
    for path in stale:
        path.unlink()
    print(f"{len(changed)} of {len(wanted)} files written, {len(stale)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
