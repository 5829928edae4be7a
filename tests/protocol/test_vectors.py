"""The vectors, on CPython and on the real MicroPython VM, by the same runner; and that nothing of them drifts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.host import cloud_messages, messages, site_messages
from protocol.host.vectors import build
from protocol.host.vectors.files import rendered
from tests import fuzz
from tests.device.on_vm import ROOT, run_on_vm
from tests.protocol.vm import vector_runner

PROTOCOL = ROOT / "protocol"
# The runner and all sources of the protocol, compiled on the spot, beside the vectors.
HEAP = "512K"
VM = Path(__file__).absolute().parent / "vm"
FILES = fuzz.VECTORS
VECTORS = {path.name: json.loads(path.read_text())["vectors"] for path in FILES}


def test_the_files_are_what_the_code_generates():
    for path, text in rendered(PROTOCOL).items():
        assert path.read_text() == text, f"{path.name} drifted: python -m protocol.host.vectors"


def test_the_check_tells_a_file_that_drifted():
    command = [sys.executable, "-m", "protocol.host.vectors"]
    assert subprocess.run([*command, "--check"], cwd=ROOT, check=False).returncode == 0
    assert subprocess.run([*command, "--what"], cwd=ROOT, check=False, capture_output=True).returncode == 2


def test_every_topic_has_good_vectors_and_names_each_once():
    for topic, vectors in build().items():
        names = [vector["name"] for vector in vectors]
        assert len(set(names)) == len(names), topic
        assert any("out" in vector for vector in vectors), topic
        for vector in vectors:
            assert ("out" in vector) != ("error" in vector)


def test_the_named_bytes_of_a_vector_are_its_wire():
    for vectors in build().values():
        for vector in vectors:
            if "parts" in vector and vector["op"] != "id_bytes":
                joined = "".join(item for item, _ in vector["parts"])
                given = vector["in"]
                assert joined in (given.get("wire"), given.get("caveat"), vector["out"]), vector["name"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_vectors_hold_on_cpython(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert vector_runner.run_file(str(path))[0] == len(VECTORS[path.name]) > 0


def test_the_vectors_hold_on_micropython_with_as_many_runs_as_on_cpython(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = run_on_vm(str(VM / "run_vectors.py"), *FILES, cwd=tmp_path, heap=HEAP).splitlines()
    assert out[0] == "micropython"
    on_vm = {name: (vectors, runs) for name, vectors, runs in map(json.loads, out[1:])}
    here = {path.name: vector_runner.run_file(str(path)) for path in FILES}
    assert on_vm == here
    assert sum(vectors for vectors, _ in on_vm.values()) == sum(map(len, VECTORS.values())) >= 280
    assert sum(runs for _, runs in on_vm.values()) > 10_000


@pytest.mark.parametrize(
    "name", [v["name"] for v in VECTORS["messages.json"] if "_" in v["name"] and v["op"] == "object"]
)
def test_gateway_and_cloud_read_the_unsealed_messages(name):
    where, _, leaf = name.partition("_")
    module = site_messages if where == "site" else cloud_messages
    vector = next(vector for vector in VECTORS["messages.json"] if vector["name"] == name)
    model = getattr(module, "Counters" if leaf == "log" else "".join(map(str.capitalize, leaf.split("_"))))
    read = messages.parse(model, vector["in"]["text"].encode())
    said = json.loads(read.encode())
    # What a device tells for people alone (uptime, heap) goes no further.
    assert said == {field: vector["out"][field] for field in said}
    assert set(vector["out"]) - set(said) <= {"up", "heap"}
