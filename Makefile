# The only ways to run, test and measure. Needs make, python3 (3.11 or newer) and its venv module;
# everything else is installed into .venv by the lock files in requirements/.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

# Exact versions, checked against their hashes, and wheels only: no compiler is asked for.
INSTALL := $(BIN)/python -m pip install --quiet --require-hashes --only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help run test check format bench flame soak screenshots lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed-run ## Start the guard in front of a small legacy service, ready to try
	@exec $(BIN)/gateway demo

test: $(VENV)/.installed-dev ## Run all the tests (ARGS="-k name" goes to pytest)
	@$(BIN)/python tests/parts/get.py test
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

check: $(VENV)/.installed-dev ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(VENV)/.installed-dev ## Format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## Measure the guard beside its peers, the authorization server, memory
	@$(BIN)/python tests/parts/get.py bench
	@$(BIN)/python -m benchmarks.run $(ARGS)
	@$(BIN)/python -m benchmarks.authserver $(ARGS)
	@$(BIN)/python -m benchmarks.introspection $(ARGS)
	@$(BIN)/python -m benchmarks.footprint $(ARGS)
	@$(BIN)/python -m benchmarks.workers $(ARGS)
	@$(BIN)/python -m benchmarks.summary $(ARGS)

flame: $(VENV)/.installed-dev ## Draw where the time of a warm request goes, benchmarks/results/warm.svg
	@$(BIN)/python tests/parts/get.py bench
	@$(BIN)/python -m benchmarks.flame $(ARGS)

soak: $(VENV)/.installed-dev ## Half an hour of load before servers that break and die (ARGS="--minutes 5")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

screenshots: $(VENV)/.installed-dev ## Take a picture of every page for people, into build/screenshots
	@$(BIN)/python -m tests.e2e.screenshots build/screenshots $(ARGS)

lock: $(VENV)/.created ## Refresh requirements/*.txt from pyproject.toml (ARGS=--upgrade for new versions)
	@$(PYTHON) -m venv --clear .parts/lock
	@.parts/lock/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/lock.txt
	@.parts/lock/bin/python requirements/lock.py $(ARGS)

clean: ## Remove the environments and everything that was made
	rm -rf $(VENV) .parts build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Written only when pip has finished: an install that was broken off starts again.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "gateway needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed-run: $(VENV)/.created requirements/run.txt requirements/build.txt pyproject.toml
	@echo "Installing the gateway"
	@$(INSTALL) -r requirements/run.txt -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-run requirements/dev.txt
	@echo "Installing what the tests and checks need"
	@$(INSTALL) -r requirements/dev.txt
	@touch $@
