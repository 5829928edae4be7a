"""The table of revocations: in force at once, beside the configuration, and missed if it is lost."""

from protocol import journal
from protocol.host.refusals import refusal_name
from protocol.host.tables import User, revocations_table, users_table
from tests.device.rig import Rig
from tests.device.site import DEVICE
from tests.device.users_bench import ANNA

INSTEAD = """
import os
if "table" in os.listdir("/"):
    from device.identity import Identity
    from device.table_store import TableStore
    from protocol.ids import id_bytes
    me = Identity()
    TableStore("/lw/revocations", 2, me.table_key, id_bytes(me.device_id)).activate("/table")
    del me
import device.main
device.main.main()
"""


async def revoke(rig: Rig, raw: bytes) -> None:
    """The agent's next boot finds the table as if it had been received."""
    rig.board.console.write(b"\x03")
    await rig.execute(f"with open('/table', 'wb') as f:\n    f.write({raw!r})")
    await rig.revive()


async def test_the_table_of_revocations_and_the_configuration_both_revoke(blank: Rig) -> None:
    site, phone = blank.site, blank.phone()
    site.port = 1
    rev = {"seq": 3, "creds": [b"carl0001".hex()], "gens": {b"dora".hex(): 2}}
    await blank.provision(main=INSTEAD, config=site.config(rev=rev))
    await blank.running()
    await revoke(blank, revocations_table(site.k_dev, DEVICE, 7, [b"anna0001"], {b"bert": 3, b"dora": 1}))
    for credential, generation, status in (
        (b"anna0001", 0, "revoked"),
        (b"anna0002", 0, "granted"),
        (b"carl0001", 0, "revoked"),
        (b"bert0001", 2, "generation_over"),
        (b"bert0001", 3, "granted"),
        (b"dora0001", 1, "generation_over"),
        (b"dora0001", 2, "granted"),
    ):
        key = site.key_for_phone(credential_id=credential, generation=generation)
        result = await phone.unlock(key)
        assert (result.status, result.rev_seq) == (status, 7), credential


async def test_a_door_that_lost_its_revocations_honours_no_key_until_it_has_them_again(blank: Rig) -> None:
    site, phone = blank.site, blank.phone()
    site.port = 1
    await blank.provision(main=INSTEAD)
    await blank.running()
    raw = revocations_table(site.k_dev, DEVICE, 7, [b"bert0001"], {})
    await revoke(blank, raw)
    assert (await phone.unlock(site.key_for_phone())).granted
    blank.board.console.write(b"\x03")
    await blank.execute("with open('/lw/revocations', 'r+b') as f:\n    f.seek(21)\n    f.write(b'x')")
    await blank.revive()
    assert (await phone.unlock(site.key_for_phone())).status == "revoked"
    await revoke(blank, raw)
    assert (await phone.unlock(site.key_for_phone())).granted


async def test_tables_come_through_the_site_are_in_force_at_once_and_bad_ones_are_audited(door: Rig) -> None:
    site, phone = door.site, door.phone()
    assert (await phone.unlock(site.key_for_phone())).granted
    await site.offer("revocations", 7, revocations_table(site.k_dev, DEVICE, 7, [b"anna0001"], {}))
    taken = await site.record(journal.EVENT_TRANSFER_TAKEN)
    assert taken.value == 7
    result = await phone.unlock(site.key_for_phone())
    assert (result.status, result.rev_seq) == ("revoked", 7)
    users = {f"{n:04}": User(ANNA) for n in range(200)}
    await site.offer("users", 3, users_table(site.k_dev, DEVICE, 3, pins=users))
    assert (await site.record(journal.EVENT_TRANSFER_TAKEN, after=taken.seq)).value == 3
    other = users_table(site.k_dev, "dev_" + "e0" * 8, 4, pins=users)
    await site.offer("users", 4, other)
    refused = await site.record(journal.EVENT_TRANSFER_REFUSED)
    assert (refused.value, refusal_name(refused.status)) == (4, "wrong_device")
    assert (await site.counters())["inbox_table_device"] == 1
    assert (await phone.unlock(site.key_for_phone())).status == "revoked"
