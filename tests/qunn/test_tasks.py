"""The data sets: what they say they are, split without leaks, the same for the same seed."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from hamiltonians.errors import InputError
from qunn.tasks import TASKS, Task, task, task_options
from qunn.tasks.definition import METRICS, shares
from qunn.tasks.dynamics import (
    SEASON_OF_NEURON,
    fitzhugh_nagumo_field,
    fitzhugh_nagumo_series,
    lorenz96_field,
    lorenz96_series,
    mackey_glass_series,
)
from qunn.tasks.forecast import Windows, forecast
from qunn.tasks.series import filled_forward

SMALL = {
    "adding": {"length": 12, "samples": 50},
    "copy": {"delay": 7, "samples": 50},
    "mackey-glass": {"samples": 120, "length": 20, "warmup": 4},
    "lorenz96": {"samples": 120, "sites": 6, "length": 20, "warmup": 4},
    "fitzhugh-nagumo": {"trajectories": 6, "length": 60},
    "temperatures": {"city": "san-francisco", "stride": 50},
}
GENERATED = {"adding", "copy", "mackey-glass", "lorenz96", "fitzhugh-nagumo", "digits", "permuted-digits"}


def small(name: str, seed: int = 0) -> Task:
    return task(name, seed, **SMALL.get(name, {}))


def parts_of(made: Task) -> tuple:
    return made.train, made.validation, made.test


@pytest.mark.parametrize("name", TASKS)
def test_shapes_are_what_the_task_says(name: str) -> None:
    made = small(name)
    assert made.name == name
    for part in parts_of(made):
        n, length, m = part.inputs.shape
        assert n == len(part) > 0
        assert m == made.input_size
        steps = (n, length) if made.per_step else (n,)
        assert part.scored.shape == steps
        assert bool(part.scored.any())
        if made.kind == "regression":
            assert part.targets.shape == (*steps, made.output_size)
        else:
            assert part.targets.shape == steps
            assert 0 <= int(part.targets.min()) <= int(part.targets.max()) < made.output_size
        assert torch.isfinite(part.inputs).all()
    assert made.metrics[0] in METRICS
    assert made.test.baselines


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    one, two, other = small(name, 3), small(name, 3), small(name, 4)
    for a, b in zip(parts_of(one), parts_of(two), strict=True):
        assert a.inputs.numpy().tobytes() == b.inputs.numpy().tobytes()
        assert a.targets.numpy().tobytes() == b.targets.numpy().tobytes()
    assert torch.equal(one.train.inputs, other.train.inputs) == (name not in GENERATED)


@pytest.mark.parametrize("length", [2, 11, 12])
def test_adding_is_the_sum_of_the_two_marked_numbers(length: int) -> None:
    made = task("adding", 5, length=length, samples=400)
    for part in parts_of(made):
        u, marker = part.inputs.unbind(-1)
        assert torch.equal(marker[:, : length // 2].sum(1), torch.ones(len(part)).double())
        assert torch.equal(marker[:, length // 2 :].sum(1), torch.ones(len(part)).double())
        torch.testing.assert_close((u * marker).sum(1, keepdim=True), part.targets, rtol=0, atol=1e-15)
        assert 0 <= float(u.min()) <= float(u.max()) < 1
        expected = float((part.targets - 1).square().mean())
        assert part.baselines["always 1"] == pytest.approx(expected, rel=1e-12)


def test_the_variance_of_the_sum_is_a_sixth() -> None:
    found = task("adding", samples=100_000, length=2).train.baselines
    # standard error of the mean of 60,000 squares with variance E(s-1)^4 - 1/36 = 1/15 - 1/36: 0.0008
    assert found["always 1"] == pytest.approx(1 / 6, abs=0.004)
    assert (found["closed form 1/6"], found["as printed"]) == (1 / 6, 0.1767)


def test_copy_repeats_the_word_after_the_delimiter() -> None:
    made = task("copy", delay=7, samples=60)
    x, y = made.train.inputs.argmax(-1), made.train.targets
    assert x.shape[1] == 27
    assert torch.equal(x[:, :10], y[:, -10:])
    assert set(x[:, :10].unique().tolist()) == set(range(1, 9))
    assert (x[:, 16] == 9).all()  # ten symbols, six blanks, the delimiter
    assert (x[:, 10:16] == 0).all()
    assert (x[:, 17:] == 0).all()
    assert (y[:, :-10] == 0).all()
    assert torch.equal(made.train.inputs.sum(-1), torch.ones(x.shape).double())


def test_a_network_without_memory_scores_the_baseline_of_copy() -> None:
    part = task("copy", delay=7, samples=60).test
    logits = torch.full((*part.targets.shape, 9), -1e3, dtype=torch.float64)
    logits[:, :-10, 0] = 0
    logits[:, -10:, 1:] = 0  # any of the eight, equally
    total, count = METRICS["cross_entropy"](logits, part.targets, part.scored)
    (baseline,) = part.baselines.values()
    assert float(total / count) == pytest.approx(10 * math.log(8) / 27, rel=1e-12) == baseline
    hits, symbols = METRICS["recall"](logits, part.targets, part.scored)
    assert int(symbols) == 10 * len(part)
    assert float(hits) == float((part.targets[:, -10:] == 1).sum())  # argmax takes the first of equals


def test_metrics_count_what_is_scored_and_nothing_else(rng: np.random.Generator) -> None:
    outputs, targets = torch.from_numpy(rng.random((3, 4, 2))), torch.from_numpy(rng.random((3, 4, 2)))
    scored = torch.from_numpy(rng.random((3, 4)) < 0.5)
    total, count = METRICS["mse"](outputs, targets, scored)
    by_hand = [((outputs[i, t] - targets[i, t]) ** 2).mean().item() for i in range(3) for t in range(4) if scored[i, t]]
    assert float(total / count) == pytest.approx(np.mean(by_hand), rel=1e-14)


# --- dynamical systems against integrators of another kind ---


def test_mackey_glass_agrees_with_fixed_steps_of_rk4() -> None:
    """RK4 at h = 17/400, the delayed value at half steps from cubic Hermite interpolation: error of order h⁴."""
    past, h, lag = 1.2, 17 / 400, 400
    x, slope = [past] * (lag + 1), [0.0] * (lag + 1)

    def field(x: float, delayed: float) -> float:
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

    # the slope jumps at t = 0: x' is 0 before, and field(past, past) after
    slope[-1] = field(past, past)
    for n in range(lag, lag + 100 * lag // 17):
        left, right = n - lag, n - lag + 1
        slope_right = 0.0 if right == lag else slope[right]
        middle = (x[left] + x[right]) / 2 + h * (slope[left] - slope_right) / 8
        k1 = field(x[n], x[left])
        k2 = field(x[n] + h / 2 * k1, middle)
        k3 = field(x[n] + h / 2 * k2, middle)
        k4 = field(x[n] + h * k3, x[right])
        x.append(x[n] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slope.append(field(x[-1], x[right]))
    times = np.arange(len(x) - lag) * h
    ours = mackey_glass_series(past, 5, 17.0)
    theirs = [x[lag + 400 * k] for k in range(1, 6)]
    assert times[400 * 5] == pytest.approx(85)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_mackey_glass_does_not_depend_on_its_tolerance() -> None:
    a, b = mackey_glass_series(1.2, 100, 1.0), mackey_glass_series(1.2, 100, 1.0, rtol=1e-7)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    assert 0.2 < a.min() < a.max() < 1.5


def test_lorenz96_is_the_equation_and_its_advection_keeps_the_energy(rng: np.random.Generator) -> None:
    x, F = rng.standard_normal(7), 8.0
    literal = [(x[(i + 1) % 7] - x[i - 2]) * x[i - 1] - x[i] + F for i in range(7)]
    np.testing.assert_allclose(lorenz96_field(x, F), literal, rtol=0, atol=1e-14)
    assert x @ lorenz96_field(x, F) == pytest.approx(-x @ x + F * x.sum(), rel=1e-12)


def test_lorenz96_agrees_with_another_integrator(rng: np.random.Generator) -> None:
    """Over 4 time units, in which the chaos makes an error some e^(1.7·4) = 900 times as large."""
    x0, times = 8 * rng.random(6), np.linspace(0, 4, 21)
    ours = lorenz96_series(x0, 8.0, times)
    other = solve_ivp(lambda _, x: lorenz96_field(x, 8.0), (0, 4), x0, "LSODA", times, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours, other.y.T, rtol=0, atol=1e-6)


def test_fitzhugh_nagumo_agrees_with_another_integrator_and_repeats() -> None:
    x0 = np.array([[-1.0, 1.5], [0.2, -0.3]])  # two neurons
    ours = fitzhugh_nagumo_series(x0, 0.5, 60)
    for k in range(2):
        times = np.arange(60.0)
        other = solve_ivp(
            lambda _, x: fitzhugh_nagumo_field(x, 0.5), (0, 60), x0[:, k], "Radau", times, rtol=1e-9, atol=1e-11
        )
        np.testing.assert_allclose(ours[:, :, k], other.y.T, rtol=0, atol=1e-6)
    v = fitzhugh_nagumo_series(x0, 0.5, 600)[200:, 0, 0]
    lags = range(20, 60)
    best = min(lags, key=lambda lag: float(((v[lag:] - v[:-lag]) ** 2).mean()))
    assert best == SEASON_OF_NEURON


# --- splits of a series ---


def on_a_ramp(values: int, windows: Windows) -> tuple[Task, np.ndarray]:
    """A task whose value tells its place, and the places of the training part's statistics."""
    series = np.arange(float(values))[:, None]
    a = shares(values)[0]
    return forecast("ramp", "", "", series, windows), np.array([series[:a].mean(), series[:a].std()])


@pytest.mark.parametrize("values", [40, 101, 309])
@pytest.mark.parametrize("windows", [Windows(12, 4, 1, 4), Windows(20, 0, 7, None), Windows(9, 8, 3, 2)])
def test_no_target_leaks_over_a_border_and_none_is_scored_twice(values: int, windows: Windows) -> None:
    made, (mean, std) = on_a_ramp(values, windows)
    a, b = np.cumsum(shares(values))[:2]
    for part, lo, hi in zip(parts_of(made), (0, a, b), (a, b, values), strict=True):
        at = np.rint(part.inputs[..., 0].numpy() * std + mean).astype(int)
        target = np.rint(part.targets[..., 0].numpy() * std + mean).astype(int)
        assert (target == at + 1).all()
        assert (np.diff(at, axis=1) == 1).all()
        assert at.min() >= 0
        scored = target[part.scored.numpy()]
        assert scored.min() >= lo
        assert target.max() < hi  # whatever a training window holds lies in the training part
        assert not part.scored[:, : windows.warmup].any()
        if part is not made.train:
            assert sorted(scored) == list(range(lo, hi))


def test_normalisation_knows_the_training_part_only(rng: np.random.Generator) -> None:
    series = rng.standard_normal((100, 2))
    changed = series.copy()
    changed[60:] += 7
    windows = Windows(10, 2, 1, None)
    one, two = (forecast("noise", "", "", s, windows) for s in (series, changed))
    assert torch.equal(one.train.inputs, two.train.inputs)
    assert torch.equal(one.train.targets, two.train.targets)
    assert float(two.test.inputs.mean()) > 5


def test_baselines_are_those_of_the_scored_values() -> None:
    from statsmodels.datasets import sunspots

    x = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    assert len(x) == 309
    a, b = np.cumsum(shares(309))[:2]
    x = (x - x[:a].mean()) / x[:a].std()
    at = np.arange(b, 309)
    found = task("sunspots").test.baselines
    assert found["persistence"] == pytest.approx(((x[at] - x[at - 1]) ** 2).mean(), rel=1e-12)
    assert found["seasonal-naive"] == pytest.approx(((x[at] - x[at - 11]) ** 2).mean(), rel=1e-12)


def test_persistence_by_hand_from_the_tensors() -> None:
    for name in ("mackey-glass", "fitzhugh-nagumo", "co2"):
        part = small(name).test
        total, count = METRICS["mse"](part.inputs, part.targets, part.scored)
        assert float(total / count) == pytest.approx(part.baselines["persistence"], rel=1e-10)
    assert small("mackey-glass").test.baselines["seasonal-naive"] is None


def test_gaps_are_filled_from_the_past() -> None:
    values = np.array([1.0, np.nan, np.nan, 4.0, np.nan])
    np.testing.assert_array_equal(filled_forward(values), [1, 1, 1, 4, 4])
    with pytest.raises(InputError, match="series"):
        filled_forward(np.array([np.nan, 1.0]))


@pytest.mark.parametrize(
    ("name", "values", "gaps"), [("co2", 526, (3, 7, 71, 72, 73)), ("elnino", 732, ()), ("temperatures", 8760, (1731,))]
)
def test_measured_series_are_whole(name: str, values: int, gaps: tuple[int, ...]) -> None:
    made = task(name, stride=1)
    train = made.train
    length = train.inputs.shape[1]
    assert len(train) == shares(values)[0] - length
    assert sum(int(part.scored.sum()) for part in (made.validation, made.test)) == sum(shares(values)[1:])
    series = torch.cat([train.inputs[:, 0, 0], train.targets[-1, :, 0]])  # from the first value to the border
    for gap in gaps:
        assert series[gap] == series[gap - 1]


def test_cities_differ() -> None:
    one, two = (task("temperatures", city=city, stride=100) for city in ("seattle", "san-francisco"))
    assert not torch.equal(one.train.inputs, two.train.inputs)


def test_digits_are_the_images_row_by_row_or_permuted() -> None:
    from sklearn.datasets import load_digits

    images = {
        image.tobytes(): int(digit) for image, digit in zip(load_digits().data, load_digits().target, strict=True)
    }
    rows, pixels = task("digits", 2), task("permuted-digits", 2)
    seen = 0
    for part, scattered in zip(parts_of(rows), parts_of(pixels), strict=True):
        assert part.inputs.shape[1:] == (8, 8)
        assert scattered.inputs.shape[1:] == (64, 1)
        assert torch.equal(part.targets, scattered.targets)
        for image, digit in zip(part.inputs.reshape(-1, 64).numpy() * 16, part.targets.tolist(), strict=True):
            assert images[image.tobytes()] == digit
        seen += len(part)
    assert seen == 1797
    # one order for all: each step is the same pixel in every image
    flat, other = rows.train.inputs.reshape(-1, 64), pixels.train.inputs[..., 0]
    order = np.random.default_rng([2, 64]).permutation(64)
    assert torch.equal(flat[:, order], other)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sums", {}, "`task` must be one of adding"),
        ("adding", {"lenght": 5}, "`option of adding` must be one of length, samples, but is 'lenght'"),
        ("adding", {"length": "five"}, "`length` must be an integer, but is 'five'"),
        ("adding", {"length": 1}, "`length` must be an integer of at least 2, but is 1"),
        ("adding", {"samples": 2.5}, "`samples` must be an integer, but is 2.5"),
        ("adding", {"samples": True}, "`samples` must be an integer, but is True"),
        ("copy", {"delay": 0}, "`delay`"),
        ("lorenz96", {"forcing": "nan"}, "`forcing` must be a finite number, but is 'nan'"),
        ("lorenz96", {"sites": 3}, "`sites`"),
        ("lorenz96", {"forcing": 1e200}, "`forcing` must be a number from -100 to 100, but is 1e+200"),
        ("lorenz96", {"forcing": 0.5, "samples": 120}, "`forcing` must be one whose solution"),
        ("fitzhugh-nagumo", {"current": 1e6}, "`current` must be a number from -10 to 10"),
        ("adding", {"samples": 10**20}, "`samples` must be an integer of at most"),
        ("mackey-glass", {"samples": 10**8}, "`samples` must be an integer of at most"),
        ("sunspots", {"length": 185}, "`length` must be at most 184, for 185 values to train on, but is 185"),
        ("sunspots", {"warmup": 44}, "`warmup` must be less than the window's length 44, but is 44"),
        ("temperatures", {"city": "paris"}, "`city` must be one of seattle, san-francisco, but is 'paris'"),
        ("digits", {"samples": 1798}, "`samples` must be at most 1797"),
    ],
)
def test_what_makes_no_data_set_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        task(name, **options)


def test_a_baseline_is_over_all_that_is_scored_or_none() -> None:
    short = task("fitzhugh-nagumo", trajectories=6, length=60, warmup=5).test.baselines
    assert short["seasonal-naive"] is None
    assert short["persistence"] is not None
    long = task("fitzhugh-nagumo", trajectories=6, length=60, warmup=SEASON_OF_NEURON - 1).test.baselines
    assert long["seasonal-naive"] is not None


def test_data_that_no_machine_holds_are_refused() -> None:
    with pytest.raises(MemoryError, match=r"^data of 1000000000 x 1000000000 x 2 numbers: "):
        task("adding", samples=10**9, length=10**9)


def test_options_given_as_text_are_those_given_as_numbers() -> None:
    one, two = task("adding", length="12", samples="50"), small("adding")
    assert torch.equal(one.train.inputs, two.train.inputs)
    assert task_options("adding") == {"length": 100, "samples": 10_000}
