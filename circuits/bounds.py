"""Rigorous bounds on the error of product formulas, and the error itself.

With G = Σ_γ T_γ, T_{>γ} = Σ_{γ'>γ} T_γ', and ‖·‖ the operator norm (Childs, Su, Tran, Wiebe, Zhu, PRX 11, 011020):

    lie      ‖S_1(t) - e^{tG}‖ ≤ t²/2 Σ_γ ‖[T_{>γ}, T_γ]‖                                                 Prop. 9
    suzuki2  ‖S_2(t) - e^{tG}‖ ≤ t³/12 Σ_γ ‖[T_{>γ}, [T_{>γ}, T_γ]]‖ + t³/24 Σ_γ ‖[T_γ, [T_γ, T_{>γ}]]‖   Prop. 10
    suzuki4  ‖S_4(t) - e^{tG}‖ ≤ t⁵/5 ρ,  ρ from the formula's own exponentials (`remainder`)
    qdrift   2 λ² t² / N  (Campbell, PRL 123, 070503), λ = Σ_γ ‖T_γ‖: of the mean over the draws, as a channel

r repetitions: r times the bound at t/r. The bounds of the first three are C |t|^(p+1), with C = `error_coefficient`.

Neighbours that commute may be taken as one term, as the product of their exponentials is the exponential of their sum:
the 4^n/2 Pauli strings of real data are 2^n - 1 terms so, and those of complex data twice as many (`Groups`).
Norms are exact up to EXACT_ROWS rows; beyond, ‖X‖ ≤ ‖X²‖_F^(1/2) serves, which is above it by at most 2^(n/4).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from circuits.evolution import EXACT, check_step, check_synthesis, weights
from circuits.formulas import FORMULAS, Stage, stages
from circuits.layer import Layer
from circuits.pauli import generator_terms
from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.memory import require_memory

Array = NDArray[Any]

#: rows up to which norms are exact; natural terms have four at the most, whatever n is
EXACT_ROWS: Final = 64

# what Aer takes as it is; the rest is synthesised from these
_GATES = ("unitary", "u", "h", "s", "sdg", "x", "p", "rx", "ry", "rz", "cx", "cz", "crz")


def trotter_bound(layer: Layer, h: float, synthesis: str, *, terms: str = "pauli", reps: int = 1) -> float:
    """An upper bound on the operator-norm distance of `evolution(layer, h, synthesis, …)` from exp(hG).

    0 for the exact syntheses. For qdrift it is 2 (λh)²/reps and bounds half the diamond distance between the mean of
    the circuits' channels over all draws and that of exp(hG), hence the trace distance ½‖ρ̄ - ρ‖₁ of the averaged
    output from the exact one for every input; one draw may be further off. No factor e^{2λh/N} is needed: a step's
    Taylor remainders are those of unitary channels, 2 (2λh/N)²/2 together. Not cut off at 2, so that its order shows.

    Raises
    ------
    InputError : as `evolution`.
    MemoryEstimateError : the strings do not fit.

    Examples
    --------
    >>> import torch
    >>> from circuits.bounds import error, trotter_bound
    >>> from circuits.evolution import evolution
    >>> from circuits.layer import layers
    >>> from qunn import QUNN
    >>> Y = torch.nn.functional.normalize(torch.randn(5, 2, dtype=torch.float64), dim=-1)
    >>> layer = layers(QUNN(2, period=4, mode="unitary", dtype=torch.float64), Y, 5)[1]
    >>> found = error(layer, 0.5, evolution(layer, 0.5, "suzuki2", reps=2))
    >>> found <= trotter_bound(layer, 0.5, "suzuki2", reps=2)
    True
    """
    check_synthesis(synthesis, terms, reps)
    check_step(layer, h)
    if synthesis in EXACT:
        return 0.0
    if synthesis == "qdrift":
        return 2 * float(weights(layer, terms).sum() * h) ** 2 / reps
    p = FORMULAS[synthesis].order
    return reps * error_coefficient(layer, synthesis, terms) * (abs(h) / reps) ** (p + 1)


def error_coefficient(layer: Layer, synthesis: str, terms: str = "pauli") -> float:
    """C in ‖S(t) - exp(tG)‖ ≤ C |t|^(p+1): the bound's costly part, the same for every t and reps.

    Raises
    ------
    InputError : no product formula, unknown terms or a layer that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from circuits.bounds import error_coefficient, trotter_bound
    >>> from circuits.layer import layers
    >>> from qunn import QUNN
    >>> Y = torch.nn.functional.normalize(torch.randn(5, 2, dtype=torch.float64), dim=-1)
    >>> layer = layers(QUNN(2, period=4, mode="unitary", dtype=torch.float64), Y, 5)[1]
    >>> bool(np.isclose(trotter_bound(layer, 0.5, "lie", reps=4), error_coefficient(layer, "lie") * 0.5**2 / 4))
    True
    """
    if synthesis not in FORMULAS:
        raise must_be("synthesis", one_of(FORMULAS), synthesis)
    check_synthesis(synthesis, terms, 1)
    check_step(layer, 0.0)
    parts: Terms
    if terms == "natural":
        parts = Matrices(np.stack([layer.hop.m, layer.permutation.m]))
    else:
        n = layer.registers.qubits
        require_memory(4**n * 16 * 24, f"{n} qubits as matrices", 'bound terms="natural", or fewer qubits')
        parts = Groups(generator_terms(layer))
    if not parts.rows or not parts.count:
        return 0.0
    if synthesis == "lie":
        return _first_order(parts)
    return _second_order(parts) if synthesis == "suzuki2" else remainder(parts, synthesis)


def error(layer: Layer, h: float, circuit: QuantumCircuit) -> float:
    """The operator-norm distance ‖circuit - exp(hG)‖ on 2^n states, global phase included, by the whole matrices.

    High-level gates are synthesised first: as they stand they would be taken exactly.

    Raises
    ------
    InputError : the circuit has another number of qubits than the layer.
    MemoryEstimateError : matrices of 4^n entries do not fit.

    Examples
    --------
    >>> import torch
    >>> from circuits.bounds import error
    >>> from circuits.evolution import evolution
    >>> from circuits.layer import layers
    >>> from qunn import QUNN
    >>> Y = torch.nn.functional.normalize(torch.randn(5, 2, dtype=torch.float64), dim=-1)
    >>> layer = layers(QUNN(2, period=4, mode="unitary", dtype=torch.float64), Y, 5)[1]
    >>> error(layer, 0.5, evolution(layer, 0.5, "subspace")) < 1e-12  # exact
    True
    >>> error(layer, 0.5, evolution(layer, 0.5, "lie", terms="pauli")) > 1e-6
    True
    """
    n = layer.registers.qubits
    if circuit.num_qubits != n:
        raise must_be("circuit", f"on the layer's {n} qubits", circuit.num_qubits)
    require_memory(4**n * 16 * 8, f"{n} qubits as matrices", "measure the error on fewer qubits")
    exact = layer.registers.padded_matrix(layer.rotation(h).dense(), 1.0)
    return float(np.linalg.norm(_operator(circuit) - exact, 2))


def _operator(circuit: QuantumCircuit) -> Array:
    """The circuit's matrix [2^n, 2^n]: gate by gate in Aer, which for 10^5 gates is far faster than `Operator`."""
    if not circuit.num_qubits:
        return np.exp(1j * np.array([[float(circuit.global_phase)]]))  # Aer saves nothing of no qubits
    simulator = AerSimulator(method="unitary", basis_gates=[*_GATES])
    # level 0: the others may permute qubits or approximate; and Aer's own list of gates has some, such as the
    # multiplexer, that this method refuses or crashes on
    flat = transpile(circuit, simulator, optimization_level=0)
    flat.save_unitary()
    done = simulator.run(flat).result()
    if not done.success:
        raise InputError(f"`circuit` must run on Aer's unitary simulator, but it says {done.status}", "circuit")
    return np.asarray(done.get_unitary())


# --- terms ---


class Terms(ABC):
    """Anti-Hermitian terms T_0, T_1, … as matrices [rows, rows], in the order in which S_1 applies them."""

    count: int
    rows: int

    @abstractmethod
    def element(self, j: int) -> Array:
        """T_j."""

    @abstractmethod
    def adjoint(self, j: int, X: Array) -> Array:
        """[T_j, X] for X [..., rows, rows]."""


@final
class Matrices(Terms):
    """T [M, r, r] as it is."""

    def __init__(self, T: Array) -> None:
        self._T = T
        self.count, self.rows = len(T), T.shape[-1]

    def element(self, j: int) -> Array:
        """T_j."""
        return self._T[j]

    def adjoint(self, j: int, X: Array) -> Array:
        """[T_j, X]."""
        return self._T[j] @ X - X @ self._T[j]


@final
class Groups(Terms):
    """The sums T of neighbouring strings -i c_P P with the same X part and the same parity of the number of Y.

    They commute: P = (x, z) and P' = (x, z') do where x·z + x·z', the two numbers of Y, is even. T has entries at
    (i, i xor x) only, kept as [2^n]: real ones for odd parity, imaginary ones for even.
    """

    def __init__(self, strings: SparsePauliOp) -> None:
        n = strings.num_qubits
        bits = 1 << np.arange(n)
        x, z, c = strings.paulis.x @ bits, strings.paulis.z @ bits, strings.coeffs.real
        ys = np.bitwise_count(x & z).astype(np.int64)
        key = 2 * x + ys % 2
        self._i = np.arange(2**n)
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        self._x = x[starts]
        self._t = []
        for run in np.split(np.arange(len(x)), starts[1:]) if len(x) else []:
            # <i| P |k> with k = i xor x is i^(x·z) (-1)^(z·k), and -i = i^(-1)
            k = self._i ^ x[run[0]]
            signs = 1.0 - 2.0 * (np.bitwise_count(k[:, None] & z[run]) % 2)
            t = signs @ (c[run] * 1j ** (ys[run] - 1))
            self._t.append(t.real if ys[run[0]] % 2 else t)
        self.count, self.rows = len(self._t), 2**n
        self._type = np.result_type(float, *self._t)

    def element(self, j: int) -> Array:
        """T_j."""
        found = np.zeros((self.rows, self.rows), self._type)
        found[self._i, self._i ^ self._x[j]] = self._t[j]
        return found

    def adjoint(self, j: int, X: Array) -> Array:
        """[T_j, X]."""
        to, t = self._i ^ self._x[j], self._t[j]
        return t[:, None] * X[..., to, :] - X[..., to] * t[to]


def norms(X: Array) -> Array:
    """‖X‖ of anti-Hermitian matrices [..., r, r], or beyond EXACT_ROWS the fourth Schatten norm, which is above it."""
    if X.shape[-1] <= EXACT_ROWS:
        return np.abs(np.linalg.eigvalsh(1j * X)).max(-1)
    return np.sqrt(np.linalg.norm(X @ X, axis=(-2, -1)))


# --- Propositions 9 and 10 ---


def _first_order(terms: Terms) -> float:
    total, later = 0.0, np.zeros_like(terms.element(0))
    for j in reversed(range(terms.count)):
        total += float(norms(terms.adjoint(j, later))) / 2
        later = later + terms.element(j)
    return total


def _second_order(terms: Terms) -> float:
    total, later = 0.0, np.zeros_like(terms.element(0))
    for j in reversed(range(terms.count)):
        first = terms.adjoint(j, later)
        total += float(norms(later @ first - first @ later)) / 12 + float(norms(terms.adjoint(j, first))) / 24
        later = later + terms.element(j)
    return total


# --- any order ---


def remainder(terms: Terms, synthesis: str) -> float:
    """C of any formula of order p: ‖S(t) - e^{tG}‖ ≤ C |t|^(p+1), from its own exponentials.

    Split S = L R in the middle. The error is at most the integral over τ of
    ‖L⁻¹(S' - GS)R⁻¹‖ = ‖L⁻¹L' + R'R⁻¹ - L⁻¹GL‖, a sum of terms conjugated by exponentials. Every conjugation
    e^{aτ ad_T} is a Taylor polynomial and a remainder; all of order below p cancels, as the formula has order p, and
    the rest, |a|^k/k! ‖ad_T^k X_{p-k}‖ τ^p of every conjugation, stays as large under those that follow (Childs et al.,
    Theorem 5 and Appendix M, where words of terms are bounded apart; here their signed sum is).
    """
    p = FORMULAS[synthesis].order
    one = stages(synthesis, terms.count, 1)
    right, left = _halves(one)
    zero = np.zeros_like(terms.element(0))
    minus_G = -sum((terms.element(j) for j in range(terms.count)), zero)
    rest = _conjugated(terms, right, zero, p, 1.0) + _conjugated(terms, left[::-1], minus_G, p, -1.0)
    return rest / (p + 1)


def _halves(one: list[Stage]) -> tuple[list[Stage], list[Stage]]:
    middle = len(one) // 2
    return one[:middle], one[middle:]


def _conjugated(terms: Terms, inwards: list[Stage], innermost: Array, p: int, sign: float) -> float:
    """The remainder, over τ^p, of e^{±a ad_T}(… e^{±a ad_T}(innermost + a T) + a T …), the innermost stage first."""
    X = np.stack([innermost, *[np.zeros_like(innermost)] * (p - 1)])  # X_0 … X_{p-1}, the coefficients of τ^q
    rest = 0.0
    for j, a in inwards:
        X[0] += a * terms.element(j)
        derived, shifted = X, X.copy()
        for k in range(1, p + 1):
            derived = terms.adjoint(j, derived) * (sign * a / k)
            # derived[q] belongs to τ^(q+k)
            rest += float(norms(derived[-1]))
            derived = derived[:-1]
            shifted[k:] += derived
        X = shifted
    return rest
