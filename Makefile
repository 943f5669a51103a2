# `make help` lists what there is. Needed: make, and Python 3.11 or later. Another interpreter:
# make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$each && break; done)
NO_PYTHON := Python 3.11 or later is needed: make PYTHON=/its/path
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := .demo/venv
CHECKED := $(wildcard tap_litmos tests demo benchmarks scripts)

# Most tests start a process, which would compile the package each time. What pip installs is
# compiled when it is imported; most of it never is.
export PYTHONDONTWRITEBYTECODE :=
export PIP_NO_COMPILE := 1

.DEFAULT_GOAL := help
.PHONY: help test lint format demo report bench dist docs clean
.DELETE_ON_ERROR:

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	@echo "Setting up $(VENV); the first time takes a minute or two" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

# A tool that could not be installed fails only the tests that need it.
.venv-targets/.installed: pyproject.toml $(INSTALLED)
	@echo "Setting up the tools that the tests run; the first time takes half a minute" >&2
	-@$(BIN)/python scripts/environment.py dbt meltano target-jsonl target-postgres >/dev/null
	@touch $@

test: $(INSTALLED) .venv-targets/.installed ## Run all tests; ARGS="-k windows" runs some
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(INSTALLED) ## Check style, formatting, types and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/zizmor --offline --quiet --persona pedantic .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/pre-commit validate-config

format: $(INSTALLED) ## Format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(DEMO)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	@echo "Setting up the demo; the first time takes a minute" >&2
	@test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	@$(DEMO)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(DEMO)/bin/python -m pip install --quiet --editable . --group demo
	@$(DEMO)/bin/python scripts/environment.py target-jsonl dbt >/dev/null
	@touch $@

demo: $(DEMO)/.installed ## Sync a made-up organisation twice, and look at it
	@$(DEMO)/bin/python -m demo --target .venv-targets/target-jsonl/bin/target-jsonl \
		--dbt .venv-targets/dbt/bin/dbt $(ARGS)

report: $(DEMO)/.installed ## Draw the demo's page from your own warehouse: see dbt_litmos
	@$(DEMO)/bin/python -m demo.report --dbt .venv-targets/dbt/bin/dbt $(ARGS)

bench: $(INSTALLED) ## Measure speed and memory
	$(BIN)/python -m benchmarks $(ARGS)

dist: $(INSTALLED) ## Build what is released, into dist/
	@rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist .

docs: $(INSTALLED) ## Write what is generated from the code: docs, snapshots, meltano.yml, dbt
	$(BIN)/python -m scripts.docs

clean: ## Remove what make has made; Meltano's rows and bookmarks stay
	rm -rf .venv .venv-* .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
