"""The lowest energies with multiplicity, by counts alone: intervals that hold some are divided until narrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from hamiltonians.errors import InputError
from hamiltonians.progress import Progress
from qunn.clock_engine.pivots import Counter, trust

_TOP = 5.0 + 1e-9  # ‖H‖ ≤ 4, and 5 with H_in: Gershgorin's circles
_MOST_PASSES = 4096


@final
@dataclass(frozen=True)
class Level:
    """`count` eigenvalues from `low` to `high`, an interval as narrow as counts can tell; `below` lie below it."""

    low: float
    high: float
    below: int
    count: int

    @property
    def energy(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2


def floor_of(clock_states: int) -> float:
    """1/(2N²): below every eigenvalue of a path but zero, as the least is 4sin²(π/(4N + 2)) ≥ 1/N²."""
    return 0.5 / clock_states**2


def relative_error(clock_states: int) -> float:
    """Of an energy by counts: the width of its interval and what a count can be wrong by at either end."""
    return 4 * trust(clock_states)


def lowest_levels(
    counter: Counter,
    k: int,
    progress: Progress,
    floor: float | None = None,
    distinct: int = 2,
) -> list[Level]:
    """Levels from the lowest one up: at least k eigenvalues, and at least `distinct` levels, as far as there are any.

    What lies below `floor` counts as zero, and is one level.
    """
    N = counter.clock_states
    floor = floor_of(N) if floor is None else floor
    width = 2 * trust(N)
    zero = counter.count([floor])[0]
    done = [Level(0.0, 0.0, 0, zero)] if zero else []
    pieces = [Level(floor, _TOP, zero, counter.total - zero)] if counter.total > zero else []
    for number in range(_MOST_PASSES):
        progress("counting eigenvalues", number, None)
        groups = _needed(_grouped(done + pieces, width), k, distinct)
        wide = [piece for group in groups for piece in group if _is_wide(piece, width)]
        if not wide:
            return [Level(g[0].low, g[-1].high, g[0].below, sum(i.count for i in g)) for g in groups]
        wide = wide[: counter.at_once]
        per = counter.at_once // len(wide)
        points = [[i.low * (i.high / i.low) ** (n / (per + 1)) for n in range(1, per + 1)] for i in wide]
        counts = counter.count([mu for mus in points for mu in mus])
        divided = set(wide)
        pieces = [i for i in pieces if i not in divided]
        for i, (interval, mus) in enumerate(zip(wide, points, strict=True)):
            pieces += _divided(interval, mus, counts[i * per : (i + 1) * per])
        pieces.sort(key=lambda i: i.low)
    raise InputError(f"`k` must be smaller here: {k} energies take more than {_MOST_PASSES} passes of counts", "k")


def _grouped(pieces: list[Level], width: float) -> list[list[Level]]:
    """Neighbours that touch: copies of one eigenvalue whose counts differ by rounding, or intervals still too wide."""
    groups: list[list[Level]] = []
    for piece in pieces:
        if groups and groups[-1][-1].high > 0 and piece.low - groups[-1][-1].high <= width * piece.low:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _needed(groups: list[list[Level]], k: int, distinct: int) -> list[list[Level]]:
    """The groups up to the k-th eigenvalue and the last of the first `distinct` levels."""
    for number, group in enumerate(groups, 1):
        if group[-1].below + group[-1].count >= k and number >= distinct:
            return groups[:number]
    return groups


def _is_wide(interval: Level, width: float) -> bool:
    return interval.high - interval.low > width * interval.high


def _divided(interval: Level, points: list[float], counts: list[int]) -> list[Level]:
    """The pieces that hold eigenvalues; counts that rounding made decrease are taken as equal."""
    pieces, low, below = [], interval.low, interval.below
    top = interval.below + interval.count
    for mu, count in zip([*points, interval.high], [*counts, top], strict=True):
        count = min(max(count, below), top)
        if count > below:
            pieces.append(Level(low, mu, below, count - below))
        low, below = mu, count
    return pieces


__all__ = ["Level", "floor_of", "lowest_levels", "relative_error"]
