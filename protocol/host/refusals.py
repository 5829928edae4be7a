"""What a device's journal says of a refusal: the `status` of `command_refused`, `config_refused` and `transfer_refused`."""

from protocol import errors
from protocol.journal import EVENT_COMMAND_REFUSED, EVENT_CONFIG_REFUSED, EVENT_TRANSFER_REFUSED

REFUSALS = (EVENT_COMMAND_REFUSED, EVENT_CONFIG_REFUSED, EVENT_TRANSFER_REFUSED)

_CLASSES = (errors.Malformed, errors.BadMac, errors.Replayed, errors.WrongDevice, errors.Expired)
REFUSAL_NAMES = {kind.refusal: kind.default_reason for kind in _CLASSES} | {
    errors.ProtocolError.refusal: "other",
    errors.REFUSED_DAMAGED: "damaged",
    errors.REFUSED_FLASH: "flash",
    errors.REFUSED_MEMORY: "memory",
    errors.REFUSED_SILENCE: "silence",
    errors.REFUSED_FAULT: "fault",
}


def refusal_name(code: int) -> str:
    """Why; `refusal_<code>` for one that is newer than we are."""
    return REFUSAL_NAMES.get(code, f"refusal_{code}")


def is_final(code: int) -> bool:
    """Whether the same file or configuration will always be refused."""
    return 0 < code <= errors.LAST_FINAL
