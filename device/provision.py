"""Provisioning over the console: `apply(json_text)` checks the whole bundle, then writes it, the commit
marker last.

K_dev arrives here once, gives the roots, and is forgotten. A power cut at any moment leaves a board that is
either provisioned or serves the console; never half of it.
"""

import binascii
import json

from device.config_store import NumberFile, SlotFile, make_directory, remove_file
from device.identity import BASE
from device.identity import is_provisioned as is_provisioned  # for the console
from device.journal_store import create as create_journal
from device.policy import parse_config
from device.spent import create as create_spent
from device.tls_socket import PinnedContext
from protocol import ids, keys
from protocol.envelope import LABEL_CONFIG, open_text, parse_object
from protocol.errors import Malformed
from protocol.x509_spki import check_pins, spki_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

MAX_BUNDLE = 24_576
_MAX_NAME = 253


def apply(json_text: str, base: str = BASE) -> str:
    """Provision this board; prints and returns one line of JSON. Raises Malformed before anything is
    written.
    """
    bundle = _Bundle(json_text)
    make_directory(base)
    remove_file(base + "/provisioned")
    _write(bundle, base)
    with open(base + "/provisioned", "wb") as f:
        f.write(bundle.device_id.encode())
    line = json.dumps({"ok": True, "device_id": bundle.device_id, "door_id": bundle.door_id})
    print(line)
    return line


class _Bundle:
    """A bundle that was checked in full."""

    def __init__(self, json_text: str) -> None:
        if len(json_text) > MAX_BUNDLE:
            raise Malformed("bundle_size")
        try:
            raw = parse_object(json_text)
        except Malformed:
            raise Malformed("bundle_json")
        self.device_id = ids.check_id("dev", raw.get("device_id"))
        self.door_id = ids.check_id("door", raw.get("door_id"))
        self.site_id = ids.check_id("site", raw.get("site_id"))
        self.epoch = _integer(raw, "epoch", 0, 255)
        self.time_ms = _integer(raw, "time", 0, (1000 << 32) - 1)  # of 32 bits of seconds
        self.broker = _broker(raw.get("broker"))
        self.wifi = _wifi(raw.get("wifi"))
        self.certificate = _binary(raw, "certificate")
        self.private_key = _binary(raw, "private_key")
        self.ca = _binary(raw, "ca")
        self._check_tls()
        self.k_dev = _binary(raw, "k_dev")
        if len(self.k_dev) != keys.KEY_SIZE:
            raise Malformed("bundle_k_dev")
        config = raw.get("config")
        if not isinstance(config, str):
            raise Malformed("bundle_config")
        self.config: str = config
        parse_config(open_text(keys.config_key(self.k_dev), LABEL_CONFIG, self.config), self.device_id)

    def _check_tls(self) -> None:
        spki_of(self.certificate)
        spki_of(self.ca)
        try:
            PinnedContext(self.certificate, self.private_key, self.ca)
        except (OSError, ValueError):
            raise Malformed("bundle_certificate")


def _write(bundle: _Bundle, base: str) -> None:
    about = {
        "device_id": bundle.device_id,
        "door_id": bundle.door_id,
        "site_id": bundle.site_id,
        "epoch": bundle.epoch,
        "broker": bundle.broker,
        "wifi": bundle.wifi,
    }
    k_dev = bundle.k_dev
    roots = b"".join(
        [
            derive(k_dev)
            for derive in (
                keys.credential_root,
                keys.command_key,
                keys.time_key,
                keys.config_key,
                keys.table_key,
                keys.lookup_key,
                keys.osdp_key,
            )
        ]
    )
    for name, content in (
        ("identity.json", json.dumps(about).encode()),
        ("roots", roots),
        ("certificate.der", bundle.certificate),
        ("key.der", bundle.private_key),
        ("ca.der", bundle.ca),
    ):
        with open(base + "/" + name, "wb") as f:
            f.write(content)
    config = SlotFile(base + "/config")
    config.load()
    config.save(bundle.config.encode())
    NumberFile(base + "/floor").save(bundle.time_ms // 1000)
    for name in ("users", "revocations", "spent", "config.epoch", "codes"):
        for slot in ("", ".0", ".1"):
            remove_file(base + "/" + name + slot)
    create_spent(base + "/spent")
    create_journal(base + "/journal", keys.journal_key(k_dev))


def _integer(raw: "Dict[str, Any]", name: str, low: int, high: int) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Malformed("bundle_" + name)
    return value


def _binary(raw: "Dict[str, Any]", name: str) -> bytes:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed("bundle_" + name)
    try:
        return binascii.a2b_base64(value)
    except ValueError:
        raise Malformed("bundle_" + name)


def _name(value: "Any", reason: str, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME or not (value or empty):
        raise Malformed(reason)
    return value


def _broker(raw: "Any") -> "Dict[str, Any]":
    if not isinstance(raw, dict):
        raise Malformed("bundle_broker")
    return {
        "host": _name(raw.get("host"), "bundle_broker"),
        "port": _integer(raw, "port", 1, 65535),
        "server_name": _name(raw.get("server_name"), "bundle_broker"),
        "pins": check_pins(raw.get("pins"), "bundle_pins"),
    }


def _wifi(raw: "Any") -> "Dict[str, str]":
    if not isinstance(raw, dict):
        raise Malformed("bundle_wifi")
    return {
        "ssid": _name(raw.get("ssid"), "bundle_wifi"),
        "key": _name(raw.get("key"), "bundle_wifi", empty=True),
    }
