"""Who this board is: what provisioning wrote, read back at boot.

Directory `/lw`: identity.json, roots, *.der, the slot files config, boot and floor, journal/, and
`provisioned`, which is written last and makes the rest valid.
"""

import json

from device.config_store import NumberFile, file_size
from protocol.ids import id_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

BASE = "/lw"
# Credential, command, time, config, table and lookup, 32 bytes each; OSDP, 16. The journal's lives on in its chain.
ROOTS_SIZE = 208


def is_provisioned(base: str = BASE) -> bool:
    """Whether provisioning was completed."""
    return file_size(base + "/provisioned") >= 0


def read_file(path: str) -> bytes:
    """The whole file."""
    with open(path, "rb") as f:
        return f.read()


class Identity:
    """Names, addresses and derived keys. K_dev itself is not on the board."""

    def __init__(self, base: str = BASE) -> None:
        self.base = base
        about: "Dict[str, Any]" = json.loads(read_file(base + "/identity.json"))
        self.device_id: str = about["device_id"]
        self.door_name: str = about["door_id"]
        self.door_id = id_bytes(self.door_name)
        self.epoch: int = about["epoch"]
        self.broker: "Dict[str, Any]" = about["broker"]
        self.wifi: "Dict[str, Any]" = about["wifi"]
        roots = read_file(base + "/roots")
        if len(roots) != ROOTS_SIZE:
            raise ValueError("roots size")  # of another firmware, or damaged: provision again
        self.credential_root = roots[:32]
        self.command_key = roots[32:64]
        self.time_key = roots[64:96]
        self.config_key = roots[96:128]
        self.table_key = roots[128:160]
        self.lookup_key = roots[160:192]
        self.osdp_key = roots[192:]
        self.boot = 0

    def begin_boot(self, at_least: int = 0) -> int:
        """Count this boot, on flash before anything uses the number."""
        counter = NumberFile(self.base + "/boot")
        self.boot = max(counter.value, at_least) + 1
        counter.save(self.boot)
        return self.boot
