"""Proving an update on a board's VM: the RSA-3072 signature of its manifest, beside SHA-256 over its image."""

from benchmarks.outcome import Line, Outcome
from benchmarks.provisioned import board
from benchmarks.run import Entry, Run
from hil import package
from hil.measure.series import Series
from hil.vm import image

SAMPLES = 100
VERSION = 2
PATH = "/package"


async def measure(run: Run) -> Outcome:
    """A package of this tree, from a vendor whose key the board has."""
    key = package.new_key()
    built = package.build(key).image
    trusted = run.folder / "release_key.py"
    trusted.write_text(package.key_module(key))
    firmware = image.firmware_image(replaced={"device/release_key.py": trusted})
    async with board(run.folder / "board", firmware=firmware) as rig:
        run.say(f"putting a package of {len(built) // 1024} KiB on the board")
        await rig.put(PATH, package.sign(built, key, VERSION))
        run.say(f"{run.count(SAMPLES)} verifications, and as many hashes")
        rsa, sha = (
            Series("ms", [us / 1000 for us in took])
            for took in await rig.call("update_verify.py", f"proved({PATH!r}, {run.count(SAMPLES)})")
        )
        times = await rig.call("update_verify.py", f"taken({PATH!r}, {VERSION})")
    if not times:
        raise RuntimeError("the package was taken without a verification")
    lines = [
        Line("RSA-3072 verification: p50", rsa.median, "ms", sha.median, "SHA-256 of the image"),
        Line("RSA-3072 verification: p99", rsa.percentile(99), "ms"),
        Line("RSA-3072 verifications of an update", times, "", 1, "limit", 1.0),
    ]
    return Outcome(lines, {"rsa": rsa, "sha256": sha}, {"image_bytes": len(built)})


ENTRY = Entry("update_verify", "RSA-3072 and SHA-256 of an update", measure)
