"""Dynamical systems as series: Mackey-Glass, Lorenz 96, FitzHugh-Nagumo.

All are integrated with SciPy's DOP853 at RTOL and sampled at equal times. Two of them are chaotic: another platform's
rounding gives another, equally true trajectory after some hundred time units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from hamiltonians.errors import must_be
from qunn.sequence import check_size
from qunn.tasks.definition import Part, Task, require_data, shares
from qunn.tasks.forecast import Floats, Windows, forecast, naive_scores

RTOL = 1e-10
ATOL = 1e-12
#: what is integrated within an hour or so: samples of a series, |F| of Lorenz 96, |I| of FitzHugh-Nagumo
MOST_SAMPLES, MOST_FORCING, MOST_CURRENT = 10**6, 100.0, 10.0


def mackey_glass(*, seed: int = 0, samples: int = 2_000, length: int = 100, warmup: int = 18, stride: int = 10) -> Task:
    """x' = 0.2 x(t-τ) / (1 + x(t-τ)^10) - 0.1 x with τ = 17, a value a time unit, after 300 units of transient.

    Mackey & Glass, Science 197 (1977) 287; τ = 17 is the mildly chaotic case of Farmer, Physica D 4 (1982) 366. The
    seed draws the constant history before t = 0 from [1.1, 1.3].
    """
    _check_samples("samples", samples, 10)
    past = float(np.random.default_rng(seed).uniform(1.1, 1.3))
    series = mackey_glass_series(past, 300 + samples, 1.0)[300:, None]
    source = "Mackey & Glass, Science 197 (1977) 287; Farmer, Physica D 4 (1982) 366"
    windows = Windows(length, warmup, stride, None)
    return forecast("mackey-glass", "next value of the Mackey-Glass equation, τ = 17", source, series, windows)


def mackey_glass_series(past: float, samples: int, dt: float, tau: float = 17.0, rtol: float = RTOL) -> Floats:
    """x at t = dt, 2 dt, …, [samples], by the method of steps.

    On [kτ, (k+1)τ] the delayed value is the dense output (order 7) over the interval before, so that an ordinary
    integrator applies; the kinks that a delay equation carries at multiples of τ fall on ends of intervals.
    """
    times = dt * np.arange(1, samples + 1)
    x = np.empty(samples)
    start, value = 0.0, past
    before = _constant(past)
    while start < times[-1]:
        solution = solve_ivp(
            _mackey_glass_field(before, tau),
            (start, start + tau),
            [value],
            method="DOP853",
            dense_output=True,
            rtol=rtol,
            atol=ATOL,
        )
        dense: Any = solution.sol
        inside = (times > start) & (times <= start + tau)
        x[inside] = dense(times[inside])[0]
        before, start, value = _scalar(dense), start + tau, solution.y[0, -1]
    return x


def _constant(value: float) -> Callable[[float], float]:
    return lambda _: value


def _scalar(sol: Callable[[float], Floats]) -> Callable[[float], float]:
    return lambda t: float(sol(t)[0])


def _mackey_glass_field(before: Callable[[float], float], tau: float) -> Callable[[float, Floats], Floats]:
    def field(t: float, x: Floats) -> Floats:
        delayed = before(t - tau)
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

    return field


def lorenz96(
    *,
    seed: int = 0,
    sites: int = 40,
    forcing: float = 8.0,
    samples: int = 2_000,
    length: int = 50,
    warmup: int = 10,
    stride: int = 10,
) -> Task:
    """x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F on a ring of 40 sites, F = 8, a state each 0.05 time units.

    Lorenz & Emanuel, J. Atmos. Sci. 55 (1998) 399, Eq. (1). The seed draws a state near the fixed point x_i = F; the
    first 20 time units are left out.
    """
    check_size("sites", sites, 4)
    _check_samples("samples", samples, 10)
    _check_bound("forcing", forcing, MOST_FORCING)
    require_data(samples, 1, sites)
    x0 = forcing + 0.01 * np.random.default_rng(seed).standard_normal(sites)
    times = 20 + 0.05 * np.arange(float(samples))
    series = lorenz96_series(x0, forcing, times)
    spread = series[: shares(samples)[0]].std(0)
    if not (np.isfinite(series).all() and (spread > 1e-6 * (1 + abs(forcing))).all()):
        raise must_be("forcing", "one whose solution is finite and does not settle at a constant", forcing)
    source = "Lorenz & Emanuel, J. Atmos. Sci. 55 (1998) 399"
    windows = Windows(length, warmup, stride, None)
    return forecast("lorenz96", f"next state of Lorenz 96, {sites} sites, F = {forcing:g}", source, series, windows)


def lorenz96_series(x0: Floats, forcing: float, times: Floats) -> Floats:
    """x at these times, [len(times), sites], from x0 at t = 0."""
    return _sampled(lambda _, x: lorenz96_field(x, forcing), x0, times)


def lorenz96_field(x: Floats, forcing: float) -> Floats:
    """(x_{i+1} - x_{i-2}) x_{i-1} - x_i + F, indices modulo the length of x."""
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + forcing


SEASON_OF_NEURON = 39  # the period of the limit cycle, in samples, to the nearest one


def fitzhugh_nagumo(
    *, seed: int = 0, current: float = 0.5, trajectories: int = 300, length: int = 120, warmup: int = 39
) -> Task:
    """v' = v - v³/3 - w + I, w' = (v + a - b w)/τ with a = 0.7, b = 0.8, τ = 12.5, I = 0.5, a sample a time unit.

    FitzHugh, Biophys. J. 1 (1961) 445; Nagumo, Arimoto & Yoshizawa, Proc. IRE 50 (1962) 2061; spikes repeat each 39.47
    time units. Only v is seen; the seed draws v(0) from [-2, 2] and w(0) from [-0.5, 1.5], so that trajectories differ
    in phase and in their way to the limit cycle. Parts hold different trajectories.
    """
    windows = Windows(length, warmup, 1, SEASON_OF_NEURON)
    check_size("trajectories", trajectories, 3)
    _check_samples("length", length, 2)
    _check_bound("current", current, MOST_CURRENT)
    require_data(trajectories, length, 2)
    rng = np.random.default_rng(seed)
    x0 = np.stack([rng.uniform(-2, 2, trajectories), rng.uniform(-0.5, 1.5, trajectories)])
    v = fitzhugh_nagumo_series(x0, current, length + 1)[:, 0].T[:, :, None]  # [n, T+1, 1]
    train = v[: shares(trajectories)[0]]
    v = (v - train.mean()) / train.std()
    made, first = [], 0
    for size in shares(trajectories):
        made.append(_trajectories(v[first : first + size], windows))
        first += size
    source = "FitzHugh, Biophys. J. 1 (1961) 445; Nagumo, Arimoto & Yoshizawa, Proc. IRE 50 (1962) 2061"
    description = f"next voltage of a FitzHugh-Nagumo neuron, I = {current:g}, its recovery variable hidden"
    train_part, validation, test = made
    kinds = ("regression", True, ("mse",))
    season = windows.season
    return Task("fitzhugh-nagumo", description, source, 1, 1, *kinds, train_part, validation, test, season)


def fitzhugh_nagumo_series(x0: Floats, current: float, samples: int) -> Floats:
    """(v, w) at t = 0, 1, …, [samples, 2, n], of n neurons that start at x0 [2, n]."""

    def field(_: float, x: Floats) -> Floats:
        return fitzhugh_nagumo_field(x.reshape(x0.shape), current).reshape(-1)

    return _sampled(field, x0.reshape(-1), np.arange(float(samples))).reshape(samples, *x0.shape)


def fitzhugh_nagumo_field(x: Floats, current: float) -> Floats:
    """(v', w') of (v, w)."""
    v, w = x
    return np.array([v - v**3 / 3 - w + current, (v + 0.7 - 0.8 * w) / 12.5])


def _trajectories(v: Floats, windows: Windows) -> Part:
    """A window a trajectory [n, T+1, 1]."""
    import torch

    scored = np.broadcast_to(np.arange(windows.length) >= windows.warmup, (len(v), windows.length)).copy()
    positions = np.flatnonzero(scored[0]) + 1
    each = [naive_scores(one, positions, windows.season) for one in v]
    means = {key: [s for one in each if (s := one[key]) is not None] for key in each[0]}
    # every trajectory counts the same positions, so that the mean of means is the mean
    scores = {key: float(np.mean(values)) if values else None for key, values in means.items()}
    return Part(torch.from_numpy(v[:, :-1]), torch.from_numpy(v[:, 1:]), torch.from_numpy(scored), scores)


def _check_samples(name: str, value: int, least: int) -> None:
    check_size(name, value, least)
    if value > MOST_SAMPLES:
        raise must_be(name, f"an integer of at most {MOST_SAMPLES}", value)


def _check_bound(name: str, value: float, most: float) -> None:
    if not abs(value) <= most:
        raise must_be(name, f"a number from {-most:g} to {most:g}", value)


def _sampled(field: Callable[[float, Floats], Floats], x0: Floats, times: Floats) -> Floats:
    """The solution from t = 0 at these times, [len(times), m]."""
    solution = solve_ivp(field, (0.0, times[-1]), x0, method="DOP853", t_eval=times, rtol=RTOL, atol=ATOL)
    if not solution.success:
        raise must_be("parameters", "ones whose solution stays finite", solution.message)
    return solution.y.T
