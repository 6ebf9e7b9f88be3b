# make demo | test | test-all | lint | bench | binary: all there is to know.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-all lint format bench docs binary clean

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

clean:
	rm -rf $(VENV) $(DEMO) dist
