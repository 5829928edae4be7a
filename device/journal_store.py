"""The journal on flash: a bounded ring of segment files, and the one state file that holds the chain's
current key.

    <directory>/<first seq, 8 hex>  up to SEGMENT_RECORDS records of RECORD_SIZE bytes, in sequence
    <directory>/state               magic | seq 4 | acked 4 | digest 32 | key 32 | CRC-32

Invariants, which hold after a power cut at any write:
- A record is committed when its bytes are synced; only then is the state replaced. LittleFS replaces a file at
  its close, or not at all; one of this size lies in its directory's own log, so that costs no block. At boot the records after
  the state's sequence are verified with its key and taken in, so the state may lag by one commit and never
  leads.
- The key on flash is the key of the next record. Keys of older records are in no file (a flash chip may hold
  their bytes in an unused block until it is erased).
- Records stay in the ring after they were acknowledged, until their segment is the oldest and room is needed.
"""

import binascii
import os
import struct

from device.config_store import file_size, make_directory, remove_file
from protocol import journal
from protocol.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

SEGMENT_RECORDS = 512  # fewer, longer files: each is looked up in the directory at every commit
MAX_SEGMENTS = 11  # never fewer than 5,120 records once it is full; 264 KiB of flash
MAX_PENDING = 64  # records in RAM while the flash refuses writes
_ENOSPC = 28  # MicroPython's errno module does not name it
_MAGIC = b"LWJ1"
_STATE = ">4sII32s32s"
_STATE_SIZE = 76


class JournalStore:
    """Appends to RAM, commits in groups, reads back what is committed. `boot` goes into every record."""

    def __init__(self, directory: str, boot: int) -> None:
        self._directory = directory
        self._boot = boot
        self._pending: "List[bytes]" = []
        self._segments: "List[int]" = []
        self._file: "Any" = None
        self._saved_acked = 0
        self.lost = 0  # records that could not be kept, to be told by the next gap record
        self.acked = 0
        self._chain = self._load()
        self.committed = self._chain.seq
        self._recover()

    @property
    def sequence(self) -> int:
        """Sequence of the newest record, committed or not."""
        return self._chain.seq

    def add(
        self,
        kind: int,
        time: int = 0,
        uncertainty: int = 0xFFFF,
        method: int = 0,
        status: int = 0,
        subject: bytes = bytes(8),
        value: int = 0,
    ) -> int:
        """Seal one record into RAM and return its sequence; `commit` makes it durable."""
        if len(self._pending) >= MAX_PENDING:
            self.lost += 1
            return self._chain.seq
        if self.lost and kind != journal.EVENT_JOURNAL_GAP:
            lost, self.lost = self.lost, 0
            self.add(journal.EVENT_JOURNAL_GAP, time, uncertainty, value=lost)
        raw, self._chain = journal.append(
            self._chain,
            kind,
            boot=self._boot,
            time=time,
            uncertainty=uncertainty,
            method=method,
            status=status,
            subject=subject,
            value=value,
        )
        self._pending.append(raw)
        return self._chain.seq

    def commit(self) -> bool:
        """Make everything added so far durable; return whether there was something. OSError: try again
        later.
        """
        if not self._pending:
            return False
        try:
            while self._pending:
                self._write_group()
        except OSError as e:
            self._close()  # the tail may be torn now; the next commit looks
            if e.errno == _ENOSPC:
                self._make_room(len(self._segments) - 1)
            raise
        self._save_state()
        return True

    def read(self, after: int, limit: int) -> "Tuple[int, List[bytes]]":
        """Up to `limit` committed records with a sequence above `after`, ascending, of one segment; and the
        sequence of the first."""
        for i in range(len(self._segments)):
            first = self._segments[i]
            if i + 1 < len(self._segments) and self._segments[i + 1] <= after + 1:
                continue
            start = max(after + 1, first)
            end = min(self._end(i), start + limit)
            if start < end:
                with open(self._path(first), "rb") as f:
                    f.seek((start - first) * journal.RECORD_SIZE)
                    raw = f.read((end - start) * journal.RECORD_SIZE)
                size = journal.RECORD_SIZE
                return start, [raw[n : n + size] for n in range(0, len(raw) - size + 1, size)]
        return 0, []

    def acknowledge(self, sequence: int) -> None:
        """The next hop holds everything up to `sequence`. Kept on flash lazily: sending twice does no harm."""
        self.acked = max(self.acked, min(sequence, self.committed))
        if self.acked - self._saved_acked >= MAX_PENDING:
            self._save_state()

    def _write_group(self) -> None:
        """Write what still fits into the current segment, or begin the next one."""
        first = self.committed + 1
        if self._file is None:
            self._open_tail()
        if self._file is None or first - self._segments[-1] >= SEGMENT_RECORDS:
            self._begin_segment(first)
        group = self._pending[: self._segments[-1] + SEGMENT_RECORDS - first]
        for raw in group:  # joined, they would want 3 KB in one piece from a heap that is in use
            self._file.write(raw)
        self._file.flush()
        self.committed += len(group)
        del self._pending[: len(group)]

    def _open_tail(self) -> None:
        """Go on with the newest segment, if nothing torn follows its last committed record."""
        if not self._segments:
            return
        path = self._path(self._segments[-1])
        if file_size(path) == (self.committed + 1 - self._segments[-1]) * journal.RECORD_SIZE:
            self._file = open(path, "ab")

    def _begin_segment(self, first: int) -> None:
        self._close()
        self._make_room(MAX_SEGMENTS - 1)
        if self._segments and self._segments[-1] == first:
            self._segments.pop()
        self._file = open(self._path(first), "wb")
        self._segments.append(first)

    def _make_room(self, keep: int) -> None:
        """Drop the oldest segments until at most `keep` are left, and remember what nobody had acknowledged."""
        while len(self._segments) > max(1, keep):
            last = self._end(0) - 1
            remove_file(self._path(self._segments[0]))
            self.lost += max(0, last - max(self.acked, self._segments[0] - 1))
            del self._segments[0]

    def _end(self, index: int) -> int:
        """One more than the last committed sequence in a segment."""
        if index + 1 < len(self._segments):
            records = file_size(self._path(self._segments[index])) // journal.RECORD_SIZE
            return min(self._segments[index] + records, self._segments[index + 1])
        return self.committed + 1

    def _path(self, first: int) -> str:
        return self._directory + "/{:08x}".format(first)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _load(self) -> "journal.ChainState":
        """The chain state from flash. Without one, records go on under a random key, which the cloud will
        report.
        """
        self._segments = sorted(int(name, 16) for name in os.listdir(self._directory) if len(name) == 8)
        raw = _read_state(self._directory + "/state")
        if raw is not None:
            _, seq, self.acked, digest, key = struct.unpack(_STATE, raw)
            self._saved_acked = self.acked
            return journal.ChainState(seq, digest, key)
        newest = 0
        if self._segments:
            records = file_size(self._path(self._segments[-1])) // journal.RECORD_SIZE
            newest = self._segments[-1] + records - 1
        return journal.ChainState(newest, bytes(32), os.urandom(32))

    def _recover(self) -> None:
        """Take in what was synced after the state was saved; what does not verify is torn and left behind."""
        known = self.committed
        for first in self._segments:
            if first <= self.committed + 1:
                self._recover_segment(first)
        while self._segments and self._segments[-1] > self.committed:
            remove_file(self._path(self._segments.pop()))
        if self.committed != known:
            self._save_state()

    def _recover_segment(self, first: int) -> None:
        size = journal.RECORD_SIZE
        with open(self._path(first), "rb") as f:
            f.seek((self.committed + 1 - first) * size)
            raw = f.read(size)
            while len(raw) == size:
                try:
                    _, self._chain = journal.verify(self._chain, raw)
                except ProtocolError:
                    return
                self.committed = self._chain.seq
                raw = f.read(size)

    def _save_state(self) -> None:
        """Saved state: the newest committed record's. `_chain` is that, because commits write all that is
        pending.
        """
        if self._pending:
            return
        _write_state(self._directory, self._chain, self.acked)
        self._saved_acked = self.acked


def create(directory: str, journal_key: bytes) -> None:
    """Begin the journal of a new device; an existing journal is removed with its keys."""
    make_directory(directory)
    for name in os.listdir(directory):
        remove_file(directory + "/" + name)
    _write_state(directory, journal.initial_state(journal_key), 0)


def _write_state(directory: str, chain: "journal.ChainState", acked: int) -> None:
    body = struct.pack(_STATE, _MAGIC, chain.seq, acked, chain.digest, chain.key)
    with open(directory + "/state", "wb") as f:
        f.write(body + struct.pack(">I", binascii.crc32(body) & 0xFFFFFFFF))


def _read_state(path: str) -> "Optional[bytes]":
    if file_size(path) != _STATE_SIZE + 4:
        return None
    with open(path, "rb") as f:
        raw = f.read()
    body = raw[:_STATE_SIZE]
    if body[:4] != _MAGIC or raw[_STATE_SIZE:] != struct.pack(">I", binascii.crc32(body) & 0xFFFFFFFF):
        return None
    return body
