# The commands of README.md and of CI. `make study` and `make test` need nothing but Python 3.11 or newer and make.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
# pip compiles on one core; afterwards all of them do it.
QUIETLY := --disable-pip-version-check --quiet --progress-bar off --no-compile

.PHONY: study test test-long check setup clean

study: $(READY)
	$(BIN)/python -m rl_warmup.run study=quick

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The cases that CI has no time for.
test-long: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "Installing into $(VENV); this takes a minute or two."
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt torch
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e '.[dev,envpool]'
	@$(BIN)/python -m compileall -q -j 0 -x /tests/ $(VENV)/lib >/dev/null 2>&1 || true  # some are for other Pythons
	touch $(READY)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
