"""The largest policy and card formats that the cloud puts into a configuration."""

LARGEST_POLICY = {
    "max_u_s": 86_400,
    "open_s": 59.99,
    "held_s": 3600,
    "warn_s": 3600,
    "extended_s": 300,
    "relock_ms": 60_000,
    "jam_s": 60,
    "silence_s": 3600,
    "fire_releases": 1,
    "free_egress": 1,
    "way_out": 1,
    "passback_s": 86_400,
    "codes": 100,
    "unlock_schedule": 65_535,
}


def _format(bits: int) -> list[int]:
    """Facility, number, a parity over all but the first bit, and one over all."""
    return [bits, bits - 25, 24, 1, bits - 26, 1, (1 << bits - 1) - 1, 0, (1 << bits) - 1]


LARGEST_FORMATS = [_format(bits) for bits in (58, 57, 56, 55, 54, 53)]
