"""Two-slot files: on a host directory with damaged bytes, and on LittleFS with the power cut at every write."""

import pytest

from device.config_store import MAX_PAYLOAD, NumberFile, SlotFile
from tests.device.on_vm import run_on_vm


def test_power_cut_at_every_write_leaves_the_last_or_the_new_payload(tmp_path):
    out = run_on_vm("config_store_cut.py", cwd=tmp_path, heap="2M")
    assert int(out.split()[1]) > 10


def test_a_damaged_slot_falls_back_to_the_one_before(tmp_path):
    path = str(tmp_path / "config")
    slots = SlotFile(path)
    slots.load()
    slots.save(b"one")
    slots.save(b"two")
    newest = tmp_path / "config.0" if slots.version == 1 else tmp_path / "config.1"
    raw = newest.read_bytes()
    for position in range(len(raw)):
        newest.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        assert SlotFile(path).load() == b"one"
    for size in range(len(raw)):
        newest.write_bytes(raw[:size])
        assert SlotFile(path).load() == b"one"
    newest.write_bytes(raw + b"x")
    assert SlotFile(path).load() == b"one"


def test_versions_rise_over_reloads(tmp_path):
    path = str(tmp_path / "config")
    for n in range(5):
        slots = SlotFile(path)
        assert slots.load() == (b"%d" % (n - 1) if n else None)
        slots.save(b"%d" % n)
        assert slots.version == n + 1


def test_an_oversized_payload_is_refused_and_nothing_changes(tmp_path):
    slots = SlotFile(str(tmp_path / "config"))
    slots.load()
    slots.save(b"small")
    with pytest.raises(ValueError):
        slots.save(bytes(MAX_PAYLOAD + 1))
    assert SlotFile(str(tmp_path / "config")).load() == b"small"


def test_a_number_is_kept(tmp_path):
    number = NumberFile(str(tmp_path / "boot"))
    assert number.value == 0
    number.save(2**40)
    assert NumberFile(str(tmp_path / "boot")).value == 2**40
