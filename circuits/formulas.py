"""Product formulas for exp(t Σ_γ T_γ) as data and one loop (Suzuki 1991), and random draws of terms (Campbell 2019).

    lie      S_1(t) = e^{tT_Γ} … e^{tT_1}                                        error ∝ t²
    suzuki2  S_2(t) = e^{tT_1/2} … e^{tT_Γ/2} e^{tT_Γ/2} … e^{tT_1/2}            error ∝ t³
    suzuki4  S_4(t) = S_2(ut)² S_2((1-4u)t) S_2(ut)²,  u = 1/(4 - 4^{1/3})       error ∝ t⁵
    qdrift   Π_i e^{tλ T_j(i) / (N w_j(i))}, N terms drawn with probability w_j / λ, λ = Σ_j w_j

T_1 is applied first, so that it is outermost in S_2: the order that the bounds of Childs et al., PRX 11, 011020 (2021)
are stated for (the other one breaks Proposition 10). r repetitions are S(t/r)^r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

Stage = tuple[int, float]

_U = 1 / (4 - 4 ** (1 / 3))


@final
@dataclass(frozen=True)
class Formula:
    """A product formula as sweeps over all terms.

    order : p, the error of one step being O(t^(p+1)). there_and_back : a sweep is half of every term forwards and
    half of every one backwards (S_2), rather than once forwards (S_1). sweeps : the fraction of the time of each.
    """

    order: int
    there_and_back: bool
    sweeps: tuple[float, ...]


FORMULAS: Final[dict[str, Formula]] = {
    "lie": Formula(1, False, (1.0,)),
    "suzuki2": Formula(2, True, (1.0,)),
    "suzuki4": Formula(4, True, (_U, _U, 1 - 4 * _U, _U, _U)),
}

#: the deterministic product formulas
SYNTHESES: Final[tuple[str, ...]] = tuple(FORMULAS)


def stages(formula: str, count: int, reps: int) -> list[Stage]:
    """The exponentials of S(t/reps)^reps in order of application, each (index of the term, fraction of t).

    Neighbours that exponentiate the same term are one. `count` terms, indexed from 0.
    """
    rule = FORMULAS[formula]
    forwards = range(count)
    found: list[Stage] = []
    for _ in range(reps):
        for sweep in rule.sweeps:
            share = sweep / reps / (2 if rule.there_and_back else 1)
            found += [(j, share) for j in forwards]
            found += [(j, share) for j in reversed(forwards)] if rule.there_and_back else []
    return _merged(found)


def exponentials(formula: str, count: int, reps: int) -> int:
    """How many `stages` are there at most: neighbours not merged."""
    rule = FORMULAS[formula]
    return reps * len(rule.sweeps) * (2 if rule.there_and_back else 1) * count


def drawn(weights: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]], reps: int, seed: int) -> list[Stage]:
    """qDRIFT: `reps` = N terms drawn with probability w_j / λ, in order of application, each (index, λ / (N w_j)).

    weights : w_j ≥ 0, the terms' norms; a term of norm 0 is never drawn, and nothing is where all are 0.
    The mean of fraction · T_j over the draws is Σ_j T_j / N. Repeatable by `seed`.
    """
    w = np.asarray(weights, dtype=float)
    total = float(w.sum())
    if total == 0:
        return []
    chosen = np.random.default_rng(seed).choice(len(w), size=reps, p=w / total)
    return [(int(j), total / (reps * float(w[j]))) for j in chosen]


def _merged(found: list[Stage]) -> list[Stage]:
    merged: list[Stage] = []
    for j, fraction in found:
        if merged and merged[-1][0] == j:
            merged[-1] = (j, merged[-1][1] + fraction)
        else:
            merged.append((j, fraction))
    return merged
