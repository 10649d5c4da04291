# Everything sets itself up: `make demo` and `make test` work from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint gate baseline

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

setup: $(STAMP)  ## make .venv with everything pinned

# Made anew when the list of dependencies or the pins change; the stamp comes last, so an interrupted set-up is repeated.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $(STAMP)

demo: $(STAMP)   ## align, embed, score and report the demo corpus
	$(BIN)/python -m analysis.decouple --corpus demo

test: $(STAMP)   ## all tests
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

gate: $(STAMP)   ## the project's own scores against their baseline
	$(BIN)/python -m analysis.decouple --preset gate --out reports/gate --check reports/baseline/demo.json

baseline: $(STAMP)  ## accept the scores as they are now
	$(BIN)/python -m analysis.decouple --preset gate --out reports/gate --accept-baseline reports/baseline/demo.json

test-slow: $(STAMP)  ## the tests that take longer
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

lint: $(STAMP)   ## style
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
