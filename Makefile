# Two commands do all the set-up on a machine with Python 3.11 or newer: `make search` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# On a slow day fewer trials, not more minutes.
SEARCH_ARGS ?= --time-budget 220
# Two processes: while one waits, for Ray to start say, the other computes. A third makes it slower.
# One file stays in one of them.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Tests start a hundred processes of Python: each finds compiled what another has imported.
test check coverage: export PYTHONDONTWRITEBYTECODE :=

.PHONY: search test check coverage docs format lint types clean

search: .venv/.run
	$(BIN)/python -m tuning.search $(SEARCH_ARGS)

test: .venv/.dev
	$(PYTEST)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MKDOCS)
	$(PYTEST)

# By itself: it makes tests a third slower.
coverage: .venv/.dev
	$(PYTEST) --cov --cov-report=term:skip-covered

# The pages of docs/ as a site, in .site.
docs: .venv/.dev
	$(MKDOCS)

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/.dev
	$(BIN)/ruff check .

types: .venv/.dev
	$(BIN)/mypy

# The stamps make a second call instant; they are remade when the pins or the dependencies change.
.venv/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[digits]"
	touch $@

.venv/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch .venv/.run $@

clean:
	rm -rf .venv .site .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
