# Everything sets itself up: `make demo` and `make test` work from a fresh clone.
PYTHON ?= python3
# Where PyTorch comes from beside the usual index; https://download.pytorch.org/whl/cpu saves the CUDA libraries.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-portable test-mfa test-slow types lint gate baseline module
# for PIPESTATUS
SHELL := /bin/bash

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

setup: $(STAMP)  ## make .venv with everything pinned

# Made anew when the list of dependencies or the pins change; the stamp comes last, so an interrupted set-up is repeated.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $(STAMP)

demo: $(STAMP)   ## align, embed, score and report the demo corpus
	$(BIN)/python -m analysis.decouple --corpus demo

test: $(STAMP)   ## all tests
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

gate: $(STAMP)   ## the project's own scores against their baseline
	$(BIN)/python -m analysis.decouple --preset gate --out reports/gate --check reports/baseline/demo.json

baseline: $(STAMP)  ## accept the scores as they are now
	$(BIN)/python -m analysis.decouple --preset gate --out reports/gate --accept-baseline reports/baseline/demo.json

# Hours of one core. SENTENCES: a text file, a sentence a line; KEEP_APART: a corpus whose sentences the module must never have met.
SENTENCES ?= sentences.txt
KEEP_APART ?= manifest.csv
TRAIN := $(BIN)/python -m analysis.wav2sem train --sentences $(SENTENCES) --keep-apart $(KEEP_APART) --frames runs/module/frames

module: $(STAMP) ## train the bundled module again (hours)
	$(TRAIN) --preset bundled --stop-at 2800 --out runs/module/first
	$(TRAIN) --preset bundled-second --initialize runs/module/first --out runs/module/second

# What decides which arithmetic a machine uses, one setting a line: the verdict of the suite is the same under each.
PORTABLE := "" \
  "ATEN_CPU_CAPABILITY=default" \
  "ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2" \
  "OMP_NUM_THREADS=1" \
  "OMP_NUM_THREADS=2" \
  "LANG=C LC_ALL=C"

test-portable: $(STAMP)  ## all tests, as on other processors, with other threads and in the C locale
	@failed=0; for line in $(PORTABLE); do \
	  echo "== $${line:-plain}"; \
	  env $$line $(BIN)/python -m pytest -q -p no:cacheprovider -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" \
	    --disable-warnings -rfE --tb=line | grep -E "^(FAILED|ERROR)|(passed|failed|error).* in |no tests ran"; \
	  [ "$${PIPESTATUS[0]}" = 0 ] || failed=1; \
	done; exit $$failed

test-mfa: $(STAMP)   ## the aligner mfa against the command on the PATH; it says so where there is none
	$(BIN)/python -m pytest tests/alignment/test_mfa_real.py

test-slow: $(STAMP)  ## the tests that take longer
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# The documentation has tools of its own, which no other target needs.
$(DOCS_STAMP): $(STAMP) pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $(DOCS_STAMP)

docs: $(DOCS_STAMP)  ## the documentation site, in build/docs; a broken link or a missing docstring fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

types: $(STAMP)  ## types, of the rooms that pyproject.toml names
	$(BIN)/python -m mypy

lint: $(STAMP)   ## style
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
