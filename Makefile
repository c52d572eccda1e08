# Two commands matter: `make run` and `make test`. Both set up what they need by themselves.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# The interpreter that makes the virtual environment: Python 3.11. Another one: make run PYTHON=/path/to/python3.11
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
PY := .venv/bin/python
WORKERS ?= 2
TYPED := billing_ops metering ledger plans invoicing tests .ci manage.py $(if $(wildcard bench/*.py),bench)

.PHONY: help run reset manage test e2e lint static format bench mutation soak migrate lock install install-dev browser

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-16s %s\n' "$$name" "$$text"; done

run: install ## Start everything on this machine and print the console's address and logins; Ctrl-C stops it
	@$(PY) -m billing_ops.embedded up

reset: install ## Delete the data, logs and secrets of `make run`
	@$(PY) -m billing_ops.embedded reset

manage: install ## Run manage.py on what `make run` started: make manage ARGS="create_person ann --role Finance"
	@$(PY) -m billing_ops.embedded manage $(ARGS)

test: install-dev browser static ## All checks and all tests
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile

e2e: install-dev browser ## The browser tests alone
	@$(PY) -m pytest tests/e2e

lint: static ## All checks: style, types, import directions, migrations
	@$(PY) -m pytest -q tests/test_runtime_migrations.py

static: install-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy $(TYPED)
	@.venv/bin/lint-imports

format: install-dev ## Put the source into its one form
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: install-dev ## The benchmarks, beside their baselines
	@if [ -f bench/run.py ]; then $(PY) bench/run.py; else echo "There are no benchmarks in this release."; fi

mutation: install-dev .venv-mutation ## Mutation testing of posting, burn-down and movements: a quarter of an hour (tests/mutation/README.md)
	@.venv-mutation/bin/python -m tests.mutation

.venv-mutation: requirements-mutation.lock
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip install -q --require-hashes -r requirements-mutation.lock && touch $@

soak: install-dev ## Ten thousand random steps through the whole credits engine beside a model (tests/properties/)
	@LEDGER_WALK=soak $(PY) -m pytest -q tests/properties/test_credits_walk.py

migrate: install ## Migrate the database of OWNER_DATABASE_URL and give everybody their rights
	@BILLING_DB_ROLE=owner $(PY) manage.py prepare_database

lock: ## Pin every dependency again, with hashes and without hosts (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock
	uv pip compile pyproject.toml --group dev -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.lock
	uv pip compile pyproject.toml --group mutation -c requirements-dev.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-mutation.lock

install:
	@$(PYTHON) .ci/install.py requirements.lock

install-dev:
	@$(PYTHON) .ci/install.py requirements-dev.lock

browser: install-dev
	@$(PY) .ci/browser.py
