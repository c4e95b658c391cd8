# Two commands do everything, each makes .venv when it is missing:
#   make demo    the ground state of a real machine's clock Hamiltonian
#   make test    format, lint, types, layers, tests with coverage, notebooks, the site; changes no file
# and, by the quarter of an hour, `make test-all`: also every case of the sets that `make test` runs a seeded part of
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready

.PHONY: demo test test-all format docs bench clean

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $(READY)

demo: $(READY)
	$(BIN)/python -m qunn.ground_state examples/binary_increment.json --plot demo.png

# two workers on two cores: BLAS threads beside them would wait for each other, and small matrices need none
test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not exhaustive" --cov --cov-report=term

test-all: test
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m exhaustive

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# site/index.html opens from there, without a server; the theme's advertisement of its successor is left out
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/ground_state.py

clean:
	rm -rf .venv build dist site
