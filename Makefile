# make demo         set up, train on the bundled samples, export, answer without TensorFlow
# make test         set up, run the tests
# make test-slow    set up, run the few tests that take minutes each
# make lint         set up, check style, format, imports and types

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { command -v "$$python"; exit; }; \
	done)
STAMP := $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL := 3
export TF_ENABLE_ONEDNN_OPTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow lint install

demo: install
	@$(BIN)/textapp demo

test: install
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install
	@$(BIN)/python -m pytest -m slow -n 2 --dist load

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

install: $(STAMP)

$(STAMP): requirements.txt tests/requirements.txt setup.py
	@test -n "$(PYTHON)" || { echo "textapp needs Python 3.11: neither python3.11 nor python3 is that version." \
		"Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || { "$(PYTHON)" -m venv $(VENV) || { \
		echo "no virtual environment could be made: on Debian and Ubuntu apt install python3.11-venv" >&2; exit 1; }; }
	@echo "Installing the pinned packages into $(VENV) (about 3 GB, a few minutes, once)"
	@$(BIN)/pip install --quiet --requirement requirements.txt
	@$(BIN)/pip install --quiet --no-deps --requirement tests/requirements.txt --editable .
	@touch $@
