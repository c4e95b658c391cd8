"""The stability report: a line for each condition, the measured contraction, and a conclusion that needs them all."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from hamiltonians.errors import must_be
from qunn.arnn.linear_stability import LinearStability
from qunn.arnn.network import ARNN
from qunn.equations import Equations
from qunn.implicit import NotConverged
from qunn.members import as_odernn
from qunn.networks.contractive import ContractiveRNN
from qunn.networks.readout import Readout
from qunn.odernn import ODERNN
from qunn.sequence import check_size
from qunn.stability import conditions
from qunn.stability.contraction import Contraction, measure
from qunn.stability.definite import semidefinite
from qunn.stability.monotone import Monotonicity, monotonicity

PROVED, REFUTED, SAMPLED, NONE = "proved", "refuted", "sampled", "not applicable"
_HUGE = 1e50  # products of a few such numbers are finite


@final
@dataclass(frozen=True)
class Line:
    """One condition: its name, what it claims, the verdict (proved, refuted, sampled, not applicable), and why.

    Examples
    --------
    >>> from qunn import ODERNN, stability
    >>> from qunn.fields import GradientField
    >>> line = stability.report(ODERNN.from_tableau("gauss2", GradientField(4), h=0.1)).line("field")
    >>> print(line.verdict, line.detail, sep=": ")
    proved: κ = -W†C, C ≥ 0, and σ is non-decreasing: minus the gradient of a convex function
    """

    name: str
    claim: str
    verdict: str
    detail: str
    witness: dict[str, Any] | None = None


@final
@dataclass(frozen=True)
class LayerReport:
    """Everything about one layer.

    Attributes
    ----------
    n, t : as built. lines : the conditions. contraction : the measurement; None where implicit stages were not solved.
    Q_eigenvalues, beta : of the Burrage-Butcher tensor, and β (numbers only); None where they do not apply.
    metric : M, where what is proved and measured is contraction in the norm (Δ†MΔ)^{1/2} and not the Euclidean one.
    contractive : True: proved; False: refuted by a measured pair; None: neither.

    Examples
    --------
    >>> from qunn import ODERNN, stability
    >>> from qunn.fields import GradientField
    >>> (layer,) = stability.report(ODERNN.from_tableau("gauss2", GradientField(4), h=0.1)).layers
    >>> layer.n, layer.t, layer.beta, layer.contractive
    (2, 1, (0.5, 0.5), True)
    >>> max(map(abs, layer.Q_eigenvalues)) < 1e-12  # Q = 0 for the Gauss methods
    True
    """

    n: int
    t: int
    lines: tuple[Line, ...]
    contraction: Contraction | None
    Q_eigenvalues: tuple[float, ...] | None
    beta: tuple[float, ...] | None
    metric: tuple[tuple[float, ...], ...] | None
    contractive: bool | None


@final
@dataclass(frozen=True)
class StabilityReport:
    """The report on a network.

    Attributes
    ----------
    model : its class. layers : a report a layer, bottom first.
    linear : for an ARNN, the linear stability of every layer, by its sharp limit (h|λ|, h·s).
    contractive : True: every layer is proved contractive for a given input; False: one is refuted; None: open. The
        state of a cascade need not contract in one step where its lower layers' outputs still differ.

    Examples
    --------
    >>> from qunn import ODERNN, stability
    >>> from qunn.fields import GradientField
    >>> report = stability.report(ODERNN.from_tableau("rk4", GradientField(4), h=0.1))
    >>> report.model, len(report.layers), report.line("I").verdict  # no explicit method has Q ⪰ 0
    ('ODERNN', 1, 'refuted')
    """

    model: str
    layers: tuple[LayerReport, ...]
    linear: tuple[LinearStability, ...] = field(default=())
    contractive: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what does not apply is null."""
        found = asdict(self)
        found["linear"] = found["linear"] or None
        return found

    def line(self, name: str, layer: int = 0) -> Line:
        """A condition by name: "I", "II", "delays", "form", "field" or "contraction"."""
        return next(line for line in self.layers[layer].lines if line.name == name)


def report(
    model: nn.Module, *, pairs: int = 256, steps: int = 20, samples: int = 512, seed: int = 0
) -> StabilityReport:
    """The stability of an ODERNN, of an ARNN, or of anything that `as_odernn` takes.

    Parameters
    ----------
    pairs, steps : of orbits that are compared. samples : points at which a field is examined. seed : of both.

    Raises
    ------
    InputError : a module that is none of these, or with numbers that are not finite; pairs, steps or samples below 1;
        orbits that are not finite from the first step on.

    Examples
    --------
    >>> import torch
    >>> from qunn import ODERNN, stability
    >>> from qunn.fields import AffineField, GradientField
    >>> stability.report(ODERNN.from_tableau("gauss2", GradientField(4), h=0.1)).contractive
    True
    >>> _ = torch.manual_seed(0)
    >>> affine = stability.report(ODERNN.from_tableau("gauss2", AffineField(4), h=0.1))
    >>> affine.contractive, affine.line("field").verdict  # a monotone σ is not enough (E3)
    (False, 'refuted')
    """
    check_size("samples", samples)
    equations = _equations(model)
    _check_finite(equations)
    layers = tuple(_layer(layer, pairs, steps, samples, seed) for layer in equations)
    linear = model.linear_stability() if isinstance(model, ARNN) else ()
    verdicts = [layer.contractive for layer in layers]
    contractive = False if False in verdicts else True if all(verdicts) else None
    return StabilityReport(type(model).__name__, layers, tuple(linear), contractive)


def _equations(model: nn.Module) -> list[Equations]:
    """All layers; those of both directions of a bidirectional network."""
    if isinstance(model, ODERNN | ContractiveRNN):
        return [layer for layer in model.layers if isinstance(layer, Equations)]
    if isinstance(model, Readout):
        return _equations(model.core)
    if isinstance(model, ARNN) and (model.reversible or not model.return_sequence):
        model = _in_full(model)
    return as_odernn(model).equations


def _in_full(model: ARNN) -> ARNN:
    """The same weights, all outputs, and without the rounding of the states, which no condition speaks of."""
    weight = model.layers[0].get_parameter("weight_in")
    others: dict[str, Any] = {"reversible": False, "return_sequence": True}
    plain = ARNN(**(model.config() | others), device=weight.device, dtype=weight.dtype)
    plain.load_state_dict(model.state_dict())
    return plain


def _check_finite(equations: list[Equations]) -> None:
    for layer in equations:
        for name in layer.structure.slots:
            value = layer.value(name)
            if value is not None and not bool((torch.as_tensor(value).detach().abs() < _HUGE).all()):
                raise must_be(name, f"finite, and below {_HUGE:g} so that products are", "larger or not a number")


def _layer(layer: Equations, pairs: int, steps: int, samples: int, seed: int) -> LayerReport:
    found = conditions.weights(layer)
    lines, eigenvalues = _algebraic(found)
    delayed = conditions.delays(layer)
    lines.append(
        Line(
            "delays",
            "no W_q reads an older Y",
            REFUTED if delayed else PROVED,
            ", ".join(f"W_{q} reads Y_(l-{d})" for q, d in delayed) or "all stages read Y_l",
        )
    )
    departures = conditions.departures(layer, found)
    lines.append(
        Line(
            "form",
            "γ_q = 0, α_qk = W_q a_qk, numbers β_k; γ_{n+1} = κ_{n+1} = 1, W_{n+1} = 0, σ_{n+1} = id",
            REFUTED if departures else PROVED,
            "; ".join(departures) or "all of it",
        )
    )
    monotone = _field(layer, samples, seed)
    lines.append(
        Line("field", "<f(x) - f(y), x - y> ≤ 0 for all x, y", monotone.verdict, monotone.detail, monotone.witness)
    )
    proved = all(line.verdict == PROVED for line in lines)
    metric = monotone.metric if monotone.verdict == PROVED else None
    measured, contraction = _measured(layer, pairs, steps, seed, metric)
    lines.append(measured)
    contractive = False if measured.verdict == REFUTED else True if proved else None
    beta = tuple(found.beta.tolist()) if found is not None and found.scalar else None
    orders = layer.structure.reached_stages(), layer.structure.memory()
    M = None if metric is None else tuple(tuple(row) for row in metric.tolist())
    return LayerReport(*orders, tuple(lines), contraction, eigenvalues, beta, M, contractive)


def _algebraic(found: conditions.Weights | None) -> tuple[list[Line], tuple[float, ...] | None]:
    """I and II, and Q's eigenvalues."""
    one = ("I", "Q ⪰ 0, Q_ij = β_i a_ij + β_j a_ji - β_i β_j")
    two = ("II", "β_k ⪰ 0 for every k")
    if found is None:
        why = "a coefficient is a function, or K_k is not of the size of Y"
        return [Line(*one, NONE, why), Line(*two, NONE, why)], None
    lines, eigenvalues = [], None
    if found.a is None:
        lines.append(Line(*one, NONE, f"{found.missing} is not W_q times any a_qk"))
    else:
        eigenvalues = tuple(torch.linalg.eigvalsh(conditions.burrage_butcher(found.a, found.beta)).tolist())
        Q = conditions.algebraic(found.a, found.beta, found.eps)
        detail = f"smallest eigenvalue {eigenvalues[0]:.3g}" + ("" if found.scalar else " (block form)")
        detail += f"; with terms scaled to 1: {Q.smallest:.3g}, rounding {Q.rounding:.1g}"
        witness = None if Q.holds else {"eigenvalue": Q.smallest, "vector": Q.vector.tolist()}
        lines.append(Line(*one, PROVED if Q.holds else REFUTED, detail, witness))
    lines.append(_weights_line(two, found.beta, found.eps))
    return lines, eigenvalues


def _weights_line(two: tuple[str, str], beta: Tensor, eps: float) -> Line:
    """II: the smallest eigenvalue of every β_k's symmetric part."""
    smallest = beta if beta.dim() == 1 else torch.linalg.eigvalsh((beta + beta.mT) / 2)[:, 0]
    k = int(smallest.argmin())
    value = float(smallest[k])
    bad = value < -4 * eps * float(beta.abs().max())
    witness = {"k": k + 1, "smallest_eigenvalue": value} if bad else None
    return Line(*two, REFUTED if bad else PROVED, f"smallest: β_{k + 1}, {value:.6g}", witness)


def _field(layer: Equations, samples: int, seed: int) -> Monotonicity:
    """All stage fields in one common inner product: the Euclidean one, or <x, M y> with M = -W positive definite."""
    fields = conditions.stage_fields(layer)
    if fields is None:
        return Monotonicity(NONE, "the stages are no fields on Y: sizes differ, or W, b or κ is a function")
    first: Monotonicity | None = None
    for metric in (None, _metric(fields)):
        if first is not None and metric is None:
            continue
        g = torch.Generator().manual_seed(seed)
        found = [monotonicity(f, metric, samples, g) for f in fields]
        verdicts = [m.verdict for m in found]
        worst = next((v for v in (REFUTED, SAMPLED) if v in verdicts), PROVED)
        chosen = found[verdicts.index(worst)]
        if worst == PROVED:
            return chosen
        first = first or chosen
    assert first is not None
    return first


def _metric(fields: list[Any]) -> Tensor | None:
    """-W of the first field where it is symmetric positive definite, as in σ(-M y + b)."""
    W = fields[0].W
    if W.shape[0] != W.shape[1]:
        return None
    symmetric = float((W - W.mT).abs().max()) <= 8 * torch.finfo(W.dtype).eps * float(W.abs().max())
    M = -(W + W.mT) / 2
    if not symmetric or not bool((M.diagonal() > 0).all()):
        return None
    definite = semidefinite(M, M.abs())
    return M if definite.smallest > definite.rounding else None


def _measured(
    layer: Equations, pairs: int, steps: int, seed: int, metric: Tensor | None
) -> tuple[Line, Contraction | None]:
    """A measured violation refutes; none proves nothing."""
    norm = "" if metric is None else ", ‖Δ‖² = <Δ, M Δ>, M = -W"
    line = ("contraction", f"‖ΔY_{{l+1}}‖ ≤ ‖ΔY_l‖ (Eq. 11 with E1){norm}")
    try:
        found = measure(layer, pairs, steps, seed, metric)
    except NotConverged as error:
        return Line(*line, NONE, str(error)), None
    ratio = "below rounding" if found.largest_step is None else f"{found.largest_step:.9g}"
    detail = f"{found.pairs} pairs, {found.steps} steps: largest step ratio {ratio}, growth {found.largest_growth:.6g}"
    if metric is not None:
        plain = measure(layer, pairs, steps, seed)
        if plain.largest_step is not None:
            detail += f"; in the Euclidean norm, which nothing is proved of: {plain.largest_step:.6g}"
    return Line(*line, REFUTED if found.violations else SAMPLED, detail, found.witness), found
