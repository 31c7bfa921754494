# A fresh machine needs python3 (3.11 or newer) and make. Everything else goes into .tools and .venv in this folder.

PYTHON ?= python3
ARGS ?=

# The uv that wrote uv.lock. A uv on PATH works too, if it is new enough for dependency groups and lock revisions.
UV_VERSION := 0.13.9
UV := $(shell uv --version 2>/dev/null | grep -Eq '^uv ([1-9]|0[.]([6-9]|[1-9][0-9]))' && command -v uv)
ifeq ($(UV),)
UV := .tools/bin/uv
UV_READY := .tools/.uv-$(UV_VERSION)
endif

# Keep the Python of a working environment, even if another python3 is first on PATH now.
NEW_PYTHON = $(if $(wildcard .venv/bin/python),,--python '$(PYTHON)')
# Compile now. Otherwise all nodes of a first cluster would compile while they are measured.
SYNC = UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --extra all --compile-bytecode $(NEW_PYTHON)

RUNTIME := .venv/.synced-runtime
DEV := .venv/.synced-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup simulate sweep test test-all test-rest test-unit test-quick test-integration test-oldest-ray test-rays test-arm64 test-aws test-jobs torture lint format schema docs docs-tables dashboards contract bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

setup: $(DEV) ## install everything into .venv, for use and for development

# A command answers on stdout, so this goes to stderr.
AFTERWARDS = @echo "The command is .venv/bin/orchestrate. Next: .venv/bin/orchestrate report @last" >&2

simulate: $(RUNTIME) ## simulate upscaling speeds 1, 5 and 10 with v1 and v2; add options with ARGS='--repeat 3'
	@.venv/bin/orchestrate simulate --autoscaler v1,v2 --upscaling-speed 1,5,10 $(ARGS)
	$(AFTERWARDS)

sweep: $(RUNTIME) ## sweep upscaling speeds 1, 5 and 10 on a local cluster; add options with ARGS='--repeat 3'
	@.venv/bin/orchestrate sweep --upscaling-speed 1,5,10 $(ARGS)
	$(AFTERWARDS)

test: test-unit test-quick ## run the unit tests, and the quick tests with real parts: a few minutes

test-all: test test-rest ## run all tests: about half an hour

# One process for each core. The tests of a module stay together because they share what they set up.
PARALLEL := --numprocesses auto --dist loadfile -p no:benchmark

test-unit: $(DEV) ## run the tests that need no Ray and no network; list the slowest
	.venv/bin/pytest tests/unit $(PARALLEL) --durations 5 $(ARGS)

test-quick: $(DEV) ## run the integration tests marked quick: the command line, the docs' examples, a real local sweep
	.venv/bin/pytest tests/integration -m 'quick and not alone' $(PARALLEL) $(ARGS)
	.venv/bin/pytest tests/integration -m 'quick and alone' $(ARGS)

test-rest: $(DEV) ## run the other integration tests; a test whose parts this machine lacks is skipped with a reason
	.venv/bin/pytest tests/integration -m 'not quick and not alone' $(PARALLEL) $(ARGS)
	.venv/bin/pytest tests/integration -m 'not quick and alone' $(ARGS)

test-integration: test-quick test-rest ## run all integration tests

# All other tests run on the newest Ray, which uv.lock pins.
OLDEST_RAY := 2.50.1
RAYS := $(OLDEST_RAY) 2.55.1 2.60.0

test-oldest-ray: $(DEV) ## run the simulator's tests on the oldest Ray that is supported
	$(call on_ray,$(OLDEST_RAY)) pytest tests/integration/test_simulator.py $(ARGS)

test-rays: $(RAYS:%=test-ray-%) ## run the simulator's tests, those of Ray's private names, and local sweeps on three Rays

test-ray-%: $(DEV)
	$(call on_ray,$*) pytest tests/integration/test_simulator.py tests/integration/test_rayapi.py \
	  tests/integration/test_local_sweep.py tests/integration/test_autoscaler_v1.py $(ARGS)

on_ray = UV_PYTHON_DOWNLOADS=never $(UV) run --compile-bytecode --isolated --no-project --python .venv/bin/python \
  --with-editable '.[all]' --with 'ray[default]==$(1)' --with hypothesis --with pytest

test-arm64: $(DEV) ## run the test with an emulated arm64 node, as root; takes minutes
	ORCHESTRATE_TEST_ARM64=1 .venv/bin/pytest tests/integration/test_arm64.py $(ARGS)

test-aws: $(DEV) ## run the tests of whole trials on a stand-in for EC2, as root; takes a quarter of an hour
	ORCHESTRATE_TEST_AWS=1 .venv/bin/pytest tests/integration/test_aws.py tests/integration/test_aws_long.py tests/integration/test_aws_files.py $(ARGS)

torture: $(DEV) ## kill, starve and mislead the command at thousands of points, as root; takes hours
	.venv/bin/python -m tests.torture $(ARGS)

test-jobs: $(DEV) ## run all tests of users' scripts, as root; takes a quarter of an hour
	ORCHESTRATE_TEST_JOBS=1 .venv/bin/pytest tests/integration/test_jobs.py $(ARGS)

lint: $(DEV) ## check style, spelling, types and import directions
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/codespell
	.venv/bin/mypy
	.venv/bin/lint-imports

format: $(DEV) ## format the code and fix what ruff can fix
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

schema: $(DEV) ## generate docs/schema/ from the code
	.venv/bin/python -m orchestrator.report.json_document > docs/schema/sweep.schema.json

docs: $(DEV) ## build the documentation site into site/; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

docs-tables: $(DEV) ## generate the tables and the reference of commands in docs/ from the code
	.venv/bin/python -m orchestrator.metrics.catalogue docs/metrics.md
	.venv/bin/python -m orchestrator.model.arrivals docs/spec.md
	.venv/bin/python -m orchestrator.model.quantities docs/quantities.md
	.venv/bin/typer orchestrator.cli.app utils docs --name orchestrate --title Commands --output docs/commands.md

dashboards: $(DEV) ## generate grafana/dashboards/ from the code
	.venv/bin/orchestrate dashboards build --to grafana/dashboards

contract: $(DEV) ## accept an intended change of the contract: regenerate tests/contract/golden.json
	.venv/bin/python -m tests.support.contract --write

bench: $(DEV) ## run the benchmarks
	.venv/bin/pytest benchmarks -q -s $(ARGS)

clean: ## remove .venv, .tools and caches; keep recorded sweeps (.orchestrate)
	rm -rf .venv .tools dist site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .benchmarks
	find orchestrator tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# --inexact keeps installed development packages.
$(RUNTIME): pyproject.toml uv.lock | $(UV_READY)
	$(need_python)
	$(SYNC) --no-dev --inexact
	@touch $@

$(DEV): pyproject.toml uv.lock | $(UV_READY)
	$(need_python)
	$(SYNC)
	@touch $(RUNTIME) $@

# pip writes to stdout, which belongs to the command that you ran.
.tools/.uv-$(UV_VERSION):
	$(need_python)
	$(need_venv)
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --disable-pip-version-check uv==$(UV_VERSION) >&2
	@touch $@

define need_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
  echo "$(PYTHON) isn't Python 3.11 or newer: install one, or name another: make PYTHON=python3.12" >&2; \
  exit 1; }
endef

define need_venv
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "$(PYTHON) can't make virtual environments: install its venv module (Debian: apt install python3-venv)" >&2; \
  exit 1; }
endef
