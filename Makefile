# Every target sets up its own virtual environment from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench fidelity chaos clean

demo: $(READY)  ## train the learning-rate study and write its report
	$(BIN)/regatta run sweeps/lr_schedules.yaml

test: lint  ## everything that must hold, on a CPU, in minutes
	$(BIN)/pytest -n 3 -m "not timed and not fidelity and not chaos"
	$(BIN)/pytest -m "timed and not chaos"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## the figures of docs/performance.md
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.lottery
	$(BIN)/python -m benchmarks.noise_scale
	$(BIN)/python -m benchmarks.second_order
	$(BIN)/python -m benchmarks.report

fidelity: $(READY)  ## published figures, reproduced; long
	$(BIN)/pytest -m fidelity

chaos: $(READY)  ## 300 runs under 30 random kills, and longer tests of faults
	$(BIN)/pytest -m chaos -s

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
