"""Every compiled kernel does what its Python source says: the same numbers, to rounding, on small odd-sized cases.

Inside `Interpreted` a kernel that is called runs twice on the same arguments, compiled and as Python, and what the two
return and write is compared; the Python lines, those of the kernels that it calls included, are what coverage sees.
Kernels are found, not listed: one that nothing here reaches fails its module's test.
"""

from __future__ import annotations

import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from numba.core.dispatcher import Dispatcher

from hamiltonians import (
    ClockHamiltonian,
    InputError,
    certify,
    components,
    ground_state,
    kernels,
    load_machine,
    paths,
    state,
)
from hamiltonians.null_space import ground_space
from hamiltonians.slepc import kernels as on_strands
from hamiltonians.slepc import strands
from hamiltonians.slepc.layout import Layout
from hamiltonians.state import SparseState
from qunn import QUNN
from qunn.quantum import lanes
from tests.systems.step_lists import LISTS

PACKAGES = ("hamiltonians", "qunn", "circuits")
#: one rounding of each of the terms of a sum, of which there are at most some hundred here, and a fused product or a
#: sum in another order on top of it; the numbers are of size 1
ROUNDINGS = 256


def modules() -> Iterator[str]:
    """The project's modules that use numba, all of them imported."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            spec = find_spec(found.name)
            assert spec is not None
            assert spec.origin is not None
            if "numba" in Path(spec.origin).read_text(encoding="utf-8"):
                import_module(found.name)
                yield found.name


def kernels_of(name: str) -> dict[str, Dispatcher]:
    """The kernels that a module defines."""
    own = vars(sys.modules[name]).items()
    return {key: value for key, value in own if isinstance(value, Dispatcher) and value.py_func.__module__ == name}


MODULES = [name for name in modules() if kernels_of(name)]


class Interpreted:
    """Python in the place of every kernel, compared with it at each call; `compared` counts that."""

    def __init__(self) -> None:
        self.compared: Counter[Dispatcher] = Counter()
        self._places = [
            (module, key, kernel, self._pair(kernel))
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in PACKAGES
            for key, kernel in vars(module).items()
            if isinstance(kernel, Dispatcher)
        ]

    def __enter__(self) -> Interpreted:
        for module, key, _, pair in self._places:
            setattr(module, key, pair)
        return self

    def __exit__(self, *_: object) -> None:
        for module, key, kernel, _ in self._places:
            setattr(module, key, kernel)

    def _pair(self, kernel: Dispatcher) -> Callable[..., Any]:
        where = f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"

        def call(*arguments: Any) -> Any:
            arguments = tuple(_typed(a) for a in arguments)
            others = tuple(_copied(a) for a in arguments)
            if tuple(numba.typeof(a) for a in others) not in kernel.overloads:
                self.__exit__()  # what is compiled now looks up the kernels that it calls
                expected = kernel(*others)
                self.__enter__()
            else:
                expected = kernel(*others)
            with np.errstate(all="ignore"):  # compiled loops do not warn of a division by 0
                found = kernel.py_func(*arguments)
            self.compared[kernel] += 1
            _assert_equal((found, arguments), (expected, others), where)
            return found

        return call


def _assert_equal(found: Any, expected: Any, where: str) -> None:
    mine, theirs = ([np.asarray(v) for v in _flat(values)] for values in (found, expected))
    rounding = ROUNDINGS * max((float(np.finfo(v.dtype).eps) for v in mine if v.dtype.kind in "fc"), default=0.0)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=rounding, atol=rounding, err_msg=where)


def _typed(value: Any) -> Any:
    """A Python integer is 64 bits wide in a kernel, and an unsigned or a small one does not narrow it."""
    return np.int64(value) if type(value) is int else value


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.copy(value)
    if isinstance(value, tuple):
        copies = [_copied(v) for v in value]
        return type(value)(*copies) if hasattr(value, "_fields") else tuple(copies)
    return value


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _flat(part)
    elif value is not None:
        yield value


# --- what calls them ---


def _linear(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def _machines() -> list[ClockHamiltonian]:
    """Steps without a table, steps on a cell, and images, the last with an end in the middle and with H_in."""
    busy_beaver, images = load_machine("bb:1RB1LB_1LA1RZ"), LISTS[1].steps
    return [
        ClockHamiltonian.from_machine(busy_beaver),
        ClockHamiltonian.from_machine(busy_beaver, "tape", tape_cells=5),
        ClockHamiltonian.from_steps(images),
        ClockHamiltonian.from_steps(images, np.eye(6)[2]),
    ]


def _loops_over_the_clock(rng: np.random.Generator) -> None:
    others = (ClockHamiltonian.from_steps(s.steps, n_qubits=s.n_qubits) for s in LISTS if s.name != "identities")
    for H in (*_machines(), *others):
        steps = H.steps.data().cast(np.dtype(complex))
        X, x, out = _linear((H.T + 1, H.d), rng), _linear((H.d,), rng), np.empty(H.d, complex)
        Y = np.empty_like(X)
        kernels.apply_hamiltonian(steps, X, Y)
        kernels.residual_square(steps, X, x, 0.7)
        kernels.bond_terms(steps, X, np.zeros(H.T))
        kernels.sweep_back(steps, X, out)
        kernels.sweep_history(steps, Y)
        kernels.subtract_history(steps, Y, x)
        if H.steps.monomial:
            kernels.defect_terms(steps, X, np.zeros(H.T))
            for j, y in np.ndindex(H.T, H.d):
                kernels.image(steps, j, y)
                kernels.preimage(steps, j, y)
        if H.steps.unitary:
            kernels.sweep_bonds(steps, X, 0.3)
            kernels.sweep_nodes(steps, X, out)
    kernels.transpose(_linear((35, 3), rng), np.empty((3, 35), complex))  # more than a block of 32


def _states(rng: np.random.Generator) -> None:
    for H in _machines():
        some = np.flatnonzero(rng.random(H.dimension) < 0.7)  # with and without the other end of a bond
        for psi in (H.history() if H.readout else None, SparseState(some, _linear((len(some),), rng))):
            if psi is None:
                continue
            energy = state.energy(H, psi)
            real = psi.values.real.copy()  # in threads: compiled for long states, which are real, and at some length
            state._energy(H.steps.data(), H.clock_states, psi.indices, real, 1)
            state._residual(H.steps.data(), H.clock_states, psi.indices, real, energy)
            state.residual(H, psi, energy)
            state.bond_energies(H, psi)
            state.apply(H, psi)
            state.block(H, psi.indices)
            state.clock_slices(H, psi, np.array([0, 2]))
            state.is_ascending(psi.indices[::-1].copy())
        for x in range(H.d):
            state.try_walk(H, x, 0, H.clock_states)
    tape = _machines()[1]
    certify(tape, ground_state(tape))


def _strands(rng: np.random.Generator) -> None:
    """The second of two ranks, which visits rows of the first, and the only one of one."""
    for H in _machines():
        for first, held in ((0, H.d), (H.d // 2, H.d - H.d // 2)):
            layout = Layout(None, H.d, H.clock_states, first, held)  # nothing here needs PETSc
            walks = strands._walks_of(H, layout)
            lengths, excess = np.empty(held, np.int64), np.empty((2, H.clock_states))
            on_strands.survey(walks, lengths)
            on_strands.visited_rows(walks, np.empty(walks.visits[-1], np.int32))
            on_strands.fill_excess(0.01, excess)
            on_strands.data_states(walks, np.array([0, H.T]), np.empty((held, 2), np.int64))
            if len(walks.images) == 0:
                on_strands.carry_back(walks, H.T, walks.starts.copy())
            x, away = _linear((held * H.clock_states,), rng), _linear((walks.visits[-1],), rng)
            y, some, on_clock_0 = x.copy(), rng.random(held) < 0.6, _linear((held,), rng)
            on_strands.apply_strands(walks, some, on_clock_0, x, y, away)
            on_strands.residual_square(walks, some, on_clock_0, 0.7, x, away)
            on_strands.bond_squares(walks, some, x, away)
            on_strands.solve_strands(walks, some, excess, x, y, away)
            on_strands.add_response(walks, np.where(some, on_clock_0, 0), lengths, excess, x, away)
            on_strands.strand_means(walks, some, np.empty_like(on_clock_0), x, away)
            on_strands.remove_means(walks, some, x, away)
            on_strands.add_constants(walks, np.where(some, on_clock_0, 0), x, away)


def _runs(rng: np.random.Generator) -> None:
    load_machine("bb:1RB1LB_1LA0LC_1RZ1LD_1RD0RA").run().operations()  # the fourth busy beaver, 107 steps
    with pytest.raises(InputError, match="did not halt"):
        load_machine("bb:1RA1RZ").run(max_steps=300)  # to the right for ever, over the end of the tape it has


def _components(rng: np.random.Generator) -> None:
    for H in _machines():
        parts = H.restricted()
        for kind, count in parts.census.items():
            components._starts(H, kind, count)


def _ground_spaces(rng: np.random.Generator) -> None:
    for H in _machines():
        ground_space(H)


def _paths(rng: np.random.Generator) -> None:
    for m, walls in ((7, (False, False)), (8, (True, False)), (9, (True, True))):
        kind = paths.PathKind(m, *walls)
        energies = paths.eigenvalues(kind, 3)
        paths.eigenvector(kind, float(energies[-1]))
        paths._rayleigh_quotients_at_once(m, walls[0], energies)
        shifts = np.linspace(0.1, 4.1, 11)  # a group of 8 and a part of one
        paths._count_groups(m, int(walls[0]), shifts, 2, np.empty(11, np.int64))


def _activations(rng: np.random.Generator) -> None:
    values = [0.0, -0.0, 1e-310, 0.3, -2.5, 19.0, 800.0, -800.0, np.inf, -np.inf, *rng.standard_normal(9)]
    for value in values:
        for kernel in (lanes._tanh64, lanes._sigmoid64):
            kernel(np.float64(value))
        for kernel in (lanes._tanh32, lanes._sigmoid32):
            kernel(np.float32(value))


def _qunn(rng: np.random.Generator) -> None:
    """All activations, a learned clock and a one-hot one, past that is taken for 0; more elements than lanes."""
    cases: list[dict[str, Any]] = [
        {"activations": ("tanh", "sigmoid", "relu"), "clock": "learned-read", "num_layers": 2},
        {"activations": ("sigmoid", "tanh", "tanh"), "history": "block"},
        {"activations": ("relu", "relu", "identity"), "clock": "learned", "dtype": torch.float32},
        {"activations": ("identity", "identity", "sigmoid")},
    ]
    for case in cases:
        model = QUNN(3, 3, **{"dtype": torch.float64, **case})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.from_numpy(rng.standard_normal(parameter.shape)).to(parameter.dtype)
        input = torch.from_numpy(rng.standard_normal((2, 9, 3))).to(model.p1.dtype).requires_grad_()
        output, _ = model(input)
        (output * torch.from_numpy(rng.standard_normal(output.shape)).to(output.dtype)).sum().backward()


CALLS: dict[str, Callable[[np.random.Generator], None]] = {
    "hamiltonians.components": _components,
    "hamiltonians.kernels": _loops_over_the_clock,
    "hamiltonians.null_space": _ground_spaces,
    "hamiltonians.paths": _paths,
    "hamiltonians.runner": _runs,
    "hamiltonians.slepc.kernels": _strands,
    "hamiltonians.state": _states,
    "qunn.quantum.lanes": _activations,
    "qunn.quantum.layers": _qunn,
    "qunn.quantum.stacks": _qunn,
}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several would write parts of an array while another compares the whole of it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", MODULES)
def test_python_gives_what_the_kernel_gives(name, rng):
    own = kernels_of(name)
    with Interpreted() as kernels_in_python:
        CALLS[name](rng)
    missed = [key for key, kernel in own.items() if not kernels_in_python.compared[kernel]]
    assert not missed, f"{name}: no case reaches {', '.join(missed)}"


def test_kernels_are_back_in_their_places():
    with Interpreted():
        assert not any(kernels_of(name) for name in MODULES)
    assert all(kernels_of(name) for name in MODULES)
