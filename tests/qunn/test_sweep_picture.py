"""The picture of a sweep names whole numbers as they are, and tells its groups apart."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from qunn.sweeping.picture import _STYLES, _ticks


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[4, 6, 8, 10, 12, 14, 16], [1, 2, 4], [3, 9, 20, 33, 50, 71, 99, 120]])
def test_whole_numbers_are_written_as_such(values, log):
    figure = Figure()
    axes = figure.subplots()
    axes.plot(values, values)
    if log:
        axes.set_xscale("log")
    _ticks(axes, SimpleNamespace(groups=[SimpleNamespace(x=[float(x) for x in values])]), log)  # type: ignore[arg-type]
    figure.draw_without_rendering()
    labels = axes.get_xticklabels() + axes.get_xticklabels(minor=True)
    named = [label.get_text() for label in labels if label.get_text()]
    assert named
    assert all(name.lstrip("−").isdecimal() for name in named), named  # a tick outside of the axis may be below 0


def test_groups_differ_in_colour_and_mark():
    assert all(len(set(column)) == len(_STYLES) for column in zip(*_STYLES, strict=True))
