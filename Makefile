# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
STUBS := typings/.installed
WORKERS ?= 3
PACKAGES := protocol gateway cloud_api hil
# A test whose program has no room for what it writes would leave half of a .pyc to all others: importlib does not notice.
tests: export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help demo up install lint types layers device-checks tests test fuzz bench

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

demo: $(INSTALLED) ## Show the whole path on real parts, and write out/demo/report.html
	$(BIN)/latchwork demo

up: $(INSTALLED) ## Leave a site with three doors running, until Ctrl-C
	$(BIN)/latchwork up

install: $(INSTALLED) ## Make the virtual environment and install everything into it

lint: $(INSTALLED) ## Ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy --strict on all code, as CPython sees it
	$(BIN)/mypy

$(STUBS): Makefile
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade --target $(@D) 'micropython-esp32-stubs==1.29.0.*'
	@touch $@

device-checks: $(INSTALLED) $(STUBS) ## The firmware: types on CPython and with MicroPython's stubs, mpy-cross, imports on the VM
	$(BIN)/mypy -p device -p protocol
	$(BIN)/mypy --config-file mypy-micropython.ini --cache-dir .mypy_cache/micropython
	$(BIN)/python -m hil.vm.sizes
	$(BIN)/pytest -q tests/device/test_modules.py

layers: $(INSTALLED) ## Who may import whom
	$(BIN)/lint-imports

tests: $(INSTALLED) ## All tests, two workers a core: half of the time a test waits for boards
	$(BIN)/python -m compileall -q $(PACKAGES)  # each of a thousand processes would compile what it loads
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -q

test: lint types device-checks layers tests ## Everything that must hold before a change lands

fuzz: $(INSTALLED) ## A million damaged inputs to every decoder, on real VMs; again: make fuzz SEED=n INPUTS=n VMS=n
	$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED)) $(if $(VMS),--vms $(VMS))

bench: $(INSTALLED) ## Measure everything, into out/bench
	$(BIN)/python -m benchmarks
