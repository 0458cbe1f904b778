# make reproduce | test | lint | bench | clean ...; each sets up .venv by itself when it is missing or stale.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GAME_STAMP := $(VENV)/.installed-starcraft
CORES ?= $(shell env -u OMP_NUM_THREADS nproc)
STUDY ?= quickstart
# Interpreter with the smac packages and what requirements.lock names, for test-starcraft.
SC2_PYTHON ?= $(BIN)/python
# One core per training run: every run gets one thread, Snakemake starts as many runs as there are cores.
ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help setup reproduce study progress test test-slow test-durability test-mutants test-gpu test-starcraft test-slurm lint bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP) ## create .venv from requirements.lock

# pip first installs torch by itself: on machines with a local CPU wheel of that version it is taken from there.
$(STAMP): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: install Python 3.11, or give PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

# For tests only: clients and a server of StarCraft II's API.
$(GAME_STAMP): requirements-starcraft.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-starcraft.lock
	touch $@

reproduce: $(STAMP) ## the quickstart study, from training to figures in results/quickstart
	$(MAKE) --no-print-directory study STUDY=quickstart

study: $(STAMP) ## any study: make study STUDY=matrix
	@$(ENV) $(BIN)/snakemake --cores $(CORES) $(STUDY)

progress: $(STAMP) ## how far the runs of a study are: make progress STUDY=quickstart
	@$(ENV) $(BIN)/python -m analysis progress results/$(STUDY)

test: $(STAMP) $(GAME_STAMP) ## the default tests
	$(ENV) $(BIN)/python -m pytest -q -n $(CORES)

test-slow: $(STAMP) ## learning curves and statistics that take minutes
	$(ENV) $(BIN)/python -m pytest -q -m slow

test-durability: $(STAMP) ## 200 kills and 100 damages each of small MAZero and QMIX runs: half an hour
	mkdir -p results/durability
	$(ENV) $(BIN)/python -m tests.durability.mutations --count 100 --json results/durability/mutations.json
	$(ENV) $(BIN)/python -m tests.durability.kills --kills 200 --json results/durability/kills.json

test-mutants: $(STAMP) ## small errors put into the code, which tests must notice: a sample takes an hour and more
	mkdir -p results/mutants
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-mutants.lock
	$(ENV) $(BIN)/python -m tests.mutants.score --sample 600 --json results/mutants/score.json

test-gpu: $(STAMP) ## needs a CUDA device
	$(ENV) $(BIN)/python -m pytest -q -m gpu

test-starcraft: $(STAMP) $(GAME_STAMP) ## the official smac packages, on the game in SC2PATH or else a stand-in: it says which (docs/starcraft.md)
	@$(ENV) $(SC2_PYTHON) -m tests.envs.smac.game

test-slurm: $(STAMP) ## a study on a Slurm of this machine, with jobs that are killed; installs Debian packages, needs root
	tests/slurm/daemons.sh install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-slurm.lock
	$(ENV) tests/slurm/daemons.sh run $(BIN)/python -m pytest -q -m slurm tests/slurm

lint: $(STAMP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy

bench: $(STAMP) ## throughput of environments, search and learning on one core
	$(ENV) $(BIN)/python -m tests.benchmarks.bench_envs
	$(ENV) $(BIN)/python -m tests.benchmarks.bench_search
	$(ENV) $(BIN)/python -m mazero bench --map 3m --batch 4 32 256

clean: ## remove caches and the environment; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .snakemake
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
