"""Files that come in pieces: fetched, gone on with after any interruption, and nothing of a wrong one."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from hil.board.description import builtin
from hil.board.flash import Cut, Where
from protocol import journal, keys
from protocol.envelope import LABEL_CONFIG, LABEL_OFFER, seal
from protocol.host.refusals import refusal_name
from protocol.host.transfers import build_chunk, build_offer, transfer_id
from protocol.transfer import MAX_CHUNK
from tests.device.rig import DEADLINE, Rig, rig
from tests.device.site import DEVICE

SIZE = 5 * MAX_CHUNK + 300
# A board whose firmware knows a kind of file: it keeps what it took, and refuses what begins with "bad".
MAIN = """
    import os
    from binascii import crc32
    from device import agent, main, parts
    from device.identity import read_file
    from protocol.errors import Malformed

    class Known(parts.Parts):
        def __init__(self):
            super().__init__()
            self.kinds["test"] = self.version, self.take

        def version(self):
            try:
                return int(read_file("/version"))
            except OSError:
                return 0

        def take(self, path, version):
            data = read_file(path)
            if data[:3] == b"bad":
                raise Malformed("no_good")
            if data[:3] == b"odd":
                return {}[version]
            if data == b"swap":
                with open("/swap", "w"):
                    pass
            with open("/version", "wb") as f:
                f.write(str(version).encode())
            print("taken", crc32(data))

    if "swap" in os.listdir("/") and "inbox" in os.listdir("/lw"):
        with open("/lw/inbox", "wb") as f:
            f.write(bytes(2048))
    agent.Parts = Known
    main.main()
"""


@pytest.fixture
async def taker(tmp_path: Path) -> AsyncIterator[Rig]:
    description = builtin()
    # MAIN is compiled on the board, into its heap.
    roomy = description.model_copy(update={"mcu": description.mcu.model_copy(update={"heap_kib": 256})})
    async with rig(tmp_path, description=roomy) as one, one.site.serving():
        await one.provision(main=MAIN)
        await one.site.synchronised()
        yield one


async def took(rig: Rig, *files: bytes) -> None:
    """Wait until the last of these was taken; it were these, and nothing else."""
    for file in files[-1:]:
        await rig.board.console.wait_for(f"taken {crc32(file)}", DEADLINE)
    assert re.findall(r"taken (\d+)", rig.board.console.text) == [str(crc32(file)) for file in files]


def offsets(site: Any) -> list[int]:
    """What was asked for until now, in order."""
    queue, found = site.queue("fetch"), []
    while not queue.empty():
        found.append(json.loads(queue.get_nowait())["off"])
    return found


async def test_a_file_is_fetched_piece_by_piece_and_taken(taker: Rig) -> None:
    site, data = taker.site, os.urandom(SIZE)
    id = await site.offer("test", 3, data)
    record = await site.record(journal.EVENT_TRANSFER_TAKEN)
    assert (record.subject.hex(), record.value) == (id, 3)
    assert offsets(site) == [n * MAX_CHUNK for n in range(6)]
    await site.offer("test", 3, data)  # in force already
    await site.offer("test", 2, b"older")
    assert (await site.counters())["down_update_offer_older"] == 1
    assert offsets(site) == []
    await took(taker, data)


async def test_files_wait_for_their_turn_and_the_newest_of_a_kind_is_enough(taker: Rig) -> None:
    site = taker.site
    await site.offer("test", 1, b"1" * SIZE, serve=False)
    await site.offer("test", 2, b"2" * SIZE)
    assert (await site.record(journal.EVENT_TRANSFER_TAKEN)).value == 2
    await took(taker, b"2" * SIZE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "coffee"}, "offer_kind"),
        ({"dev": "dev_" + "e0" * 8}, "offer_device"),
        ({"size": 1 << 20}, "offer_number"),
        ({"sha": "00"}, "offer_sha"),
    ],
)
async def test_an_offer_that_must_not_pass_makes_the_board_fetch_nothing(
    taker: Rig, changes: dict[str, Any], reason: str
) -> None:
    await taker.site.offer("test", 1, b"x" * SIZE, **changes)
    assert (await taker.site.counters())[f"down_update_{reason}"] == 1
    assert offsets(taker.site) == []


async def test_nobody_but_the_cloud_makes_the_board_fetch(taker: Rig) -> None:
    site = taker.site
    payload = build_offer(DEVICE, "test", 1, b"x" * SIZE)
    site.files[transfer_id(b"x" * SIZE)] = b"x" * SIZE
    for key, label in (
        (bytes(32), LABEL_OFFER),
        (keys.command_key(site.k_dev), LABEL_OFFER),
        (keys.config_key(site.k_dev), LABEL_CONFIG),
    ):
        await site.down("update", seal(key, label, payload))
    assert (await site.counters())["down_update_bad_mac"] == 3
    assert offsets(site) == []
    assert not [r for r in site.verify() if r.type == journal.EVENT_TRANSFER_REFUSED]


async def test_a_file_whose_digest_does_not_fit_changes_nothing_and_is_not_fetched_again(taker: Rig) -> None:
    site, data = taker.site, os.urandom(SIZE)
    damaged = bytearray(data)
    damaged[SIZE // 2] ^= 1
    id = transfer_id(data)

    async def serve(request: dict[str, Any]) -> None:
        piece = build_chunk(bytes(damaged), request["off"], request["len"])
        await site.down("chunk", bytes.fromhex(id) + piece[8:])

    site._serve_file = serve  # type: ignore[method-assign]
    await site.offer("test", 1, data)
    record = await site.record(journal.EVENT_TRANSFER_REFUSED)
    assert (record.subject.hex(), record.value) == (id, 1)
    assert refusal_name(record.status) == "damaged"
    offsets(site)
    await site.offer("test", 1, data)
    counters = await site.counters()
    assert (counters["inbox_transfer_hash"], counters["down_update_offer_failed"]) == (1, 1)
    assert offsets(site) == []
    await took(taker)


async def test_a_file_that_its_handler_refuses_is_audited_and_another_is_taken(taker: Rig) -> None:
    site = taker.site
    await site.offer("test", 1, b"bad" + bytes(SIZE))
    assert refusal_name((await site.record(journal.EVENT_TRANSFER_REFUSED)).status) == "malformed"
    await site.offer("test", 2, b"good" + bytes(SIZE))
    assert (await site.record(journal.EVENT_TRANSFER_TAKEN)).value == 2
    assert (await site.counters())["inbox_no_good"] == 1


async def test_a_file_that_makes_the_firmware_stumble_is_left_alone_and_the_next_one_taken(
    taker: Rig,
) -> None:
    """It raises what nobody expects: it neither blocks the inbox, nor comes again by itself after a reset."""
    site = taker.site
    await site.offer("test", 1, b"odd" + bytes(SIZE))
    record = await site.record(journal.EVENT_TRANSFER_REFUSED)
    assert (record.value, refusal_name(record.status)) == (1, "fault")
    counters = await site.counters()
    assert counters["inbox_fault"] == 1
    assert not [name for name in counters if name.startswith("crash_")]
    offsets(site)
    await site.offer("test", 1, b"odd" + bytes(SIZE))
    assert (await site.counters())["down_update_offer_failed"] == 1
    await taker.reset()
    await site.synchronised()
    assert "inbox_fault" not in await site.counters()
    assert offsets(site) == []
    await site.offer("test", 2, b"good" + bytes(SIZE))
    assert (await site.record(journal.EVENT_TRANSFER_TAKEN)).value == 2


async def test_chunks_that_were_not_asked_for_are_refused_and_the_file_is_whole(taker: Rig) -> None:
    site, data = taker.site, os.urandom(SIZE)
    other = bytes(SIZE)
    id = bytes.fromhex(transfer_id(data))
    serve = site._serve_file

    async def with_junk(request: dict[str, Any]) -> None:
        if request["off"] == MAX_CHUNK:
            await site.down("chunk", build_chunk(other, MAX_CHUNK, MAX_CHUNK))  # of another file
            await site.down("chunk", build_chunk(data, 0, MAX_CHUNK))  # the one before
            await site.down("chunk", build_chunk(data, 2 * MAX_CHUNK, MAX_CHUNK))  # the next one
            await site.down("chunk", build_chunk(data, MAX_CHUNK, 7))  # a short one
            await site.down("chunk", id + b"\0\0\x08\0" + bytes(MAX_CHUNK + 1))  # a long one
            await site.down("chunk", b"")
        await serve(request)

    site._serve_file = with_junk  # type: ignore[method-assign]
    await site.offer("test", 1, data)
    await site.record(journal.EVENT_TRANSFER_TAKEN)
    counters = await site.counters()
    found = {name: n for name, n in counters.items() if name.startswith("down_chunk_")}
    assert found == {
        "down_chunk_chunk_stray": 1,
        "down_chunk_chunk_repeated": 1,
        "down_chunk_chunk_offset": 2,
        "down_chunk_chunk_size": 2,
    }
    refused = [r for r in site.verify() if r.type == journal.EVENT_TRANSFER_REFUSED]
    assert [refusal_name(r.status) for r in refused] == ["damaged"]
    await took(taker, data)


async def test_a_lost_session_sends_at_most_one_piece_again(taker: Rig) -> None:
    site, data = taker.site, os.urandom(SIZE)
    serve, cut = site._serve_file, {2 * MAX_CHUNK, 4 * MAX_CHUNK}

    async def and_cut(request: dict[str, Any]) -> None:
        if request["off"] in cut:
            cut.remove(request["off"])
            await site.admission.kick(DEVICE)
            return
        await serve(request)

    site._serve_file = and_cut  # type: ignore[method-assign]
    await site.offer("test", 1, data)
    await site.record(journal.EVENT_TRANSFER_TAKEN)
    asked = offsets(site)
    assert sorted(set(asked)) == [n * MAX_CHUNK for n in range(6)]
    assert len(asked) == 8  # each of the two that were cut off once more, and nothing else
    await took(taker, data)


@pytest.mark.parametrize("where", list(Where))
async def test_a_file_is_gone_on_with_after_a_power_cut(taker: Rig, where: Where) -> None:
    site, data = taker.site, os.urandom(SIZE)
    serve, fetched = site._serve_file, []

    async def and_cut(request: dict[str, Any]) -> None:
        fetched.append(request["off"])
        if fetched.count(3 * MAX_CHUNK) == 1 and request["off"] == 3 * MAX_CHUNK:
            taker.board.cut_power_at(Cut(1, where))
        await serve(request)

    site._serve_file = and_cut  # type: ignore[method-assign]
    await site.offer("test", 1, data)
    await taker.board.wait_off(DEADLINE)
    site.booted()
    await taker.board.power_on()
    await site.record(journal.EVENT_TRANSFER_TAKEN)
    assert len(fetched) <= 7
    assert fetched.count(0) == 1
    await took(taker, data)


async def test_what_lies_on_flash_is_not_trusted(taker: Rig) -> None:
    """Who swaps the unfinished file under a board that has no power gets a refusal."""
    site, data = taker.site, os.urandom(SIZE)
    await site.offer("test", 1, b"swap")
    await site.record(journal.EVENT_TRANSFER_TAKEN)
    offsets(site)
    serve = site._serve_file

    async def first_alone(request: dict[str, Any]) -> None:
        if request["off"] == 0:
            await serve(request)

    site._serve_file = first_alone  # type: ignore[method-assign]
    await site.offer("test", 2, data)
    await site.next("fetch")
    await site.next("fetch")
    site._serve_file = serve  # type: ignore[method-assign]
    await taker.reset()
    await site.record(journal.EVENT_TRANSFER_REFUSED)
    assert offsets(site)[0] == MAX_CHUNK  # it went on behind what it found
    await took(taker, b"swap")


async def test_a_board_without_an_answer_asks_again_and_serves_its_door_meanwhile(taker: Rig) -> None:
    site, data = taker.site, os.urandom(100)
    await site.offer("test", 1, data, serve=False)
    await site.next("fetch")
    await site.down("command", site.command())
    assert (await site.result())["ok"]
    await site.next("fetch")
    site.files[transfer_id(data)] = data
    async with asyncio.timeout(60):
        await site.record(journal.EVENT_TRANSFER_TAKEN)
