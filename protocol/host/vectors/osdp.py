"""Vectors of OSDP: what its specification publishes (annex E), a session that a conformance tester recorded, and refusals.

The numbers of annex E and of the recording come from elsewhere: the code that is tested has not made them.
"""

from typing import Any

from protocol.host.aes import Aes
from protocol.host.vectors.case import Parts, Vector, bad, flipped, good, joined
from protocol.osdp import crc16
from protocol.osdp_secure import Session

_SCBK_D = "303132333435363738393a3b3c3d3e3f"
_ANNEX_E = {"scbk": _SCBK_D, "rnd_a": "b0b1b2b3b4b5b6b7", "rnd_b": "a0a1a2a3a4a5a6a7"}
# Recorded between a panel and a reader whose key had just been set, commands and replies in turn.
_RECORDED: dict[str, Any] = {
    "scbk": "d459f02f6602e5651f3b553bc283d43e",
    "rnd_a": "636e3478f7085c57",
    "ccrypt": "53802b000d031201760a00170300cafede6162636465666768597b8467ad2b557296e1234e379dc3112f55",
    "rmac_i": "53801b000e03140178b1e1998a99229228c5b11a3d3922cc8d65f1",
    "commands": [
        "6200",
        "69000000bdac0000da280118010100",
        "6b000200010120526561647920202020202020202020202020202020343a343520414d20202020",
    ],
    "replies": [
        "53803e000f021846d98f68df2d3b69a8d0e0d7ec43d9b32e2abed1f57734c4baa3170b8063903588c4b2bf14a720361c56a2ff97"
        "a6f6c7a43856377daa32",
        "53800e000d021640d66d222cfb95",
        "53800e000e021640ca21171b03dd",
    ],
}
_RECORDED_OUT = {
    "proof": "dbd8cb35c81188cbdcf560521ec84469",
    "sent": [
        "53001e000f0217624cbdace660da28f9080d316704be7ae03ae55c7197fc",
        "53001e000d0217690245f090720128b1d00bfe54c7a9ef581edae77059d2",
        "53003e000e02176b0e1ad8d9f7f7b73e7b590cf3b5fa651d6ae3df83c71486d8ae488e7309d8a21bd1744d9f878a3f858acb7cab"
        "a81c29de36fc2f80fcbd",
    ],
    "heard": [
        "460102080202100301000401010501000601010801000901010a00030b00030c00000d00000e00000f0000100200",
        "40",
        "40",
    ],
}
_ID: Parts = (
    ("53", "start of message"),
    ("00", "address 0, a command"),
    ("0900", "size 9"),
    ("04", "sequence 0, CRC"),
    ("61", "osdp_ID"),
    ("00", "the standard's report"),
    ("c066", "CRC"),
)


def osdp() -> list[Vector]:
    return [*_frames(), *_keys(), *_sessions()]


def _frames() -> list[Vector]:
    def frame(name: str, wire: str, control: int, block: str, body: str) -> Vector:
        out = {"address": int(wire[2:4], 16), "control": control, "block": block, "body": body}
        return good(name, "osdp_frame", {"wire": wire}, out)

    poll = bytes.fromhex("53000e000f021560")
    return [
        {**frame("id", joined(_ID).hex(), 4, "", "6100"), "parts": [list(part) for part in _ID]},
        frame("comset", "537f0d00046e00802500006e38", 4, "", "6e0080250000"),
        frame("comset_checksum", "537f0c00006e00802500000f", 0, "", "6e0080250000"),
        frame("id_checksum", "530008000061" + "0044", 0, "", "6100"),
        frame("secure", "53000e000f02156098108d64b0c7", 15, "0215", "6098108d64"),
        bad("crc", "osdp_frame", {"wire": flipped(joined(_ID), 6)}, "osdp_check"),
        bad("checksum", "osdp_frame", {"wire": "5300080000610144"}, "osdp_check"),
        bad("too_short", "osdp_frame", {"wire": "5300060004" + "610000"}, "osdp_check"),
        bad("too_long", "osdp_frame", {"wire": "5300810004" + "00" * 124}, "osdp_check"),
        bad(
            "block_of_one",
            "osdp_frame",
            {"wire": _with_crc(b"\x53\x00\x0a\x00\x0c\x01\x15\x60")},
            "osdp_block",
        ),
        bad("block_alone", "osdp_frame", {"wire": _with_crc(b"\x53\x00\x09\x00\x0c\x02\x15")}, "osdp_block"),
        bad(
            "block_longer",
            "osdp_frame",
            {"wire": _with_crc(poll[:2] + b"\x0a" + poll[3:4] + b"\x0f\xff\x15\x60")},
            "osdp_block",
        ),
    ]


def _keys() -> list[Vector]:
    published = {
        "s_enc": "bf8dc2a8329acb8c67c6d0cd9a451682",
        "s_mac1": "5e86c676603bdee2d8beafe178637332",
        "client": "fde5d2f428ec16312471ea3c02bd7796",
        "server": "26d3356e07762d262801fc8e6665a891",
        "rmac_i": "b2a30057eb98ba2229ec1f875662b524",
    }
    client = published["client"]
    given = {**_ANNEX_E, "block": "031201", "client": client}

    def refused(name: str, reason: str, **changes: str) -> Vector:
        return bad(name, "osdp_keys", {**given, **changes}, reason)

    return [
        good("annex_e", "osdp_keys", given, published),
        refused("another_key", "osdp_cryptogram", scbk="00" * 16),
        refused("cryptogram", "osdp_cryptogram", client=flipped(bytes.fromhex(client)).hex()),
        refused("default_key", "osdp_default_key", block="031200"),
        refused("cryptogram_cut", "osdp_block", client=client[2:]),
        refused("plain_cryptogram", "osdp_block", block=""),
    ]


def _sessions() -> list[Vector]:
    def refused(name: str, reason: str, reply: bytes) -> Vector:
        given = {**_RECORDED, "commands": ["6200"], "replies": [reply]}
        return bad(name, "osdp_session", given, reason)

    first = bytes.fromhex(_RECORDED["replies"][0])
    return [
        good("recorded", "osdp_session", _RECORDED, _RECORDED_OUT),
        bad(
            "rmac_i",
            "osdp_session",
            {**_RECORDED, "rmac_i": _crc_again(flipped(bytes.fromhex(_RECORDED["rmac_i"]), 12))},
            "osdp_cryptogram",
        ),
        refused("bit_in_the_data", "osdp_mac", _crc_again(flipped(first, 9))),
        refused("bit_in_the_mac", "osdp_mac", _crc_again(flipped(first, -3))),
        refused("another_sequence", "osdp_mac", _crc_again(first[:4] + b"\x0d" + first[5:])),
        refused("reply_of_before", "osdp_mac", bytes.fromhex("53800e000f021640b1892dfe5295")),
        refused("plain", "osdp_block", _with_crc(b"\x53\x80\x08\x00\x07\x40")),
        refused(
            "plain_card", "osdp_block", _with_crc(b"\x53\x80\x10\x00\x07\x50\x00\x01\x1a\x00\x01\x02\x03\x40")
        ),
        refused("card_with_mac_alone", "osdp_block", _forged(b"\x16", bytes.fromhex("5000011a0001020340"))),
        refused("data_of_no_block", "osdp_block", _forged(b"\x18", b"\x50" + bytes(15))),
        refused("padding", "osdp_data", _forged(b"\x18", b"\x50" + bytes(16))),
        refused("block_of_a_command", "osdp_block", _forged(b"\x17", b"\x50" + bytes(16))),
    ]


def _forged(kind: bytes, body: bytes) -> bytes:
    """The reply of a reader with the right key and wrong manners, to the first command of the recording."""
    session = Session(Aes, bytes.fromhex(_RECORDED["scbk"]), bytes.fromhex(_RECORDED["rnd_a"]))
    ccrypt = bytes.fromhex(_RECORDED["ccrypt"])
    session.answer(ccrypt[5:8], ccrypt[8:-2])
    command = bytes.fromhex(_RECORDED_OUT["sent"][0])
    session.sign(command[:-6])
    head = bytes((0x53, 0x80, 13 + len(body), 0, 0x0F, 2)) + kind + body
    return _with_crc(head + session.sign(head))


def _crc_again(wire: bytes) -> bytes:
    return _with_crc(wire[:-2])


def _with_crc(frame: bytes) -> bytes:
    whole: Any = bytearray(frame)
    whole[2:4] = (len(frame) + 2).to_bytes(2, "little")
    return bytes(whole) + crc16(bytes(whole)).to_bytes(2, "little")
