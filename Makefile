# Needs Python >= 3.11 with pip, and make. Each target makes the environment it needs, and again only when its pins change.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
PIP = -m pip install -qq --disable-pip-version-check --constraint constraints.txt
# A fifth of pip's time, and the same pins. It knows no pip.conf: where that names an index, pip itself installs.
UV = -m uv pip install --quiet --constraint constraints.txt

# Tests start hundreds of processes: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo example-litellm test test-fast test-slow test-scale attack coverage benchmark docs check fix lock sbom dist audit clean

help:  ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv-demo/.ready  ## Run the whole journey on the sample traffic; writes demo-out. No torch.
	.venv-demo/bin/difficulty demo -o demo-out

example-litellm: .venv-gateway/.ready  ## Route the sample through a real LiteLLM proxy, two small models behind it; some minutes.
	.venv-gateway/bin/python -m examples.litellm.run $(ARGS)

test: .venv/.ready  ## Run the tests; pass pytest options as ARGS="-k curve".
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

test-fast: .venv/.ready  ## Run what your changes touch and no process, browser or proxy; without a change all such tests.
	OMP_NUM_THREADS=1 .venv/bin/python -m tools.quick_tests -q -n $(WORKERS) --dist loadfile $(ARGS)

coverage: .venv/.ready  ## Run the tests and print the share of lines that they run, the total last.
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n $(WORKERS) --dist loadfile \
	  --cov=difficulty --cov-report=term:skip-covered $(ARGS)

test-slow: .venv-slow/.ready  ## Run the slow tests, with torch and the encoders.
	.venv-slow/bin/python -m pytest -q -m slow $(ARGS)

test-scale: .venv-scale/.ready  ## Run the tests of the engines on a real Ray of this machine; some minutes.
	OMP_NUM_THREADS=1 .venv-scale/bin/python -m pytest -q -n 0 -m "" tests/engine $(ARGS)

attack: .venv/.ready  ## Attack requests, files, bundles, serve, a proxy and the log; an hour, or a share of it: DIFFICULTY_ATTACK=0.05.
	.venv/bin/python -m pytest -q -m "" tests/attack tests/cli/test_killed.py \
	  tests/integrations/test_litellm_hostile.py $(ARGS)

benchmark: .venv-benchmark/.ready  ## Compare the score with other routers; ARGS="--routellm RouteLLM -o results/today".
	.venv-benchmark/bin/python -m benchmarks.quality $(ARGS)

docs: .venv/.ready  ## Build the documentation as a site, into site/; no network is needed.
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
	@echo "read it: .venv/bin/python -m http.server --directory site (from disk it has no search)"

check: .venv/.ready  ## Check format, lint and types: what CI runs before the tests.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

fix: .venv/.ready  ## Format, repair what ruff can, and draw the picture of the rooms again.
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	.venv/bin/python -m tools.draw_rooms
	.venv/bin/python -m tools.draw_channels

lock: .venv-release/.ready  ## Write requirements.lock: what a router needs, with hashes.
	printf '%s\n' "# What a router needs, each file by its hash: pip install --require-hashes -r requirements.lock" \
	  "# Written by 'make lock' from pyproject.toml and constraints.txt." > .venv-release/lock
	.venv-release/bin/uv pip compile pyproject.toml --constraint constraints.txt --generate-hashes --universal \
	  --python-version 3.11 --no-emit-index-url --no-header --quiet >> .venv-release/lock
	mv .venv-release/lock requirements.lock

sbom: .venv-release/.ready  ## Write dist/router.cdx.json: what a router installs, as a CycloneDX bill of materials.
	@$(PYTHON) -m venv --clear .venv-release/router
	@.venv-release/router/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@.venv-release/router/bin/python -m pip install -qq --disable-pip-version-check --no-deps .
	@.venv-release/router/bin/python -m pip uninstall -qq --disable-pip-version-check --yes pip setuptools
	@mkdir -p dist
	.venv-release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
	  --output-file dist/router.cdx.json .venv-release/router

dist: .venv-release/.ready  ## Build sdist and wheel into dist; refuses while pyproject.toml names no repository.
	@! grep -n OWNER pyproject.toml || { echo "write the repository's address in place of OWNER first"; exit 1; }
	.venv-release/bin/python -m build --outdir dist .

audit: .venv-release/.ready  ## Ask PyPI for known weaknesses of what a router installs; needs its advisories.
	.venv-release/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

clean:  ## Remove environments, caches and what the demo wrote.
	rm -rf .venv .venv-demo .venv-gateway .venv-slow .venv-scale .venv-benchmark .venv-release demo-out build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv-demo/.ready: EXTRAS = train
.venv-gateway/.ready: EXTRAS = train,gateway,monitor
.venv/.ready: EXTRAS = train,track,sign,gateway,serve,hub,remote,plot,telemetry,monitor,benchmark,docs,dev
.venv-slow/.ready: EXTRAS = train,track,sign,gateway,serve,hub,remote,plot,telemetry,monitor,encoders,benchmark,dev
.venv-scale/.ready: EXTRAS = train,monitor,telemetry,scale,encoders,dev
.venv-benchmark/.ready: EXTRAS = train,encoders,benchmark
.venv-release/.ready: EXTRAS = release
.venv-slow/.ready .venv-scale/.ready .venv-benchmark/.ready: FIRST = torch

.venv-demo/.ready .venv-gateway/.ready .venv/.ready .venv-slow/.ready .venv-scale/.ready .venv-benchmark/.ready .venv-release/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "difficulty needs Python >= 3.11: pass PYTHON=python3.12")'
	@echo "$(@D): installing difficulty[$(EXTRAS)] for $$($(PYTHON) --version), a minute or two"
	@$(PYTHON) -m venv $(@D)
	@$(if $(FIRST),$(@D)/bin/python $(PIP) $(FIRST))
	@if [ -n "$(FIRST)" ] || $(@D)/bin/python -m pip config list | grep -q '[.:]index-url='; \
	  then $(@D)/bin/python $(PIP) --editable '.[$(EXTRAS)]'; \
	  else { $(@D)/bin/python $(PIP) uv && $(@D)/bin/python $(UV) --python $(@D)/bin/python --editable '.[$(EXTRAS)]'; } \
	    || $(@D)/bin/python $(PIP) --editable '.[$(EXTRAS)]'; fi
	@touch $@
