# The two commands that matter: make demo, make test. Everything else is a part of them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MELTANO := MELTANO_CLI_DISABLE_VERSION_CHECK=true $(BIN)/meltano
# Compiled once at installation: every command and every plugin starts in half the time, also where
# PYTHONDONTWRITEBYTECODE keeps Python from doing it at the first start.
export UV_COMPILE_BYTECODE := 1
PACKAGES := core tap-msp-sdp tap-xero-lite transforms target-msp-sdp target-xero-invoices console sandbox

.PHONY: help setup demo test lint types audit bench torture sandbox docs clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: constraints.txt requirements-dev.in meltano.yml $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "msp-xero needs Python 3.11 or newer; set PYTHON=python3.x")'
	@echo "Installing msp-xero into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet -c constraints.txt -r requirements-dev.in $(PACKAGES:%=-e ./%)
	@echo "Installing the plugins into .meltano, each in an environment of its own"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(MELTANO) --log-level=warning install --parallelism=2
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

setup: $(VENV)/installed ## install everything into .venv and .meltano

demo: setup ## run the three jobs on a fresh sandbox and show what a billing person sees
	@$(BIN)/python -m demo

# One worker more than processors: while one waits for a process it has started, another works.
WORKERS ?= $(shell expr `getconf _NPROCESSORS_ONLN` + 1)
# Thousands of ledgers are written, read and removed: in memory, where there is room for them, nobody waits for a disk.
SCRATCH ?= $(shell .ci/scratch)
test: setup ## run all tests
	@$(if $(SCRATCH),TMPDIR=$(SCRATCH)) $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

lint: setup ## check style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup ## check types
	@$(BIN)/mypy core/msp_xero tap-msp-sdp/tap_msp_sdp tap-xero-lite/tap_xero_lite transforms/msp_xero_transforms \
	  target-msp-sdp/target_msp_sdp target-xero-invoices/target_xero_invoices console/msp_xero_console \
	  sandbox/msp_xero_sandbox demo benchmarks torture docs

audit: setup ## look for known vulnerabilities of the pinned dependencies
	@$(BIN)/python .ci/audit.py

bench: setup ## print the figures of the README: 100,000 worklogs in 500 accounts; 10,000 contacts and accounts
	@$(BIN)/python -m benchmarks.billing_run
	@$(BIN)/python -m benchmarks.directory_run

SEEDS ?= 200
WITHIN ?= 100000
torture: setup ## play every single fault and kill point, then SEEDS=n simulated months (default 200), WITHIN=n seconds
	@$(BIN)/python -m torture sweep
	@$(BIN)/python -m torture months --seeds $(SEEDS) --seconds $(WITHIN)

sandbox: setup ## start the local Xero and the local ServiceDesk Plus MSP
	@$(BIN)/msp-xero-sandbox --scale medium

docs: setup ## write the generated documents again
	@$(BIN)/python -m docs.generate

clean: ## remove what setup and the demo made
	rm -rf $(VENV) .meltano .msp-xero output
