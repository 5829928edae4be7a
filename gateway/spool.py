"""The durable spool: what the site has said and the cloud has not yet acknowledged, in one SQLite file.

A *stream* is one source of numbered records: a device's journal, or the gateway's own audit. A row is kept
until the cloud acknowledges it. `durable` is the watermark that the device may rely on: every record up to it
is stored here or is already in the cloud. Every method blocks: call it from one worker thread.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# One device's share: weeks of a busy door. A device that sends more is out of order or hostile.
MAX_ROWS_PER_STREAM = 200_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stream(
    id TEXT PRIMARY KEY,
    durable INTEGER NOT NULL,
    acked INTEGER NOT NULL,
    rows INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record(
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY(stream, seq)
) WITHOUT ROWID;
"""


class SpoolError(Exception):
    """The spool could not be read or written (disk full, I/O error): nothing of the request was stored."""


@dataclass(frozen=True)
class Arrival:
    """Numbered records of one stream, as they came."""

    stream: str
    records: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True)
class Note:
    """One record that the spool itself numbers: the next of its stream."""

    stream: str
    body: bytes


@dataclass(frozen=True)
class Stored:
    """What one commit did: the watermark per stream, and how many records were known, or did not fit."""

    durable: dict[str, int]
    repeated: int
    over_limit: int


@dataclass
class _Stream:
    durable: int
    acked: int
    rows: int


class Spool:
    """The SQLite file. WAL with synchronous=FULL: what was acknowledged survives a power cut."""

    def __init__(self, path: Path, max_rows_per_stream: int = MAX_ROWS_PER_STREAM) -> None:
        self._max_rows = max_rows_per_stream
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA busy_timeout=2000")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def store(self, items: Iterable[Arrival | Note]) -> Stored:
        """Store everything in one transaction. Raises SpoolError, and then nothing is stored."""
        streams: dict[str, _Stream] = {}
        repeated = over_limit = 0
        with _Transaction(self._db):
            for item in items:
                if item.stream not in streams:
                    streams[item.stream] = self._stream(item.stream)
                stream = streams[item.stream]
                for seq, body in self._numbered(item, stream):
                    if seq <= stream.acked or self._known(item.stream, seq):
                        repeated += 1
                    elif stream.rows >= self._max_rows:
                        over_limit += 1
                    else:
                        self._db.execute("INSERT INTO record VALUES(?, ?, ?)", (item.stream, seq, body))
                        stream.rows += 1
            for name, stream in streams.items():
                self._advance(name, stream)
                self._save(name, stream)
        return Stored({name: s.durable for name, s in streams.items()}, repeated, over_limit)

    def acknowledge(self, name: str, seq: int) -> int:
        """The cloud has everything up to `seq`: delete it. Returns the new durable watermark."""
        with _Transaction(self._db):
            stream = self._stream(name)
            if seq > stream.acked:
                stream.acked = seq
                gone = self._db.execute("DELETE FROM record WHERE stream=? AND seq<=?", (name, seq))
                stream.rows -= gone.rowcount
                self._advance(name, stream)
                self._save(name, stream)
        return stream.durable

    def fetch(self, name: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` records above `after`, in order."""
        query = "SELECT seq, body FROM record WHERE stream=? AND seq>? ORDER BY seq LIMIT ?"
        try:
            return self._db.execute(query, (name, after, limit)).fetchall()
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from error

    def backlog(self) -> dict[str, tuple[int, int]]:
        """The streams that hold rows: name -> (cloud watermark, rows)."""
        try:
            found = self._db.execute("SELECT id, acked, rows FROM stream WHERE rows>0").fetchall()
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from error
        return {name: (acked, rows) for name, acked, rows in found}

    def _stream(self, name: str) -> _Stream:
        row = self._db.execute("SELECT durable, acked, rows FROM stream WHERE id=?", (name,)).fetchone()
        return _Stream(*row) if row else _Stream(0, 0, 0)

    def _save(self, name: str, stream: _Stream) -> None:
        self._db.execute(
            "INSERT INTO stream VALUES(?, ?, ?, ?) ON CONFLICT(id) DO UPDATE"
            " SET durable=excluded.durable, acked=excluded.acked, rows=excluded.rows",
            (name, stream.durable, stream.acked, stream.rows),
        )

    def _known(self, name: str, seq: int) -> bool:
        query = "SELECT 1 FROM record WHERE stream=? AND seq=?"
        return self._db.execute(query, (name, seq)).fetchone() is not None

    def _numbered(self, item: Arrival | Note, stream: _Stream) -> tuple[tuple[int, bytes], ...]:
        if isinstance(item, Arrival):
            return item.records
        highest = self._db.execute("SELECT max(seq) FROM record WHERE stream=?", (item.stream,)).fetchone()[0]
        return ((max(highest or 0, stream.acked) + 1, item.body),)

    def _advance(self, name: str, stream: _Stream) -> None:
        # A journal starts at 1. A device that comes from another site starts higher: nothing is promised to
        # it until the cloud says where its journal stands: a batch lost before we listened looks the same.
        stream.durable = max(stream.durable, stream.acked)
        query = "SELECT seq FROM record WHERE stream=? AND seq>? ORDER BY seq"
        for (seq,) in self._db.execute(query, (name, stream.durable)):
            if seq != stream.durable + 1:
                break
            stream.durable = seq


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; an SQLite error becomes SpoolError and leaves nothing behind."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as failure:
                self._roll_back()
                raise SpoolError(str(failure)) from failure
            return
        self._roll_back()
        if isinstance(error, sqlite3.Error):
            raise SpoolError(str(error)) from error

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
