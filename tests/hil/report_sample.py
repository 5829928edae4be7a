"""A made-up run, as the demo records one: for the tests of the report, and to look at.

Run it to write the page: `python -m tests.hil.report_sample DIRECTORY`.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hil.report import Message, Number, Recording, Report, Step, render_html, write_json
from hil.report.model import Kind, Outcome
from hil.trace import VcdWriter, Waveforms, read_vcd

LIFELINES = ["phone", "door-1", "door-2", "door-3", "site gateway", "cloud", "operator"]

_STEPS = [
    ("start", "Start cloud, gateway and three boards", 0, 3841, "3 boards booted in 212 ms"),
    ("provision", "Provision three doors over the console", 3850, 1932, "3 devices online, pins checked"),
    ("share", "Share a key to a phone", 5790, 61.4, "1 key, 2 doors, 412 bytes"),
    ("offline_unlock", "Unlock over Bluetooth, gateway and cloud cut off", 5862, 3207, "relay in 7.31 ms"),
    ("reconnect", "Reconnect and deliver the journal", 9080, 1480, "4 records, none lost, none twice"),
    ("cloud_unlock", "Unlock from the cloud", 10570, 3014, "API call to relay 5.82 ms"),
    ("revoked", "Refuse a revoked key", 13600, 142, "refused: revoked; the relay did not move"),
    ("forced", "Raise an alarm for a forced door", 13760, 208, "alarm on the WebSocket after 11.4 ms"),
    ("wrong_pin", "Refuse a device with the right CA and the wrong pin", 13980, 95.2, "refused: pin"),
    ("replay", "Ignore a replayed command", 14090, 640, "dropped: replayed; counter 1"),
]  # fmt: skip

_MESSAGES: list[tuple[float, str, str, str, Kind, Outcome]] = [
    (612, "site gateway", "cloud", "POST /v1/gateways", "http", "delivered"),
    (689, "cloud", "site gateway", "201 certificates, two pins, registry", "http", "delivered"),
    (3102, "site gateway", "cloud", "CONNECT mutual TLS, pin checked", "mqtt", "delivered"),
    (3860, "operator", "cloud", "POST /v1/devices (door-1)", "http", "delivered"),
    (3921, "operator", "door-1", "provision over the raw REPL", "console", "delivered"),
    (4460, "door-1", "site gateway", "CONNECT mutual TLS, pin checked", "mqtt", "delivered"),
    (4463, "door-1", "site gateway", "up/state boot 1, config 1", "mqtt", "delivered"),
    (4475, "site gateway", "cloud", "up/state", "mqtt", "delivered"),
    (5795, "operator", "cloud", "POST /v1/keys", "http", "delivered"),
    (5831, "phone", "cloud", "POST /v1/keys/key_3f9a2c11d07be844/mobile", "http", "delivered"),
    (5849, "cloud", "phone", "token and K_cred for two doors", "http", "delivered"),
    (5864, "site gateway", "site gateway", "stopped", "fault", "delivered"),
    (5871, "cloud", "cloud", "stopped", "fault", "delivered"),
    (5874.2, "phone", "door-1", "connect", "ble", "delivered"),
    (5881.5, "door-1", "phone", "CHAL nonce, clock, revocation 0", "ble", "delivered"),
    (5883.1, "phone", "door-1", "AUTH token, MAC", "ble", "delivered"),
    (5885.9, "door-1", "door-1", "relay energised", "pin", "delivered"),
    (5887.0, "door-1", "phone", "RESULT granted, audit 3", "ble", "delivered"),
    (5902, "door-1", "site gateway", "up/events", "mqtt", "lost"),
    (8890, "door-1", "door-1", "relay released", "pin", "delivered"),
    (9460, "door-1", "site gateway", "CONNECT", "mqtt", "delivered"),
    (9475, "door-1", "site gateway", "up/events seq 1–4", "mqtt", "delivered"),
    (9481, "site gateway", "cloud", "up/events, from the spool", "mqtt", "delivered"),
    (9490, "cloud", "site gateway", "down/ack seq 4", "mqtt", "delivered"),
    (9492, "site gateway", "door-1", "down/ack seq 4", "mqtt", "delivered"),
    (10572, "operator", "cloud", "POST /v1/doors/door_91cc0a4fe2b07d15/unlock", "http", "delivered"),
    (10575.1, "cloud", "site gateway", "down/command sealed", "mqtt", "delivered"),
    (10575.9, "site gateway", "door-2", "down/command sealed", "mqtt", "delivered"),
    (10577.8, "door-2", "door-2", "relay energised", "pin", "delivered"),
    (10578.4, "door-2", "site gateway", "up/result sealed", "mqtt", "delivered"),
    (10579.0, "site gateway", "cloud", "up/result sealed", "mqtt", "delivered"),
    (10581.2, "cloud", "operator", "attempt succeeded", "ws", "delivered"),
    (13622, "operator", "cloud", "POST /v1/keys/key_3f9a2c11d07be844/revoke", "http", "delivered"),
    (13640, "cloud", "door-1", "down/config revocation 1", "mqtt", "delivered"),
    (13701, "phone", "door-1", "AUTH token, MAC", "ble", "delivered"),
    (13704, "door-1", "phone", "RESULT revoked", "ble", "refused"),
    (13762, "door-3", "door-3", "DPS opens without a grant", "pin", "delivered"),
    (13768, "door-3", "cloud", "up/events door forced", "mqtt", "delivered"),
    (13773.4, "cloud", "operator", "alarm: door-3 forced", "ws", "delivered"),
    (14030, "door-3", "site gateway", "CONNECT right CA, unknown public key", "mqtt", "refused"),
    (14041, "site gateway", "cloud", "up/audit admission refused: pin", "mqtt", "delivered"),
    (14120, "site gateway", "door-2", "down/command, the recorded bytes again", "mqtt", "refused"),
    (14660, "door-2", "site gateway", "up/log replayed 1", "mqtt", "delivered"),
]  # fmt: skip

_EDGES: dict[str, list[tuple[float, int]]] = {
    "door-1.relay": [(3930, 0), (5885.9, 1), (8890, 0)],
    "door-1.strike": [(3930, 0), (5897.2, 1), (8902, 0)],
    "door-1.dps": [(3930, 0), (6510, 1), (7900, 0)],
    "door-1.rex": [(3930, 0)],
    "door-2.relay": [(3940, 0), (10577.8, 1), (13578, 0)],
    "door-2.strike": [(3940, 0), (10589.1, 1), (13580, 0)],
    "door-2.dps": [(3940, 0), (11020, 1), (11024, 0), (11027, 1), (12400, 0)],
    "door-2.rex": [(3940, 0)],
    "door-3.relay": [(3950, 0)],
    "door-3.strike": [(3950, 0)],
    "door-3.dps": [(3950, 0), (13762, 1), (13950, 0)],
    "door-3.rex": [(3950, 0), (9300, 1), (9420, 0)],
}


def sample_report(ok: bool = True) -> Report:
    """The run; with `ok` false its last step failed."""
    started = datetime(2025, 3, 4, 9, 26, 53, tzinfo=UTC)
    steps = [
        Step(name=name, title=title, ok=True, started_ms=start, duration_ms=took, summary=summary)
        for name, title, start, took, summary in _STEPS
    ]
    steps[3].evidence = {
        "door": "door-1",
        "status": "granted",
        "relay_ms": 7.31,
        "challenge": "02 00 91 cc 0a 4f e2 b0 7d 15 00 00 00 01 5b 1f 62 c7 08 e4 99 03 aa 10",
        "offline": {"gateway": True, "cloud": True, "packets to the site broker": 0},
        "path": ["connect", "CHAL", "AUTH", "RESULT"],
        "alarm": None,
    }
    if not ok:
        steps[-1].ok = False
        steps[-1].error = "the relay of door-2 was energised again\nafter 12.3 ms, by command 7"
    messages = [
        Message(t_ms=t, source=source, target=target, label=label, kind=kind, outcome=outcome)
        for t, source, target, label, kind, outcome in _MESSAGES
    ]
    messages[15].detail = "status 0, audit sequence 3, revocation sequence 0"
    return Report(
        title="One door opens, end to end",
        started_at=started,
        ended_at=started + timedelta(milliseconds=14760),
        ok=ok,
        versions={
            "Latchwork": "0.1.0 (9edd72d)",
            "MicroPython": "1.29.0 on linux, heap 160 KiB",
            "nats-server": "2.12.1",
            "Bumble": "0.0.236",
            "Python": "3.11.7",
            "host": "Linux 6.8 x86-64, 2 cores",
        },
        steps=steps,
        lifelines=LIFELINES,
        messages=messages,
        numbers=[
            Number(title="Bluetooth connect to relay", value=11.7),
            Number(title="API call to relay", value=5.82),
            Number(title="API call to attempt succeeded", value=9.2),
            Number(title="Forced door to WebSocket", value=11.4),
            Number(title="Journal delivered after reconnect", value=412),
        ],
        recording=Recording(file="door.vcd", offset_ms=3900),
    )


def sample_recording(path: Path) -> Waveforms:
    """Write the doors' signals of the run to `path`, and read them back."""
    with VcdWriter(path, start_us=3_900_000) as writer:
        for name in _EDGES:
            writer.signal(name)
        edges = [(t, name, level) for name, changes in _EDGES.items() for t, level in changes]
        for t, name, level in sorted(edges):
            writer.change(writer.signal(name), level, round(t * 1000))
        writer.close(14_760_000)
    return read_vcd(path)


def main(directory: Path) -> None:
    """Write the pages of a run that passed and of one that failed."""
    directory.mkdir(parents=True, exist_ok=True)
    recording = sample_recording(directory / "door.vcd")
    for name, ok in (("report", True), ("failed", False)):
        write_json(sample_report(ok), directory / f"{name}.json")
        render_html(sample_report(ok), recording, directory / f"{name}.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
