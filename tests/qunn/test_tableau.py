"""The Butcher tableaux: orders by rooted trees, algebraic stability, nodepy as an independent witness."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from math import factorial
from typing import Any

import numpy as np
import pytest

from hamiltonians.errors import InputError
from qunn.tableau import ButcherTableau, tableaux
from tests.systems.rooted_trees import density, order_defect, symmetry, trees

EXPLICIT = ["euler", "midpoint", "heun", "rk4", "dopri5"]
SMALL = ["backward_euler", "implicit_midpoint", "trapezoid"]
GAUSS_RADAU = ["gauss2", "gauss3", "radau_ia2", "radau_iia2", "radau_iia3"]
LOBATTO_AB = ["lobatto_iiia2", "lobatto_iiia3", "lobatto_iiib2", "lobatto_iiib3"]
LOBATTO_C = ["lobatto_iiic2", "lobatto_iiic3", "lobatto_iiic4"]
DIRK = ["sdirk23", "sdirk34", "sdirk54", "tr_bdf2"]
NAMES = [*EXPLICIT, *SMALL, *GAUSS_RADAU, *LOBATTO_AB, *LOBATTO_C, *DIRK]
DIAGONAL = [*SMALL, "lobatto_iiia2", "lobatto_iiib2", *DIRK]
STABLE = ["backward_euler", "implicit_midpoint", *GAUSS_RADAU, *LOBATTO_C, "sdirk23", "sdirk34"]  # as docs say

NODEPY = {
    "euler": "FE",
    "midpoint": "Mid22",
    "heun": "Heun22",
    "rk4": "RK44",
    "dopri5": "DP5",
    "backward_euler": "BE",
    "trapezoid": "LobattoIIIA2",
    "gauss2": "GL2",
    "gauss3": "GL3",
    "radau_iia2": "RadauIIA2",
    "radau_iia3": "RadauIIA3",
    "lobatto_iiia2": "LobattoIIIA2",
    "lobatto_iiia3": "LobattoIIIA3",
    "lobatto_iiic2": "LobattoIIIC2",
    "lobatto_iiic3": "LobattoIIIC3",
    "lobatto_iiic4": "LobattoIIIC4",
    "sdirk23": "SDIRK23",
    "sdirk34": "SDIRK34",
    "sdirk54": "SDIRK54",
    "tr_bdf2": "TR-BDF2",
}

# sums of up to 7 products of up to 6 coefficients of size up to 12, each to ε = 2e-16
ROUNDING = 1e-13

every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def nodepy() -> dict[str, Any]:
    """nodepy's methods; imported here because sympy takes a second."""
    from nodepy.runge_kutta_method import loadRKM

    return loadRKM()


# the trees themselves


def test_there_are_as_many_rooted_trees_as_known() -> None:
    assert [len(trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]  # OEIS A000081


@pytest.mark.parametrize("n", range(1, 9))
def test_the_monotone_labellings_of_all_trees_number_a_factorial(n: int) -> None:
    """Σ n!/(σγ) = (n-1)!, which a wrong density or a missing tree would break (HNW II.2)."""
    assert sum(Fraction(factorial(n), symmetry(t) * density(t)) for t in trees(n)) == factorial(n - 1)


# order


@every
def test_claimed_order_is_exactly_the_order(name: str) -> None:
    """All conditions hold up to the claimed order, and one fails at the next."""
    method = tableaux[name]
    for order in range(1, method.order + 1):
        assert order_defect(method.A, method.b, order) < ROUNDING, f"conditions of order {order}"
    assert order_defect(method.A, method.b, method.order + 1) > 1e-4


@every
def test_any_coefficient_off_by_a_millionth_is_seen(name: str) -> None:
    """A check that can fail: the conditions of the claimed order pin every b_i, and every a_ij that they contain."""
    method = tableaux[name]

    def defect(A: np.ndarray, b: np.ndarray) -> float:
        return max(order_defect(A, b, order) for order in range(1, method.order + 1))

    for i in range(method.n):
        b = method.b.copy()
        b[i] += 1e-6
        assert defect(method.A, b) > 1e3 * ROUNDING, f"b_{i + 1}"
        for j in range(method.n):
            A = method.A.copy()
            A[i, j] += 1e-6
            contained = (method.order > 1 and method.b[i] != 0) or (method.order > 2 and method.A[:, i].any())
            assert (defect(A, method.b) > 1e3 * ROUNDING) == contained, f"a_{i + 1},{j + 1}"


@every
def test_nodes_are_row_sums_and_integrate_powers_up_to_the_order(name: str) -> None:
    """c = A1 except for lobatto_iiib2, and Σ b_i c_i^{k-1} = 1/k: the order holds for fields that depend on time."""
    method = tableaux[name]
    if name != "lobatto_iiib2":
        np.testing.assert_allclose(method.c, method.A.sum(1), rtol=0, atol=1e-14)
    for k in range(1, method.order + 1):
        np.testing.assert_allclose(method.b @ method.c ** (k - 1), 1 / k, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "B", "C", "D"),
    [
        *((f"gauss{s}", 2 * s, s, s) for s in (2, 3)),
        ("radau_ia2", 3, 1, 2),
        *((f"radau_iia{s}", 2 * s - 1, s, s - 1) for s in (2, 3)),
        *((f"lobatto_iiia{s}", 2 * s - 2, s, s - 2) for s in (2, 3)),
        *((f"lobatto_iiib{s}", 2 * s - 2, s - 2, s) for s in (2, 3)),
        *((f"lobatto_iiic{s}", 2 * s - 2, s - 1, s - 1) for s in (2, 3, 4)),
    ],
)
def test_families_fulfil_the_simplifying_assumptions_that_define_them(name: str, B: int, C: int, D: int) -> None:
    """B(p), C(η), D(ζ) of HW section IV.5, with the end nodes of Radau and Lobatto and a_i1 = b_1 of IIIC."""
    A, b, c = tableaux[name].A, tableaux[name].b, tableaux[name].c
    close = {"rtol": 0, "atol": 1e-14}
    for k in range(1, B + 1):
        np.testing.assert_allclose(b @ c ** (k - 1), 1 / k, **close)
    for k in range(1, C + 1):
        np.testing.assert_allclose(A @ c ** (k - 1), c**k / k, **close)
    for k in range(1, D + 1):
        np.testing.assert_allclose((b * c ** (k - 1)) @ A, b * (1 - c**k) / k, **close)
    if name.startswith(("radau_ia2", "lobatto")):
        np.testing.assert_allclose(c[0], 0, **close)
    if name.startswith(("radau_iia", "lobatto")):
        np.testing.assert_allclose(c[-1], 1, **close)
    if name.startswith("lobatto_iiic"):
        np.testing.assert_allclose(A[:, 0], b[0], **close)


# algebraic stability


@every
def test_algebraic_stability_is_that_of_the_spec(name: str) -> None:
    assert tableaux[name].algebraically_stable() == (name in STABLE)


@every
def test_a_verdict_does_not_hang_on_the_tolerance(name: str) -> None:
    """Violations are far above it; what rounding does is below it."""
    method = tableaux[name]
    assert method.rounding < 1e-12
    smallest = min(np.linalg.eigvalsh(method.burrage_butcher()).min(), method.b.min())
    assert smallest > -method.rounding / 4 if name in STABLE else smallest < -1e-2


def test_gauss_needs_a_tolerance_and_has_Q_equal_to_zero() -> None:
    Q = tableaux["gauss3"].burrage_butcher()
    np.testing.assert_allclose(Q, 0, rtol=0, atol=1e-16)
    assert np.linalg.eigvalsh(Q).min() < 0
    assert not tableaux["gauss3"].algebraically_stable(tolerance=0)
    assert tableaux["gauss3"].algebraically_stable()


def test_a_small_true_violation_is_not_taken_for_rounding() -> None:
    gauss = tableaux["gauss2"]
    assert not ButcherTableau("off", gauss.A - 1e-12 * np.eye(2), gauss.b, order=1).algebraically_stable()


def test_negative_weights_are_refused_where_Q_alone_would_pass() -> None:
    """II is a condition of its own: a = b/2 gives Q = 0 for any b with n = 1."""
    backwards = ButcherTableau("backwards", [[-1 / 2]], [-1], order=1)
    assert backwards.burrage_butcher() == 0
    assert not backwards.algebraically_stable()


@pytest.mark.parametrize("name", EXPLICIT)
def test_explicit_methods_have_minus_b_squared_on_the_diagonal_of_Q(name: str) -> None:
    """E3: Theorem 1 is vacuous for them."""
    method = tableaux[name]
    np.testing.assert_array_equal(np.diag(method.burrage_butcher()), -(method.b**2))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_burrage_butcher_is_the_literal_formula(n: int, rng: np.random.Generator) -> None:
    A, b = rng.normal(size=(n, n)), rng.normal(size=n)
    literal = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for x in (b[i] * A[i, j], b[j] * A[j, i], -b[i] * b[j]):
                literal[i, j] += x
    Q = ButcherTableau("random", A, b, order=1).burrage_butcher()
    np.testing.assert_allclose(Q, literal, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(Q, Q.T)


def test_Q_is_what_the_energy_identity_needs(rng: np.random.Generator) -> None:
    """|Δy'|² = |Δy|² + 2h Σ b_i <ΔY_i, ΔK_i> - h² Σ Q_ij <ΔK_i, ΔK_j> for any K: the reason for Q's signs."""
    n, d, h = 3, 4, 0.7
    method = ButcherTableau("random", rng.normal(size=(n, n)), rng.normal(size=n), order=1)
    y, K = rng.normal(size=d), rng.normal(size=(n, d))
    Y, new = y + h * method.A @ K, y + h * method.b @ K
    growth = 2 * h * np.sum(method.b * np.sum(Y * K, axis=1)) - h**2 * np.sum(method.burrage_butcher() * (K @ K.T))
    np.testing.assert_allclose(new @ new, y @ y + growth, rtol=1e-12)


# nodepy


@pytest.mark.parametrize(("name", "theirs"), NODEPY.items())
def test_nodepy_has_the_same_coefficients_and_verdict(name: str, theirs: str, nodepy: dict[str, Any]) -> None:
    method, other = tableaux[name], nodepy[theirs]
    values = other.__num__()  # nodepy keeps exact expressions
    for field in ("A", "b", "c"):
        np.testing.assert_allclose(getattr(method, field), getattr(values, field), rtol=0, atol=1e-14)
    assert method.algebraically_stable() == bool(other.is_algebraically_stable())
    assert method.order == other.order()


# the stability function


def literal_R(method: ButcherTableau, z: complex) -> complex:
    """1 + z bᵀ(I - zA)⁻¹1."""
    ones = np.ones(method.n)
    return complex(1 + z * method.b @ np.linalg.solve(np.eye(method.n) - z * method.A, ones))


@every
def test_stability_function_is_the_resolvent_formula_on_any_shape(name: str, rng: np.random.Generator) -> None:
    method = tableaux[name]
    z = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))
    R = method.stability_function(z)
    assert R.shape == z.shape
    np.testing.assert_allclose(R, np.vectorize(lambda z: literal_R(method, z))(z), rtol=1e-12)
    np.testing.assert_allclose(method.stability_function(z[0, 0]), R[0, 0], rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "R"),
    [
        ("euler", lambda z: 1 + z),
        ("rk4", lambda z: 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24),
        ("backward_euler", lambda z: 1 / (1 - z)),
        ("trapezoid", lambda z: (1 + z / 2) / (1 - z / 2)),
        ("gauss2", lambda z: (1 + z / 2 + z**2 / 12) / (1 - z / 2 + z**2 / 12)),
        ("radau_iia2", lambda z: (1 + z / 3) / (1 - 2 * z / 3 + z**2 / 6)),
        ("lobatto_iiic2", lambda z: 1 / (1 - z + z**2 / 2)),
    ],
)
def test_stability_function_is_the_one_in_the_books(name: str, R: Any) -> None:
    z = np.array([0, 0.3, -2, 1j, -1 + 5j, -40 - 7j])
    np.testing.assert_allclose(tableaux[name].stability_function(z), R(z), rtol=1e-13)


def test_stability_function_is_infinite_at_a_pole() -> None:
    assert np.abs(tableaux["backward_euler"].stability_function(1)) == np.inf


@every
def test_stability_function_meets_the_exponential_to_the_claimed_order(name: str) -> None:
    """|R(z) - exp z| = O(z^{p+1}): halving z divides the error by at least 2^{p+1}, or leaves rounding."""
    method = tableaux[name]
    size = 0.5 ** np.arange(2, 5)
    z = size * np.exp(1j * np.linspace(0, 2 * np.pi, 8, endpoint=False))[:, None]  # directions, sizes
    error = np.abs(method.stability_function(z) - np.exp(z)).max(axis=0)
    error = error[error > 1e-13]
    assert len(error) >= 2
    assert (np.log2(error[:-1] / error[1:]) > method.order + 0.8).all()


Y = np.concatenate([np.linspace(0, 20, 401), 10.0 ** np.arange(2, 7)])


@pytest.mark.parametrize("name", [n for n in NAMES if n not in EXPLICIT])
def test_implicit_methods_here_do_not_grow_on_the_imaginary_axis(name: str) -> None:
    """All are A-stable, also the trapezoid, Lobatto IIIA and IIIB, tr_bdf2, sdirk54 that are not algebraically stable.

    With the poles in the right half plane, which is checked too, |R(iy)| ≤ 1 bounds R in the left one.
    """
    method = tableaux[name]
    assert np.abs(method.stability_function(1j * Y)).max() < 1 + 1e-12
    poles = np.linalg.eigvals(method.A)
    assert (poles.real > -1e-12).all()


@pytest.mark.parametrize("name", EXPLICIT)
def test_explicit_methods_grow_on_the_imaginary_axis(name: str) -> None:
    assert np.abs(tableaux[name].stability_function(1j * Y)).max() > 2


# the mapping and the value


def test_the_mapping_has_exactly_the_promised_names_and_each_method_bears_its_own() -> None:
    assert list(tableaux) == NAMES
    assert len(tableaux) == 24
    assert all(tableaux[name].name == name and tableaux[name].source for name in NAMES)


def test_an_unknown_name_is_an_error_that_lists_what_is_allowed() -> None:
    with pytest.raises(InputError) as raised:
        tableaux["gaus2"]
    assert str(raised.value) == f"`tableau` must be one of {', '.join(NAMES)}, but is 'gaus2'"
    assert raised.value.field == "tableau"


def test_the_mapping_otherwise_behaves_as_any_mapping() -> None:
    assert "gauss2" in tableaux
    assert "gaus2" not in tableaux
    assert tableaux.get("gaus2") is None
    assert tableaux.get("gauss2") is tableaux["gauss2"]
    assert dict(tableaux).keys() == tableaux.keys()
    with pytest.raises(TypeError):
        tableaux["mine"] = tableaux["euler"]  # type: ignore[index]


@every
def test_kind_of_implicitness(name: str) -> None:
    method = tableaux[name]
    assert (method.explicit, method.diagonally_implicit) == (name in EXPLICIT, name in DIAGONAL)


@every
def test_arrays_are_float64_of_the_right_shape_and_read_only(name: str) -> None:
    method = tableaux[name]
    assert (method.A.shape, method.b.shape, method.c.shape) == ((method.n,) * 2, (method.n,), (method.n,))
    for array in (method.A, method.b, method.c):
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        method.order = 9  # type: ignore[misc]


def test_nested_lists_and_arrays_are_taken_and_copied() -> None:
    A = np.array([[0.0, 0.0], [0.5, 0.0]])
    for given in (A, A.tolist(), A.astype(np.float32)):
        method = ButcherTableau("mine", given, [0, 1], order=2)
        np.testing.assert_array_equal(method.A, A)
        np.testing.assert_array_equal(method.c, [0, 1 / 2])
    method = ButcherTableau("mine", A, [0, 1], order=2)
    A[:] = 7
    assert method.explicit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": [[0, 1]]}, "`A` must be a square matrix, but is of shape (1, 2)"),
        ({"A": [1, 2]}, "`A` must be a square matrix, but is of shape (2,)"),
        ({"A": np.zeros((0, 0))}, "`A` must be a square matrix, but is of shape (0, 0)"),
        ({"A": [[0, 1], [2]]}, "`A` must be an array of real numbers, but is [[0, 1], [2]]"),
        ({"A": [["0", "1"], ["2", "3"]]}, "`A` must be an array of real numbers, but is [['0', '1'], ['2', '3']]"),
        ({"A": [[1j]]}, "`A` must be an array of real numbers, but is [[1j]]"),
        ({"A": None}, "`A` must be an array of real numbers, but is None"),
        ({"A": [[0, float("nan")], [0, 0]]}, "`A` must be finite, but is [[0.0, nan], [0.0, 0.0]]"),
        ({"b": [1]}, "`b` must be of shape (2,), one number a stage, but is of shape (1,)"),
        ({"b": [[1, 2]]}, "`b` must be of shape (2,), one number a stage, but is of shape (1, 2)"),
        ({"b": [float("inf"), 0]}, "`b` must be finite, but is [inf, 0.0]"),
        ({"c": [0, 1, 2]}, "`c` must be of shape (2,), one number a stage, but is of shape (3,)"),
        ({"c": [0, float("-inf")]}, "`c` must be finite, but is [0.0, -inf]"),
        ({"order": 0}, "`order` must be an integer of at least 1, but is 0"),
        ({"order": 1.5}, "`order` must be an integer of at least 1, but is 1.5"),
        ({"order": True}, "`order` must be an integer of at least 1, but is True"),
    ],
)
def test_bad_coefficients_are_refused_with_a_reason(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"A": [[0, 0], [1, 0]], "b": [1 / 2, 1 / 2], "order": 2}
    ButcherTableau("good", **good)
    with pytest.raises(InputError) as raised:
        ButcherTableau("bad", **{**good, **change})
    assert str(raised.value) == message
    assert raised.value.field == next(iter(change))


def test_importing_the_tableaux_loads_no_torch_and_no_scipy() -> None:
    code = "import sys, qunn.tableau; print(sorted({'torch', 'scipy', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
