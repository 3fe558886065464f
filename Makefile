# `make setup` once, then `make demo` or `make test`. Needs python3 >= 3.11 (another: make setup PYTHON=python3.12) and a package index.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ARGS   ?=
PINS   ?=

# Tests, demo and benchmarks start hundreds of processes; one that may not keep byte code compiles all of Tuma first, each time (2.4 s, not 1).
unexport PYTHONDONTWRITEBYTECODE

# One set of pins for every platform and Python that we run on; the two distributions themselves are not pinned.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-package tuma-producer --no-emit-package tuma-worker --annotation-style line --custom-compile-command 'make pins' $(PINS)

.PHONY: help setup demo test check bench chaos screenshots reference pins image-test

help: ## what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

setup: $(READY) ## .venv with the pinned tools and both distributions, editable

# Newer pins or a newer pyproject of a distribution make it stale; everything else is found through the editable install.
$(READY): requirements/dev.txt producer/pyproject.toml worker/pyproject.toml
	@found=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=none; \
	case $$found in \
	none) echo "tuma: '$(PYTHON)' does not run; install Python 3.11 or newer, or name one: make setup PYTHON=python3.12" >&2; exit 1 ;; \
	2.*|3.?|3.10) echo "tuma: '$(PYTHON)' is Python $$found; 3.11 or newer is needed: make setup PYTHON=python3.12" >&2; exit 1 ;; \
	esac
	@rm -f $@
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable producer --editable worker
	@touch $@

demo: $(READY) ## both providers' stand-ins, a worker and a campaign, on this machine
	$(BIN)/tuma demo $(ARGS)

test: $(READY) ## every test but the long ones (ARGS='-k words' to choose)
	$(BIN)/pytest -m "not long" $(ARGS)

reference: $(READY) ## docs/reference, made of the code
	$(BIN)/python -m tests.support.reference

check: $(READY) ## lint, format, types, import contracts, dead code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

BENCHES ?=
REPEAT  ?= 3

# The page is made of what there is, also where one has failed; the exit status is the measurements'.
bench: $(READY) ## measurements beside their peers, and docs/benchmarks.md (three hours; BENCHES="limits fair" for some, REPEAT=1, ARGS=--no-peers)
	@status=0; $(BIN)/python -m tests.bench.run --into docs/benchmarks --repeat $(REPEAT) $(if $(BENCHES),--only $(BENCHES)) $(ARGS) || status=$$?; \
	$(BIN)/python -m tests.bench.report docs/benchmarks docs/benchmarks.md; exit $$status

SCENARIOS ?= weather restarts upgrade sentinel disk-full clock
MINUTES   ?=

# Each is run whatever became of the one before; what the machine lacks is a notice.
chaos: $(READY) ## the long runs, and docs/reliability.md (an hour; SCENARIOS="weather upgrade" MINUTES=2 ARGS='--seed 7' for others)
	@status=0; for name in $(SCENARIOS); do echo "== $$name"; \
	$(BIN)/python -m tests.chaos.run --scenario $$name $(if $(MINUTES),--minutes $(MINUTES)) --json --into docs/reliability $(ARGS) || status=1; done; \
	$(BIN)/python -m tests.chaos.report docs/reliability docs/reliability.md; exit $$status

image-test: $(READY) ## build the image and run it as Kubernetes would (needs Debian's buildah, podman, runc and debootstrap)
	@tests/image.sh

screenshots: $(READY) ## the dashboard's pictures in docs/images, anew (needs Chromium)
	$(BIN)/python -m tests.screenshots docs/images

pins: $(READY) ## compile requirements/*.txt again (PINS='--upgrade' for newer ones)
	$(COMPILE) requirements/worker.in --output-file requirements/worker.txt
	$(COMPILE) requirements/dev.in --output-file requirements/dev.txt --constraint requirements/worker.txt
	$(COMPILE) requirements/build.in --output-file requirements/build.txt --constraint requirements/dev.txt
	@! grep -n '://' requirements/*.txt # the pins name packages and hashes, never where they were found
