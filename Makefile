# One door to everything; `make` lists the targets. Each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
TESTERS = $(shell $(PYTHON) -c 'import os; print(min(8, os.cpu_count() + 1))')

.DEFAULT_GOAL := help
.PHONY: check clean docs fix help install mutants run test test-matrix test-slow wheel

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clep needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip setuptools
	$(BIN)/python -m pip uninstall --quiet --quiet --yes clep  # its former name, or the other project of that name
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[gem,dev,docs]'
	@touch $@

install: .venv/installed  ## set up .venv with pinned versions (a few minutes, several GB: torch)

run: install  ## the main job: compare strategies on class-incremental digits, results in mlflow.db
	$(BIN)/clep compare

# One process more than there are cores, since many tests wait for a command that they have started. All tests of a file
# are in one of them: they share what its fixtures have trained. Files come in their order: sorted by their numbers of
# tests, those that take minutes would be the last, and one process would be left with them.
test: install  ## the tests (no network, a few minutes on 2 cores)
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

test-slow: install  ## the tests that take minutes or start a server
	$(BIN)/python -m pytest -m 'slow or server'

mutants: install  ## one-line bugs, one at a time, that the tests must catch (a quarter of an hour)
	$(BIN)/python scripts/mutants.py

check: install docs  ## lint, format, types and documentation; changes no source
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## build the documentation site into site/, without warnings
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

fix: install  ## lint fixes first, formatting last
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Unpacked beside the packages of .venv, which are those that it would install, so that this takes seconds.
wheel: install  ## build the wheel, check it and use it outside the checkout
	rm -rf build/bdist.* build/lib build/wheel dist  # what is left in build/lib would be packed again
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf *.egg-info  # from here, Python would take it for what is installed
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist
	$(BIN)/python -m pip install --quiet --no-deps --target build/wheel/installed dist/*.whl
	cd build/wheel && export PYTHONPATH=installed && python=../../$(BIN)/python && \
	  $$python -Pc 'import clep, clep.pipelines; assert all("installed" in p.__file__ for p in (clep, clep.pipelines))' && \
	  $$python -Pm clep list > list.txt && test -s list.txt && \
	  $$python -Pm clep run strategies=sleep_replay learner.epochs=1 stream.samples_per_experience=32

test-matrix: install  ## test the wheel with the oldest and newest Lightning, MLflow and torch (some GB; CASES=mlflow-oldest)
	$(BIN)/python scripts/matrix.py $(CASES)

clean:  ## remove the environment and what was built
	rm -rf .venv build dist site *.egg-info
