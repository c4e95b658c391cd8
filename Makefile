# Two commands do everything, each makes .venv when it is missing:
#   make demo    the ground state of a real machine's clock Hamiltonian
#   make test    format, lint, types, layers, tests with coverage, notebooks, the site; changes no file
# and, by the quarter of an hour, `make test-all`: also every case of the sets that `make test` runs a seeded part of
#   make mpi       .venv-mpi, an environment for the engine slepc (MPI ranks), with Debian's PETSc and SLEPc
#   make test-mpi  its tests, with 1, 2 and 4 ranks and both builds of PETSc
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready
MPI_BIN   := .venv-mpi/bin
MPI_READY := .venv-mpi/.ready
# four ranks on two cores: more ranks than slots, none bound to a core that another needs, none spinning while it waits
MPIRUN    := timeout --foreground 900 mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 $(shell test "$$(id -u)" = 0 && echo --allow-run-as-root)

.PHONY: demo test test-all mpi test-mpi format docs bench clean

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

mpi: $(MPI_READY)

$(MPI_READY): pyproject.toml constraints-mpi.txt hamiltonians/slepc/debian.py
	@$(PYTHON) -I hamiltonians/slepc/debian.py
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv-mpi
	$(MPI_BIN)/python -m pip install --quiet --requirement constraints-mpi.txt
	$(MPI_BIN)/python -m pip install --quiet --no-deps --editable .
	$(MPI_BIN)/python -I hamiltonians/slepc/debian.py .venv-mpi
	@touch $(MPI_READY)

# pytest itself runs on every rank; rank 0 tells, and what fails on another is told on stderr
test-mpi: $(MPI_READY)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(MPI_BIN)/python -m pytest tests/mpi --ignore tests/mpi/collective
	@for scalar in real complex; do for ranks in 1 2 4; do \
	  echo "$$scalar build, $$ranks ranks:"; \
	  OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(MPIRUN) -n $$ranks $(MPI_BIN)/python -m pytest -q -p no:cacheprovider --color no tests/mpi/collective --scalar $$scalar || exit 1; \
	done; done

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
	rm -rf .venv .venv-mpi build dist site
