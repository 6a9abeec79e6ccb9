PYTHON ?= python3
BIN := .venv/bin
COMPILED := gearpy/*.so gearpy/*/*.so
TESTS_AT_A_TIME := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.DEFAULT_GOAL := help

.PHONY: help install compile pure wheel demo serve check format test test-compiled simulate soak \
	bench bench-race bench-durable bench-libraries bench-memory clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: .venv/installed  ## .venv with gearpy-server, gearpy and what the tests need

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gearpy needs Python 3.11 or newer; say which one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "this Python can't make virtual environments: install the Debian package python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[web,http,otel,examples,dev,bench]'
	@touch $@

# Sources that changed are compiled again; what was compiled before them must not run meanwhile.
compile: install pure  ## the packet path in C, beside its sources: what runs in here is faster then
	GEARPY_COMPILE=1 $(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .

pure:  ## plain Python again
	rm -f $(COMPILED)

wheel: install  ## dist/gearpy-*.whl with the compiled packet path, for this Python and processor
	GEARPY_COMPILE=1 $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

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

# Tests wait for processes and disks half of the time, so there is one more at a time than processors.
test: install  ## all tests
	$(BIN)/pytest -n $(TESTS_AT_A_TIME)

# The rest of the tests is about what is never compiled; make compile test runs them all.
test-compiled: compile  ## the tests of the packet path, on its compiled form; then plain Python again
	trap 'rm -f $(COMPILED)' EXIT; $(BIN)/pytest -n $(TESTS_AT_A_TIME) tests/test_forms.py \
		tests/protocol tests/engine tests/broker tests/server tests/stores tests/simulation tests/crash \
		tests/compat tests/tracing tests/web/test_api.py tests/web/test_metrics.py

simulate: install  ## the whole server in a simulated world: SEEDS=0-9999, or SEEDS=1234 STORY=1
	$(BIN)/python -m gearpy.testing.simulation --seeds $(or $(SEEDS),0-999) $(if $(STORY),--story)

soak: install  ## a server killed under load for hours: HOURS=2, or KILLS=1000; SEED=
	$(BIN)/python -m tests.crash.soak $(if $(KILLS),--kills $(KILLS),--hours $(or $(HOURS),2)) $(if $(SEED),--seed $(SEED))

bench: compile  ## every race, beside every peer (most of an hour; nothing else should run)
	$(BIN)/python -m bench all

bench-race: compile  ## the race beside gearmand (minutes)
	$(BIN)/python -m bench race

bench-durable: compile  ## the race with a journal, beside gearmand's SQLite queue (minutes)
	$(BIN)/python -m bench durable

bench-libraries: compile  ## the race beside RQ, Celery, Dramatiq and Huey, on redis-server (minutes)
	$(BIN)/python -m bench libraries

bench-memory: compile  ## how much memory a million queued jobs of 1 kB take
	$(BIN)/python -m bench memory

clean: pure  ## all that can be made again
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
