# Every target sets up what it needs, in .venv and .cache; a second time takes no time.
# Written for GNU make 3.81 (macOS) and a POSIX shell.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The interpreter to make .venv with; without it, the first of these that is 3.11+.
PYTHON ?=
PYTHONS = $(or $(PYTHON),python3 python3.13 python3.12 python3.11)

# Test processes that run side by side: of tests that compute, and of tests that wait
# for services most of their time.
WORKERS ?= 2
SERVICE_WORKERS ?= 6

# What `make test` leaves out and `make test-all` does not: what is slow by nature.
CHOSEN := not slow
test-all: CHOSEN := slow or not slow
# COVERED=--cov=dioptra_worker measures coverage, which takes minutes more.
COVERED :=

# Where the environment of the REST API is kept, so that a clone holds all of its own.
DIOPTRA_WORKER_CACHE_DIR ?= $(CURDIR)/.cache
export DIOPTRA_WORKER_CACHE_DIR

# Where it is set, each of the processes that run tests would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-for-
PYTEST := $(BIN)/python -m pytest

# pip, with the names of the packages as they come instead of silence or a page for each.
# Its exit code goes through a file, as a POSIX shell has no other way past a pipe.
define INSTALL
{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
    --constraint constraints.txt $(1) 2>&1; echo $$? > $(VENV)/.pip; } | \
  awk '/^Collecting/ { sub(/[=<>!~;[ (].*/, "", $$2); printf "%s ", $$2; fflush(); next } \
    /^Installing collected/ { printf "\n... installing what was fetched\n"; fflush() } \
    /^(ERROR|error|  *error|Traceback|hint)/ { print }'; \
  code=$$(cat $(VENV)/.pip); rm -f $(VENV)/.pip; exit $$code
endef

PEER := import os, pathlib; from dioptra_worker.tools.local import ensure_peer; \
  print(ensure_peer(pathlib.Path(os.environ["DIOPTRA_WORKER_CACHE_DIR"])).python)

, := ,

.NOTPARALLEL:

.PHONY: help demo bench test test-all unit process services spawn faults soak mutants \
  bounds containers package check lint types imports docs format pages constraints pins \
  recording screenshots arm64 setup clean distclean

help:
	@echo 'make demo         bring up a local Dioptra, run real jobs, show what came of'
	@echo '                  them, and take it down; KEEP=1 leaves it running'
	@echo 'make test         the tests of every day: the next three'
	@echo 'make unit         what needs neither a service nor a program, within a minute'
	@echo 'make process      what starts interpreters and other programs'
	@echo 'make services     integration, acceptance, faults: real services, brought up'
	@echo '                  and taken down by the tests'
	@echo 'make spawn        those of all tests in which runners are made as on macOS'
	@echo 'make test-all     the same three, with what is slow by nature'
	@echo 'make faults       the tests of faults only; what they see becomes a page of the'
	@echo '                  documentation'
	@echo 'make soak         many jobs while everything fails now and then, for hours; what'
	@echo '                  comes of them becomes a page: JOBS=10000 SEED=7 MINUTES=60'
	@echo 'make mutants      break the worker on purpose, promise by promise, in a copy, and'
	@echo '                  see that a test notices; K=lease tries those named so'
	@echo 'make bounds       the tests in tests/unit with the oldest and with the newest'
	@echo '                  versions that pyproject.toml allows'
	@echo 'make containers   build the images, run jobs in them: IMAGES="base custom"'
	@echo 'make package      the wheel and the sdist, tried before they are put into dist/;'
	@echo '                  no other target runs tests/package'
	@echo 'make bench        measure the worker beside the one of dioptra-platform, into'
	@echo '                  benchmarks/results; QUICK=1 only sees that this works'
	@echo 'make check        all that is not a test: the next four'
	@echo 'make lint         ruff: rules and format'
	@echo 'make types        mypy'
	@echo 'make imports      the directions in which modules may import each other'
	@echo 'make docs         the documentation, in docs/_build/html'
	@echo 'make format       format the code, and mend what ruff can mend'
	@echo 'make pages        write the pages that are made from the code'
	@echo 'make recording    record a terminal anew, for the first page'
	@echo 'make screenshots  photograph the page of the jobs anew, for the documentation'
	@echo 'make constraints  resolve the pinned versions anew, in constraints.txt'
	@echo 'make pins         write the hashes of what images are built from'
	@echo 'make arm64        look up wheels for arm64 of all that the images hold'
	@echo 'make clean        remove .venv and what tools have left'
	@echo 'make distclean    the same, and .cache'
	@echo 'Variables: PYTHON=python3.12, WORKERS=2, SERVICE_WORKERS=4'

demo: $(READY)demo
	@KEEP='$(KEEP)' $(BIN)/dioptra-worker demo

# Quarter of an hour on a machine that does nothing else; see benchmarks/README.md.
bench: $(READY)demo
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

# Three runs, so that a mistake that a unit test can find is found within a minute.
# pytest's last line must stay the last one: CI reads it.
test test-all: unit process services

unit: $(READY)test
	@$(PYTEST) -n $(WORKERS) tests/unit -m 'not process and ($(CHOSEN))' \
	  --session-timeout=900 $(if $(COVERED),$(COVERED) --cov-report=)

process: $(READY)test
	@$(PYTEST) -n $(WORKERS) tests/unit -m 'process and ($(CHOSEN))' \
	  --session-timeout=900 $(if $(COVERED),$(COVERED) --cov-append --cov-report=)

services: $(READY)test
	@echo 'The environment of the REST API:'
	@DIOPTRA_WORKER_PEER_PYTHON=$$($(BIN)/python -c '$(PEER)') && \
	  export DIOPTRA_WORKER_PEER_PYTHON && echo "$$DIOPTRA_WORKER_PEER_PYTHON" && \
	  $(PYTEST) -n $(SERVICE_WORKERS) --dist=loadfile --no-loadscope-reorder \
	    tests --ignore=tests/unit --ignore=tests/package -m '$(CHOSEN)' \
	    --session-timeout=4000 \
	    $(if $(COVERED),$(COVERED) --cov-append --cov-report=term:skip-covered)

# What macOS has: there is no fork there.
spawn: $(READY)test
	@DIOPTRA_WORKER_PEER_PYTHON=$$($(BIN)/python -c '$(PEER)') && \
	  export DIOPTRA_WORKER_PEER_PYTHON && \
	  $(PYTEST) -n $(SERVICE_WORKERS) --dist=loadfile --no-loadscope-reorder tests -k spawn

faults: $(READY)test $(READY)docs
	@DIOPTRA_WORKER_PEER_PYTHON=$$($(BIN)/python -c '$(PEER)') && \
	  export DIOPTRA_WORKER_PEER_PYTHON && \
	  rm -f .cache/faults.json && mkdir -p .cache && \
	  $(PYTEST) -n $(SERVICE_WORKERS) --dist=loadfile --no-loadscope-reorder \
	    tests --ignore=tests/unit --ignore=tests/package \
	    --fault-report=.cache/faults.json
	@mv .cache/faults.json docs/reference/faults.json
	@$(BIN)/python docs/generate.py

# Stops by itself, after so many jobs or minutes. A job takes about a second of a
# processor, half of it the REST API's.
soak: $(READY)test $(READY)docs
	@DIOPTRA_WORKER_PEER_PYTHON=$$($(BIN)/python -c '$(PEER)') && \
	  export DIOPTRA_WORKER_PEER_PYTHON && \
	  $(BIN)/python -m tests.soak --jobs $(or $(JOBS),10000) --seed $(or $(SEED),7) \
	    --minutes $(or $(MINUTES),inf) --report docs/reference/soak.json; \
	  ended=$$?; $(BIN)/python docs/generate.py && exit $$ended

# The services are brought up once, for all mutants.
mutants: $(READY)test
	@DIOPTRA_WORKER_PEER_PYTHON=$$($(BIN)/python -c '$(PEER)') && \
	  export DIOPTRA_WORKER_PEER_PYTHON && \
	  $(BIN)/python -m tests.mutants -j $(WORKERS) -k '$(K)'

# The newest may be newer than what constraints.txt pins; both environments are made
# anew each time, and thrown away.
bounds: $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check 'uv>=0.8'
	@for bound in lowest-direct highest; do \
	  echo "The unit tests with uv's resolution $$bound:"; \
	  there=.cache/bounds/$$bound && \
	  $(BIN)/uv venv --quiet --no-config --clear --python $(BIN)/python $$there && \
	  $(BIN)/uv pip install --quiet --no-config --python $$there/bin/python \
	    --resolution $$bound --editable '.[local,examples]' --group test && \
	  $$there/bin/python -m pytest -n $(WORKERS) tests/unit --session-timeout=900 && \
	  rm -rf $$there || exit 1; \
	done

containers: $(READY)demo
	@$(BIN)/python containers/test $(IMAGES)

# Of the same sources always the same bytes: so what is built here is what was tried. A
# release says which version it is to be.
package: $(READY)test
	@version=$$($(BIN)/python -c 'import dioptra_worker; print(dioptra_worker.__version__)') && \
	  if [ "$(or $(TAG),$$version)" != "$$version" ]; then \
	    echo "The tag is $(TAG), and the package's version $$version." >&2; exit 1; fi
	@$(PYTEST) tests/package
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist

check: lint types imports docs

lint: $(READY)lint
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(READY)lint
	@$(BIN)/mypy

imports: $(READY)lint
	@$(BIN)/lint-imports

docs: $(READY)docs
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/sphinx-build -n -W --keep-going -q -b html docs docs/_build/html
	@$(BIN)/python docs/built.py docs/_build/html
	@echo 'The documentation is in docs/_build/html/index.html'

format: $(READY)lint
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format

# What `dioptra-worker run` prints, as a picture in the documentation.
recording: $(READY)docs
	@$(BIN)/python docs/recording.py

# The page with the jobs, of a stack that is brought up for it; it takes a Chromium.
screenshots: $(READY)test
	@DIOPTRA_WORKER_PEER_PYTHON=$$($(BIN)/python -c '$(PEER)') && \
	  export DIOPTRA_WORKER_PEER_PYTHON && $(BIN)/python -m tests.screenshots

pages: $(READY)docs
	@$(BIN)/python docs/generate.py

setup: $(READY)lint $(READY)docs $(READY)demo $(READY)test

# One set of pins for every platform and Python that we support, with markers where
# they differ; uv can resolve that, pip can read it. The images have one of their own, as
# what they hold does not go with the newest NumPy.
constraints: $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check 'uv>=0.5'
	@$(BIN)/uv pip compile --quiet --no-config --upgrade --universal \
	  --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --all-extras --group test --group lint --group docs \
	  --output-file constraints.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --no-config --upgrade --universal \
	  --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --extra mlflow --extra examples --extra system-metrics \
	  --output-file containers/constraints.txt \
	  pyproject.toml containers/frameworks.in
	@$(MAKE) --no-print-directory pins
	@echo 'Constraints and pins are new; run make test and make containers.'

# The hashes of what the images are built from.
pins: $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check 'uv>=0.5'
	@$(BIN)/python -m containers.pins $(BIN)/uv

arm64: $(BIN)/python
	@$(BIN)/python -m pip install -qq --disable-pip-version-check 'uv>=0.5'
	@for packages in tensorflow 'torch torchvision'; do \
	  printf '%s\n' $$packages | $(BIN)/uv pip compile --quiet --no-config \
	    --python-platform aarch64-manylinux_2_28 --python-version 3.11 \
	    --only-binary :all: --constraint containers/constraints.txt \
	    --extra mlflow --extra examples --extra system-metrics pyproject.toml - \
	    > /dev/null || exit 1; \
	  echo "$$packages: all pinned packages have wheels for arm64"; \
	done

clean:
	rm -rf $(VENV) build dist docs/_build .coverage .coverage.* .mypy_cache \
	  .ruff_cache .pytest_cache .hypothesis .import_linter_cache

distclean: clean
	rm -rf .cache

$(READY)demo: pyproject.toml constraints.txt $(BIN)/python
	@echo 'Setting up .venv for the demo (once, some minutes) ...'
	@$(call INSTALL,--editable '.[local$(,)examples]')
	@touch $@

$(READY)test: pyproject.toml constraints.txt $(BIN)/python
	@echo 'Setting up .venv for the tests (once, some minutes) ...'
	@$(call INSTALL,--editable '.[local$(,)examples]' --group test)
	@touch $@

# mypy looks into the tests, too, and so wants what they import.
$(READY)lint: pyproject.toml constraints.txt $(BIN)/python
	@echo 'Setting up .venv for lint and types (once) ...'
	@$(call INSTALL,--editable . --group lint --group test)
	@touch $@

$(READY)docs: pyproject.toml constraints.txt $(BIN)/python
	@echo 'Setting up .venv for the documentation (once) ...'
	@$(call INSTALL,--editable . --group docs)
	@touch $@

# pip learned to install dependency groups in 25.1.
$(BIN)/python:
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "dioptra-worker needs Python 3.11 or newer, and none of these is:" \
	    "$(PYTHONS). Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$found cannot make virtual environments: install its package for" \
	    "that (python3-venv on Debian and Ubuntu)." >&2; \
	  exit 1; \
	fi; \
	echo "Making .venv with $$found ..." && \
	"$$found" -m venv --clear $(VENV) && \
	$(BIN)/python -m pip install -qq --disable-pip-version-check 'pip>=25.1'
