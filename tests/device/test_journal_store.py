"""The journal on flash: cut at every write on LittleFS; ring, chain and keys on a host directory."""

import errno
import json
import os
from pathlib import Path

import pytest

from device import journal_store
from device.journal_store import MAX_PENDING, JournalStore
from protocol import journal
from tests.device.on_vm import run_on_vm

KEY = bytes(range(32))


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_store, "SEGMENT_RECORDS", 4)
    monkeypatch.setattr(journal_store, "MAX_SEGMENTS", 3)
    path = str(tmp_path / "journal")
    journal_store.create(path, KEY)
    return path


def everything(store):
    records, after = [], 0
    while True:
        first, more = store.read(after, 32)
        if not more:
            return records
        records += [journal.decode_record(raw) for raw in more]
        assert records[-len(more)].seq == first
        after = records[-1].seq


def write(store, count):
    for _ in range(count):
        store.add(journal.EVENT_BOOT)
        store.commit()


@pytest.mark.parametrize("ring", ["wraps", "grows"])
def test_power_cut_at_every_write_loses_nothing_that_was_committed(tmp_path, ring):
    out = run_on_vm("journal_cut.py", ring, cwd=tmp_path, heap="4M")
    assert int(out.split()[1]) > 30


def test_the_chain_verifies_over_commits_segments_and_boots(tmp_path):
    path = str(tmp_path / "journal")
    journal_store.create(path, KEY)
    for boot in range(1, 4):
        write(JournalStore(path, boot), 3)
    store = JournalStore(path, 4)
    chain = journal.initial_state(KEY)
    for seq in range(9):
        _, (raw,) = store.read(seq, 1)
        record, chain = journal.verify(chain, raw)
        assert record.boot == 1 + seq // 3


def test_a_boot_goes_on_with_the_segment_before(directory):
    for boot in range(1, 4):
        write(JournalStore(directory, boot), 1)
    assert len([name for name in os.listdir(directory) if len(name) == 8]) == 1


def test_uncommitted_records_are_not_given_out(directory):
    store = JournalStore(directory, 1)
    store.add(journal.EVENT_BOOT)
    assert store.read(0, 32) == (0, [])
    store.commit()
    assert store.read(0, 32)[0] == 1


def test_an_overwritten_record_that_was_not_acknowledged_is_told_by_a_gap_record(directory):
    store = JournalStore(directory, 1)
    write(store, 12)
    store.acknowledge(2)
    write(store, 2)
    records = everything(store)
    gaps = [r for r in records if r.type == journal.EVENT_JOURNAL_GAP]
    assert [g.value for g in gaps] == [2]  # 1..4 went, of which 3 and 4 nobody had
    assert records[0].seq == 5


def test_acknowledged_records_are_overwritten_without_a_gap(directory):
    store = JournalStore(directory, 1)
    for _ in range(20):
        write(store, 1)
        store.acknowledge(store.committed)
    assert all(r.type != journal.EVENT_JOURNAL_GAP for r in everything(store))


def test_an_acknowledgement_beyond_the_journal_is_clipped(directory):
    store = JournalStore(directory, 1)
    write(store, 2)
    store.acknowledge(2**32 - 1)
    assert store.acked == 2
    write(store, 1)
    assert store.read(store.acked, 32)[0] == 3


def test_the_watermark_is_kept(directory):
    store = JournalStore(directory, 1)
    write(store, 3)
    store.acknowledge(2)
    write(store, 1)
    assert JournalStore(directory, 2).acked == 2


def test_no_key_of_an_older_record_is_in_any_file(directory):
    keys = [KEY]
    chain = journal.initial_state(KEY)
    store = JournalStore(directory, 1)
    for _ in range(10):
        write(store, 1)
        _, chain = journal.append(chain, journal.EVENT_BOOT, boot=1)
        files = [path.read_bytes() for path in Path(directory).iterdir()]
        assert not any(key in content for key in keys for content in files)
        keys.append(chain.key)
    assert any(chain.key in path.read_bytes() for path in Path(directory).iterdir())


def test_a_damaged_tail_is_left_behind_and_the_chain_goes_on(directory):
    store = JournalStore(directory, 1)
    write(store, 2)
    segment = Path(directory) / "00000001"
    segment.write_bytes(segment.read_bytes() + b"torn")
    store = JournalStore(directory, 2)
    write(store, 2)
    assert [r.seq for r in everything(JournalStore(directory, 3))] == [1, 2, 3, 4]


def test_records_that_only_the_segment_has_are_taken_in(directory):
    store = JournalStore(directory, 1)
    write(store, 1)
    state = (Path(directory) / "state").read_bytes()
    write(store, 2)
    (Path(directory) / "state").write_bytes(state)  # as if the power went before the state was replaced
    store = JournalStore(directory, 2)
    assert (store.sequence, store.committed) == (3, 3)


def test_a_forged_record_behind_the_state_is_not_taken_in(directory):
    store = JournalStore(directory, 1)
    write(store, 1)
    forged, _ = journal.append(journal.ChainState(1, bytes(32), bytes(32)), journal.EVENT_BOOT)
    segment = Path(directory) / "00000001"
    segment.write_bytes(segment.read_bytes() + forged)
    assert JournalStore(directory, 2).sequence == 1


def test_a_lost_state_goes_on_after_the_newest_record_under_another_key(directory):
    store = JournalStore(directory, 1)
    write(store, 3)
    for damage in (b"", b"x" * 80):
        (Path(directory) / "state").write_bytes(damage)
        store = JournalStore(directory, 2)
        before = store.sequence
        assert before >= 3
        write(store, 1)
        assert store.sequence == before + 1


class FullDisk:
    """A file object whose flash takes nothing."""

    def write(self, data):
        raise OSError(errno.ENOSPC, "full")

    def flush(self):
        pass

    def close(self):
        pass


def test_a_flash_that_refuses_keeps_records_in_ram_up_to_a_bound_and_tells_the_rest(directory):
    store = JournalStore(directory, 1)
    write(store, 1)
    for _ in range(MAX_PENDING + 10):
        store._file = FullDisk()
        store.add(journal.EVENT_BOOT)
        with pytest.raises(OSError):
            store.commit()
    assert store.sequence == 1 + MAX_PENDING
    store.commit()
    write(store, 1)
    records = everything(store)
    assert [r.value for r in records if r.type == journal.EVENT_JOURNAL_GAP][0] >= 10
    assert records[-1].seq == store.sequence


def test_a_full_flash_gives_up_its_oldest_segment(directory):
    store = JournalStore(directory, 1)
    write(store, 9)
    store._file = FullDisk()
    store.add(journal.EVENT_BOOT)
    with pytest.raises(OSError):
        store.commit()
    assert not (Path(directory) / "00000001").exists()
    store.commit()
    assert everything(store)[-1].seq == store.sequence


def test_a_new_journal_forgets_the_old_one(directory):
    write(JournalStore(directory, 1), 6)
    journal_store.create(directory, bytes(32))
    store = JournalStore(directory, 1)
    assert (store.sequence, store.acked, store.read(0, 32)) == (0, 0, (0, []))


def test_a_full_ring_holds_what_it_must_and_no_commit_or_read_is_long(tmp_path):
    """The door waits meanwhile. A whole segment would be 200 operations and 24 KB; and the heap may be in pieces."""
    kept, commit, read = json.loads(run_on_vm("journal_bounds.py", cwd=tmp_path, heap="2M"))
    assert kept >= 5000
    assert commit <= 100
    assert read <= 12 * 4096  # most of it is the directory
