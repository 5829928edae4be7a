"""The spool's promises, on a real SQLite file: by examples, by a model, and by killing its process."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.spool import Arrival, Note, Spool, SpoolError

from .conftest import DEV1, DEV2, GATEWAY


def arrival(*seqs: int, stream: str = DEV1) -> Arrival:
    return Arrival(stream, tuple((seq, b"%d" % seq) for seq in seqs))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool.db")


def test_repeated_records_are_stored_once_and_acknowledged_again(spool: Spool) -> None:
    assert spool.store([arrival(1, 2, 3)]).durable == {DEV1: 3}
    again = spool.store([arrival(2, 3, 4)])
    assert (again.durable, again.repeated) == ({DEV1: 4}, 2)
    assert [seq for seq, _ in spool.fetch(DEV1, 0, 10)] == [1, 2, 3, 4]


def test_the_first_copy_of_a_record_stays(spool: Spool) -> None:
    spool.store([Arrival(DEV1, ((1, b"first"),))])
    spool.store([Arrival(DEV1, ((1, b"second"),))])
    assert spool.fetch(DEV1, 0, 10) == [(1, b"first")]


def test_rows_go_only_up_to_the_cloud_s_watermark(spool: Spool) -> None:
    spool.store([arrival(1, 2, 3), arrival(1, 2, stream=DEV2)])
    assert spool.acknowledge(DEV1, 2) == 3
    assert [seq for seq, _ in spool.fetch(DEV1, 0, 10)] == [3]
    assert [seq for seq, _ in spool.fetch(DEV2, 0, 10)] == [1, 2]
    assert spool.acknowledge(DEV1, 1) == 3, "an older acknowledgement changes nothing"
    assert spool.store([arrival(1, 2)]).durable == {DEV1: 3}
    assert spool.backlog() == {DEV1: (2, 1), DEV2: (0, 2)}


def test_notes_are_numbered_without_gaps_even_when_all_are_delivered(spool: Spool) -> None:
    assert spool.store([Note(GATEWAY, b"a"), Note(GATEWAY, b"b")]).durable == {GATEWAY: 2}
    spool.acknowledge(GATEWAY, 2)
    assert spool.store([Note(GATEWAY, b"c")]).durable == {GATEWAY: 3}
    assert spool.fetch(GATEWAY, 0, 10) == [(3, b"c")]


def test_one_stream_cannot_fill_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", max_rows_per_stream=3)
    stored = spool.store([arrival(1, 2, 3, 4, 5), arrival(1, stream=DEV2)])
    assert (stored.durable, stored.over_limit) == ({DEV1: 3, DEV2: 1}, 2)
    spool.acknowledge(DEV1, 3)
    assert spool.store([arrival(4, 5)]).durable == {DEV1: 5}


def test_a_failed_transaction_stores_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.store([arrival(1)])
    db: sqlite3.Connection = spool._db  # the file's size limit is a setting of the connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
    big = Arrival(DEV1, tuple((seq, bytes(2000)) for seq in range(2, 60)))
    with pytest.raises(SpoolError, match="full"):
        spool.store([arrival(2), big])
    assert [seq for seq, _ in spool.fetch(DEV1, 0, 100)] == [1]
    db.execute(f"PRAGMA max_page_count={pages + 1000}")
    assert spool.store([arrival(2), big]).durable == {DEV1: 59}


def test_acknowledged_means_written_through(spool: Spool) -> None:
    db: sqlite3.Connection = spool._db
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: the WAL is flushed at every commit"


steps = st.lists(
    st.one_of(
        st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True).map(sorted),
        st.integers(0, 30),
        st.just("restart"),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_it_behaves_as_two_sets(tmp_path_factory: pytest.TempPathFactory, steps: list[object]) -> None:
    """The model: what was offered, and the cloud's watermark. The rest follows."""
    path = tmp_path_factory.mktemp("spool") / "spool.db"
    spool = Spool(path)
    offered: set[int] = set()
    acked = 0

    def durable() -> int:
        seq = acked
        while seq + 1 in offered:
            seq += 1
        return seq

    for step in steps:
        if isinstance(step, list):
            offered.update(step)
            assert spool.store([arrival(*step)]).durable == {DEV1: durable()}
        elif isinstance(step, int):
            acked = max(acked, step)
            assert spool.acknowledge(DEV1, step) == durable()
        else:
            spool.close()
            spool = Spool(path)
        left = sorted(seq for seq in offered if seq > acked)
        assert [seq for seq, _ in spool.fetch(DEV1, 0, 100)] == left
        assert spool.backlog() == ({DEV1: (acked, len(left))} if left else {})
    spool.close()


WRITER = """
    import sys
    from pathlib import Path
    from gateway.spool import Arrival, Spool
    spool = Spool(Path(sys.argv[1]))
    seq = int(sys.argv[2])
    while True:
        batch = tuple((s, bytes(46)) for s in range(seq, seq + 8))
        seq += 8
        print(spool.store([Arrival("dev_x", batch)]).durable["dev_x"], flush=True)
"""


def test_what_it_reported_is_there_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    path, durable = tmp_path / "spool.db", 0
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(durable + 1)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        reported = [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        spool = Spool(path)
        present = [seq for seq, _ in spool.fetch("dev_x", 0, 1_000_000)]
        assert present == list(range(1, len(present) + 1))
        assert len(present) >= max(reported, default=0)
        durable = len(present)
        spool.close()
