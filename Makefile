# Two commands on a fresh machine with Python 3.11 or newer: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two workers suit two cores. The tests run in the order of their folders: sorted by the number of tests per file, the
# few files that take minutes would start last and run alone. Compiled files are kept, also where the shell forbids
# it: else every worker and every child process compiles tests and package again (10 s).
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
CORE_VENV := .venv-core
CORE_BIN := $(CORE_VENV)/bin
# What the core install does, without torch and the other extras (tests/conftest.py skips what needs one).
CORE_TESTS := tests/core tests/io tests/labels tests/mosaic tests/scores tests/chips tests/exchange tests/evaluation tests/test_core_install.py
COMPILE_LOCK := $(BIN)/uv pip compile pyproject.toml --no-emit-index-url --no-emit-find-links --no-header --quiet

.PHONY: demo test test-fast coverage test-core lint format docs bench lock clean

# The environment: exact versions, compiled to bytecode (or the first import takes 20 s), eo_dl itself editable.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $(STAMP)

# The full workflow on the sample scenes; look at demo/index.html.
demo: $(STAMP)
	$(BIN)/eo-dl demo --out demo --overwrite

# All tests, the slow ones included.
test: $(STAMP)
	$(PYTEST)

# Without the tests marked `slow`.
test-fast: $(STAMP)
	$(PYTEST) -m "not slow"

# All tests, with the lines and branches that none of them runs; fails below the floor, which only rises.
COVERAGE_FLOOR := 93
coverage: $(STAMP)
	$(PYTEST) --cov --cov-report=term --cov-report=html:htmlcov --cov-fail-under=$(COVERAGE_FLOOR)

# The core install in an environment of its own, e.g. make test-core PYTHON=python3.13.
test-core: $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(CORE_VENV)
	$(BIN)/uv pip install --quiet --python $(CORE_BIN)/python --compile-bytecode -r requirements-core.lock
	$(BIN)/uv pip install --quiet --python $(CORE_BIN)/python --no-deps -e .
	OMP_NUM_THREADS=1 $(CORE_BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(CORE_TESTS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The documentation site in site/; a broken link or a page that is not in the navigation is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# All benchmarks of speed, for an hour or more: benchmarks/table.md and the table in README. Small sizes, in minutes:
# make bench BENCH="--quick"; peers of another environment: BENCH="--peers PYTHON".
bench: $(STAMP)
	$(BIN)/python benchmarks/all.py $(BENCH)

# New exact versions: everything for Python 3.11, the core install with its tests for Python 3.13. Addresses of package
# indexes stay out of the files.
lock: $(STAMP)
	$(COMPILE_LOCK) --all-extras --python-version 3.11 -o requirements.lock
	$(COMPILE_LOCK) --extra test --python-version 3.13 -o requirements-core.lock

clean:
	rm -rf $(VENV) $(CORE_VENV) demo site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage .coverage.*
