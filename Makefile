# make demo: install into .venv and run the main job. make test: everything that CI runs.
# make mutants: break the code in 400 places and see that its tests notice.
# make bench: time pslref and PyTorch, and write docs/benchmarks.md anew.
# make tutorials: open the notebooks. make notebooks: run them and write their outputs anew.
# make docs: write the site to build/docs.
PYTHON ?= python3
BIN := .venv/bin
# The matrix products of the demo and the tests are too small to gain from a second thread.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test mutants bench tutorials notebooks docs clean

demo: .venv/installed
	$(BIN)/pslref compare --seeds 7 --out demo
	@echo "On Fashion-MNIST lds ends 6 to 13 points below, targets and stratified do not: results/README.md."

test: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2

mutants: .venv/tested
	$(BIN)/python -m tools.mutants

bench: .venv/bench
	$(BIN)/python -m benchmarks.samplers
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.threads
	$(BIN)/python -m benchmarks.remote

tutorials: .venv/tutorials
	$(BIN)/jupyter lab --allow-root --LabApp.default_url=/lab/tree/tutorials/01-a-network-cut-in-two.ipynb

notebooks: .venv/tested
	$(BIN)/python -m tools.notebooks

docs: .venv/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs/site . build/docs
	@echo "Open build/docs/index.html."

.venv/installed: pyproject.toml
	@echo "Installing pslref and what it needs into .venv."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

# A PyTorch that is in .venv already is kept, such as a build without CUDA.
.venv/bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@

.venv/tutorials: .venv/installed
	@echo "Installing JupyterLab into .venv; this takes a minute or two."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[tutorials]'
	touch $@

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build dist demo mutants *.egg-info
