# make run          set up everything and open the terminal UI
# make quickstart   the same without a screen: tokenizer, data, model, sample
# make test         set up everything and run the gate: format, lint, types, walls, tests
# make check        another name for it
# make thorough     break every kind of job everywhere: kills, full disks and the like, for an hour

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests run in two processes; give more with `make test JOBS=8`.
JOBS ?= 2

.PHONY: run quickstart test check format lint types walls tests thorough reference snapshots screenshots recording clean

run: $(VENV)/installed
	$(BIN)/talm-tui

quickstart: $(VENV)/installed
	$(BIN)/talm quickstart

test check: lint types walls tests

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

walls: $(VENV)/installed-dev
	$(BIN)/lint-imports

tests: $(VENV)/installed-dev
	$(BIN)/pytest -n $(JOBS)

# With TALM_POINTS=10 a fifth of it.
thorough: $(VENV)/installed-dev
	$(BIN)/pytest -m thorough tests/faults

# The page of all settings, written from their declarations.
reference: $(VENV)/installed
	$(BIN)/python -m talm_core.settings.reference > docs/settings.md

# Accept the screens as they are now. Look at the pictures first.
snapshots: $(VENV)/installed-dev
	$(BIN)/pytest tests/tui --snapshot-update

# The pictures in docs/screens, from real screens.
screenshots: $(VENV)/installed-dev
	TALM_SCREENSHOTS=$(CURDIR)/docs/screens $(BIN)/pytest -q tests/tui/test_pictures.py

# The quick start that README plays: a real one, two minutes on a machine with nothing else to do.
recording: $(VENV)/installed-dev
	$(BIN)/python -m tests.tui.recording docs/screens/quickstart.svg

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "talm needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
