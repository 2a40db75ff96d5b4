# Two commands: `make demo` and `make test`. Each sets itself up from nothing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast docs notebook lint types imports checks tests golden environment \
	cluster-check images images-check requirements dashboards sbom

VENV := .venv
BIN := $(VENV)/bin
# The environment is made again when, and only when, what it is made from changed.
STAMP := $(VENV)/.made-from-$(shell cat pyproject.toml constraints.txt infra/environment.py | cksum | tr ' ' '-')
# One more than two cores have: many tests wait for processes that they started.
PYTEST_WORKERS ?= 3
# The many processes of a run compile our modules once, not each anew.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo "make demo   train two versions on a real log, serve both, rank for held-out users"
	@echo "make test   lint, types, import rules, documentation, tests"
	@echo "make test-fast  lint and the quick tests, about two minutes on two cores"
	@echo "make docs   the documentation as a site: build/site/index.html"
	@echo "make notebook  run the notebook over runs/demo and save it with what its cells give"
	@echo "make golden write the compiled pipelines' golden files anew"
	@echo "make cluster-check  render and validate everything that goes into a cluster"
	@echo "make images         build the four images (podman); make images-check runs them hardened"
	@echo "make sbom           write dist/hemix-VERSION.cdx.json, the release's bill of materials"

demo: $(STAMP)
	$(BIN)/python -m hemix.pipelines.demo

# The tests wait for processes that they started an eighth of their time; the checks live on that.
test: $(STAMP)
	$(MAKE) lint
	$(MAKE) --jobs 2 tests checks

checks: $(STAMP)
	nice -n 19 $(MAKE) types imports docs

# Without what starts servers, runs the real steps or takes more than a few seconds.
test-fast: lint
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not services"

docs: $(STAMP)
	$(BIN)/mkdocs build --quiet

notebook: $(STAMP)
	$(BIN)/python -m hemix.infra.docs.notebook

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

# A file stays with one worker: the tests of some share processes and run in order. The longest
# files start first (tests/workers.py).
tests: $(STAMP)
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations 15

golden: $(STAMP)
	for name in $$($(BIN)/python -c "from hemix.pipelines.compiler.compiler import PIPELINES; print(*PIPELINES)"); do \
	    $(BIN)/hemix compile $$name --check --output tests/pipelines/golden/$$name.yaml; done
	$(BIN)/python -m tests.serving.kubernetes.test_render

# OVERLAY: folders of overlays of your own, judged in place of the shipped ones; CHECK: further options
# (--settings, --deploy, --training-cluster, --own: see python -m hemix.infra.check --help).
cluster-check: $(STAMP)
	$(BIN)/python -m hemix.infra.check $(addprefix --overlay ,$(OVERLAY)) $(CHECK)

# BUILD: options of the build, for example BUILD="--build-arg BASE=my/base:1 train".
images: $(STAMP)
	$(BIN)/python -m hemix.infra.images.build $(BUILD)

# RUN: the output folder of a hemix run, whose champion the serve image is to serve.
images-check: $(STAMP)
	$(BIN)/python -m benchmarks.images $(if $(RUN),--run $(RUN))

requirements: $(STAMP)
	$(BIN)/python -m hemix.infra.images.requirements

dashboards: $(STAMP)
	$(BIN)/python -m hemix.infra.monitoring.dashboards

sbom: $(STAMP)
	$(BIN)/python -m hemix.infra.sbom

environment: $(STAMP)

$(STAMP):
	@python=""; for name in python3.11 python3.12; do \
	    if $$name --version >/dev/null 2>&1; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then \
	    echo "Python 3.11 or 3.12 is needed and neither python3.11 nor python3.12 runs here." >&2; \
	    echo "Install one, for example: apt-get install python3.11 python3.11-venv" >&2; exit 1; fi; \
	if [ ! -x $(BIN)/python ]; then \
	    echo "Creating $(VENV) with $$($$python --version)"; \
	    $$python -m venv $(VENV) || { rm -rf $(VENV); \
	        echo "python3 -m venv failed: apt-get install $${python}-venv" >&2; exit 1; }; fi
	$(BIN)/python infra/environment.py
	@rm -f $(VENV)/.made-from-*; touch $@
