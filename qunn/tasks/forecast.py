"""One series cut into windows for one-step forecasts, split in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from hamiltonians.errors import must_be
from qunn.sequence import check_size
from qunn.tasks.definition import Part, Task, mean_or_none, require_data, shares

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Windows:
    """How a series is cut.

    Attributes
    ----------
    length : steps T of a window.
    warmup : the first steps of a window, which are not scored: a forecast needs some past.
    stride : between the starts of training windows.
    season : period of the seasonal-naive baseline x_{t-season}, or None.
    """

    length: int
    warmup: int
    stride: int
    season: int | None

    def __post_init__(self) -> None:
        check_size("length", self.length, 2)
        check_size("warmup", self.warmup, 0)
        check_size("stride", self.stride)
        if self.warmup >= self.length:
            raise must_be("warmup", f"less than the window's length {self.length}", self.warmup)


def forecast(name: str, description: str, source: str, series: Floats, windows: Windows) -> Task:
    """The task of foretelling series[t+1] from series[..t], in units standardised over the training part.

    series [L, m]: its first 60 % train, the next 20 % validate, the last 20 % test. Training windows lie in the
    training part, whole. The windows of another part begin before it, for their unscored warm-up reads what was known
    by then, and every value of the part is scored exactly once. Baselines are over the same scored values.

    Raises
    ------
    InputError : a series too short for one training window, or one that is not finite, or constant.
    """
    a, b = np.cumsum(shares(len(series)))[:2]
    if windows.length > a - 1:
        raise must_be("length", f"at most {a - 1}, for {a} values to train on", windows.length)
    train = series[:a]
    spread = train.std(0)
    if not (np.isfinite(series).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise must_be("series", "finite, and not constant over its training part", name)
    x = (series - train.mean(0)) / spread
    ends = np.arange(windows.length + 1, a + 1, windows.stride)
    require_data(len(ends), windows.length, x.shape[1])
    made = [_part(x, ends, ends - windows.length + windows.warmup, windows)]
    for lo, hi in ((a, b), (b, len(series))):
        step = windows.length - windows.warmup
        firsts = np.arange(lo, hi, step)
        made.append(_part(x, np.minimum(firsts + step, hi), firsts, windows))
    m = x.shape[1]
    train_part, validation, test = made
    kinds = ("regression", True, ("mse",))
    whole = torch.from_numpy(x[:a])
    return Task(name, description, source, m, m, *kinds, train_part, validation, test, windows.season, whole)


def _part(x: Floats, ends: Integers, firsts: Integers, windows: Windows) -> Part:
    """Windows whose targets end before `ends` [n] and are scored from `firsts` [n] on."""
    target = ends[:, None] - windows.length + np.arange(windows.length)  # [n, T], positions in the series
    scored = target >= firsts[:, None]
    return Part(
        torch.from_numpy(x[target - 1]),
        torch.from_numpy(x[target]),
        torch.from_numpy(scored),
        naive_scores(x, np.unique(target[scored]), windows.season),
    )


def naive_scores(x: Floats, positions: Integers, season: int | None) -> dict[str, float | None]:
    """Mean squared errors of the last value and of the value a season ago, at these positions of x [L, m].

    None where a position has no value so long ago: a baseline is over what the network is scored on, or not at all.
    """

    def score(lag: int) -> float | None:
        if positions.min(initial=lag) < lag:
            return None
        return mean_or_none(((x[positions] - x[positions - lag]) ** 2).mean(-1))

    return {"persistence": score(1), "seasonal-naive": None if season is None else score(season)}
