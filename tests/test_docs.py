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
        assert name in known, f"{program} {name}"


def test_readme_tells_of_every_command_of_the_bench() -> None:
    text = (ROOT / "README.md").read_text()
    for command in bench.registered_commands:
        name = command.name or command.callback.__name__
        assert f"latchwork {name}" in text or f"make {name}" in text
