# make demo | test | test-all | walk | lint | bench | binary: all there is to know.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-all walk lint format bench docs pictures binary clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/radvlm demo --keep $(DEMO)

test: lint
	$(BIN)/pytest

test-all: lint
	$(BIN)/pytest -m ''

walk: $(VENV)/.installed  # every command in the documentation, in a fresh clone; WALK=--install for a real installation
	$(BIN)/python -m tests.walk $(WALK)

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/prepare_and_build.py
	$(BIN)/python benchmarks/dicom.py

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

binary: $(VENV)/.installed
	$(BIN)/python scripts/build_binary.py

pictures: demo  # docs/images; needs Chromium
	$(BIN)/python -m docs.screenshots $(DEMO)

clean:
	rm -rf $(VENV) $(DEMO) dist
