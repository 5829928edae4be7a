"""Names of what made a device boot."""

from protocol import journal

BOOT_CAUSES = {
    journal.BOOT_UNKNOWN: "unknown",
    journal.BOOT_POWER_ON: "power_on",
    journal.BOOT_HARD_RESET: "hard_reset",
    journal.BOOT_WATCHDOG: "watchdog",
    journal.BOOT_DEEP_SLEEP: "deep_sleep",
    journal.BOOT_SOFT_RESET: "soft_reset",
    journal.BOOT_BROWN_OUT: "brown_out",
}


def boot_cause(value: int) -> str:
    """The name of a boot record's value; a newer firmware may know more of them."""
    return BOOT_CAUSES.get(value, f"cause_{value}")
