# The commands of README.md and of CI. `make study` and `make test` need nothing but Python 3.11 or newer and make.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
# pip compiles on one core; afterwards all of them do it.
QUIETLY := --disable-pip-version-check --quiet --progress-bar off --no-compile

# $(call install,VENV,CONSTRAINTS); some compiled files are for other Pythons
define install
	$(1)/bin/python -m pip install $(QUIETLY) -c $(2) torch
	$(1)/bin/python -m pip install $(QUIETLY) -c $(2) -e '.[dev,envpool,mujoco,atari,video]'
	@$(1)/bin/python -m compileall -q -j 0 -x /tests/ $(1)/lib >/dev/null 2>&1 || true
endef

.PHONY: study test test-long test-locale test-oldest check setup clean

study: $(READY)
	$(BIN)/python -m rl_warmup.run study=quick

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The cases that CI has no time for.
test-long: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long

# The fast tests of commands and files in an ISO-8859-1 locale, which is made for them.
LATIN := $(CURDIR)/$(VENV)/locale/en_US.ISO-8859-1
test-locale: $(READY)
	mkdir -p $(dir $(LATIN))
	localedef -i en_US -f ISO-8859-1 $(LATIN)
	LOCPATH=$(dir $(LATIN)) LC_ALL=en_US.ISO-8859-1 $(BIN)/python -m pytest -m "locale and not slow and not long"

# The fast tests with the oldest versions that pyproject.toml allows, in a virtual environment of their own.
OLDEST := .venv-oldest
test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	awk -F== 'NR == FNR { old[tolower($$1)]; print; next } !(tolower($$1) in old)' \
	  constraints-oldest.txt constraints.txt > $(OLDEST)/constraints.txt
	$(call install,$(OLDEST),$(OLDEST)/constraints.txt)
	$(OLDEST)/bin/python -m pytest -m "not slow and not long"

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
	$(call install,$(VENV),constraints.txt)
	touch $(READY)

clean:
	rm -rf $(VENV) $(OLDEST) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
