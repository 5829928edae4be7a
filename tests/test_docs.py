"""The documentation is true where a program can tell: links, make targets, commands."""

import re
from pathlib import Path

import pytest

from cloud_api.cli import app as cloud
from gateway.cli import app as gateway
from hil.cli import app as bench

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "protocol" / "SPEC.md"])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMANDS = {"latchwork": bench, "latchwork-gateway": gateway, "latchwork-cloud": cloud}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in _LINK.findall(text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.M)
            assert anchor in {_anchor(heading) for heading in headings}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page.read_text()):
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.M), f"{path}::{name}"


def test_no_attack_of_the_threat_model_is_without_a_test() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    tables = re.findall(r"^\|.*\| test \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.M)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text(), re.M))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    for program, name in re.findall(r"\b(latchwork(?:-gateway|-cloud)?) ([a-z][a-z-]*)\b", page.read_text()):
        known = {
            command.name or command.callback.__name__ for command in _COMMANDS[program].registered_commands
        }
        known |= {group.name for group in _COMMANDS[program].registered_groups}
        assert name in known, f"{program} {name}"


def test_readme_tells_of_every_command_of_the_bench() -> None:
    text = (ROOT / "README.md").read_text()
    for command in bench.registered_commands:
        name = command.name or command.callback.__name__
        assert f"latchwork {name}" in text or f"make {name}" in text
