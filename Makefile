# Everything runs from .venv in this directory; nothing here uses sudo or a system package manager.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check
# A new top-level package changes what an editable install maps, so it asks for a new one.
INPUTS := pyproject.toml constraints.txt scripts/install-torch.sh scripts/make-venv.sh \
          $(wildcard arena/__init__.py submissions/__init__.py platform/*/__init__.py)
TESTS  ?=
PYTEST  = $(PY) -m pytest -n $(JOBS) --dist loadgroup
# Two workers by default; torch must not start a thread for each core in each of them.
JOBS   ?= 2
export OMP_NUM_THREADS ?= 1

# What `manage.py check --deploy` looks at: production settings, with values that open nothing.
DEPLOY_ENV := ADVERSARIUM_ENV=production \
	ADVERSARIUM_SECRET_KEY=only-for-the-deployment-check-0123456789-abcdefghijklmnopqrstuvwxyz \
	ADVERSARIUM_DATABASE_URL=postgres://arena:unused@localhost/arena \
	ADVERSARIUM_REDIS_URL=redis://localhost/0 \
	ADVERSARIUM_ALLOWED_HOSTS=arena.example.org \
	ADVERSARIUM_CSRF_TRUSTED_ORIGINS=https://arena.example.org

.PHONY: help venv install install-dev demo run worker test test-postgres check format calibrate bench bench-attacks \
	bench-sandbox bench-endurance house-weights clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/bin/python ## make .venv, empty

install: $(VENV)/.site ## .venv with engine and site
install-dev: $(VENV)/.dev ## .venv with engine, site and the tools of the tests

$(VENV)/bin/python:
	@scripts/make-venv.sh $(VENV)

$(VENV)/.torch: scripts/install-torch.sh scripts/check-torch.py | $(VENV)/bin/python
	@scripts/install-torch.sh $(VENV)
	@touch $@

# .site and .dev are stamps: once they are newer than their inputs, a second call is instant.
$(VENV)/.site: $(INPUTS) $(VENV)/.torch | $(VENV)/bin/python
	@echo "Installing engine and site into $(VENV) (a minute or two) ..."
	@$(PIP) install -qq -c constraints.txt -e ".[site]"
	@$(PY) scripts/check-torch.py
	@touch $@

$(VENV)/.dev: $(INPUTS) $(VENV)/.torch | $(VENV)/bin/python
	@echo "Installing engine, site and test tools into $(VENV) (two or three minutes) ..."
	@$(PIP) install -qq -c constraints.txt -e ".[site,dev]"
	@$(PY) scripts/check-torch.py
	@touch $@ $(VENV)/.site

demo: install ## play a whole tournament on this machine and watch it at http://127.0.0.1:8000; PORT=8080 moves it
	@$(PY) manage.py demo $(if $(PORT),--port $(PORT))

run: install ## site and workers on this machine, data kept in var/; PORT=8080 moves it
	@$(PY) manage.py serve $(if $(PORT),--port $(PORT))

worker: install ## one more worker for the site of this directory
	@$(PY) manage.py worker

test: install-dev ## all tests but the calibrations; TESTS="tests/arena -k fgsm" picks some
	@$(PYTEST) $(if $(TESTS),$(TESTS),-m "not postgres and not calibration" --durations=25)
	@if [ -z '$(TESTS)' ]; then $(MAKE) test-postgres; fi

# The engine knows no database; browser, jail and slow tests differ in nothing between the two.
test-postgres: install-dev ## the tests of the site once more, on PostgreSQL
	@echo "The site once more, on PostgreSQL:"
	@scripts/with-postgres.sh $(PYTEST) -m "postgres or not (browser or jail or slow or calibration)" \
		$(filter-out tests/arena/ tests/e2e/ tests/guards/ tests/players/ tests/__pycache__/,$(wildcard tests/*/))

check: install-dev ## format, lint, types, layers, migrations, deployment settings, compose file
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --cache-dir .import_linter_cache
	$(PY) manage.py makemigrations --check --dry-run
	$(DEPLOY_ENV) $(PY) manage.py check --deploy --fail-level WARNING
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(PIP) check

format: install-dev ## let ruff format and mend what it can
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

calibrate: install-dev ## the house players against the figures of their papers; ONLY="A1 A2" plays those bars
	@$(PY) -m arena.calibrate $(foreach bar,$(ONLY),--only $(bar)) --json arena/measured.json --page docs/calibration.md
	@$(if $(ONLY),true,$(PY) -m pytest -m calibration -q)

bench: install-dev ## the tables that performance claims rest on
	@$(PY) -m benchmarks

bench-sandbox: install-dev ## what the jail costs beside the same work in one process
	@$(PY) -m benchmarks.sandbox

bench-endurance: install-dev ## what a thousand matches leave behind, and what two hundred kills do
	@$(PY) -m benchmarks.endurance

bench-attacks: install-dev ## the house attacks beside bare loops
	@$(PY) -m benchmarks.attacks

house-weights: install ## train the house defenses anew
	@$(PY) -m arena.house.train

clean: ## remove caches and builds; keeps .venv and var/
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
