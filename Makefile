# make demo    set up .venv and evaluate a real model (see examples/quickstart.yaml)
# make test    set up .venv and run the tests; EXTRAS="local mlflow-server hf" also tests the backend of transformers
# make test-hf set up .venv with torch and run the tests of the backend `hf` and of releasing safetensors (some 6 GB)
# make lint    style, types, the order of the floors, and whether docs/cli.md is current
# make bench   side by side with other tools, in environments of their own (see bench/README.md)
# make docs    write docs/cli.md anew
# make constraints   write constraints.txt anew
#
# On a bare Debian: apt-get install make python3 python3-venv. Everything lands in .venv/, runs/ and the cache.

PYTHON ?= python3
EXTRAS ?= local mlflow-server
PYTEST_ARGS ?=
BENCH_ARGS ?=
SPEC ?= examples/quickstart.yaml
BIN := .venv/bin

define setup
	@command -v $(PYTHON) >/dev/null || { \
		echo "set-up failed: there is no $(PYTHON). On Debian and Ubuntu: apt-get install python3 python3-venv" >&2; \
		exit 1; }
	@$(PYTHON) tools/environment.py $(1)
endef

.PHONY: help demo test test-hf lint style types floors pages docs bench constraints dev clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo:
	$(call setup,--extra local)
	$(BIN)/assay eval $(SPEC)

# The tests fetch the model once and keep it here; what they fetch is checked against its hash at every use.
test: export ASSAY_HOME ?= $(CURDIR)/.venv/home
test:
	$(call setup,$(EXTRAS:%=--extra %) --group dev)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The environments of llmcompressor, modelopt and `transformers serve` are made by assay itself, at the first test that
# needs them, and kept.
test-hf: export ASSAY_HOME ?= $(CURDIR)/.venv/home
test-hf:
	$(call setup,--extra local --extra hf --group dev)
	$(BIN)/python -m pytest -m "hf or ptq" --timeout 1800 $(PYTEST_ARGS)

lint: style types floors pages

style: dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: dev
	$(BIN)/mypy
	$(BIN)/mypy --strict tools bench/*.py

floors: dev
	$(BIN)/lint-imports

pages: dev
	$(BIN)/python tools/cli_reference.py --check

docs: dev
	$(BIN)/python tools/cli_reference.py

bench: dev
	$(BIN)/python bench/run.py $(BENCH_ARGS)

constraints: dev
	$(BIN)/python tools/constraints.py

dev:
	$(call setup,--extra local --group dev)

clean:
	rm -rf .venv .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
