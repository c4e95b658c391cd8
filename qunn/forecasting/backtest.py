"""A trained forecaster's errors at every horizon, what they are measured against, and the intervals they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qunn.quantum.generation import generated
from qunn.tasks.definition import shares

Floats = NDArray[np.float64]
ROWS = 256  # origins that are forecast together
ORIGINS = 5_000  # of a part at most


class ForecastDivergedError(ArithmeticError):
    """Fed back, the outputs left the finite numbers."""


@final
@dataclass(frozen=True)
class Forecaster:
    """A model in the units of a series x [L]: it reads the last `window` values, standardised."""

    model: nn.Module
    mean: float
    spread: float
    window: int
    dtype: torch.dtype

    def forecasts(self, x: Floats, origins: NDArray[np.int64], steps: int) -> Floats:
        """Of x[t] … x[t+steps-1] from the values before t, for each t of the origins; [origins, steps].

        Raises
        ------
        ForecastDivergedError : outputs that are no finite numbers.
        """
        z = (x - self.mean) / self.spread
        self.model.eval()
        made = []
        for some in np.split(origins, range(ROWS, len(origins), ROWS)):
            prompt = torch.from_numpy(z[some[:, None] + np.arange(-self.window, 0)][..., None]).to(self.dtype)
            made.append(self._continued(prompt, steps))
        return np.concatenate(made) * self.spread + self.mean

    @torch.no_grad()
    def _continued(self, prompt: torch.Tensor, steps: int) -> Floats:
        try:
            found: Floats = generated(self.model, prompt, steps, None, True)[..., 0].double().numpy()
        except ValueError as error:  # the model's own word for an input that is not finite
            raise ForecastDivergedError(str(error)) from error
        if not np.isfinite(found).all():
            raise ForecastDivergedError("an output is no finite number")
        return found


@final
@dataclass(frozen=True)
class Errors:
    """Forecasts from every origin t of a part, and x_{t+h} less what was foretold for it [origins, steps].

    NaN where t+h lies beyond the part.
    """

    origins: NDArray[np.int64]
    forecasts: Floats
    errors: Floats

    def mae(self, steps: int) -> float | None:
        """Mean of |error| over origins and the horizons 1 … steps; None where there is none."""
        some = np.abs(self.errors[:, :steps])
        return None if np.isnan(some).all() else float(np.nanmean(some))


def origins(lo: int, hi: int) -> NDArray[np.int64]:
    """All of lo … hi-1, or ORIGINS of them, evenly spread."""
    return np.linspace(lo, hi - 1, min(hi - lo, ORIGINS)).round().astype(np.int64)


def rolled(x: Floats, lo: int, hi: int, forecasts: Floats) -> Errors:
    """The errors of forecasts [origins, steps] from `origins` within x[lo:hi]."""
    starts = origins(lo, hi)
    at = starts[:, None] + np.arange(forecasts.shape[1])
    inside = at < hi
    return Errors(starts, forecasts, np.where(inside, x[np.minimum(at, hi - 1)] - forecasts, np.nan))


def naive(x: Floats, origins: NDArray[np.int64], steps: int, season: int) -> Floats:
    """The values of the last season over and over (season 1: the last value) [origins, steps]."""
    back = season - np.arange(steps) % season
    found: Floats = x[origins[:, None] - back]
    return found


def scale(x: Floats, period: int) -> float:
    """MASE's unit: the mean of |x_t - x_{t-N}| over the training part; 0, and no MASE, where that repeats exactly."""
    a = shares(len(x))[0]
    return float(np.abs(x[period:a] - x[: a - period]).mean())


def intervals(errors: Floats, level: float, steps: int) -> tuple[Floats, Floats]:
    """What is added to a forecast of each horizon for its lower and upper end [steps].

    Of n errors in order, that of rank ⌊(n+1)(1-level)/2⌋ from either end, as split conformal prediction counts; the
    outermost where n is too small for the level, and nothing narrower than one step before. The lower is at most 0, the
    upper at least 0. A horizon without an error takes those of the longest that has some.
    """
    lower, upper = np.zeros(steps), np.zeros(steps)
    for h in range(steps):
        column = errors[:, h] if h < errors.shape[1] else np.empty(0)
        some = np.sort(column[~np.isnan(column)])
        if not len(some):
            lower[h:], upper[h:] = lower[h - 1], upper[h - 1]
            break
        wanted = int((len(some) + 1) * (1 - level) / 2 + 1e-9)  # less the rounding of 1 - level
        rank = max(1, wanted)
        lower[h], upper[h] = min(some[rank - 1], 0.0), max(some[-rank], 0.0)
        if wanted == 0 and h > 0:
            lower[h], upper[h] = min(lower[h], lower[h - 1]), max(upper[h], upper[h - 1])
    return lower, upper


def coverage(errors: Floats, lower: Floats, upper: Floats) -> float | None:
    """The share of errors [origins, H] between the first H of lower and upper; both ends belong to it."""
    lower, upper = lower[: errors.shape[1]], upper[: errors.shape[1]]
    known = ~np.isnan(errors)
    inside = (errors >= lower) & (errors <= upper)
    return float(inside[known].mean()) if known.any() else None


@final
@dataclass(frozen=True)
class Result:
    """The forecast with its interval [steps], and the back-test on the test part."""

    forecast: Floats
    lower: Floats
    upper: Floats
    test: Errors
    mase: float | None
    mase_n_step: float | None
    baselines: dict[str, dict[str, float | None]]
    coverage: float | None


def validation_errors(model: Forecaster, x: Floats, steps: int) -> Errors:
    """Forecasts of up to `steps` values from the origins of the validation part.

    Raises
    ------
    ForecastDivergedError : outputs that are no finite numbers.
    """
    a, b = (int(end) for end in np.cumsum(shares(len(x)))[:2])
    return rolled(x, a, b, model.forecasts(x, origins(a, b), min(steps, b - a)))


def evaluate(model: Forecaster, x: Floats, period: int, steps: int, level: float) -> Result:
    """Forecast what follows x, with intervals from the validation part and scores from the test part.

    Raises
    ------
    ForecastDivergedError : outputs that are no finite numbers.
    """
    L, longest = len(x), max(steps, period)
    # no error is known beyond the end of a part
    b = L - shares(L)[2]
    validation = validation_errors(model, x, steps)
    test = rolled(x, b, L, model.forecasts(x, origins(b, L), min(longest, L - b)))
    lower, upper = intervals(validation.errors, level, steps)
    forecast = model.forecasts(x, np.array([L]), steps)[0]
    unit = scale(x, period)

    def scores(found: Errors) -> dict[str, Any]:
        scored = {"mase": found.mae(1), "mase_n_step": found.mae(period)}
        return {name: None if mae is None or unit == 0 else mae / unit for name, mae in scored.items()}

    simple = {"seasonal-naive": period, "persistence": 1}
    baselines = {
        name: scores(rolled(x, b, L, naive(x, test.origins, period, season))) for name, season in simple.items()
    }
    return Result(
        forecast=forecast,
        lower=forecast + lower,
        upper=forecast + upper,
        test=test,
        **scores(test),
        baselines=baselines,
        coverage=coverage(test.errors[:, :steps], lower, upper),
    )
