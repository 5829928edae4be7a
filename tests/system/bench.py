"""A bench as a process of its own, to be killed: `python -m tests.system.bench FOLDER`."""

import asyncio
import json
import sys
from pathlib import Path

from tests.system.whole import whole


async def main(folder: Path) -> None:
    """Run two doors until killed."""
    async with whole(folder, ("front", "yard")) as one:
        print(json.dumps({"doors": len(one.site.doors)}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
