# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo up install lint types layers device-checks tests test bench

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Show the whole path on real parts, and write out/demo/report.html
	$(BIN)/latchwork demo

up: $(INSTALLED) ## Leave a site with three doors running, until Ctrl-C
	$(BIN)/latchwork up

install: $(INSTALLED) ## Make the virtual environment and install everything into it

lint: $(INSTALLED) ## Ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy --strict on the host code
	$(BIN)/mypy

layers: $(INSTALLED) ## Who may import whom
	$(BIN)/lint-imports

tests: $(INSTALLED) ## All tests, on both cores
	$(BIN)/pytest -n 2 --dist loadfile -q

test: lint types layers tests ## Everything that must hold before a change lands

bench: $(INSTALLED) ## Measure everything, into out/bench
	$(BIN)/python -m benchmarks
