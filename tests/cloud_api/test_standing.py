"""What waits for a store that takes no work: the newest word of each device, and no word that another does not replace."""

from typing import cast

import pytest

from cloud_api.drops import Drops
from cloud_api.metrics import Metrics
from cloud_api.services import Cloud
from cloud_api.standing import Standing
from protocol.host.cloud_messages import Counters, Presence, State

SITE, DEVICE = "site_1", "dev_0123456789abcdef"
WORDS = {
    "state": State(d=DEVICE, boot=1, jseq=0, cfg=1, rev=0, fw="1.0", door="closed").encode(),
    "log": Counters(d=DEVICE, counters={}).encode(),
    "presence": Presence(away=(DEVICE,)).encode(),
}


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        ("state", "log", ["log", "state"]),
        ("log", "state", ["state", "log"]),
        ("state", "presence", ["presence"]),
        ("log", "presence", ["presence"]),
        ("presence", "state", ["state"]),
        ("presence", "log", ["log"]),
        ("state", "state", ["state"]),
    ],
)
def test_what_was_not_stored_waits_again_unless_it_is_out_of_date(
    first: str, then: str, kept: list[str]
) -> None:
    standing = Standing(cast(Cloud, None), Drops(Metrics()))
    standing.offer(SITE, first, WORDS[first])
    not_stored = standing._next()
    standing.offer(SITE, then, WORDS[then])
    standing._put_back(not_stored)
    assert [key.leaf for key in standing._next()] == kept
