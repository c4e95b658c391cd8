"""Butcher tableaux as data: the coefficients (A, b, c) of Runge-Kutta methods, and what can be read off them.

A method is a value here, never a class with its own step. One step for y' = f(y) is (docs/mathematics/odernn.md)

    K_i = f(y + h Σ_j a_ij K_j),    y ← y + h Σ_i b_i K_i,    i, j = 1 … n.

Q and the stability below are properties of the scalars a and b, not of the α = W a of Eq. (3).

References: HNW = Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I; HW = Hairer, Wanner, the same, II.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, fsum, pi, sqrt
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hamiltonians.errors import InputError, must_be

_ROUNDINGS = 4  # in an entry of Q: a coefficient, a product and two sums, each to half an ε


@final
@dataclass(frozen=True, init=False, eq=False)  # == of arrays is an array: two tableaux are the same if they are one
class ButcherTableau:
    """The coefficients of a Runge-Kutta method with n stages.

    Attributes
    ----------
    name : what the method is called; the key in `tableaux`.
    A : (n, n), read-only. a_ij weighs K_j in the argument of stage i.
    b : (n,), read-only. The weights of the stages in the step.
    c : (n,), read-only. The times of the stages; by default the row sums of A.
    order : the claimed order p: the error of one step is O(h^{p+1}). It is not checked here, but in the tests.
    source : where the coefficients are from.

    Raises
    ------
    InputError : A not square, b or c not of n numbers, anything not finite or not real, order not an integer ≥ 1.

    Examples
    --------
    >>> from qunn import ButcherTableau
    >>> theta = ButcherTableau("theta", [[2 / 3]], [1], order=1)  # one stage at θ = 2/3
    >>> theta.explicit, theta.algebraically_stable()
    (False, True)
    >>> round(float(abs(theta.stability_function(-1e9))), 6)  # of a stiff problem: (1 - θ)/θ
    0.5
    """

    name: str
    A: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    order: int
    source: str

    def __init__(
        self, name: str, A: ArrayLike, b: ArrayLike, c: ArrayLike | None = None, *, order: int, source: str = ""
    ) -> None:
        a = _read("A", A)
        if a.ndim != 2 or a.shape[0] != a.shape[1] or a.size == 0:
            raise InputError(f"`A` must be a square matrix, but is of shape {a.shape}", "A")
        given = {"A": a, "b": _read("b", b), "c": _read("c", [fsum(row) for row in a] if c is None else c)}
        for field in ("b", "c"):
            if given[field].shape != (len(a),):
                shape = given[field].shape
                raise InputError(
                    f"`{field}` must be of shape ({len(a)},), one number a stage, but is of shape {shape}", field
                )
        if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 1:
            raise must_be("order", "an integer of at least 1", order)
        for field, value in {"name": name, **given, "order": int(order), "source": source}.items():
            object.__setattr__(self, field, value)  # frozen

    @property
    def n(self) -> int:
        """The number of stages."""
        return len(self.b)

    @property
    def explicit(self) -> bool:
        """A is strictly lower triangular: the stages are evaluated in order."""
        return not np.triu(self.A).any()

    @property
    def diagonally_implicit(self) -> bool:
        """A is lower triangular but not strictly: the stages are solved one after the other."""
        return not np.triu(self.A, 1).any() and not self.explicit

    def stability_function(self, z: ArrayLike) -> NDArray[np.complex128]:
        """The factor R(z) of one step for y' = λy, z = hλ.

        R(z) = 1 + z bᵀ(I - zA)⁻¹1 = det(I - zA + z1bᵀ) / det(I - zA), HW propositions IV.3.1 and IV.3.2. The second
        form is computed: it keeps its digits where R is small. `z` of any shape; R has the same. Infinite at a pole.

        Examples
        --------
        >>> import math
        >>> from qunn import tableaux
        >>> R = tableaux["rk4"].stability_function(-0.5)
        >>> math.isclose(R.real, sum((-0.5) ** k / math.factorial(k) for k in range(5)))  # exp up to order 4
        True
        """
        z = np.asarray(z, dtype=np.complex128)[..., None, None]
        eye = np.eye(self.n)
        numerator = np.linalg.det(eye - z * (self.A - self.b))  # every row of 1bᵀ is b
        denominator = np.linalg.det(eye - z * self.A)
        with np.errstate(divide="ignore", invalid="ignore"):
            return numerator / denominator

    def burrage_butcher(self) -> NDArray[np.float64]:
        """The Burrage-Butcher matrix Q_ij = b_i a_ij + b_j a_ji - b_i b_j, (n, n), symmetric: Eq. (5), scalar.

        For two solutions with differences Δy, ΔK_i and stage arguments ΔY_i, one step gives
        |Δy'|² = |Δy|² + 2h Σ_i b_i <ΔY_i, ΔK_i> - h² Σ_ij Q_ij <ΔK_i, ΔK_j>.

        Examples
        --------
        >>> from qunn import tableaux
        >>> print(tableaux["trapezoid"].burrage_butcher())  # diag(-1/4, 1/4): indefinite
        [[-0.25  0.  ]
         [ 0.    0.25]]
        """
        bA = self.b[:, None] * self.A
        return bA + bA.T - np.outer(self.b, self.b)

    @property
    def rounding(self) -> float:
        """A bound on what rounding of a and b can do to an eigenvalue of Q: n times the largest error of an entry."""
        a, b = np.abs(self.A).max(), np.abs(self.b).max()
        return float(_ROUNDINGS * np.finfo(self.A.dtype).eps * self.n * b * (2 * a + b))

    def algebraically_stable(self, tolerance: float | None = None) -> bool:
        """Whether Q ⪰ 0 and b ≥ 0: I and II of Theorem 1 (Burrage and Butcher 1979; HW definition IV.12.5).

        An eigenvalue of Q, or a b_i, above -`tolerance` counts as non-negative; the default is `rounding`, because
        Q = 0 of a Gauss method comes out with eigenvalues near -1e-17. No explicit method with b ≠ 0 passes: Q_ii =
        -b_i² there. Contraction needs more than this: a monotone field and the form of the network (E3).

        Examples
        --------
        >>> from qunn import tableaux
        >>> names = ("rk4", "trapezoid", "implicit_midpoint", "gauss2")
        >>> [name for name in names if tableaux[name].algebraically_stable()]
        ['implicit_midpoint', 'gauss2']
        """
        smallest = -self.rounding if tolerance is None else -tolerance
        eigenvalues = np.linalg.eigvalsh(self.burrage_butcher())
        return bool(eigenvalues.min() >= smallest and self.b.min() >= smallest)


def _read(field: str, value: ArrayLike) -> NDArray[np.float64]:
    """A read-only copy in float64 of finite real numbers."""
    try:
        given = np.asarray(value)
    except ValueError:  # rows of several lengths
        raise must_be(field, "an array of real numbers", value) from None
    if given.dtype.kind not in "iuf":  # truth values, texts and complex numbers are not meant
        raise must_be(field, "an array of real numbers", value)
    array = np.array(given, dtype=np.float64)
    if not np.isfinite(array).all():
        raise must_be(field, "finite", array.tolist())
    array.setflags(write=False)
    return array


class _UnknownTableauError(InputError, KeyError):
    """A KeyError too, which is what `in` and `get` of a Mapping expect."""

    __str__ = ValueError.__str__  # a KeyError shows its message in quotes


class _Tableaux(Mapping[str, ButcherTableau]):
    """The methods by name; an unknown name raises an InputError.

    Examples
    --------
    >>> from qunn import tableaux
    >>> len(tableaux), tableaux["gauss2"].order, tableaux["gauss2"].c.round(4).tolist()  # 1/2 ± √3/6
    (24, 4, [0.2113, 0.7887])
    """

    def __init__(self, methods: Sequence[ButcherTableau]) -> None:
        self._methods = {method.name: method for method in methods}

    def __getitem__(self, name: str) -> ButcherTableau:
        try:
            return self._methods[name]
        except KeyError:
            message = str(must_be("tableau", "one of " + ", ".join(self), name))  # uncut: nothing else lists them
            raise _UnknownTableauError(message, "tableau") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)


def _lower(*rows: Sequence[float]) -> list[list[float]]:
    """A lower triangular matrix from its rows up to the last non-zero entry."""
    return [[*row, *[0.0] * (len(rows) - len(row))] for row in rows]


_R3, _R5, _R6, _R15 = sqrt(3), sqrt(5), sqrt(6), sqrt(15)
_G2 = (3 + _R3) / 6  # γ, the diagonal of sdirk23
_G3 = 1 / 2 + cos(pi / 18) / _R3  # of sdirk34: the largest root of γ³ - 3γ²/2 + γ/2 - 1/24
_D3 = 1 / (6 * (2 * _G3 - 1) ** 2)

#: The methods by name. The number after gauss, radau and lobatto is that of the stages; those after sdirk are nodepy's
#: (order and stages are in the comments). `tableaux["gaus2"]` raises an InputError that names what is allowed.
tableaux: Mapping[str, ButcherTableau] = _Tableaux(
    [
        # explicit
        ButcherTableau("euler", [[0]], [1], order=1, source="Euler 1768, HNW I.7"),
        ButcherTableau("midpoint", _lower([], [1 / 2]), [0, 1], order=2, source="Runge 1895, HNW II.1"),
        ButcherTableau("heun", _lower([], [1]), [1 / 2, 1 / 2], order=2, source="Runge 1895, HNW II.1"),
        ButcherTableau(
            "rk4",
            _lower([], [1 / 2], [0, 1 / 2], [0, 0, 1]),
            [1 / 6, 1 / 3, 1 / 3, 1 / 6],
            order=4,
            source="Kutta 1901, HNW table II.1.2",
        ),
        ButcherTableau(
            "dopri5",
            _lower(
                [],
                [1 / 5],
                [3 / 40, 9 / 40],
                [44 / 45, -56 / 15, 32 / 9],
                [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
                [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
                [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
            ),
            [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
            [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
            order=5,
            source="Dormand and Prince 1980, HNW table II.5.2",
        ),
        # implicit, one or two stages
        ButcherTableau("backward_euler", [[1]], [1], order=1, source="HNW II.7"),
        ButcherTableau("implicit_midpoint", [[1 / 2]], [1], order=2, source="HNW II.7; Gauss, n = 1"),
        ButcherTableau("trapezoid", _lower([], [1 / 2, 1 / 2]), [1 / 2, 1 / 2], order=2, source="HNW II.7"),
        # Gauss: order 2n, Q = 0
        ButcherTableau(
            "gauss2",
            [[1 / 4, 1 / 4 - _R3 / 6], [1 / 4 + _R3 / 6, 1 / 4]],
            [1 / 2, 1 / 2],
            order=4,
            source="Hammer and Hollingsworth 1955, HNW II.7",
        ),
        ButcherTableau(
            "gauss3",
            [
                [5 / 36, 2 / 9 - _R15 / 15, 5 / 36 - _R15 / 30],
                [5 / 36 + _R15 / 24, 2 / 9, 5 / 36 - _R15 / 24],
                [5 / 36 + _R15 / 30, 2 / 9 + _R15 / 15, 5 / 36],
            ],
            [5 / 18, 4 / 9, 5 / 18],
            order=6,
            source="Kuntzmann 1961, Butcher 1964, HNW II.7",
        ),
        # Radau: order 2n - 1
        ButcherTableau(
            "radau_ia2",
            [[1 / 4, -1 / 4], [1 / 4, 5 / 12]],
            [1 / 4, 3 / 4],
            order=3,
            source="Ehle 1969, HW IV.5",
        ),
        ButcherTableau(
            "radau_iia2",
            [[5 / 12, -1 / 12], [3 / 4, 1 / 4]],
            [3 / 4, 1 / 4],
            order=3,
            source="Ehle 1969, HW IV.5",
        ),
        ButcherTableau(
            "radau_iia3",
            [
                [(88 - 7 * _R6) / 360, (296 - 169 * _R6) / 1800, (-2 + 3 * _R6) / 225],
                [(296 + 169 * _R6) / 1800, (88 + 7 * _R6) / 360, (-2 - 3 * _R6) / 225],
                [(16 - _R6) / 36, (16 + _R6) / 36, 1 / 9],
            ],
            [(16 - _R6) / 36, (16 + _R6) / 36, 1 / 9],
            order=5,
            source="Ehle 1969, HW IV.5",
        ),
        # Lobatto: order 2n - 2
        ButcherTableau(
            "lobatto_iiia2", _lower([], [1 / 2, 1 / 2]), [1 / 2, 1 / 2], order=2, source="Ehle 1969, HW IV.5"
        ),
        ButcherTableau(
            "lobatto_iiia3",
            [[0.0, 0.0, 0.0], [5 / 24, 1 / 3, -1 / 24], [1 / 6, 2 / 3, 1 / 6]],
            [1 / 6, 2 / 3, 1 / 6],
            order=4,
            source="Ehle 1969, HW IV.5",
        ),
        ButcherTableau(
            "lobatto_iiib2",
            _lower([1 / 2], [1 / 2]),
            [1 / 2, 1 / 2],
            [0, 1],  # not the row sums: the only method here without Σ_j a_ij = c_i
            order=2,
            source="Ehle 1969, HW IV.5",
        ),
        ButcherTableau(
            "lobatto_iiib3",
            [[1 / 6, -1 / 6, 0], [1 / 6, 1 / 3, 0], [1 / 6, 5 / 6, 0]],
            [1 / 6, 2 / 3, 1 / 6],
            order=4,
            source="Ehle 1969, HW IV.5",
        ),
        ButcherTableau(
            "lobatto_iiic2",
            [[1 / 2, -1 / 2], [1 / 2, 1 / 2]],
            [1 / 2, 1 / 2],
            order=2,
            source="Chipman 1971, HW IV.5",
        ),
        ButcherTableau(
            "lobatto_iiic3",
            [[1 / 6, -1 / 3, 1 / 6], [1 / 6, 5 / 12, -1 / 12], [1 / 6, 2 / 3, 1 / 6]],
            [1 / 6, 2 / 3, 1 / 6],
            order=4,
            source="Chipman 1971, HW IV.5",
        ),
        ButcherTableau(
            "lobatto_iiic4",
            [
                [1 / 12, -_R5 / 12, _R5 / 12, -1 / 12],
                [1 / 12, 1 / 4, (10 - 7 * _R5) / 60, _R5 / 60],
                [1 / 12, (10 + 7 * _R5) / 60, 1 / 4, -_R5 / 60],
                [1 / 12, 5 / 12, 5 / 12, 1 / 12],
            ],
            [1 / 12, 5 / 12, 5 / 12, 1 / 12],
            order=6,
            source="Chipman 1971, HW IV.5",
        ),
        # diagonally implicit
        ButcherTableau(  # 2 stages, order 3
            "sdirk23",
            _lower([_G2], [1 - 2 * _G2, _G2]),
            [1 / 2, 1 / 2],
            order=3,
            source="Nørsett 1974, Crouzeix 1975, HNW II.7",
        ),
        ButcherTableau(  # 3 stages, order 4
            "sdirk34",
            _lower([_G3], [1 / 2 - _G3, _G3], [2 * _G3, 1 - 4 * _G3, _G3]),
            [_D3, 1 - 2 * _D3, _D3],
            order=4,
            source="Nørsett 1974, Crouzeix 1975, HW IV.6",
        ),
        ButcherTableau(  # 5 stages, order 4
            "sdirk54",
            _lower(
                [1 / 4],
                [1 / 2, 1 / 4],
                [17 / 50, -1 / 25, 1 / 4],
                [371 / 1360, -137 / 2720, 15 / 544, 1 / 4],
                [25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4],
            ),
            [25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4],
            order=4,
            source="HW IV.6",
        ),
        ButcherTableau(  # the trapezoid to the middle, then BDF2
            "tr_bdf2",
            _lower([], [1 / 4, 1 / 4], [1 / 3, 1 / 3, 1 / 3]),
            [1 / 3, 1 / 3, 1 / 3],
            order=2,
            source="Bank et al. 1985",
        ),
    ]
)
