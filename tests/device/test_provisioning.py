"""Provisioning over the console: the bundle is checked whole, written whole, and K_dev is not kept."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hil.board.flash import Cut, Where
from hil.phone import DoorHungUp
from tests.device.on_vm import run_on_vm
from tests.device.rig import DEADLINE, Rig

SMALL_CA = base64.b64encode(b"\x30\x03\x02\x01\x01").decode()

AT_BOOT = """
import device.main
from device import identity, provision
if not identity.is_provisioned():
    with open("/bundle.json") as f:
        provision.apply(f.read())
device.main.main()
"""


def bad_bundles(good: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """(bundle as JSON, slug of the refusal) by what is wrong."""
    broker, wifi = good["broker"], good["wifi"]
    pin = broker["pins"][0]
    other = {"device_id": "dev_" + "e0" * 8}  # whose configuration this is not
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "device id": ({"device_id": "dev_x"}, "bad_id"),
        "door id": ({"door_id": good["site_id"]}, "bad_id"),
        "no site": ({"site_id": None}, "bad_id"),
        "epoch": ({"epoch": 256}, "bundle_epoch"),
        "bool for a number": ({"epoch": True}, "bundle_epoch"),
        "time": ({"time": -1}, "bundle_time"),
        "a time of 33 bits": ({"time": 1000 << 32}, "bundle_time"),
        "broker": ({"broker": []}, "bundle_broker"),
        "host": ({"broker": {**broker, "host": ""}}, "bundle_broker"),
        "port": ({"broker": {**broker, "port": 0}}, "bundle_port"),
        "one pin": ({"broker": {**broker, "pins": [pin]}}, "bundle_pins"),
        "the same pin twice": ({"broker": {**broker, "pins": [pin, pin]}}, "bundle_pins"),
        "a short pin": ({"broker": {**broker, "pins": [pin, "00"]}}, "bundle_pins"),
        "a pin in capitals": ({"broker": {**broker, "pins": [pin, "A" * 64]}}, "bundle_pins"),
        "server name": ({"broker": {**broker, "server_name": 5}}, "bundle_broker"),
        "wifi": ({"wifi": {**wifi, "ssid": ""}}, "bundle_wifi"),
        "no wifi": ({"wifi": None}, "bundle_wifi"),
        "no certificate": ({"certificate": ""}, "bundle_certificate"),
        "base64": ({"certificate": "A"}, "bundle_certificate"),
        "not a certificate": ({"certificate": SMALL_CA}, "der_tag"),
        "key of another": ({"private_key": SMALL_CA}, "bundle_certificate"),
        "ca": ({"ca": SMALL_CA}, "der_tag"),
        "k_dev": ({"k_dev": base64.b64encode(bytes(31)).decode()}, "bundle_k_dev"),
        "another k_dev": ({"k_dev": base64.b64encode(bytes(32)).decode()}, "bad_mac"),
        "no config": ({"config": None}, "bundle_config"),
        "config": ({"config": "{}"}, "envelope_shape"),
        "config of another device": (other, "config_device"),
    }
    bad = {name: (json.dumps({**good, **change}), slug) for name, (change, slug) in changes.items()}
    bad["not an object"] = ("[1]", "bundle_json")
    bad["nested deep"] = ("[" * 3000, "bundle_json")
    bad["cut off"] = (json.dumps(good)[:-1], "bundle_json")
    bad["too large"] = (json.dumps({**good, "x": "y" * 25_000}), "bundle_size")
    return bad


async def test_every_bad_field_is_refused_by_name_and_nothing_is_written(blank: Rig) -> None:
    blank.site.port = 1
    outcomes: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for name, (bundle, slug) in bad_bundles(blank.site.bundle()).items():
        wanted[name] = slug
        outcomes[name] = (
            await blank.execute(f"""
                import os
                from device import provision
                try:
                    provision.apply({bundle!r})
                except provision.Malformed as e:
                    print(e.reason, end=" ")
                except Exception as e:
                    print(getattr(e, "reason", repr(e)), end=" ")
                print("written:", "lw" in os.listdir("/"))
            """)
        ).strip()
    assert outcomes == {name: f"{slug} written: False" for name, slug in wanted.items()}
    await blank.reset()
    await blank.board.console.wait_for("not provisioned", DEADLINE)


async def test_k_dev_is_nowhere_on_the_flash_afterwards(blank: Rig) -> None:
    blank.site.port = 1
    await blank.provision()
    await blank.running()
    await blank.board.power_cut()
    image = blank.board.flash_path.read_bytes()
    k_dev = blank.site.k_dev
    for trace in (k_dev, k_dev[:16], k_dev[16:], base64.b64encode(k_dev)[:24], k_dev.hex().encode()):
        assert trace not in image
    assert b"dev_" + b"d0" * 8 in image  # the image is the right one


def test_a_power_cut_at_every_write_leaves_a_board_that_is_provisioned_or_asks_to_be(
    two_bundles: tuple[str, str], tmp_path: Path
) -> None:
    first, second = two_bundles
    (tmp_path / "first.json").write_text(first)
    (tmp_path / "second.json").write_text(second)
    out = run_on_vm(
        "provision_cut.py", tmp_path / "first.json", tmp_path / "second.json", cwd=tmp_path, heap="4M"
    )
    assert int(out.split()[-1]) > 40


@pytest.mark.parametrize("write", [1, 9, 25])
@pytest.mark.parametrize("where", list(Where))
async def test_a_board_that_lost_power_in_provisioning_boots_and_takes_the_bundle(
    blank: Rig, write: int, where: Where
) -> None:
    blank.site.port = 1
    await blank.execute(f"""
        with open("/bundle.json", "w") as f:
            f.write({json.dumps(blank.site.bundle())!r})
        with open("/main.py", "w") as f:
            f.write({AT_BOOT!r})
    """)
    await blank.board.power_cut()
    blank.board.cut_power_at(Cut(write, where))
    await blank.board.power_on()
    await blank.board.wait_off(DEADLINE)
    await blank.board.power_on()
    await blank.running()
    assert (await blank.phone().unlock(blank.site.key_for_phone())).granted


async def test_a_board_that_is_provisioned_anew_forgets_the_old_site(blank: Rig) -> None:
    blank.site.port = 1
    await blank.provision()
    await blank.running()
    old = blank.site.key_for_phone()
    blank.board.console.write(b"\x03")
    blank.site.k_dev = bytes(range(32))
    blank.board.console.clear()
    await blank.provision()
    await blank.running()
    assert (await blank.phone().unlock(blank.site.key_for_phone())).granted
    with pytest.raises(DoorHungUp):
        await blank.phone().unlock(old)
