"""The seven series of benchmarks/forecast.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qunn.tasks import series


@dataclass(frozen=True)
class Series:
    """Values [L], their period N, and where they are from."""

    values: NDArray[np.float64]
    period: int
    source: str


def _measured(load: Callable[[], series.Measured]) -> Callable[[], Series]:
    def made() -> Series:
        found = load()
        return Series(found.values, found.period, found.source)

    return made


def noisy_periodic(length: int = 600, seed: int = 1) -> Series:
    """sin(2πt/12) + 0.5 sin(4πt/12 + 1) + 0.25 cos(6πt/12), and normal noise of 0.3."""
    t = np.arange(length)
    w = 2 * np.pi / 12
    clean = np.sin(w * t) + 0.5 * np.sin(2 * w * t + 1) + 0.25 * np.cos(3 * w * t)
    noise = 0.3 * np.random.default_rng(seed).standard_normal(length)
    return Series(clean + noise, 12, f"noisy_periodic, seed {seed}")


def quasi_periodic(length: int = 600, seed: int = 2) -> Series:
    """(1 + 0.3 sin(2πt/(12φ²))) sin(2πt/12.3) + 0.6 sin(2πt√2/12.3), φ the golden ratio; normal noise of 0.1."""
    t = np.arange(length)
    golden = (1 + np.sqrt(5)) / 2
    slow, fast = 2 * np.pi * t / (12 * golden**2), 2 * np.pi * t / 12.3
    clean = (1 + 0.3 * np.sin(slow)) * np.sin(fast) + 0.6 * np.sin(np.sqrt(2) * fast)
    return Series(clean + 0.1 * np.random.default_rng(seed).standard_normal(length), 12, f"quasi_periodic, seed {seed}")


SERIES: dict[str, Callable[[], Series]] = {
    "sunspots": _measured(series.sunspot_numbers),
    "co2": _measured(series.co2_in_air),
    "elnino": _measured(series.sea_temperature),
    "seattle": _measured(lambda: series.city_temperature("seattle")),
    "san-francisco": _measured(lambda: series.city_temperature("san-francisco")),
    "noisy-periodic": noisy_periodic,
    "quasi-periodic": quasi_periodic,
}
