"""Scenario files: what is read from them, and how mistakes are told."""

import json
import re
import textwrap
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hil.rig.capabilities import ABOUT, EVERYTHING, LINK
from hil.scenario import page
from hil.scenario.api import FAULTS, VERBS
from hil.scenario.cli import SHIPPED
from hil.scenario.document import ScenarioError, parse
from hil.scenario.load import ScenarioFile, load, loaded
from hil.scenario.quantities import seconds, shown
from hil.scenario.schema import schema
from hil.scenario.steps import Step

FILES = sorted(SHIPPED.glob("*.yaml"))
HEAD = "name: A test\nboards:\n  lamp: {firmware: none}\n"


def read(text: str, offers: frozenset[str] = EVERYTHING, **settings: str) -> ScenarioFile:
    return loaded(parse(textwrap.dedent(text), "x.yaml"), Path("x.yaml"), settings, offers)


def mistakes(text: str, offers: frozenset[str] = EVERYTHING, **settings: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(text, offers, **settings)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("  - expct-pin: {part: led, value: 1}", "5:5: unknown step expct-pin: did you mean expect-pin?"),
        ("  - expect-pin: {part: led, value: 2}", "5:29: value: Input should be less than or equal to 1"),
        ("  - expect-pin: {part: led, vlue: 1}", "5:29: expect-pin has no field vlue: did you mean value?"),
        ("  - expect-pin: {part: led}", "5:5: expect-pin needs value"),
        ("  - delay: 200", "5:5: time: 200 is not a duration: write a number and a unit, such as 200ms"),
        ("  - delay: 1s\n    open:", "5:5: a step is a map of one verb"),
        ("  - 7", "5:5: a step is a map of one verb, such as `delay: 200ms`; this is none"),
        ("  - repeat: {times: 2, stps: []}", "5:5: repeat has the fields times and steps"),
        ("  - repeat: {times: 0, steps: [open]}", "5:14: times is a number from 1 to 10,000, not 0"),
        ("  - repeat:\n      times: 2\n      steps:\n        - opn", "8:11: a step is a map"),
        ("  - fault: {kil: gateway}", "5:13: unknown fault kil: did you mean kill?"),
        ("  - fault: {kill: door}", "5:13: what: Input should be 'gateway', 'cloud' or 'broker'"),
        ("  - power: {state: of}", "5:13: state: Input should be 'on', 'off'"),
        ("  - open: lmp", "5:5: no board lmp: did you mean lamp?"),
        ("  - ble-unlock: lamp", "5:5: needs a phone"),
        ("  - wait-serial: ${txt}", "5:5: no parameter txt"),
        ("  []", "4:1: a scenario has at least one step"),
        ("  - delay: 1s\nstep: []", "6:1: unknown field step: did you mean steps?"),
        ("  - delay: 1s\nafterwards:\n  - delay: 1s", "6:1: is for scenarios with exhaustive"),
        ("  - delay: 1s\nsteps:\n  - delay: 2s", "6:1: steps is said twice"),
        ("  - delay: [", "not YAML"),
        (
            "  - delay: 1s\nphones:\n  anna: {keys: [lamp]}",
            "7:10: keys for lamp: there is no such door",
        ),
        ("  - delay: 1s\nmatrix: {a: [1]}", "6:10: a is no parameter"),
        ("  - delay: 1s\nmatrix: {a: 1}", "6:10: a: write a list, not 1"),
        ("  - delay: 1s\nphones: 3", "6:1: phones: write a map, not 3"),
        ("  - expect-pin: {part: led, value: high}", "5:29: value: write a whole number, not 'high'"),
        ("  - expect-pin: {part: lde, value: 1}", "5:18: lamp has no part lde: did you mean led?"),
        ("  - expect-pin: {part: gpio49, value: 1}", "5:18: lamp has no part gpio49"),
        (
            "  - expect-pin: {part: relay, pin: open, value: 1}",
            "5:18: relay of lamp has no pin open; there are",
        ),
        (
            "  - set-control: {part: led, control: open}",
            "5:19: led of lamp has no control open; there are level",
        ),
        ("  - press: tamper", "5:5: lamp has no part tamper"),
        ("  - press: bell", "5:5: button: Input should be 'rex', 'key', 'tamper' or 'fire'"),
        ("  - card: 5", "5:5: lamp has no card reader: give it the description reader_door or osdp_door"),
        ("  - key: 12#", "5:5: lamp has no keypad"),
        ("  - place: {what: lmap, x: 1, y: 2}", "5:13: no phone or board lmap: did you mean lamp?"),
        ("  - fault: {radio-loss: {probability: 0.1, between: [lamp, anna]}}", "no phone or board anna"),
        ("  - cloud-unlock: lamp", "5:5: lamp is no door of a site"),
        ("  - wait-serial:", "5:5: wait-serial: give either text or regex"),
        ("  - wait-serial: {text: a, regex: b}", "5:5: wait-serial: give either text or regex"),
        ("  - wait-serial: {regex: '('}", "5:19: regex: '(' is no regular expression: missing )"),
        ("  - delay: {time: 2s, upto: 1s}", "5:5: delay: upto is less than time"),
        ("  - power: {state: on, write: 3}", "5:5: power: write is for cut only"),
        ("  - parallel: []", "5:5: parallel has at least one step"),
        ("  - repeat: {times: 2, steps: []}", "5:24: repeat has at least one step"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(steps: str, told: str) -> None:
    (line,) = mistakes(f"{HEAD}steps:\n{steps}\n")
    assert told in line
    assert re.match(r"x\.yaml:\d+:\d+: ", line)


@pytest.mark.parametrize(
    ("board", "told"),
    [
        ("{description: strike_dor}", "no description strike_dor: did you mean strike_door?"),
        ("{description: nowhere.toml}", "No such file"),
        ("{files: {main.py: nowhere.py}}", "nowhere.py: No such file"),
        ("{files: {main.py: a.py}, program: x}", "give either program or a main.py"),
        ("{descripton: x}", "unknown field descripton: did you mean description?"),
        ("{at: [1]}", "List should have at least 2 items"),
        ("{policy: {held: 1}}", "no field held of a door: did you mean held_s?"),
        ("{policy: {open_s: long}}", "open_s: write a number, not 'long'"),
        ("{image: nowhere.img}", "3:10: nowhere.img: No such file"),
        ("{image: x.yaml, program: x}", "give either an image of the whole flash, or a program and files"),
    ],
)
def test_a_mistake_in_a_board_is_told(board: str, told: str) -> None:
    assert told in "\n".join(mistakes(f"name: x\nboards:\n  lamp: {board}\nsteps:\n  - delay: 1s\n"))


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("give-credential: {user: a}", "give-credential: give either a pin or a card"),
        ("give-credential: {user: a, pin: '1234', card: 7}", "give-credential: give either a pin or a card"),
        ("give-credential: {user: a, pin: '12'}", "pin: String should match"),
        ("give-key: {doors: [frnt]}", "frnt is no door of a site: did you mean front?"),
        ("policy: {fields: {opn_s: 1}}", "no field opn_s of a door: did you mean open_s?"),
        ("policy: {fields: {open_s: 900}}", "open_s: Input should be less than or equal to 60"),
        ("api: {path: /v1/users, expect: {id: '{nobody}'}}", "no name nobody until here"),
        ("update", "front does not trust the vendor: give it updates: true"),
    ],
)
def test_a_mistake_at_a_door_is_told(step: str, told: str) -> None:
    assert told in "\n".join(
        mistakes(f"name: x\nboards: {{front: }}\nphones: {{anna: }}\nsteps:\n  - {step}\n")
    )


def test_all_mistakes_of_a_file_are_told_at_once_and_in_order() -> None:
    lines = mistakes("name: x\nsteps:\n  - opne\n  - delay: soon\n  - clse:\nverson: 1\n")
    assert [line.split(":")[1] for line in lines] == ["3", "4", "5", "6"]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "- a\n", "just words", "a: &x [*x]\n", "? [a]\n: b\n", "\x00"]
)
def test_what_is_no_scenario_is_refused(text: str) -> None:
    assert mistakes(text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"name: a\nabout: \xff\n")
    with pytest.raises(ScenarioError, match=r"bad\.yaml:2:1: is not UTF-8"):
        load(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    "text", ["a: &x [*x]", "name: x\nboards: &b {a: *b}", "a: " + "[" * 5000 + "]" * 5000]
)
def test_what_holds_itself_is_told_as_that(text: str) -> None:
    assert mistakes(text) == ["x.yaml:1:1: is nested too deep, or holds itself"]


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 20,000 values" in mistakes("\n".join(lines))[0]


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_refused(text: str) -> None:
    try:
        read(text)
    except ScenarioError as error:
        assert error.mistakes


def test_a_name_of_the_site_that_nothing_has_made_is_told() -> None:
    head = "name: x\nphones:\n  anna:\nsteps:\n"
    made = "  - api: {path: /v1/users, method: POST, body: {name: Bo}, save: {bo: id}}\n"
    use = "  - api: {path: '/v1/users/{bo}'}\n  - api: {path: '/v1/doors/{front}/x/{anna.key}'}\n"
    assert read(head + made + use).cases
    assert mistakes(head + use) == [
        "x.yaml:5:11: no name bo until here; there are anna.key, anna.user, front, front.device, site"
    ]
    told = mistakes(f"{head}  - api: {{path: /v1/keys, body: {{a: ['{{frnt}}']}}}}\n")
    assert "no name frnt until here: did you mean front?" in told[0]


def test_a_bare_value_is_that_of_the_first_field() -> None:
    short = read(f"{HEAD}steps:\n  - delay: 200ms\n  - wait-serial: ready\n  - open\n  - fault: brown-out\n")
    long = read(
        f"{HEAD}steps:\n  - delay: {{time: 200ms}}\n  - wait-serial: {{text: ready}}\n  - open:\n"
        "  - fault: {brown-out: }\n"
    )
    assert [s.arguments for s in short.cases[0].steps] == [s.arguments for s in long.cases[0].steps]
    assert [s.path for s in short.cases[0].steps][-1] == ("fault", "brown_out")


def test_parameters_keep_their_types_are_set_and_make_cases() -> None:
    text = f"""{HEAD}
parameters: {{value: 1, wait: 100ms, word: hello}}
matrix: {{value: [0, 1], word: [a, b]}}
steps:
  - expect-pin: {{part: led, value: "${{value}}", within: "${{wait}}"}}
  - wait-serial: say ${{word}}
"""
    cases = read(text).cases
    assert [case.title for case in cases] == [f"A test (value={v}, word={w})" for v in (0, 1) for w in "ab"]
    assert dict(cases[0].steps[0].arguments) | {"value": 0, "within": 0.1} == dict(
        cases[0].steps[0].arguments
    )
    assert dict(cases[3].steps[1].arguments)["text"] == "say b"
    one = read(text, value="1", wait="2s")
    assert [case.title for case in one.cases] == ["A test (word=a)", "A test (word=b)"]
    assert dict(one.cases[0].steps[0].arguments)["within"] == 2.0
    assert "--set wrd: no such parameter: did you mean word?" in mistakes(text, wrd="1")[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [("200ms", 0.2), ("1.5s", 1.5), ("2min", 120), ("2m", 120), ("1h", 3600), ("50us", 5e-5), (0, 0)],
)
def test_a_duration_has_a_unit(text: object, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1", "s", "-1s", "1 day", 1, 1.5, True, None, "1e3s", ""])
def test_a_duration_without_one_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@given(st.integers(1, 10_000_000))
def test_a_duration_is_shown_as_it_would_be_written(us: int) -> None:
    assert seconds(shown(us / 1e6)) == pytest.approx(us / 1e6, rel=1e-3)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_scenario_has_no_mistake_and_fits_the_schema(path: Path) -> None:
    assert load(path).header.about
    assert path.read_text().startswith("# "), "say what it shows, and why it matters"
    jsonschema.Draft202012Validator(schema()).validate(YAML(typ="safe").load(path))


def test_at_least_fifteen_scenarios_are_shipped() -> None:
    assert len(FILES) >= 15


@pytest.mark.parametrize(
    "steps",
    [
        "[]",
        "[{expct-pin: {part: led, value: 1}}]",
        "[{expect-pin: {part: led}}]",
        "[{delay: 5}]",
        "[{fault: {kil: x}}]",
    ],
)
def test_the_schema_refuses_what_is_refused(steps: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    document = YAML(typ="safe").load(f"{HEAD}steps: {steps}\n")
    assert not jsonschema.Draft202012Validator(schema()).is_valid(document)
    assert json.dumps(schema())


def test_the_page_of_scenarios_is_that_of_the_code() -> None:
    assert page.main(["--check"]) == 0
    assert page.main(["--chek"]) == 2
    text = page.PAGE.read_text()
    for word in (*VERBS, *FAULTS):
        assert f"### {word}\n" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            HEAD + "steps:\n  - fault: {sag: 5}",
            "5:13: this rig has no supply: it needs a supply whose voltage",
        ),
        (
            HEAD + "steps:\n  - parallel:\n      - fault: half-open",
            "6:9: this rig has no link: it needs boards",
        ),
        (HEAD + "steps:\n  - power: {state: cut, write: 2}", "5:5: this rig has no flash-faults"),
        (
            HEAD.replace("none", "none, drift-ppm: 9") + "steps:\n  - delay: 1s",
            "3:26: this rig has no crystal",
        ),
        (HEAD + "exhaustive: {}\nsteps:\n  - delay: 1s", "4:1: this rig has no flash-faults"),
    ],
)
def test_what_a_rig_cannot_do_is_refused_where_it_is_asked_for(text: str, told: str) -> None:
    read(text)
    assert mistakes(text, frozenset())[0].startswith(f"x.yaml:{told}")


def test_a_rig_with_little_runs_what_needs_little_and_each_fault_of_a_board_says_what_it_needs() -> None:
    read(HEAD + "steps:\n  - power: cut\n  - press: rex\n  - fault: {partition: lamp}", frozenset({LINK}))
    needed = {verb.capability for verb in (*VERBS.values(), *FAULTS.values())} - {""}
    assert needed <= EVERYTHING == ABOUT.keys()
    plain = {name for name, verb in FAULTS.items() if not verb.capability}
    assert plain == {"kill", "stop", "start", "freeze", "thaw", "full-disk", "brown-out", "heal"}


def test_every_step_and_every_fault_is_shown_by_a_scenario_that_comes_with_the_bench() -> None:
    def paths(steps: tuple[Step, ...]) -> set[tuple[str, ...]]:
        return {step.path for step in steps}.union(*(paths(step.steps) for step in steps))

    cases = [case for file in FILES for case in load(file).cases]
    shown = set[tuple[str, ...]]().union(*(paths(case.steps + case.afterwards) for case in cases))
    assert {verb.path for verb in (*VERBS.values(), *FAULTS.values())} <= shown
