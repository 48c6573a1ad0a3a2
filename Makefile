# One command each; every target does its own set-up in .venv (nothing outside it is touched).
#   make demo ARGS="--requests 24"     make test     make PYTHON=python3.12 test

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-plain test-compiled test-clients test-engines fuzz packages compiled lint format types lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOG := $(VENV)/install.log
READY := $(VENV)/.ready
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## two engine replicas, one of them sick, first without and then with the proxy
	@exec $(BIN)/specwatch demo $(ARGS)

test: lint types test-plain test-compiled ## the gate: format, lint, types, tests, also compiled

test-plain: $(READY) packages ## the tests
	$(BIN)/python -m pytest $(ARGS)

compiled: $(READY) ## a wheel in dist/ with the hot modules compiled (needs a C compiler)
	SPECWATCH_COMPILE=1 $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# Beside the sources, so that nothing compiled gets into them.
test-compiled: $(READY) ## the tests of detectors and proxy, compiled
	@if ! command -v cc >/dev/null && ! command -v gcc >/dev/null; then \
	  echo "No C compiler: the compiled modules are not tested (Debian: gcc)." >&2; \
	  [ "$${CI:-}" != true ]; exit; fi; \
	rm -rf build/compiled dist/compiled; mkdir -p build/compiled; \
	echo "Compiling the hot modules: about two minutes."; \
	SPECWATCH_COMPILE=1 $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/compiled .; \
	$(PIP) install --quiet --no-deps --target build/compiled dist/compiled/*.whl; \
	cp -r pyproject.toml tests deploy build/compiled/; \
	cd build/compiled; SPECWATCH_COMPILE=1 ../../$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS) \
	  tests/test_compiled.py tests/detectors tests/retry_proxy

# An environment of its own: the frameworks need other versions of packages that the rest pins.
test-clients: ## LangChain and LiteLLM as clients, through the proxy and without it
	@test -e .venv-clients/.ready -a .venv-clients/.ready -nt requirements-clients.lock || { \
	  $(PYTHON) -m venv .venv-clients && \
	  .venv-clients/bin/python -m pip install --quiet -r requirements-clients.lock && \
	  .venv-clients/bin/python -m pip install --quiet --no-deps --no-build-isolation -e . && \
	  touch .venv-clients/.ready; }
	.venv-clients/bin/python -m pytest -m clients tests/retry_proxy/clients $(ARGS)

fuzz: $(READY) ## 20,000 requests made up from the API's schema
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

# Which engines: make test-engines ENGINES=llamacpp (200 MB; vllm takes 3.5 GB).
ENGINES ?= llamacpp vllm
test-engines: $(READY) ## llama.cpp and vLLM, the real ones on a CPU, under the adapters' contract
	$(BIN)/python tests/engines/install.py .venv-engines $(ENGINES)
	SPECWATCH_ENGINE_NAMES="$(ENGINES)" $(BIN)/python -m pytest -m engines tests/engines $(ARGS)

# Real servers for the tests; where they cannot be had it says which tests are left out.
packages:
	@sh deploy/test_packages.sh

lint: $(READY) ## ruff: format and rules, and that what is built is as checked in
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m dashboards.build --check
	$(BIN)/python -m alerts.build --check
	$(BIN)/python deploy/build_chart.py --check

types: $(READY) ## mypy, strict
	$(BIN)/mypy --strict

format: $(READY) ## write the format and the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve the dependencies anew and print the pins for requirements.lock
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/pip" install --quiet 'setuptools>=77' '.[backend,train,plot,dashboards,mooncake,dev]'; \
	"$$scratch/venv/bin/pip" freeze --all --exclude specwatch --exclude pip | sed 's/+cpu$$//'

clean: ## remove the environment, caches and builds
	rm -rf $(VENV) .venv-clients .venv-engines build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamp is as new as the lock it was made from, so a second run starts at once.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "specwatch needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version): once, then only after the lock has changed."
	@# Some systems ship venv without pip: then the outer pip puts one in.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python --quiet install pip; } || { \
	  echo "Could not make $(VENV): '$(PYTHON)' needs its venv module and pip (Debian: python3-venv)." >&2; exit 1; }
	@$(call install,-r requirements.lock)
	@$(call install,--no-deps --no-build-isolation -e .)
	@touch $@

# One line of progress; the whole output goes to a log that is shown when pip fails.
define install
$(PIP) install --progress-bar off $(1) 2>&1 | tee -a $(LOG) | \
  awk -v total=$$(grep -c '^[a-z]' requirements.lock) -v tty=$$(test -t 1 && echo 1 || echo 0) \
    '/^(Collecting|Processing)/ {n++; if (tty) printf "\r\033[K  fetching %d of %d: %.50s", n, total, $$2; \
      else if (n % 20 == 0) printf "  fetching %d of %d\n", n, total; fflush()} \
     /^Installing/ {printf "%s  installing ...\n", (tty ? "\r\033[K" : ""); fflush()}' || { \
  echo; tail -n 15 $(LOG) >&2; echo "pip failed; all of its output is in $(LOG)" >&2; exit 1; }
endef
