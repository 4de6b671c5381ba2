# Everything sets itself up: a virtual environment in .venv, dependencies, and (for the demo) the model.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-user
READY_DEV := $(VENV)/.ready-dev
DEMO ?= demo

.PHONY: help setup demo test test-fast lint types claims bench bench-quick bench-growth docs clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# PyTorch comes first and stays pinned, so that nothing after it brings another build of it.
# With an NVIDIA GPU, take the index for your CUDA version from the selector on pytorch.org:
#   make setup TORCH="torch==2.13.0 --index-url URL"
TORCH ?= torch==2.13.0

$(VENV)/.ready-torch:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

$(READY): $(VENV)/.ready-torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[web]'
	@touch $@

$(READY_DEV): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY) ## the virtual environment with Tutelage in it

demo: $(READY) ## the whole job on the embedded model: 20 to 40 minutes on two cores
	@test -e $(DEMO)/tutelage.yaml || $(BIN)/tutelage init $(DEMO)
	$(BIN)/tutelage --project $(DEMO) run

test: $(READY_DEV) lint types ## all tests
	$(BIN)/python -m pytest -n 2

test-fast: $(READY_DEV) ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

lint: $(READY_DEV) ## style, and which room may import which
	$(BIN)/ruff check src tests benchmarks examples scripts
	$(BIN)/ruff format --check src tests benchmarks examples scripts
	$(BIN)/lint-imports

types: $(READY_DEV) ## strict types in core, objectives and stats
	$(BIN)/pyright --pythonpath $(BIN)/python

claims: $(READY_DEV) ## measure what is claimed; ONLY=main-job for one subject
	$(BIN)/python -m benchmarks.claims $(ONLY)

bench: $(READY_DEV) ## speed and memory beside TRL's; ONLY="sft_lora ppo" for some rows
	$(BIN)/python -m benchmarks.bench $(ONLY)

bench-quick: $(READY_DEV) ## the same with fewer and shorter repetitions, in under 10 minutes
	$(BIN)/python -m benchmarks.bench --quick $(ONLY)

bench-growth: $(READY_DEV) ## our time and memory against the size of the work
	$(BIN)/python -m benchmarks.bench.growth $(ONLY)

docs: $(READY_DEV) ## write the generated pages of docs/ anew
	$(BIN)/python scripts/docs.py

clean: ## remove the virtual environment and caches (not projects, not the model cache)
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build dist
