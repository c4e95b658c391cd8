"""How a forecaster is trained and scored in benchmarks/forecast.py, the same for every model.

A series is standardised over its training part (60 %); 20 % validate, 20 % test. Training: Adam with a one-cycle rate,
batches of random windows of 4N values of which the last 3N are scored, the weights of the lowest validation error kept.
Scores are mean absolute scaled errors (MASE): mean |error| over that of seasonal-naive on the training part. Every
forecast is made from the 4N values before it: one step ahead, and N steps ahead by feeding forecasts back, from origins
that roll through the part.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from forecast_series import Series
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH, STEPS, CHECKS = 32, 600, 20
#: origins of N-step forecasts at most, and of one-step forecasts in validation
ORIGINS = 300


@dataclass(frozen=True)
class Data:
    """A standardised series x [L] with the ends a, b of its training and validation parts."""

    x: Tensor
    period: int
    a: int
    b: int
    scale: float

    @classmethod
    def of(cls, series: Series) -> Data:
        """Standardised over the first 60 %."""
        v = series.values
        a, b = round(0.6 * len(v)), round(0.8 * len(v))
        x = (v - v[:a].mean()) / v[:a].std()
        N = series.period
        scale = float(np.abs(x[N:a] - x[: a - N]).mean())
        return cls(torch.tensor(x, dtype=torch.float32), N, a, b, scale)


def origins(data: Data, first: int, end: int, steps: int, most: int | None = None) -> NDArray[np.int64]:
    """Positions t such that x[t … t+steps-1] are to be foretold, all within [first, end), evenly thinned to `most`."""
    t = np.arange(max(first, 4 * data.period), end - steps + 1)
    return t if most is None or len(t) <= most else t[np.linspace(0, len(t) - 1, most).round().astype(int)]


def contexts(data: Data, t: NDArray[np.int64]) -> Tensor:
    """The 4N values before each origin [n, 4N, 1]."""
    back = np.arange(-4 * data.period, 0)
    return data.x[torch.from_numpy(t[:, None] + back)][..., None]


def truths(data: Data, t: NDArray[np.int64], steps: int) -> Tensor:
    """The values that follow each origin [n, steps]."""
    return data.x[torch.from_numpy(t[:, None] + np.arange(steps))]


@torch.no_grad()
def foretold(model: nn.Module, context: Tensor, steps: int) -> Tensor:
    """Forecasts of the `steps` values behind each context [n, steps], fed back one by one."""
    output, state = model(context)
    made = [output[:, -1:]]
    for _ in range(steps - 1):
        output, state = model(made[-1], state)
        made.append(output)
    return torch.cat(made, 1)[..., 0]


def mase(model: Any, data: Data, first: int, end: int, steps: int, most: int | None = None) -> float:
    """Mean absolute error of forecasts 1 … steps ahead, scaled; infinite where a forecast is."""
    t = origins(data, first, end, steps, most)
    error = float((foretold(model, contexts(data, t), steps) - truths(data, t, steps)).abs().mean())
    return error / data.scale if np.isfinite(error) else float("inf")


@dataclass(frozen=True)
class Trained:
    """A model with the weights of its lowest validation error (one-step MASE), and what it took."""

    model: nn.Module
    validation: float
    seconds: float
    parameters: int


def train(
    model: nn.Module,
    data: Data,
    lr: float,
    seed: int,
    *,
    steps: int = STEPS,
    batch: int = BATCH,
    one_cycle: bool = True,
) -> Trained:
    """Fit the squared one-step error on random windows of the training part."""
    begin = time.perf_counter()
    N, generator = data.period, torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    if one_cycle:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
    best, kept = float("inf"), {k: v.clone() for k, v in model.state_dict().items()}
    window = torch.arange(4 * N + 1)
    for step in range(1, steps + 1):
        start = torch.randint(data.a - 4 * N, (batch, 1), generator=generator)
        v = data.x[start + window][..., None]
        optimizer.zero_grad()
        output = model(v[:, :-1])[0]
        loss = (output - v[:, 1:])[:, N:].square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if one_cycle:
            schedule.step()
        if step % (steps // CHECKS) == 0:
            now = mase(model, data, data.a, data.b, 1, ORIGINS)
            if now < best:
                best, kept = now, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(kept)
    count = sum(p.numel() for p in model.parameters())
    return Trained(model, best, time.perf_counter() - begin, count)
