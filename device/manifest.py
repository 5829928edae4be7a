"""Freezes the firmware into a MicroPython of your own (docs.micropython.org/en/latest/reference/manifest.html):

make -C ports/esp32 BOARD=ESP32_GENERIC_S3 FROZEN_MANIFEST=<this file>
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

include("$(PORT_DIR)/boards/manifest.py")

package(
    "device",
    (
        "__init__.py",
        "agent.py",
        "alarms.py",
        "authority.py",
        "backoff.py",
        "bare_door.py",
        "ble_service.py",
        "certificate.py",
        "clock.py",
        "config_store.py",
        "contact.py",
        "counters.py",
        "door.py",
        "door_table.py",
        "identity.py",
        "inbox.py",
        "journal_store.py",
        "json_members.py",
        "keypad_matrix.py",
        "main.py",
        "modes.py",
        "mqtt_client.py",
        "osdp_reader.py",
        "parts.py",
        "pinmap.py",
        "policy.py",
        "provision.py",
        "readers.py",
        "recorder.py",
        "spent.py",
        "table_store.py",
        "tls_socket.py",
        "token_bucket.py",
        "uplink.py",
        "watchdog.py",
        "wiegand_reader.py",
        "wifi.py",
    ),
    base_path="..",
    opt=3,
)

package(
    "protocol",
    (
        "__init__.py",
        "access.py",
        "attempts.py",
        "clock.py",
        "command.py",
        "credential.py",
        "envelope.py",
        "errors.py",
        "fragment.py",
        "handshake.py",
        "ids.py",
        "journal.py",
        "keypad.py",
        "keys.py",
        "messages.py",
        "mqtt.py",
        "osdp.py",
        "osdp_panel.py",
        "osdp_secure.py",
        "schedule.py",
        "table.py",
        "timezone.py",
        "topics.py",
        "transfer.py",
        "wiegand.py",
        "x509_spki.py",
    ),
    base_path="..",
    opt=3,
)
