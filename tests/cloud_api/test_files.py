"""Files of devices: the same bytes for the same version, and what was overtaken while it was built is not offered."""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from cloud_api import files
from cloud_api.credentials import add_credential, build_users, end_credential
from cloud_api.db.migrate import engine_for, migrate
from cloud_api.db.models import Credential, Device, DeviceFile, Door, Organisation, User
from cloud_api.db.models import Site as SiteRow
from cloud_api.files import (
    USERS,
    file_changed,
    file_refused,
    file_status,
    find_file,
    keep_built,
    reported_files,
    wanted_files,
)
from cloud_api.fleet import PURPOSE_K_DEV
from cloud_api.secrets import Vault
from protocol.credential import NEVER
from protocol.errors import REFUSED_MEMORY, BadMac

OWNED = {"organisation_id": "org_1", "created_at": 0}
DEVICE = "dev_" + "2" * 16
BUILDERS = {USERS: build_users}


@pytest.fixture
def vault() -> Vault:
    return Vault(secrets.token_bytes(32))


@pytest.fixture
def session(tmp_path: Path, vault: Vault) -> Iterator[Session]:
    """A store with a device at its door, whose user has a PIN."""
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    engine = engine_for(url)
    with Session(engine) as session:
        site = {"name": "x", "time_zone": "UTC", "tz": "UTC0", "holidays": [], "registry_version": 0}
        policy = {"open_s": 5.0, "held_s": 30, "max_u_s": 300, "epoch": 1}
        k_dev = vault.seal(PURPOSE_K_DEV, DEVICE, bytes(32))
        for row in (
            Organisation(id="org_1", name="x", created_at=0),
            SiteRow(**OWNED, **site, id="site_1"),
            Door(**OWNED, **policy, id="door_1", site_id="site_1", name="x"),
            User(**OWNED, id="user_" + "1" * 16, name="x", subject=b"abcd", generation=0),
            Device(
                **OWNED,
                id=DEVICE,
                site_id="site_1",
                door_id="door_1",
                name="x",
                status="active",
                pin="",
                k_dev=k_dev,
                chain=b"",
            ),
        ):
            session.add(row)
            session.flush()
        give(session, vault, "1234")
        yield session
    engine.dispose()


def give(session: Session, vault: Vault, digits: str) -> Credential:
    row = Credential(
        **OWNED,
        id="cred_" + secrets.token_hex(8),
        user_id="user_" + "1" * 16,
        name="x",
        type="pin",
        not_before=0,
        not_after=NEVER,
        flags=0,
    )
    add_credential(session, vault, row, digits.encode(), ["door_1"])
    file_changed(session, USERS, ["door_1"])
    return row


def test_a_table_is_the_same_for_the_same_credentials_and_version(session: Session, vault: Vault) -> None:
    (first,) = wanted_files(session, vault, DEVICE, BUILDERS)
    assert wanted_files(session, vault, DEVICE, BUILDERS) == [first]
    end_credential(session, give(session, vault, "5678"), 1)
    device = session.get_one(Device, 1)
    assert build_users(session, vault, device, first.version) == first.data


def test_what_was_overtaken_while_it_was_built_is_neither_kept_nor_offered(
    session: Session, vault: Vault
) -> None:
    built = wanted_files(session, vault, DEVICE, BUILDERS)
    give(session, vault, "5678")
    assert keep_built(session, DEVICE, built) == []
    (newer,) = keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    assert (newer.version, len(newer.data)) == (2, len(built[0].data) + 36)


def test_a_version_that_was_offered_keeps_its_bytes(session: Session, vault: Vault) -> None:
    built = wanted_files(session, vault, DEVICE, BUILDERS)
    (kept,) = keep_built(session, DEVICE, built)
    later = [type(kept)(USERS, kept.version, b"other bytes", fresh=True)]
    assert keep_built(session, DEVICE, later) == [kept]
    (again,) = wanted_files(session, vault, DEVICE, BUILDERS)
    assert (again.data, again.fresh) == (kept.data, False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_800_000_000_000]
    monkeypatch.setattr(files, "now_ms", lambda: now[0])
    return now


def refuse(session: Session, code: int) -> tuple[str, str | None]:
    """The device refuses what it should have; status and reason of it then."""
    row = session.get_one(DeviceFile, (DEVICE, USERS))
    assert row.sha256 is not None
    assert file_refused(session, DEVICE, row.sha256[:8], code) == USERS
    return file_status(row), row.reason


def test_what_was_refused_for_good_is_not_offered_until_there_is_another(
    session: Session, vault: Vault, clock: list[int]
) -> None:
    keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    assert refuse(session, BadMac.refusal) == ("refused", "bad_mac")
    clock[0] += 10**12
    assert wanted_files(session, vault, DEVICE, BUILDERS) == []
    assert not reported_files(session, DEVICE, {USERS: 0})
    give(session, vault, "5678")
    (newer,) = wanted_files(session, vault, DEVICE, BUILDERS)
    row = session.get_one(DeviceFile, (DEVICE, USERS))
    assert (newer.version, file_status(row), row.reason) == (2, "offered", None)


def test_what_could_not_be_taken_is_offered_again_less_and_less_often(
    session: Session, vault: Vault, clock: list[int]
) -> None:
    keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    for hours in (1, 2, 4, 4):
        assert refuse(session, REFUSED_MEMORY) == ("delayed", "memory")
        clock[0] += hours * 3_600_000 - 1
        assert wanted_files(session, vault, DEVICE, BUILDERS) == []
        clock[0] += 1
        assert len(wanted_files(session, vault, DEVICE, BUILDERS)) == 1


def test_a_refusal_counts_no_more_once_the_device_has_the_file(
    session: Session, vault: Vault, clock: list[int]
) -> None:
    keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    refuse(session, REFUSED_MEMORY)
    row = session.get_one(DeviceFile, (DEVICE, USERS))
    assert not reported_files(session, DEVICE, {USERS: 1})
    assert (file_status(row), row.reason) == ("taken", None)
    assert reported_files(session, DEVICE, {USERS: 0})  # it lost it
    assert len(wanted_files(session, vault, DEVICE, BUILDERS)) == 1


def test_a_refusal_of_an_older_version_holds_nothing_back(session: Session, vault: Vault) -> None:
    (kept,) = keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    give(session, vault, "5678")
    keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    assert file_refused(session, DEVICE, hashlib.sha256(kept.data).digest()[:8], BadMac.refusal) is None
    assert len(wanted_files(session, vault, DEVICE, BUILDERS)) == 1


def test_a_retired_device_gets_nothing_more(session: Session, vault: Vault) -> None:
    (kept,) = keep_built(session, DEVICE, wanted_files(session, vault, DEVICE, BUILDERS))
    name = hashlib.sha256(kept.data).digest()[:8]
    assert find_file(session, DEVICE, name) == kept.data
    session.get_one(Device, 1).status = "retired"
    session.flush()
    assert find_file(session, DEVICE, name) is None
    assert wanted_files(session, vault, DEVICE, BUILDERS) == []
