"""The page of a run: complete, self-contained, legible, and deaf to what names try to say."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.report import Message, Number, Recording, Report, Step, render_html, write_json
from hil.report.html import page
from hil.report.markup import el
from hil.report.scale import tick_label, ticks
from hil.trace import VcdWriter, Waveforms, read_vcd
from tests.hil.report_sample import sample_recording, sample_report

_HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    "</style></svg></title><a href=javascript:alert(3)>&lt;\x00\x1b]]>-->"
)
_VOID = {"meta", "br", "hr"}


class _Page(HTMLParser):
    """What a browser would see: the tags with their attributes, the text, and whether they nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def recording(tmp_path: Path) -> Waveforms:
    return sample_recording(tmp_path / "door.vcd")


def _svgs(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.S)]


def _hostile_report(text: str) -> Report:
    report = sample_report(ok=False)
    step = Step(
        name=text,
        title=text,
        ok=False,
        started_ms=14_700,
        duration_ms=1,
        summary=text,
        error=f"{text}\n{text}",
    )
    step.evidence = {text: text, "deep": [{text: [text, None, True, 1.5]}]}
    message = Message(t_ms=14_701, source=text, target="cloud", label=text, kind="mqtt", detail=text)
    return report.model_copy(
        update={
            "title": text,
            "versions": {text: text},
            "steps": [*report.steps, step],
            "lifelines": [text],
            "messages": [*report.messages, message, message.model_copy(update={"target": text})],
            "numbers": [Number(title=text, value=1, unit=text)],
            "recording": Recording(file=text),
        }
    )


def _assert_harmless(html: str) -> _Page:
    parsed = _Page(html)
    for tag, attributes in parsed.tags:
        assert tag not in {
            "script",
            "iframe",
            "object",
            "embed",
            "link",
            "img",
            "base",
            "form",
            "image",
            "use",
        }
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "action", "data", "xlink:href"}
            assert name != "href" or (value or "").startswith("#")
    return parsed


def test_names_cannot_put_markup_on_the_page(tmp_path: Path) -> None:
    path = tmp_path / "hostile.vcd"
    with VcdWriter(path, start_us=0) as writer:
        for name in ("<script>alert(1)</script>.<b>relay", "a.state"):
            signal = writer.signal(name, kind="string")
            for t in range(5):
                writer.change(signal, f"{t}{_HOSTILE}", t * 3_000_000)
    parsed = _assert_harmless(page(_hostile_report(_HOSTILE), read_vcd(path)))
    assert "<script>alert(1)</script>" in parsed.words


@given(text=st.text(max_size=60))
def test_any_text_keeps_the_page_well_formed(text: str) -> None:
    html = page(_hostile_report(text), None)
    _assert_harmless(html)
    _svgs(html)
    html.encode("utf-8")


def test_the_page_forbids_scripts_and_fetches_nothing(recording: Waveforms) -> None:
    html = page(sample_report(), recording)
    policy = [a for tag, a in _Page(html).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "@import" not in html
    assert "url(" not in html
    assert not re.search(r"https?://", html)


def test_every_step_message_door_and_version_is_on_the_page(recording: Waveforms) -> None:
    report = sample_report()
    words = _Page(page(report, recording)).words
    expected = [step.title for step in report.steps] + [step.summary for step in report.steps]
    expected += [message.label for message in report.messages] + list(report.lifelines)
    expected += [*report.versions, *report.versions.values(), "door-3", "strike", "DPS", "REX", "door.vcd"]
    assert [text for text in expected if text not in words] == []
    assert "All 10 steps passed" in words


def test_a_failed_step_stands_open_with_its_error(recording: Waveforms) -> None:
    html = page(sample_report(ok=False), recording)
    details = [attributes for tag, attributes in _Page(html).tags if tag == "details"]
    assert [i for i, attributes in enumerate(details) if "open" in attributes] == [9]
    assert "1 of 10 steps failed" in html
    assert "after 12.3 ms, by command 7" in html


def test_every_picture_has_a_name_and_unique_ids(recording: Waveforms) -> None:
    html = page(sample_report(), recording)
    for svg in _svgs(html):
        ids = {node.get("id") for node in svg.iter() if node.get("id")}
        assert svg.get("role") == "img"
        assert svg.find("title") is not None
        assert set((svg.get("aria-labelledby") or "").split()) == ids
    all_ids = [attributes["id"] for _, attributes in _Page(html).tags if "id" in attributes]
    assert len(all_ids) == len(set(all_ids))


def _texts(svg: ElementTree.Element, kind: str) -> list[tuple[float, float, str]]:
    found = [node for node in svg.iter("text") if node.get("class") == kind]
    return [(float(n.get("x", 0)), float(n.get("y", 0)), n.text or "") for n in found]


def _assert_apart(labels: list[tuple[float, float, str]], character: float) -> None:
    """Middle-anchored labels on one line do not touch."""
    for x, y, text in labels:
        for other_x, other_y, other in labels:
            if (x, y, text) < (other_x, other_y, other) and abs(y - other_y) < 12:
                assert other_x - x >= (len(text) + len(other)) * character / 2, (text, other)


def test_labels_do_not_touch_each_other(recording: Waveforms) -> None:
    for svg in _svgs(page(sample_report(), recording)):
        width = float((svg.get("viewBox") or "0 0 0 0").split()[2])
        for kind, character in (("tick", 6.6), ("edge", 6.2), ("label", 6.0)):
            labels = _texts(svg, kind)
            _assert_apart(labels, character)
            for x, _, text in labels:
                assert x - len(text) * character / 2 >= -1
                assert x + len(text) * character / 2 <= width + 1


def test_crowded_messages_and_edges_stay_legible(tmp_path: Path) -> None:
    report = sample_report()
    report.messages = [
        Message(
            t_ms=6000 + i * 0.01, source=f"door-{i % 9}", target="cloud", label="x" * (i * 3), kind="mqtt"
        )
        for i in range(50)
    ]
    path = tmp_path / "chatter.vcd"
    with VcdWriter(path, start_us=0) as writer:
        for i in range(20_000):
            writer.change(writer.signal("door-1.dps"), i % 2, 6_000_000 + i * 20)
    html = page(report, read_vcd(path))
    assert len(html) < 400_000
    for svg in _svgs(html):
        for kind in ("label", "edge", "tick"):
            _assert_apart(_texts(svg, kind), 6.0)


def test_a_long_silence_is_folded_and_named() -> None:
    report = sample_report()
    report.messages = [
        Message(t_ms=t, source="phone", target="cloud", label="call", kind="http")
        for t in (10, 20, 3_600_020)
    ]
    svg = _svgs(page(report, None))[0]
    assert [text for _, _, text in _texts(svg, "silence")] == []
    report.steps = report.steps[:1]
    svg = _svgs(page(report, None))[0]
    assert len(_texts(svg, "silence")) == 1
    assert float((svg.get("viewBox") or "").split()[3]) < 200


def test_a_run_that_recorded_nothing_still_has_a_page(tmp_path: Path) -> None:
    sample = sample_report()
    report = Report(title="t", started_at=sample.started_at, ended_at=sample.started_at, ok=False)
    render_html(report, Waveforms(), tmp_path / "report.html")
    words = _Page((tmp_path / "report.html").read_text()).words
    assert "The run failed outside its steps" in words
    assert "No messages were recorded." in words


def test_a_fleet_is_cut_to_what_a_page_holds_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "fleet.vcd"
    with VcdWriter(path, start_us=0) as writer:
        for door in range(40):
            for t in range(3):
                writer.change(writer.signal(f"door-{door}.relay"), t % 2, t * 1000)
    html = page(sample_report(), read_vcd(path))
    assert "28 more in the recording" in html


def test_report_json_reads_back_the_same(tmp_path: Path) -> None:
    report = sample_report(ok=False)
    write_json(report, tmp_path / "report.json")
    assert Report.model_validate_json((tmp_path / "report.json").read_text()) == report


def test_messages_stand_under_the_step_that_ran() -> None:
    acts = sample_report().messages_by_step()
    assert [(step.name if step else None, len(messages)) for step, messages in acts][:4] == [
        ("start", 3),
        ("provision", 5),
        ("share", 3),
        ("offline_unlock", 9),
    ]
    assert sum(len(messages) for _, messages in acts) == len(sample_report().messages)


def test_messages_of_steps_side_by_side_stand_under_one_that_their_ends_take_part_in() -> None:
    def step(name: str, start: float, end: float, *who: str) -> Step:
        return Step(
            name=name, title=name, ok=True, started_ms=start, duration_ms=end - start, lifelines=[*who]
        )

    def said(t_ms: float, source: str, target: str) -> Message:
        return Message(t_ms=t_ms, source=source, target=target, label="", kind="mqtt")

    steps = [step("door", 0, 100, "front", "cloud"), step("short", 10, 20, "front", "cloud")]
    steps.append(step("lamp", 30, 100, "lamp"))
    messages = [said(15, "front", "cloud"), said(50, "front", "cloud"), said(60, "lamp", "lamp")]
    report = sample_report().model_copy(update={"steps": steps, "messages": messages})
    found = {step.name if step else None: [m.t_ms for m in of] for step, of in report.messages_by_step()}
    assert found == {"door": [50], "short": [15], "lamp": [60]}
    backwards = report.model_copy(update={"steps": steps[::-1]}).messages_by_step()
    assert [step.name for step, _ in backwards if step] == ["lamp", "short", "door"], (
        "in the order of the steps"
    )


@given(start=st.floats(-1e6, 1e6), span=st.floats(1e-2, 1e7), most=st.integers(2, 12))
def test_ticks_are_few_inside_the_axis_and_told_apart(start: float, span: float, most: int) -> None:
    marks = ticks(start, start + span, most)
    assert len(marks) <= most + 1
    assert all(start - span * 1e-6 <= mark <= start + span * (1 + 1e-6) for mark in marks)
    if len(marks) > 1:
        labels = [tick_label(mark, marks[1] - marks[0]) for mark in marks]
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("value", [None, False])
def test_an_attribute_that_is_not_there_is_not_written(value: Any) -> None:
    assert el("a", "<&>", href=value, class_='"') == '<a class="&quot;">&lt;&amp;&gt;</a>'


def test_steps_of_a_group_are_below_it_and_a_group_with_a_failure_stands_open() -> None:
    report = sample_report(ok=False)
    steps = [
        step.model_copy(update={"group": "broken" if not step.ok else "whole", "ok": step.ok})
        for step in report.steps
    ]
    shown = _Page(page(report.model_copy(update={"steps": steps}), None))
    groups = {
        str(attributes["class"]): "open" in attributes
        for tag, attributes in shown.tags
        if tag == "details" and "group" in str(attributes.get("class"))
    }
    assert groups == {"step group": False, "step group failed": True}
    assert f"1 of 2 failed, {len(steps)} steps" in shown.words
    whole = sum(step.ok for step in steps)
    assert f"whole{whole} steps" in shown.words
    assert all(step.title in shown.words for step in steps)
