"""The picture of a run says which circuits it leaves out."""

from __future__ import annotations

from types import SimpleNamespace

from matplotlib.figure import Figure

from circuits.run_picture import _errors
from circuits.run_report import ErrorPoint

_NAMES = ("lie", "suzuki2", "suzuki4")


def test_lines_that_end_early_are_explained():
    cases = [(kind, name, reps) for kind in ("natural", "pauli") for name in _NAMES for reps in (1, 2, 4)]
    points = [ErrorPoint(name, kind, reps, 0.1 / reps, None) for kind, name, reps in cases]
    report = SimpleNamespace(kind="machine", errors=points[:-1])  # without the longest circuit of the last formula
    for kind, title in [("natural", "Natural terms"), ("pauli", "Pauli terms; longer circuits are not run")]:
        axes = Figure().subplots()
        _errors(axes, report, kind)  # type: ignore[arg-type]
        assert axes.get_title() == title
        assert [len(line.get_xdata()) for line in axes.lines] == [3, 3, 3 if kind == "natural" else 2]
