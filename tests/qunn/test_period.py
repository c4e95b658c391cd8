"""The period of real, noisy and aperiodic series, and what it is decided on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import norm
from statsmodels.datasets import co2, elnino, sunspots
from statsmodels.tsa.stattools import acf

from hamiltonians import InputError
from qunn import Period, estimate_period
from qunn.period import background, without_trend

Array = NDArray[np.float64]


def real_series() -> dict[str, tuple[Array, int]]:
    from vega_datasets import data

    months = elnino.load_pandas().data.sort_values("YEAR").drop(columns="YEAR").to_numpy(float).reshape(-1)
    found = {
        "sunspots": (sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float), 11),
        "co2": (co2.load_pandas().data["co2"].resample("MS").mean().ffill().to_numpy(float), 12),
        "elnino": (months, 12),
    }
    for city in ("seattle_temps", "sf_temps"):
        table = getattr(data, city)()
        found[city] = (table.set_index("date")["temp"].asfreq("h").ffill().to_numpy(float), 24)
    return found


REAL = real_series()


@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize("name", REAL)
def test_real_series(name: str, share: float) -> None:
    x, period = REAL[name]
    found = estimate_period(x[: int(share * len(x))])
    assert found.value == period
    assert 0.99 < found.confidence <= 1


def waves(N: int, t: Array, noise: Array) -> dict[str, Array]:
    sine = np.sin(2 * np.pi * t / N + 1)
    square = np.sign(np.sin(2 * np.pi * (t + 0.5) / N))
    return {
        "sine": sine,
        "noisy sine": sine + 0.5 * noise,
        "square": square,
        "noisy square": square + 0.5 * noise,
        "saw": t % N,
        "pulses": (t % N == 0) + 0.2 * noise,
        "with a trend": sine + 0.05 * t + 0.3 * noise,
        "on an exponential": sine + np.exp(3 * t / len(t)),
        "on a random walk": 2 * sine + 0.3 * noise.cumsum(),
    }


@pytest.mark.parametrize("N", [2, 3, 7, 12, 30])
@pytest.mark.parametrize("name", list(waves(2, np.arange(4.0), np.zeros(4))))
def test_neither_a_multiple_nor_a_divisor(name: str, N: int, rng: np.random.Generator) -> None:
    t = np.arange(600.0)
    assert estimate_period(waves(N, t, rng.normal(size=600))[name]).value == N


def test_several_periods(rng: np.random.Generator) -> None:
    t = np.arange(2000.0)

    def sine(N: float, amplitude: float = 1.0) -> Array:
        return amplitude * np.sin(2 * np.pi * t / N)

    noise = 0.1 * rng.normal(size=2000)
    assert estimate_period(sine(12, 4) + sine(12 * 2**0.5) + noise).value == 12  # the strong one
    equal = sine(12) + sine(12 * 2**0.5) + noise
    found = estimate_period(equal).value  # where both nearly come back
    assert found in (34, 35, 36)
    assert estimate_period(sine(24) + sine(168, 0.5) + noise).value == 24
    assert estimate_period(sine(12) + 2 * np.sin(2 * np.pi * t / 6 + 1) + noise).value == 12
    assert estimate_period(sine(11.5)).value in (11, 12)
    assert estimate_period(sine(2.5)).value == 5


T = np.arange(300.0)
APERIODIC = {
    "line": T,
    "parabola": T**2,
    "cubic": (T - 120) ** 3,
    "exponential": np.exp(T / 50),
    "logarithm": np.log1p(T),
    "logistic": 1 / (1 + np.exp(-(T - 150) / 20)),
    "step": (T > 75) * 1.0,
    "large line": 1e9 + 0.1 * T,
    "one outlier": (T == 70) * 1.0,
    "two outliers": 20.0 * ((T == 50) | (T == 100)) + np.random.default_rng(0).normal(size=300),
}


@pytest.mark.parametrize("name", APERIODIC)
def test_a_trend_is_no_period(name: str) -> None:
    found = estimate_period(APERIODIC[name])
    assert (found.value, found.confidence) == (None, 0.0)


NOISE: dict[str, Callable[[np.random.Generator], Array]] = {
    "white": lambda g: g.normal(size=200),
    "walk": lambda g: g.normal(size=200).cumsum(),
    "AR(1)": lambda g: lfilter([1.0], [1.0, -0.9], g.normal(size=400))[200:],
    "noisy walk": lambda g: g.normal(size=200).cumsum() + 3 * g.normal(size=200),
}


@pytest.mark.parametrize("name", NOISE)
def test_false_alarms_are_as_rare_as_stated(name: str, rng: np.random.Generator) -> None:
    """At most 1 % of 300: more than 8 would be seen once in 250 such tests."""
    assert sum(estimate_period(NOISE[name](rng)).value is not None for _ in range(300)) <= 8


def test_alpha_is_what_is_allowed(rng: np.random.Generator) -> None:
    series = [rng.normal(size=100) for _ in range(200)]
    strict = [estimate_period(x, alpha=1e-4).value for x in series]
    loose = [estimate_period(x, alpha=0.9).value for x in series]
    assert strict == [None] * 200
    assert sum(x is not None for x in loose) > 10


def test_the_numbers_are_those_of_their_formulas() -> None:
    x = REAL["sunspots"][0]
    found = estimate_period(x)
    L, lags = len(x), len(found.acf)
    t = np.linspace(-1, 1, L)
    rest = x - np.polyval(np.polyfit(t, x, 3), t)
    np.testing.assert_allclose(found.acf, acf(rest, nlags=lags - 1, fft=True), atol=1e-12)
    K = L // 3
    s = 1 / np.sqrt(L - np.arange(lags) - 6)
    np.testing.assert_allclose(found.bound, norm.isf(0.01 / K) * s, rtol=1e-12)
    p = K * norm.sf(max(found.whitened[k] / s[k] for k in range(2, K)))
    assert found.confidence == pytest.approx(1 - p, abs=1e-12)


def test_the_background_is_that_of_red_noise(rng: np.random.Generator) -> None:
    L = 20_000
    x = lfilter([1.0], [1.0, -0.8], rng.normal(size=L))
    power = np.abs(np.fft.rfft(x))[3:] ** 2
    omega = 2 * np.pi * np.arange(3, len(power) + 3) / L
    ratio = (background(power, L) * np.abs(1 - 0.8 * np.exp(1j * omega)) ** 2 / L)[omega > 0.02]
    assert ratio.max() / ratio.min() < 2.5  # over a range of 80; few frequencies lie below, where it is less certain


def test_vectors(rng: np.random.Generator) -> None:
    x = np.stack([rng.normal(size=400) for _ in range(4)], 1)
    assert estimate_period(x).value is None
    x[:, 2] += np.sin(2 * np.pi * np.arange(400) / 9) * 3
    assert estimate_period(x).value == 9
    same = np.repeat(x[:, 2:3], 3, 1)
    one, three = estimate_period(x[:, 2]), estimate_period(same)
    np.testing.assert_allclose(three.whitened, one.whitened, atol=1e-12)
    np.testing.assert_allclose(three.bound, one.bound, rtol=1e-9)  # copies are no evidence


def test_all_kinds_of_arrays_and_scales() -> None:
    x = np.tile([0.0, 1, 5, 2, 2], 20)
    for series in (
        *(x, x.tolist(), x.astype(np.int32), x.astype(np.float32), x[:, None], x > 1, x * 1e300, x * 1e-300 + 0),
        *(torch.from_numpy(x), torch.from_numpy(x).float().requires_grad_()),
        *(torch.from_numpy(x).bfloat16(), np.ma.array(x, mask=False)),
    ):
        assert estimate_period(series).value == 5
    assert estimate_period(x, max_period=4).value is None
    assert estimate_period(x, max_period=5).value == estimate_period(x, max_period=np.int64(5)).value == 5


def test_three_repetitions_are_asked_for() -> None:
    pattern = np.random.default_rng(1).normal(size=40)
    assert estimate_period(np.tile(pattern, 4)).value == 40
    assert estimate_period(np.tile(pattern, 4)[:110]).value is None


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([1.0] * 30, "`series` must be not constant"),
        (np.arange(30.0)[:19], "`series` must be at least 20 values long, but is 19"),
        ([*range(29), float("nan")], "`series` must be finite, but is 'nan at index 29'"),
        (np.ma.array(np.arange(30) % 3, mask=np.arange(30) == 4), "`series` must be finite, but is 'nan at index 4'"),
        ([*range(29), float("inf")], "`series` must be finite, but is 'inf at index 29'"),
        (np.zeros((30, 2, 2)), r"`series` must be of shape \(L,\) or \(L, m\), but is \(30, 2, 2\)"),
        (np.float64(3), "`series` must be of shape"),
        (np.zeros((30, 0)), "`series` must be of shape"),
        (["a"] * 30, "`series` must be real numbers"),
        ("abc", "`series` must be real numbers"),
        (np.ones(30) * 1j, "`series` must be real numbers"),
        ([[1, 2], [3]], "`series` must be numbers of shape"),
        (np.stack([np.arange(30) % 3, np.ones(30)], 1), "`series` must be not constant, but is 'constant in column 2'"),
    ],
)
def test_bad_input_is_one_line(series: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        estimate_period(series)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"max_period": 1}, {"max_period": 2.5}, {"alpha": 0}, {"alpha": 1.0}])
def test_bad_options(options: dict) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(options))}` must be"):
        estimate_period(np.arange(50.0) % 5, **options)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot(tmp_path: Path, suffix: str) -> None:
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    for name, x in (("some", REAL["sunspots"][0]), ("none", T), ("long", np.tile(np.arange(90.0), 20))):
        path = tmp_path / f"{name}.{suffix}"
        estimate_period(x).plot(path)
        assert path.read_bytes().startswith(begins)
    assert len(list(tmp_path.iterdir())) == 3


def test_plot_refuses_other_files(tmp_path: Path) -> None:
    found = estimate_period(REAL["sunspots"][0])
    assert isinstance(found, Period)
    with pytest.raises(InputError, match=r"`path` must end in one of \.png, \.svg, \.pdf"):
        found.plot(tmp_path / "x.bmp")
    with pytest.raises(InputError, match="one that can be written"):
        found.plot(tmp_path / "no" / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_line_leaves_nothing() -> None:
    assert not without_trend(np.arange(50.0)[:, None] / 49).any()
