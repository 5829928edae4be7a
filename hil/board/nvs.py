"""The board's NVS partition: key-value pairs that survive what a commit came before."""

import json
from pathlib import Path

from hil.vm.link import NVS, Link

SET, GET, ERASE, COMMIT = range(4)
ESP_ERR_NVS_NOT_FOUND = -0x1102
ESP_ERR_NVS_NOT_ENOUGH_SPACE = -0x1105
MAX_BYTES = 16 * 1024  # of values: the usual partition is 24 KiB


class Nvs:
    """Channel NVS. Uncommitted values are lost with the VM; without a path, all are."""

    def __init__(self, link: Link, path: Path | None) -> None:
        self._path = path
        self._stored = self._load()
        self._session = dict(self._stored)
        link.attach(NVS, self)

    def handle(self, op: int, payload: bytes) -> bytes | None:
        if op == COMMIT:
            self._commit()
            return None
        key, value = self._key(payload)
        if op == SET:
            if sum(map(len, self._session.values())) + len(value) > MAX_BYTES:
                raise OSError(ESP_ERR_NVS_NOT_ENOUGH_SPACE, "NVS is full")
            self._session[key] = value
        elif op == GET:
            return self._find(key)
        elif op == ERASE:
            found = [k for k in self._session if k.partition("/")[2] == key.partition("/")[2]]
            if not found:
                raise OSError(ESP_ERR_NVS_NOT_FOUND, key)
            for k in found:
                del self._session[k]
        return None

    def vm_lost(self) -> None:
        self._session = dict(self._stored)

    def _find(self, key: str) -> bytes:
        if key not in self._session:
            raise OSError(ESP_ERR_NVS_NOT_FOUND, key)
        return self._session[key]

    @staticmethod
    def _key(payload: bytes) -> tuple[str, bytes]:
        """``kind/namespace/key`` and the value that follows."""
        space_end = 2 + payload[1]
        key_end = space_end + 1 + payload[space_end]
        space, key = payload[2:space_end].decode(), payload[space_end + 1 : key_end].decode()
        return f"{payload[0]}/{space}/{key}", payload[key_end:]

    def _load(self) -> dict[str, bytes]:
        if self._path is None or not self._path.exists():
            return {}
        return {key: bytes.fromhex(value) for key, value in json.loads(self._path.read_text()).items()}

    def _commit(self) -> None:
        self._stored = dict(self._session)
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({key: value.hex() for key, value in self._stored.items()}))
        new.replace(self._path)
