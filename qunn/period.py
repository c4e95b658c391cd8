"""The period of a series from its autocorrelation function, which Definition 5 takes as N; or that there is none."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hamiltonians.errors import must_be

Floats = NDArray[np.float64]

SHORTEST = 20  # values below which nothing can be said
REPETITIONS = 3  # of a period that the series must hold
NEARLY = 0.85  # of the highest peak: a lag with so much is as good as it, and the shortest of those is the period
POINTWISE = 1.645  # a peak must come back at twice its lag, above the 95 % bound of one lag
_LOWEST = REPETITIONS  # slower Fourier terms are trend
_CLIP = 6.0  # standard deviations beyond which a whitened value is an outlier


@final
@dataclass(frozen=True, eq=False)
class Period:
    """What `estimate_period` found.

    Attributes
    ----------
    value : the period N, or None: no lag stands out from what a series without a period would show.
    confidence : 1 - p, with p = K Q(max_k r_k / s_k) the probability, at most, that one of K lags stands out as far by
        chance (Q: the normal tail, r the whitened autocorrelation, s its standard deviation); 0 where value is None.
    acf : [lags] of the series about its cubic trend, Σ_t x_t x_{t+k} / Σ_t x_t² at lag k; the columns' mean.
    whitened : [lags] r_k of the whitened series, on which the decision rests: Σ_t y_t y_{t+k} L / ((L-k) Σ_t y_t²).
    bound : [lags] above which r_k stands out.

    Examples
    --------
    >>> import numpy as np
    >>> from qunn import estimate_period
    >>> noise = np.random.default_rng(0).normal(size=200)
    >>> period = estimate_period(noise)
    >>> period.value, period.confidence  # none is found in noise
    (None, 0.0)
    >>> float(period.acf[0])
    1.0
    """

    value: int | None
    confidence: float
    acf: Floats
    whitened: Floats
    bound: Floats

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw both autocorrelations with the bound and the period into a PNG, SVG or PDF file, atomically.

        Raises
        ------
        InputError : another suffix, or a file that cannot be written.
        """
        from qunn.period_plot import plot

        plot(path, self)


def estimate_period(series: Any, *, max_period: int | None = None, alpha: float = 0.01) -> Period:
    """The shortest lag at which the series [L] or [L, m] repeats itself, if it does.

    A series without a period is taken to have a smooth spectrum: white, red or a random walk, about a cubic trend.
    1. Fourier terms with fewer than three repetitions in the series are trend and left out. The others are divided by
       √b(ω), the smooth background log b = a_0 + a_1 log s + a_2 s² + a_3 (log s)² + a_4 s⁴, s = 2 sin(ω/2), fitted to
       the logarithm of the periodogram by least absolute deviations, which narrow peaks do not move. Values beyond six
       standard deviations are brought back to them.
    2. Without a period the autocorrelations r_k of the result are normal with s_k = (L-k-6)^{-1/2}; the mean over m
       columns has s_k (Σ_ij ρ_ij²)^{1/2} / m, ρ their correlations. Lag k ≤ K = min(max_period, L/3) is a candidate
       where r_k is a local maximum above z s_k, with z the normal quantile of 1 - alpha/K, as far above an earlier
       trough, and r_{2k} > 1.645 s_{2k}.
    3. The period is the shortest candidate, or divisor of it that repeats as well, whose r_k is at least 0.85 of the
       highest less 2 s_k; peaks of equal height at its multiples sharpen it to the nearest integer.

    False alarms at alpha = 0.01, in % of 2,000 series of 30, 100 and 300 values: white noise 0.3, 0.5, 0.7; random
    walks 0.4, 0.4, 0.6; AR(1) with 0.9: 0.2, 0.5, 0.3, with -0.6: 0.5, 0.8, 0.9; a random walk under white noise
    0.7, 0.7, 0.5. More where the assumptions fail: Student's t with 2 degrees of freedom 1.4, and twice integrated
    noise, whose spectrum leaks, 2.7 at 300 values and about 25 at 1,000.

    Parameters
    ----------
    max_period : the longest that is looked for; L/3 at most. alpha : the false alarms that are allowed.

    Raises
    ------
    InputError : values that are no finite numbers, fewer than 20, constant ones, or of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from qunn import estimate_period
    >>> t = np.arange(240)
    >>> series = np.sin(2 * np.pi * t / 12) + 0.5 * np.random.default_rng(0).normal(size=240) + 0.01 * t
    >>> estimate_period(series).value
    12
    """
    x = _checked(series)
    if max_period is not None and (
        isinstance(max_period, bool) or not isinstance(max_period, int | np.integer) or max_period < 2
    ):
        raise must_be("max_period", "an integer of at least 2", max_period)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise must_be("alpha", "a probability in (0, 1)", alpha)
    L = len(x)
    x = without_trend(x)
    kept = (2 * L) // 3 + 2  # lags that are looked at
    acf = autocorrelation(x, adjusted=False)[:kept].mean(1)
    y = np.stack([whitened(column) for column in x.T], 1)
    r = autocorrelation(y, adjusted=True)[:kept].mean(1)
    s = spread(y)[:kept]
    K = min(L // REPETITIONS, L if max_period is None else max_period)
    from scipy.special import ndtr, ndtri

    z = -float(ndtri(alpha / K))
    found = _candidates(r, s, K, z)
    if not len(found):
        return Period(None, 0.0, acf, r, z * s)
    highest = found[(r[found] / s[found]).argmax()]
    p = K * float(ndtr(-r[highest] / s[highest]))
    return Period(_chosen(r, s, found, z), 1 - min(p, 1.0), acf, r, z * s)


# --- the series ---


def _checked(series: Any) -> Floats:
    """As [L, m], scaled so that no square overflows."""
    torch = sys.modules.get("torch")
    given = series
    if torch is not None and isinstance(series, torch.Tensor):
        given = series.detach().cpu()
        given = (given.double() if given.is_floating_point() else given).numpy()  # numpy knows no bfloat16
    elif isinstance(series, np.ma.MaskedArray) and series.dtype.kind in "biuf":
        given = np.ma.filled(series.astype(np.float64), np.nan)
    try:
        x = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise must_be("series", "numbers of shape (L,) or (L, m)", type(series).__name__) from error
    if x.dtype.kind not in "biuf":
        raise must_be("series", "real numbers", str(x.dtype))
    if x.ndim not in (1, 2) or 0 in x.shape:
        raise must_be("series", "of shape (L,) or (L, m)", x.shape)
    x = x.astype(np.float64).reshape(len(x), -1)
    if len(x) < SHORTEST:
        raise must_be("series", f"at least {SHORTEST} values long", len(x))
    if not np.isfinite(x).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise must_be("series", "finite", f"{x[at]} at index {at[0] if np.ndim(given) == 1 else at}")
    x /= np.maximum(np.abs(x).max(0), np.finfo(np.float64).tiny)
    if (np.ptp(x, 0) == 0).any():
        raise must_be("series", "not constant", f"constant in column {int((np.ptp(x, 0) == 0).argmax()) + 1}")
    return x


def without_trend(x: Floats) -> Floats:
    """x [L, m] less its least-squares cubic; zero where nothing but rounding is left."""
    from numpy.polynomial.legendre import legvander

    basis = np.linalg.qr(legvander(np.linspace(-1, 1, len(x)), 3))[0]
    rest: Floats = x - basis @ (basis.T @ x)
    rest[:, np.abs(rest).max(0) < 1e-12] = 0
    return rest


def whitened(x: Floats) -> Floats:
    """x [L] divided by its smooth background in the frequency domain, without trend and outliers."""
    from scipy.fft import irfft, rfft

    L = len(x)
    X = rfft(x)
    X[:_LOWEST] = 0
    power = np.abs(X[_LOWEST:]) ** 2
    if not power.any():
        return x
    X[_LOWEST:] /= np.sqrt(background(power, L))
    y: Floats = irfft(X, L)
    for _ in range(50):  # an outlier hides smaller ones
        most = _CLIP * np.sqrt(np.mean(y**2))
        if np.abs(y).max() <= most:
            break
        y = np.clip(y, -most, most)
    return y


def background(power: Floats, L: int) -> Floats:
    """b(ω) for the periodogram from the third Fourier frequency on; see `estimate_period`.

    Fitted to medians over some hundred groups of frequencies, equally wide in ω or in log ω; below 250 values, too few
    for five coefficients, without the last two.
    """
    n = len(power)
    s = 2 * np.sin(np.pi * np.arange(_LOWEST, _LOWEST + n) / L)
    logs = np.log(power + 1e-12 * power.mean())
    ends = np.r_[np.geomspace(_LOWEST, _LOWEST + n, 101), np.linspace(_LOWEST, _LOWEST + n, 101)]
    ends = np.unique(ends.round().astype(int)) - _LOWEST
    pairs = list(pairwise(ends.tolist()))
    middle = np.array([np.median(logs[a:b]) for a, b in pairs])
    weight = np.sqrt(np.diff(ends))
    terms = 5 if L >= 250 else 3
    A = _terms(np.array([s[a:b].mean() for a, b in pairs]), terms) * weight[:, None]
    pull = np.ones(len(weight))
    for _ in range(20):  # reweighted least squares: Σ |residual|
        a = np.linalg.lstsq(A * pull[:, None], middle * weight * pull, rcond=None)[0]
        pull = 1 / np.sqrt(np.maximum(np.abs(middle * weight - A @ a), 0.1))
    return np.exp(_terms(s, terms) @ a)


def _terms(s: Floats, terms: int) -> Floats:
    low, high = np.log(s / 2) / 10, s**2 / 4
    return np.stack([np.ones_like(s), low, high, low**2, high**2][:terms], 1)


# --- its autocorrelation ---


def autocorrelation(x: Floats, *, adjusted: bool) -> Floats:
    """r_k [L, m] of x [L, m]: Σ_t x_t x_{t+k} / Σ_t x_t², times L/(L-k) where `adjusted`; 0 for k > 0 where x is 0."""
    from scipy.fft import irfft, next_fast_len, rfft

    L = len(x)
    size = next_fast_len(2 * L, real=True)
    c = irfft(np.abs(rfft(x, size, axis=0)) ** 2, size, axis=0)[:L]
    zero = c[0] == 0
    r: Floats = c / np.where(zero, 1.0, c[0])
    r[0] = 1
    return r * (L / (L - np.arange(L)))[:, None] if adjusted else r


def spread(y: Floats) -> Floats:
    """s_k [L], the standard deviation of the mean autocorrelation of white y [L, m]."""
    L, m = y.shape
    length = np.sqrt((y**2).sum(0))
    rho = (y.T @ y) / np.maximum(np.outer(length, length), np.finfo(np.float64).tiny)
    lags = np.minimum(np.arange(L), L - 7)
    s: Floats = np.sqrt(max((rho**2).sum(), 1.0)) / m / np.sqrt(L - 6.0 - lags)
    return s


def _candidates(r: Floats, s: Floats, K: int, z: float) -> NDArray[np.int64]:
    k = np.arange(2, K + 1)
    trough = np.minimum.accumulate(r)[k - 1]
    again = np.max([r[2 * k - 1], r[2 * k], r[2 * k + 1]], 0)
    bound = z * s[k]
    stands_out = (r[k] > bound) & (r[k] - trough > bound) & (again > POINTWISE * s[2 * k])
    found: NDArray[np.int64] = k[stands_out & (r[k] >= r[k - 1]) & (r[k] >= r[k + 1])]
    return found


def _chosen(r: Floats, s: Floats, found: NDArray[np.int64], z: float) -> int:
    enough = NEARLY * r[found].max() - 2 * s
    period = int(found[r[found] >= enough[found]][0])
    for d in range(2, period // 2 + 1):
        q = round(period / d)
        if abs(period - q * d) <= q / 2 and r[d] >= max(r[d - 1] if d > 2 else -1.0, r[d + 1], enough[d]):
            multiples = np.round(np.arange(1, q) * period / q).astype(int)
            around = np.max([r[multiples - 1] * (multiples > 1), r[multiples], r[multiples + 1]], 0)
            if (around >= enough[multiples]).all():
                return _sharpened(r, s, d, z)
    return _sharpened(r, s, period, z)


def _sharpened(r: Floats, s: Floats, period: int, z: float) -> int:
    """The period from the j-th peak, at j N: its error is that of the peak over j. A lesser peak is not asked."""
    N, j, height = float(period), 2, NEARLY * r[period]
    while True:
        reach = max(1, int(N / 4))
        low, high = round(N * j) - reach, round(N * j) + reach + 1
        if high > len(r):
            return round(N)
        at = low + int(r[low:high].argmax())
        if r[at] < max(z * s[at], height - s[at]):
            return round(N)
        N, j = at / j, j + 1
