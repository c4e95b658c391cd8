"""Measured series that ship inside packages, so that no test needs a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from hamiltonians.errors import must_be, one_of
from qunn.tasks.definition import Task
from qunn.tasks.forecast import Floats, Windows, forecast

CITIES = {"seattle": "seattle_temps", "san-francisco": "sf_temps"}

# `seed` is every task's; a measured series has nothing to draw


def sunspots(*, seed: int = 0, length: int = 44, warmup: int = 11, stride: int = 1) -> Task:
    """309 yearly means of the relative sunspot number, 1700-2008; season 11, the mean length of a cycle."""
    del seed
    from statsmodels.datasets import sunspots as data

    values = data.load_pandas().data["SUNACTIVITY"].to_numpy(np.float64)
    source = "statsmodels' sunspots: SIDC, Royal Observatory of Belgium / NOAA NGDC"
    return forecast("sunspots", "next year's sunspots", source, values[:, None], Windows(length, warmup, stride, 11))


def co2(*, seed: int = 0, length: int = 48, warmup: int = 12, stride: int = 1) -> Task:
    """526 monthly means of CO2 in the air of Mauna Loa, March 1958 to December 2001; season 12, the trend kept.

    A month is the mean of the weeks that were measured in it; the five months without any repeat the month before, so
    that no value knows a later one.
    """
    del seed
    from statsmodels.datasets import co2 as data

    values = filled_forward(data.load_pandas().data["co2"].resample("MS").mean().to_numpy(np.float64))
    source = "statsmodels' co2: Keeling & Whorf, Scripps Institution of Oceanography, 2004"
    return forecast("co2", "next month's CO2", source, values[:, None], Windows(length, warmup, stride, 12))


def elnino(*, seed: int = 0, length: int = 48, warmup: int = 12, stride: int = 1) -> Task:
    """732 monthly means of the sea surface temperature in the El Niño 1+2 region, 1950-2010; season 12."""
    del seed
    from statsmodels.datasets import elnino as data

    table = data.load_pandas().data  # a row a year: YEAR, JAN … DEC
    values = table.sort_values("YEAR").drop(columns="YEAR").to_numpy(np.float64).reshape(-1)
    source = "statsmodels' elnino: NOAA Climate Prediction Center, averaged monthly sea surface temperature"
    windows = Windows(length, warmup, stride, 12)
    return forecast("elnino", "next month's sea temperature", source, values[:, None], windows)


def temperatures(*, seed: int = 0, city: str = "seattle", length: int = 96, warmup: int = 24, stride: int = 8) -> Task:
    """8,760 hourly temperatures in Seattle or San Francisco, labelled 2010; season 24.

    They are climate normals, a smooth mean year: seasonal-naive is hard to beat. The hour that the change to summer
    time skips repeats the hour before.
    """
    del seed
    from vega_datasets import data

    if city not in CITIES:
        raise must_be("city", one_of(CITIES), city)
    table: Any = getattr(data, CITIES[city])()
    values = filled_forward(table.set_index("date")["temp"].asfreq("h").to_numpy(np.float64))
    source = f"vega_datasets' {CITIES[city]}: NOAA's hourly climate normals, labelled 2010"
    windows = Windows(length, warmup, stride, 24)
    return forecast("temperatures", f"next hour's temperature, {city}", source, values[:, None], windows)


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
