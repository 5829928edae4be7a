"""A unit's most frequent names are in front of its table, and it does the same."""

from hil.vm import foreign, image
from hil.vm.name_order import in_front

RARE = "".join(f"def rare{n}(): pass\n" for n in range(300))
OFTEN = "def often(): pass\ndef f():\n" + "    often()\n" * 200


def size(source: str) -> int:
    return len(image.compile_sources({"unit.py": source})["unit.mpy"])


def test_a_name_that_is_often_used_takes_a_byte_at_each_use() -> None:
    assert size(RARE + OFTEN) - size(in_front(RARE + OFTEN)) > 180  # of 200 uses


def test_what_is_put_in_front_is_never_run() -> None:
    found: dict[str, object] = {}
    exec(in_front(RARE + "value = 5\n"), found)
    assert found["value"] == 5


def test_a_unit_with_few_names_is_as_it_was() -> None:
    assert in_front(OFTEN) == OFTEN


def test_the_vm_tells_attributes_of_types_of_modules_and_of_what_has_no_name() -> None:
    names = foreign.attributes(["machine", "tls", "socket"])
    assert {
        "append",
        "ticks",
        "irq",
        "verify_mode",
        "setblocking",
        "readinto",
        "errno",
        "throw",
        "cancel",
    } <= names
    assert not {"Authority", "credential_root"} & names
