# make demo   train PETS on the cart-pole swing-up; again: resume an interrupted run
# make test   the default tests; make slow, make optimised and make learning run the longer ones
# make smoke  a few minutes of tests: planners, learners, resuming, short runs
# make lint   ruff check, ruff format --check and mypy
#
# Variables: PYTHON=python3.12 (3.11 to 3.13), SEED=1, RUN=runs/demo, JOBS=4 (test processes),
# FLAGS=--no-skips (for pytest), JAX=0.11 (Python 3.12 or 3.13; an environment of its own)

SEED ?= 0
RUN ?= runs/demo$(if $(filter-out 0,$(SEED)),-seed$(SEED))
JOBS ?= auto
JAX ?= 0.10

ifeq ($(JAX),0.10)
  VENV := .venv
  CONSTRAINTS := constraints.txt
  OLDEST := 11
  QUICK_XLA := XLA_FLAGS="$$XLA_FLAGS --xla_cpu_use_fusion_emitters=false"
else ifeq ($(JAX),0.11)
  VENV := .venv-jax011
  CONSTRAINTS := constraints-jax011.txt
  OLDEST := 12
  QUICK_XLA :=  # its XLA does not know the flag
else
  $(error JAX=$(JAX): the versions with pins are 0.10 and 0.11)
endif

# The first interpreter that starts and is new enough (a name on PATH may be an empty shim).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, $(OLDEST)) <= sys.version_info < (3, 14))' \
  2>/dev/null && echo $$p && break; done)

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
# Compiling takes most of the tests' time: XLA does it quickly but for those marked optimised and
# whole learning runs, which compile as users do.
QUICK := JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(QUICK_XLA)
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --maxprocesses=8 --dist=loadfile $(FLAGS)
DEFAULT := -m "not slow and not optimised and not learning"
# Where another jax would show: numbers, planners, learners, resuming; then whole short runs.
SMOKE := tests/ops tests/planners tests/learners tests/runtime/training/test_loop.py tests/runtime/training/test_resume.py
SMOKE_RUNS := tests/golden/test_golden.py -k "pets_1 or sac_1"

.PHONY: demo test slow optimised learning smoke lint install install-ci clean

# Resumes an existing run; a finished run is not trained again.
demo: $(VENV)/installed
	$(BIN)/python -m experiments.train --algo=pets --env=cartpole --seed=$(SEED) --logdir=$(RUN) $(if $(wildcard $(RUN)/config.json),--resume)
	@echo "Look at $(RUN)/plots and $(RUN)/videos; for new episodes and pictures:"
	@echo "  $(BIN)/python -m experiments.evaluate --run=$(RUN)   (or .render, .plot; all have --help)"

test: $(VENV)/installed-test
	$(QUICK) $(PYTEST) $(DEFAULT)

slow: $(VENV)/installed-test
	$(QUICK) $(PYTEST) -m "slow and not optimised and not learning"

optimised: $(VENV)/installed-test
	$(PYTEST) -m "optimised and not learning"

learning: $(VENV)/installed-test
	$(PYTEST) -m learning --timeout=3600

smoke: $(VENV)/installed-test
	$(QUICK) $(PYTEST) $(DEFAULT) $(SMOKE)
	$(PYTEST) $(SMOKE_RUNS)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/installed
install-ci: $(VENV)/installed-ci

# The stamps make a second call quick; a changed requirement or pin installs again.
$(VENV)/installed: setup.py pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(INSTALL) -e ".[experiments]"
	@touch $@

$(VENV)/installed-test: setup.py pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(INSTALL) -e ".[test]"
	@touch $@ $(VENV)/installed

# What is optional and needs no accelerator, for tests that are skipped without it.
$(VENV)/installed-ci: setup.py pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(INSTALL) -e ".[ci]"
	@touch $@ $(VENV)/installed-test $(VENV)/installed

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "mbrl_jax needs Python 3.$(OLDEST) to 3.13: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf .venv .venv-jax011 build dist mbrl_jax.egg-info
