# Everything runs in one virtual environment, .venv, which the first target that needs it makes.
# Needs Python 3.11 or newer, make and pip; no network but the package registry.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help train test lint types docs check claims bench killtest fuzz measure measure-why measure-2018 raytest overhead results report race conformance clean

help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

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

lint: $(INSTALLED) ## style, and imports that go down the layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(INSTALLED) ## strict types, warnings as errors
	$(BIN)/pyrefly check --min-severity=warn

docs: $(INSTALLED) ## the documentation in docs/_build/html, its examples run, warnings as errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b doctest -D nb_execution_mode=off docs docs/_build/doctest

check: lint types docs test ## what CI runs

claims: $(INSTALLED) ## the README's figures, into results/claims.json (about 20 minutes)
	$(BIN)/python evidence/claims.py results/claims.json
	$(BIN)/python -m benchmarks.step_time results/step_time.json

bench: $(INSTALLED) ## step times, products, memory beside others', into results and docs/benchmarks.md (half an hour)
	for name in step_time roofline fwht peers setup; do \
		$(BIN)/python -m benchmarks.$$name results/$$name.json || exit; done
	$(MAKE) report
	$(BIN)/python -m benchmarks.memory_format

raytest: $(INSTALLED) ## a sweep on a local ray (installs it), and killed workers on clusters
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -q -m clusters

killtest: $(INSTALLED) ## 20 sweeps killed at random and resumed, into results/kill_test.json
	$(BIN)/python -m evidence.kill_test results/kill_test.json

fuzz: $(INSTALLED) ## 20,000 damaged and 5,000 forged checkpoints, into results/fuzz.json
	$(BIN)/python -m evidence.fuzz results/fuzz.json

results: $(INSTALLED) ## every sweep of experiments/, what is finished is kept (a day of one core)
	for file in experiments/*.toml; do $(BIN)/subspace-nn sweep $$file || exit; done

report: $(INSTALLED) ## the page runs/report.html, and the tables of docs/
	$(BIN)/python -m experiments.report results --out runs/report.html
	$(BIN)/python -m evidence.pages

race: $(INSTALLED) ## seconds until the accuracy of 2017, into results/time_to_accuracy.json
	$(BIN)/python benchmarks/time_to_accuracy.py results/time_to_accuracy.json

overhead: $(INSTALLED) ## what a sweep costs, into results/sweep_overhead.json (about 12 minutes)
	$(BIN)/python -m benchmarks.sweep_overhead results/sweep_overhead.json

conformance: $(INSTALLED) ## docs/modules.md anew: every module, every property, compilers too (10 minutes)
	$(BIN)/python -m tests.conformance.table

# Minutes of one core, about: toy, digits and breast-cancer 1 together, cartpole 5, mnist-fc 6, its pixels 3 and
# labels 6, mnist-lenet 16 and its pixels 10, mnist-conv 19, Fashion-MNIST 6 and 25.
MEASURED := toy digits breast-cancer cartpole mnist-fc mnist-lenet mnist-conv mnist-fc-pixels \
	mnist-lenet-pixels mnist-fc-labels fashion-fc fashion-lenet

measure: $(INSTALLED) ## intrinsic dimensions, into results/measure; what is finished is kept (two hours of one core)
	for name in $(MEASURED); do $(BIN)/subspace-nn measure $$name || exit; done
	for name in mnist-fc mnist-lenet; do \
		$(BIN)/subspace-nn measure $$name --threshold 90 --kind absolute || exit; done

measure-why: $(INSTALLED) ## one difference from the recipe of Li et al. at a time (two hours of one core)
	$(BIN)/subspace-nn measure mnist-fc projection=fastfood --out results/measure/mnist-fc-fastfood
	$(BIN)/subspace-nn measure mnist-fc scale=none lr=0.001 schedule=constant --out results/measure/mnist-fc-unscaled
	$(BIN)/subspace-nn measure mnist-fc-labels scale=none lr=0.001 schedule=constant \
		--out results/measure/mnist-fc-labels-unscaled
	$(BIN)/subspace-nn measure mnist-fc-2018 epochs=20 --out results/measure/mnist-fc-2018-20
	$(BIN)/subspace-nn measure mnist-lenet-2018 epochs=20 --precision 0.3 --out results/measure/mnist-lenet-2018-20

measure-2018: $(INSTALLED) ## the same with the 100 epochs of Li et al. (eight hours of one core)
	$(BIN)/subspace-nn measure mnist-fc-2018 --precision 0.3
	$(BIN)/subspace-nn measure mnist-lenet-2018 --precision 0.3

clean: ## remove the environment and what was built
	rm -rf .venv docs/_build .pytest_cache .ruff_cache .hypothesis
