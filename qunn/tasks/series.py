"""Measured series that ship inside packages, so that no test needs a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from hamiltonians.errors import must_be, one_of
from qunn.tasks.definition import Task
from qunn.tasks.forecast import Floats, Windows, forecast

CITIES = {"seattle": "seattle_temps", "san-francisco": "sf_temps"}


@final
@dataclass(frozen=True)
class Measured:
    """A series as it was measured.

    Attributes
    ----------
    values : [L], gaps filled with the value before. period : of the season, in steps.
    """

    values: Floats
    period: int
    source: str


def sunspot_numbers() -> Measured:
    """309 yearly means of the relative sunspot number, 1700-2008; period 11, the mean length of a cycle."""
    from statsmodels.datasets import sunspots as data

    values = data.load_pandas().data["SUNACTIVITY"].to_numpy(np.float64)
    return Measured(values, 11, "statsmodels' sunspots: SIDC, Royal Observatory of Belgium / NOAA NGDC")


def co2_in_air() -> Measured:
    """526 monthly means of CO2 in the air of Mauna Loa, March 1958 to December 2001; period 12, the trend kept.

    A month is the mean of the weeks that were measured in it; the five months without any repeat the month before, so
    that no value knows a later one.
    """
    from statsmodels.datasets import co2 as data

    values = filled_forward(data.load_pandas().data["co2"].resample("MS").mean().to_numpy(np.float64))
    return Measured(values, 12, "statsmodels' co2: Keeling & Whorf, Scripps Institution of Oceanography, 2004")


def sea_temperature() -> Measured:
    """732 monthly means of the sea surface temperature in the El Niño 1+2 region, 1950-2010; period 12."""
    from statsmodels.datasets import elnino as data

    table = data.load_pandas().data  # a row a year: YEAR, JAN … DEC
    values = table.sort_values("YEAR").drop(columns="YEAR").to_numpy(np.float64).reshape(-1)
    source = "statsmodels' elnino: NOAA Climate Prediction Center, averaged monthly sea surface temperature"
    return Measured(values, 12, source)


def city_temperature(city: str) -> Measured:
    """8,760 hourly temperatures in Seattle or San Francisco, labelled 2010; period 24.

    They are climate normals, a smooth mean year. The hour that the change to summer time skips repeats the hour before.

    Raises
    ------
    InputError : another city.
    """
    from vega_datasets import data

    if city not in CITIES:
        raise must_be("city", one_of(CITIES), city)
    table: Any = getattr(data, CITIES[city])()
    values = filled_forward(table.set_index("date")["temp"].asfreq("h").to_numpy(np.float64))
    return Measured(values, 24, f"vega_datasets' {CITIES[city]}: NOAA's hourly climate normals, labelled 2010")


# `seed` is every task's; a measured series has nothing to draw


def sunspots(*, seed: int = 0, length: int = 44, warmup: int = 11, stride: int = 1) -> Task:
    """Next year's `sunspot_numbers`."""
    del seed
    return _task("sunspots", "next year's sunspots", sunspot_numbers, length, warmup, stride)


def co2(*, seed: int = 0, length: int = 48, warmup: int = 12, stride: int = 1) -> Task:
    """Next month's `co2_in_air`."""
    del seed
    return _task("co2", "next month's CO2", co2_in_air, length, warmup, stride)


def elnino(*, seed: int = 0, length: int = 48, warmup: int = 12, stride: int = 1) -> Task:
    """Next month's `sea_temperature`."""
    del seed
    return _task("elnino", "next month's sea temperature", sea_temperature, length, warmup, stride)


def temperatures(*, seed: int = 0, city: str = "seattle", length: int = 96, warmup: int = 24, stride: int = 8) -> Task:
    """Next hour's `city_temperature`: seasonal-naive is hard to beat on a mean year."""
    del seed
    what = f"next hour's temperature, {city}"
    return _task("temperatures", what, lambda: city_temperature(city), length, warmup, stride)


def _task(name: str, what: str, load: Callable[[], Measured], length: int, warmup: int, stride: int) -> Task:
    series = load()
    windows = Windows(length, warmup, stride, series.period)
    return forecast(name, what, series.source, series.values[:, None], windows)


def filled_forward(values: Floats) -> Floats:
    """Each gap (NaN) takes the last value before it: nothing later leaks into it.

    Raises
    ------
    InputError : a gap at the start, which has no value before it.
    """
    if np.isnan(values[0]):
        raise must_be("series", "a number at its start", values[0])
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    return values[last]
