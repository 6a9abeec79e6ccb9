PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install demo serve check format test bench clean

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: .venv/installed  ## .venv with gearpy-server, gearpy and what the tests need

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gearpy needs Python 3.11 or newer; say which one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "this Python can't make virtual environments: install the Debian package python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[examples,dev]'
	@touch $@

demo: install  ## a server, two workers, photographs in, thumbnails out
	$(BIN)/python examples/demo.py

serve: install  ## gearpy-server in the foreground, on port 4730
	$(BIN)/gearpy-server

check: install  ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: install  ## what check would complain about and a program can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: install  ## all tests
	$(BIN)/pytest

bench: install  ## the race beside gearmand (minutes; nothing else should run)
	$(BIN)/python -m bench race

clean:  ## all that can be made again
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
