# Everything runs in one virtual environment, .venv, which the first target that needs it makes.
# Needs Python 3.11 or newer, make and pip; no network but the package registry.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help train test lint types docs links notebook check bench results report evidence clean

help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

# The constraints pin torch before pip chooses a build of its own.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[test,lint,docs]'
	touch $@

train: $(INSTALLED) ## train the conv net with 1,000 free parameters on MNIST (about a minute)
	$(BIN)/subspace-nn train --model conv --dim 1000 --threads 1 --force

test: $(INSTALLED) ## all tests, warnings as errors
	$(BIN)/python -m pytest -q -n 2

lint: $(INSTALLED) ## style, and imports that go down the layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	git ls-files -z '*.md' '*.py' '*.toml' '*.js' '*.css' '*.j2' Makefile | xargs -0 $(BIN)/python -m codespell_lib

types: $(INSTALLED) ## strict types, warnings as errors
	$(BIN)/pyrefly check --min-severity=warn

docs: $(INSTALLED) ## the documentation in docs/_build/html, its examples run, warnings as errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b doctest -D nb_execution_mode=off docs docs/_build/doctest

links: $(INSTALLED) ## every link of the documentation, also those to other sites (needs a network; not part of check)
	$(BIN)/python -m sphinx -q -b linkcheck -D nb_execution_mode=off docs docs/_build/links

notebook: $(INSTALLED) ## open the notebooks of 2017 in Jupyter
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	mkdir -p runs/notebooks
	for name in conv fc zoo; do \
		$(BIN)/jupytext --quiet --to ipynb --output runs/notebooks/$$name.ipynb notebooks/$$name.py || exit; done
	$(BIN)/jupyter notebook runs/notebooks

check: lint types docs test ## what CI runs

bench: $(INSTALLED) ## every benchmark, into results/ and docs/benchmarks.md
	for name in step_time inference roofline one_pass fwht peers setup sweep_overhead time_to_accuracy; do \
		$(BIN)/python -m benchmarks.$$name results/$$name.json || exit; done
	$(MAKE) report

results: $(INSTALLED) ## every packaged sweep and every measurement of experiments/; finished runs are kept (a day and a half of one core)
	for file in src/subspace_nn/runs/sweeps/*.toml; do $(BIN)/subspace-nn sweep $$(basename $$file .toml) || exit; done
	for file in experiments/measure/*.toml; do $(BIN)/subspace-nn measure $$file || exit; done

report: $(INSTALLED) ## the page runs/report.html, and the tables of docs/
	$(BIN)/python -m experiments.report results --out runs/report.html
	$(BIN)/python -m evidence.pages

# Evidence for what the documentation claims, in programs that are no benchmark: too slow for CI.
evidence: $(INSTALLED) ## claims, damaged files, kills, coverage of intervals, into results/ (hours)
	for name in certificate_coverage claims fuzz kill_test measure_coverage measure_kill measure_pitfalls measure_toy optimisers; do \
		$(BIN)/python -m evidence.$$name results/$$name.json || exit; done
	$(BIN)/python -m tests.conformance.table

clean: ## remove the environment and what was built
	rm -rf .venv docs/_build docs/_static docs/cli.md docs/results .pytest_cache .ruff_cache .hypothesis
