"""Tables on flash: nothing but a whole, genuine, newer one comes into force, and what was spent stays spent."""

import hashlib
import shutil
import struct
from pathlib import Path

import pytest

from device.spent import MAX_SPENT, Spent, create
from device.table_store import TableStore
from protocol import keys, table
from protocol.errors import LocalError, ProtocolError
from protocol.host.tables import User, revocations_table, users_table
from protocol.ids import id_bytes
from tests.device.on_vm import run_on_vm

K_DEV = bytes(range(32))
DEVICE = "dev_" + "d0" * 8
KEY = keys.table_key(K_DEV)
ANNA = User("user_" + "a1" * 8)
BERT = User("user_" + "b2" * 8)


def pin_key(digits: str) -> bytes:
    return table.lookup(keys.lookup_key(K_DEV), b"pin", digits.encode())


def users(sequence: int, **pins: User) -> bytes:
    """A table of PINs that are given as names: `_1234=ANNA`."""
    return users_table(K_DEV, DEVICE, sequence, pins={name[1:]: user for name, user in pins.items()})


class Flash:
    """A directory in which tables are received."""

    def __init__(self, directory: Path, kind: int = table.KIND_USERS) -> None:
        self.path = directory / "table"
        self.inbox = directory / "inbox"
        self.kind = kind

    def boot(self) -> TableStore:
        return TableStore(str(self.path), self.kind, KEY, id_bytes(DEVICE))

    def offer(self, store: TableStore, raw: bytes) -> str:
        """The reason for which it is refused, or nothing."""
        self.inbox.write_bytes(raw)
        try:
            store.activate(str(self.inbox))
        except ProtocolError as e:
            return e.reason
        return ""


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    return Flash(tmp_path)


def test_a_table_is_in_force_at_once_and_after_a_reset(flash: Flash) -> None:
    store = flash.boot()
    assert (store.sequence, store.damaged, store.find(pin_key("1234"))) == (0, False, None)
    assert flash.offer(store, users(5, _1234=ANNA)) == ""
    for one in (store, flash.boot()):
        row = one.find(pin_key("1234"))
        assert row is not None
        assert table.user_token(row, 1).credential_id == id_bytes(ANNA.user_id)
        assert one.find(pin_key("1235")) is None
        assert one.sequence == 5
    assert not flash.inbox.exists()


def forged(**changes: object) -> bytes:
    """A table with the right key and with what no builder makes."""
    fields = {"magic": b"LWT1", "kind": 1, "size": 36, "count": 0, "sequence": 9, "rows": b"", **changes}
    rows = fields.pop("rows")
    assert isinstance(rows, bytes)
    body = struct.pack(">4sBBHI8s", *fields.values(), id_bytes(DEVICE)) + rows
    return body + keys.hmac_sha256(KEY, hashlib.sha256(body).digest())[:16]


ATTACKS = {
    "another device's": (users_table(K_DEV, "dev_" + "e0" * 8, 9, pins={"6666": BERT}), "table_device"),
    "another key's": (users_table(bytes(32), DEVICE, 9, pins={"6666": BERT}), "table_mac"),
    "the same again": (users(5, _1234=ANNA), "table_older"),
    "rolled back": (users(4, _6666=BERT), "table_older"),
    "another kind's": (revocations_table(K_DEV, DEVICE, 9, [], {}), "table"),
    "truncated": (users(9, _6666=BERT)[:-1], "table"),
    "without its last row": (users(9, _6666=BERT)[:20] + users(9, _6666=BERT)[56:], "table"),
    "oversized": (users(9, _6666=BERT) + b"\0", "table"),
    "too many rows": (forged(count=2001, rows=bytes(36 * 2001)), "table"),
    "unknown flags": (forged(count=1, rows=bytes(24) + b"\x80" + bytes(11)), "table_flags"),
    "rows out of order": (forged(count=2, rows=b"\2" + bytes(35) + b"\1" + bytes(35)), "table_row"),
    "sequence zero": (forged(sequence=0), "table"),
    "empty": (b"", "table"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_a_whole_genuine_newer_table_changes_nothing(flash: Flash, attack: str) -> None:
    raw, reason = ATTACKS[attack]
    store = flash.boot()
    flash.offer(store, users(5, _1234=ANNA))
    before = flash.path.read_bytes()
    assert flash.offer(store, raw) == reason
    for one in (store, flash.boot()):
        assert one.sequence == 5
        assert one.find(pin_key("1234")) is not None
        assert one.find(pin_key("6666")) is None
    assert flash.path.read_bytes() == before
    assert flash.offer(store, users(6, _7777=BERT)) == ""  # nor was a sequence burnt


def test_a_flipped_bit_at_any_byte_is_refused_when_it_comes_and_found_at_the_boot(flash: Flash) -> None:
    good = users(6, _1234=ANNA, _5678=BERT)
    store = flash.boot()
    flash.offer(store, users(5, _1234=ANNA))
    for at in range(len(good)):
        for bit in (1, 0x80):
            assert flash.offer(store, good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :]), at
            assert store.sequence == 5
    assert flash.offer(store, good) == ""
    for at in range(len(good)):
        flash.path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        damaged = flash.boot()
        assert damaged.damaged
        assert damaged.find(pin_key("1234")) is None
        assert flash.offer(damaged, users(5, _1234=ANNA)) == "table_older"
    assert flash.offer(damaged, good) == ""
    assert flash.boot().sequence == 6


def test_the_sequence_survives_the_loss_of_the_table(flash: Flash) -> None:
    flash.offer(flash.boot(), users(5, _1234=ANNA))
    flash.path.unlink()
    store = flash.boot()
    assert store.damaged
    assert flash.offer(store, users(4, _6666=BERT)) == "table_older"
    assert flash.offer(store, users(5, _1234=ANNA)) == ""


def test_revocations_are_found_by_credential_and_by_subject(tmp_path: Path) -> None:
    flash = Flash(tmp_path, table.KIND_REVOCATIONS)
    store = flash.boot()
    credentials = [hashlib.sha256(bytes([n % 256, n // 256])).digest()[:8] for n in range(500)]
    generations = {credential[:4]: n + 1 for n, credential in enumerate(credentials)}
    assert flash.offer(store, revocations_table(K_DEV, DEVICE, 1, credentials, generations)) == ""
    for credential in credentials:
        assert store.find(credential) is not None
        row = store.find(credential[:4] + table.ALL_KEYS)
        assert row is not None
        assert int.from_bytes(row[8:], "big") == generations[credential[:4]]
        assert store.find(credential[:7] + bytes([credential[7] ^ 1])) is None
    with pytest.raises(LocalError):
        revocations_table(K_DEV, DEVICE, 1, [*credentials, bytes(8)], {})


def test_no_pin_is_in_a_table() -> None:
    raw = users(1, _73519246=ANNA)
    assert b"73519246" not in raw
    assert hashlib.sha256(b"73519246").digest()[:8] not in raw


@pytest.mark.parametrize("change", [{"flags": 0x8000}, {"not_before": -1}, {"schedule_id": 2**16}])
def test_the_builder_makes_nothing_that_a_device_refuses(change: dict[str, int]) -> None:
    with pytest.raises(LocalError):
        users_table(K_DEV, DEVICE, 1, pins={"1234": User(ANNA.user_id, **change)})


def vm_tables(directory: Path) -> list[object]:
    """Arguments of table_cut.py: three tables in which the row of one code ends in the table's number."""
    paths = []
    for number in (1, 2, 3):
        pins = {f"{n:04}": ANNA for n in range(60)}
        pins["0007"] = User(ANNA.user_id, not_after=0xFFFFFF00 + number)
        paths.append(directory / f"table{number}")
        paths[-1].write_bytes(users_table(K_DEV, DEVICE, number, pins=pins))
    return [id_bytes(DEVICE).hex(), KEY.hex(), pin_key("0007").hex(), *paths]


def test_power_cut_at_every_write_of_an_activation_leaves_the_old_table_or_the_new(tmp_path: Path) -> None:
    out = run_on_vm("table_cut.py", *vm_tables(tmp_path), cwd=tmp_path, heap="4M")
    assert int(out.split()[1]) > 15


def test_2000_codes_are_searched_on_flash_at_one_cost_and_leave_nothing_on_the_heap(tmp_path: Path) -> None:
    raw = users_table(K_DEV, DEVICE, 1, pins={f"{n:06}": ANNA for n in range(2000)})
    (tmp_path / "table").write_bytes(raw)
    arguments = (id_bytes(DEVICE).hex(), KEY.hex(), keys.lookup_key(K_DEV).hex(), tmp_path / "table")
    out = run_on_vm("table_search.py", *arguments, cwd=tmp_path, heap="2M").split()
    print(" ".join(out))
    found = dict(zip(out[::2], map(int, out[1::2]), strict=True))
    assert found["reads"] == 12
    assert found["growth"] <= 0


def test_power_cut_at_every_write_of_spending_never_lets_a_credential_open_twice(tmp_path: Path) -> None:
    out = run_on_vm("spent_cut.py", cwd=tmp_path, heap="2M")
    assert int(out.split()[1]) > 4


def test_a_spent_id_leaves_when_its_end_has_passed_for_certain_and_a_full_set_takes_no_more(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "spent")
    create(path)
    one = Spent(path)
    for n in range(MAX_SPENT):
        assert one.open(n.to_bytes(8, "big"), 0)
        one.spend(n.to_bytes(8, "big"), 1000 + n)
    assert not one.open(b"one more", 0)
    assert not one.open(b"one more", 999)
    assert one.open(b"one more", 1000)
    one.spend(b"one more", 5000)
    assert not one.open((1).to_bytes(8, "big"), 1000)
    assert not one.open(b"one more", 4999)
    assert not one.open(b"and more", 1000)


def test_a_set_that_was_lost_lets_no_one_time_credential_open(tmp_path: Path) -> None:
    path = str(tmp_path / "spent")
    create(path)
    assert Spent(path).open(bytes(8), 0)
    for slot in tmp_path.iterdir():
        slot.write_bytes(b"damaged")
    assert not Spent(path).open(bytes(8), 0)


def test_a_flash_that_refuses_spends_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "flash"
    folder.mkdir()
    create(str(folder / "spent"))
    one = Spent(str(folder / "spent"))
    assert one.open(bytes(8), 0)
    shutil.rmtree(folder)
    with pytest.raises(OSError, match="No such file"):
        one.spend(bytes(8), 1)
