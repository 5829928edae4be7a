"""SPEC.md against the code: worked bytes, every name that goes over a wire, every limit and its value."""

import ast
import json
import re

import pytest

from device import door_table
from hil import phone
from protocol import access, credential, envelope, handshake, ids, journal, topics
from protocol.host.boot_causes import BOOT_CAUSES
from protocol.host.refusals import REFUSAL_NAMES, is_final
from protocol.host.vectors.files import block_names
from tests.device.on_vm import ROOT

SPEC = (ROOT / "protocol" / "SPEC.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in SPEC.splitlines() if line[:1] == "|"
]
BLOCKS = re.findall(r"^```vector ([a-z]+)/([a-z0-9_]+)\n(.*?)^```$", SPEC, re.MULTILINE | re.DOTALL)
VECTORS = {
    (path.stem, vector["name"]): vector
    for path in (ROOT / "protocol" / "vectors").glob("*.json")
    for vector in json.loads(path.read_text())["vectors"]
}
# They run a broker of ours; what they bound is not on a wire.
BROKER_MODULES = ("host.admission", "host.broker", "host.nats_claims", "host.presence")
ERRORS = {"ProtocolError", "Malformed", "BadMac", "Replayed", "Expired", "WrongDevice", "ChainGap"}


def _parsed(path):
    return ast.parse(path.read_text())


def _value(node):
    """The value of a constant expression, also in MicroPython's const()."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "const":
        node = node.args[0]
    try:
        return eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}})
    except (NameError, TypeError):
        return None


def _constants(path):
    """Names and values of a module's constants."""
    found = {}
    for node in _parsed(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _value(node.value)
    return found


@pytest.mark.parametrize(("topic", "name", "body"), BLOCKS, ids=[f"{b[0]}-{b[1]}" for b in BLOCKS])
def test_a_worked_example_says_what_its_vector_says(topic, name, body):
    vector = VECTORS[topic, name]
    text = body.replace("\n    ", "") if "\n      " not in body else re.sub(r"\n    (?! )", "", body)
    lines = text.splitlines()
    given = dict(line.split(" = ", 1) for line in lines if re.match(r"[a-z0-9_]+ = ", line))
    for field, value in given.items():
        assert value == _text(vector["in"][field])
    parts = re.findall(r"^  (\S+)\s+(.+)$", text, re.MULTILINE)
    assert parts == [tuple(part) for part in vector.get("parts", [])]
    out = [line[3:] for line in lines if line.startswith("->")]
    whole = "".join(item for item, _ in parts)
    expected = vector["out"]
    if isinstance(expected, dict):
        assert out == [f"{field} = {_text(value)}" for field, value in expected.items()]
    else:
        assert out == [_text(expected)] or (not out and whole == expected)
    # Nothing of the input is kept back, but what the named bytes say.
    assert all(field in given or value == whole for field, value in vector["in"].items())


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)


def test_every_topic_of_the_vectors_has_a_worked_example_or_a_table():
    worked = {topic for topic, _ in block_names(SPEC)}
    assert {topic for topic, _ in VECTORS} - worked == {"access"}
    assert len(BLOCKS) >= 25


@pytest.mark.parametrize(
    ("module", "prefix", "names"),
    [
        (access, "STATUS_", access.STATUS_NAMES),
        (journal, "EVENT_", journal.EVENT_NAMES),
        (journal, "BOOT_", BOOT_CAUSES),
    ],
)
def test_every_status_event_and_boot_cause_has_its_row(module, prefix, names):
    constants = {
        number: name
        for name, number in vars(module).items()
        if name.startswith(prefix) and isinstance(number, int)
    }
    rows = {row[0]: row[1] for row in ROWS}
    assert constants.keys() == names.keys()
    for number, name in names.items():
        assert rows[f"{number} `{constants[number]}`"] == f"`{name}`"


def test_every_caveat_action_method_flag_and_label_is_named_with_its_number():
    for module, prefix in ((credential, "CAVEAT_"), (handshake, "ACTION_"), (journal, "METHOD_")):
        for name, number in vars(module).items():
            if name.startswith(prefix) and isinstance(number, int):
                assert f"{number} `{name}`" in SPEC, name
    for name in journal.METHOD_NAMES.values():
        assert f"`{name}`" in SPEC
    flags = {row[0].strip("`"): row[1] for row in ROWS}
    for name in ("REMOTE_ONLY", "ONE_TIME", "DURESS", "LOCKDOWN_OVERRIDE", "EXTENDED_TIME"):
        assert flags[name] == str(getattr(credential, name))
    assert sum(1 << n for n in range(5)) == credential.KNOWN_FLAGS
    for name, label in vars(envelope).items():
        if name.startswith("LABEL_"):
            assert any(row[0] == f"`{label.decode()}`" for row in ROWS), name


def test_every_refusal_of_a_journal_is_named_with_its_number_and_whether_it_is_final():
    section = SPEC[SPEC.index("| status | name | cause") : SPEC.index("## 21.")]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| .* \| (.+) \|$", section, re.MULTILINE)
    listed = {int(code): (name, again == "never helps") for code, name, again in rows}
    assert listed == {code: (name, is_final(code)) for code, name in REFUSAL_NAMES.items()}


@pytest.mark.parametrize(
    ("after", "leaves"),
    [
        ("**Site broker**", (topics.UP_LEAVES, topics.DOWN_LEAVES)),
        ("**Cloud broker**", (topics.SITE_UP_LEAVES, topics.SITE_DOWN_LEAVES)),
    ],
)
def test_every_topic_leaf_is_listed(after, leaves):
    section = SPEC[SPEC.index(after) :]
    for direction, expected in zip(("Up", "Down"), leaves, strict=True):
        listed = re.search(rf"{direction} leaves: ([^.]+)\.", section)[1]
        assert tuple(re.findall(r"`(\w+)`", listed)) == expected


def test_every_leaf_has_its_message():
    section = SPEC[SPEC.index("## 15.") : SPEC.index("## 16.")]
    site, cloud = section.split("Between gateway and cloud")
    for text, up, down in (
        (site, topics.UP_LEAVES, topics.DOWN_LEAVES),
        (cloud, topics.SITE_UP_LEAVES, topics.SITE_DOWN_LEAVES),
    ):
        for leaf in [f"up/{leaf}" for leaf in up] + [f"down/{leaf}" for leaf in down]:
            assert re.search(rf"^\|.*`{leaf}`", text, re.MULTILINE), leaf


def test_every_uuid_is_that_of_door_and_phone():
    listed = re.findall(r"^\| (\w+) \| `([0-9a-f-]{36})`", SPEC, re.MULTILINE)
    firmware = _constants(ROOT / "device" / "ble_service.py")
    assert len(listed) == 4
    for name, uuid in listed:
        assert firmware[f"_{name.upper()}_UUID"] == uuid == getattr(phone, f"{name.upper()}_UUID")
    assert phone.NO_COMPANY == 0xFFFF


def test_every_kind_of_id_and_state_of_the_door_is_listed():
    for name in ids.KINDS + door_table.STATE_NAMES:
        assert f"`{name}`" in SPEC, name


def _reasons():
    """(class, reason, file) of every refusal in the code of a board and of the protocol."""
    for folder in ("protocol", "device"):
        for path in sorted((ROOT / folder).glob("*.py")):
            for node in ast.walk(_parsed(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ERRORS and node.args:
                    yield ast.unparse(node.func), node.args[0], path.name
                if isinstance(node, ast.ClassDef) and node.name in ERRORS:
                    for item in node.body:
                        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "default_reason":
                            yield node.name, item.value, path.name


def test_every_reason_is_named_and_in_its_class():
    classes = {row[0].strip("`"): row[2] for row in ROWS if row[0].strip("`") in ERRORS}
    assert set(classes) == ERRORS
    found = set()
    for name, node, file in _reasons():
        # A reason that is put together has the field's name behind it: `command_<field>`.
        literals = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
        for reason in literals:
            found.add(reason)
            assert f"`{reason}" in SPEC, (reason, file)
            if isinstance(node, ast.Constant):
                stated = [other for other in classes if f"`{reason}`" in classes[other]]
                assert stated == [name] or (name == "Malformed" and not stated), (reason, name)
    assert len(found) > 70


# Bases that nothing raises by itself, and what only a small heap or only CPython refuses.
WITHOUT_VECTOR = {"protocol", "malformed", "json_memory", "envelope_text"}


def test_every_reason_of_the_protocol_has_a_vector_that_is_refused_for_it():
    refused = {vector.get("error") for vector in VECTORS.values()}
    files = {path.name for path in (ROOT / "protocol").glob("*.py")}
    reasons = {node.value for _, node, file in _reasons() if file in files and isinstance(node, ast.Constant)}
    assert reasons - refused == WITHOUT_VECTOR


def test_every_limit_is_listed_with_its_value():
    listed = {row[0].strip("`"): row[1] for row in ROWS if re.fullmatch(r"`[a-z_0-9.]+\.[A-Z_]+`", row[0])}
    wanted = {}
    for path in [*(ROOT / "protocol").glob("*.py"), *(ROOT / "protocol" / "host").glob("*.py")]:
        module = path.relative_to(ROOT / "protocol").with_suffix("").as_posix().replace("/", ".")
        if module not in BROKER_MODULES:
            limits = {name: value for name, value in _constants(path).items() if _limits(name)}
            wanted.update({f"{module}.{name}": value for name, value in limits.items()})
    for name in ("policy", "provision"):
        constants = _constants(ROOT / "device" / f"{name}.py")
        wanted.update({f"device.{name}.{key}": value for key, value in constants.items() if _limits(key)})
    for name in listed:
        if name.startswith("device."):
            _, module, constant = name.split(".")
            wanted[name] = _constants(ROOT / "device" / f"{module}.py")[constant]
    wanted["handshake.MAX_AUTH"] = handshake.MAX_AUTH
    assert set(listed) == set(wanted)
    assert {name: int(value) for name, value in listed.items()} == wanted


def _limits(name):
    return name.startswith(("MAX_", "MIN_")) or name in ("WINDOW", "NONCE_LIFE_MS")


def test_every_link_inside_leads_to_a_heading():
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in SPEC.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(#([^)]+)\)", SPEC):
        assert target in headings
