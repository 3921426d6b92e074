# Everything runs in one virtual environment, .venv, which the first target that needs it makes.
# Needs Python 3.11 or newer, make and pip; no network but the package registry.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help train test lint types docs check claims bench killtest raytest clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

# The constraints pin torch before pip chooses a build of its own.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[test,lint,docs]'
	touch $@

train: $(INSTALLED) ## train the conv net with 1,000 free parameters on MNIST (about a minute)
	$(BIN)/subspace-nn train --model conv --dim 1000 --threads 1 --out runs/conv-1000 --force

test: $(INSTALLED) ## all tests, warnings as errors
	$(BIN)/python -m pytest -q -n 2

lint: $(INSTALLED) ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## strict types
	$(BIN)/pyrefly check

docs: $(INSTALLED) ## the documentation in docs/_build/html, its examples run, warnings as errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b doctest docs docs/_build/doctest

check: lint types docs test ## what CI runs

claims: $(INSTALLED) ## the README's figures, into results/claims.json (about 20 minutes)
	$(BIN)/python benchmarks/claims.py results/claims.json
	$(BIN)/python benchmarks/step_time.py results/step_time.json

bench: $(INSTALLED) ## step times beside the plain module, into results/step_time.json
	$(BIN)/python benchmarks/step_time.py results/step_time.json
	$(BIN)/python benchmarks/memory_format.py

raytest: $(INSTALLED) ## a sweep on a local ray (installs it)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -q -m ray

killtest: $(INSTALLED) ## 20 sweeps killed at random and resumed, into results/kill_test.json
	$(BIN)/python -m benchmarks.kill_test results/kill_test.json

clean: ## remove the environment and what was built
	rm -rf .venv docs/_build .pytest_cache .ruff_cache .hypothesis
