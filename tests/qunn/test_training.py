"""The training loop: the same bytes however often it is stopped, and numbers that are what they say."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import qunn
import qunn.training.loop
from hamiltonians import files
from hamiltonians.errors import InputError
from qunn import QUNN, URNN, Readout, TorchRNN
from qunn.monitored import Monitored
from qunn.tasks import Task, task
from qunn.tasks.definition import METRICS
from qunn.tasks.forecast import Windows, forecast
from qunn.training.checkpoint import Checkpoint, save_with_torch
from qunn.training.loop import Outcome, make_fabric, train
from qunn.training.models import MODELS, OWN_SIZES, build, build_model, model_options
from qunn.training.room import with_period
from qunn.training.settings import Settings

SETTINGS = Settings("gru", "sunspots", hidden_size=4, batch_size=37, epochs=4, lr=1e-2)


@pytest.fixture(scope="module")
def data() -> Task:
    return task("sunspots", stride=4, length=20, warmup=5)


def fit(settings: Settings, data: Task, folder: Path, **more) -> Outcome:
    folder.mkdir(exist_ok=True)
    return train(make_fabric("cpu"), settings, data, 3, folder, **more)


def log_of(folder: Path) -> list[dict]:
    """Without the seconds, which no two runs share."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same_run(one: Path, two: Path) -> None:
    """Equal weights, optimiser, generators, decisions and logs, bit for bit."""
    for name in ("last.safetensors", "best.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert log_of(one) == log_of(two)
    a, b = Checkpoint.load(one), Checkpoint.load(two)
    assert replace(a.progress, seconds=0) == replace(b.progress, seconds=0)
    assert str(a.optimizer) == str(b.optimizer)
    assert torch.equal(a.order, b.order)
    assert str(a.rng) == str(b.rng)
    results = [json.loads((folder / "result.json").read_text()) | {"seconds": 0} for folder in (one, two)]
    assert results[0] == results[1]
    assert not list(two.glob(".*.part"))


# --- the modules ---


@pytest.mark.parametrize(("kind", "original"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_torch_rnn_is_torchs_module(kind: str, original: type[nn.RNN], tmp_path: Path) -> None:
    ours = TorchRNN(kind, 3, 4, 2, batch_first=True, bidirectional=True, dropout=0.5, dtype=torch.float64).eval()
    theirs = original(3, 4, 2, batch_first=True, bidirectional=True, dtype=torch.float64)
    theirs.load_state_dict(ours.rnn.state_dict())
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    assert torch.equal(ours(x)[0], theirs(x)[0])
    ours.save(tmp_path / "model.safetensors")
    again = qunn.load(tmp_path / "model.safetensors").eval()
    assert again.config() == ours.config()
    assert torch.equal(again(x)[0], ours(x)[0])


def test_readout_reads_the_last_step_of_every_kind_of_input() -> None:
    x, lengths = torch.randn(3, 7, 2, dtype=torch.float64), torch.tensor([5, 7, 1])
    for batch_first in (False, True):
        core = TorchRNN("lstm", 2, 4, batch_first=batch_first, dtype=torch.float64)
        each, last = Readout(core, 3), Readout(core, 3, last=True)
        last.load_state_dict(each.state_dict())
        given = x if batch_first else x.transpose(0, 1)
        y = each(given)[0]
        y = y if batch_first else y.transpose(0, 1)
        assert y.shape == (3, 7, 3)
        torch.testing.assert_close(last(given)[0], y[:, -1], rtol=0, atol=1e-15)
        torch.testing.assert_close(last(x[0])[0], y[0, -1], rtol=0, atol=1e-15)
        packed = pack_padded_sequence(given, lengths, batch_first=batch_first, enforce_sorted=False)
        rows = torch.stack([y[i, n - 1] for i, n in enumerate(lengths)])
        torch.testing.assert_close(last(packed)[0], rows, rtol=0, atol=1e-15)
        padded, _ = pad_packed_sequence(each(packed)[0], batch_first=True)
        torch.testing.assert_close(padded[0, :5], y[0, :5], rtol=0, atol=1e-15)


def test_readout_of_a_complex_core_reads_both_parts(tmp_path: Path) -> None:
    model = build_model("urnn", 2, 4, 3, dtype=torch.float64)
    assert model.linear.in_features == 8
    assert model.linear.weight.dtype == torch.float64
    x = torch.randn(3, 7, 2, dtype=torch.float64)
    y = model.core(x)[0]
    expected = torch.cat([y.real, y.imag], -1) @ model.linear.weight.T + model.linear.bias
    torch.testing.assert_close(model(x)[0], expected, rtol=0, atol=1e-14)
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(qunn.load(tmp_path / "model.safetensors")(x)[0], model(x)[0])


QUNNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "learned": {"clock": "learned", "num_layers": 2},
    "complex": {"skip": "diagonal", "dtype": torch.complex128},
    "no parameters": {"mode": "unitary", "p1": 0.0, "p2": 1.0},
}


@pytest.mark.parametrize("options", QUNNS.values(), ids=QUNNS)
def test_readout_of_a_qunn(options: dict[str, Any], tmp_path: Path) -> None:
    core = QUNN(2, 3, **{"dtype": torch.float64} | options)
    model, x = Readout(core, 2, residual=True), torch.randn(3, 7, 2, dtype=torch.float64)
    y = core(x)[0]
    assert model.complex == y.is_complex()
    assert model.linear.weight.dtype == torch.float64
    features = torch.cat([y.real, y.imag], -1) if y.is_complex() else y
    expected = features @ model.linear.weight.T + model.linear.bias + x
    torch.testing.assert_close(model(x)[0], expected, rtol=0, atol=1e-14)
    first, state = model(x[:, :4])
    rest, _ = model(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), expected, rtol=0, atol=1e-13)
    model.save(tmp_path / "model.safetensors")
    again = qunn.load(tmp_path / "model.safetensors")
    assert again.config() == model.config()
    assert torch.equal(again(x)[0], model(x)[0])
    assert bool(list(core.parameters())) == ("mode" not in options)
    if not model.complex:
        with pytest.raises(InputError, match=r"^`input` must be real, or the core of a complex dtype"):
            model(x.to(torch.complex128))


@pytest.mark.parametrize("kind", ["lstm", "qunn", "urnn"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_residual_adds_the_input_of_every_kind(kind: str, batch_first: bool) -> None:
    double: dict[str, Any] = {"batch_first": batch_first, "dtype": torch.float64}
    core = {
        "lstm": lambda: TorchRNN("lstm", 2, 4, **double),
        "qunn": lambda: QUNN(2, 3, **double),
        "urnn": lambda: URNN(2, 4, **double | {"dtype": torch.complex128}),
    }[kind]()
    plain, model = Readout(core, 2), Readout(core, 2, residual=True)
    model.load_state_dict(plain.state_dict())
    x = torch.randn(4, 4, 2, dtype=torch.float64)
    assert torch.equal(model(x)[0], plain(x)[0] + x)
    assert torch.equal(model(x[0])[0], plain(x[0])[0] + x[0])
    for lengths, in_order in (((2, 4, 1, 4), False), ((4, 4, 2, 2), True)):
        packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=in_order)
        found, _ = pad_packed_sequence(model(packed)[0], batch_first=batch_first)
        read, _ = pad_packed_sequence(plain(packed)[0], batch_first=batch_first)
        given, _ = pad_packed_sequence(packed, batch_first=batch_first)
        assert torch.equal(found, read + given)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_models_are_built_saved_and_loaded(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    own = {"period": 4} if name in OWN_SIZES else {}
    model = build_model(name, 3, 8, 2, num_layers=2, last=True, dtype=dtype, **own)
    x = torch.randn(4, 5, 3, dtype=dtype)
    y, _ = model(x)
    assert (y.shape, y.dtype) == ((4, 2), dtype)
    model.save(tmp_path / "model.safetensors")
    assert torch.equal(qunn.load(tmp_path / "model.safetensors")(x)[0], y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build("mlp", 1, 2), "`model` must be one of rnn"),
        (lambda: build("gru", 1, 2, h=0.1), "`option of gru` must be one of (none), but is 'h'"),
        (lambda: build("gru", 1, 0), "`hidden_size` must be an integer of at least 1, but is 0"),
        (lambda: build("cwrnn", 1, 8, periods="1;2"), "`periods` must be integers with commas between them"),
        (lambda: build("rnn", 1, 2, nonlinearity="sin"), "`nonlinearity` must be one of tanh, relu, but is 'sin'"),
        (lambda: TorchRNN("lstm", 1, 2, nonlinearity="relu"), "`nonlinearity` must be left out"),
        (lambda: TorchRNN("elman", 1, 2), "`kind` must be one of rnn, lstm, gru"),
        (lambda: TorchRNN("gru", 1, 2, dropout=1.5), "`dropout`"),
        (lambda: Readout(nn.Linear(1, 1), 2), "`core` must be a sequence module"),
        (lambda: Readout(TorchRNN("gru", 1, 2), 0), "`output_size`"),
        (lambda: Readout(TorchRNN("gru", 1, 2), 2, residual=True), "`residual` must be False where outputs are not as"),
        (lambda: Readout(TorchRNN("gru", 1, 2), 1, residual=True, last=True), "`residual` must be False where outputs"),
        (lambda: Readout(TorchRNN("gru", 1, 2), 1, residual="yes"), "`residual` must be True or False, but is 'yes'"),
        (lambda: Readout(TorchRNN("gru", 1, 2), 1, last=1), "`last` must be True or False, but is 1"),
        (lambda: build("qunn", 1, 2), "`period` must be an integer of at least 2, but is 0"),
        (lambda: build("qunn", 1, 2, period=10**20), "`period` must be at most 1000000, but is 1"),
        (
            lambda: build("qunn", 1, 2, period=4, hidden_layers=-1),
            "`hidden_layers` must be an integer of at least 1, or",
        ),
        (lambda: build_model("qunn-forecaster", 1, 2, 1, period=4, heads=1001), "`heads` must be at most 1000"),
        (lambda: build_model("qunn-forecaster", 1, 2, 1, skip="scalar"), "`option of qunn-forecaster` must be one of"),
        (lambda: make_fabric("tpu"), "`--device` must be cpu or cuda, but is 'tpu'"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make()


def test_every_model_has_options_with_defaults() -> None:
    assert all(model_options(name) == MODELS[name][1] for name in MODELS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("epochs", 0), ("epochs", 1.5), ("hidden_size", True), ("layers", -1), ("batch_size", 0), ("patience", -1)),
        *(("lr", 0.0), ("lr", math.nan), ("lr", math.inf), ("clip", -1.0), ("dropout", 1.0), ("dtype", "float16")),
        *(("data_seed", -1), ("data_seed", "0"), ("causal_window", 1), ("causal_window", -2), ("causal_window", 2.0)),
        *(("causal_window", 10**20), ("residual", 1)),
    ],
)
def test_settings_name_the_flag_at_fault(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^`--{field.replace('_', '-')}` must be "):
        replace(SETTINGS, **{field: value})


# --- going on ---

VARIANTS = {
    "plain": SETTINGS,
    "dropout": replace(SETTINGS, layers=2, dropout=0.4),
    "patience": replace(SETTINGS, epochs=40, patience=2, lr=0.3),
    "double": replace(SETTINGS, model="urnn", dtype="float64", clip=0.0),
    "qunn": replace(SETTINGS, model="qunn", residual=True, model_options={"period": 4}),
    "qunn-forecaster": replace(SETTINGS, model="qunn-forecaster", model_options={"period": 4, "heads": 2}),
    "normalised": replace(SETTINGS, model="lstm", causal_window=5, residual=True),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_resuming_is_bit_for_bit(variant: str, data: Task, tmp_path: Path) -> None:
    settings = VARIANTS[variant]
    whole = fit(settings, data, tmp_path / "whole")
    parts = [fit(replace(settings, epochs=k), data, tmp_path / "parts") for k in (1, 3, settings.epochs)]
    assert replace(parts[-1], seconds=0) == replace(whole, seconds=0)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_early_stopping_keeps_the_best_epoch(data: Task, tmp_path: Path) -> None:
    outcome = fit(VARIANTS["patience"], data, tmp_path)
    losses = [line["validation_loss"] for line in log_of(tmp_path)]
    assert outcome.stopped == "patience"
    assert outcome.best_loss == min(losses) == losses[outcome.best_epoch - 1]
    assert outcome.epochs == len(losses) == outcome.best_epoch + 2 < 40
    best = qunn.load(tmp_path / "best.safetensors")
    part = data.test.to(torch.float32)
    with torch.no_grad():
        total, count = METRICS["mse"](best(part.inputs)[0], part.targets, part.scored)
    assert outcome.test == {"mse": pytest.approx(float(total / count), rel=1e-5)}


class Killed(BaseException):
    """What no `except Exception` stops, as a kill."""


def test_a_kill_at_any_write_loses_nothing(data: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each rename in turn; training.pt, the weights and the log never come from two epochs after resuming."""
    settings = replace(SETTINGS, epochs=3)
    real, renames = os.replace, 0

    def counting(source: str, target: str) -> None:
        nonlocal renames
        renames += 1
        if renames == doomed:
            raise Killed
        real(source, target)

    doomed = 0
    monkeypatch.setattr(files.os, "replace", counting)
    fit(settings, data, tmp_path / "whole")
    total = renames
    assert total >= 1 + 1 + 3 * 2 + 1  # the beginning, three epochs, the result; the best beside them
    for doomed in range(1, total + 1):
        folder, renames = tmp_path / f"killed-{doomed}", 0
        with pytest.raises(Killed):
            fit(settings, data, folder)
        monkeypatch.setattr(files.os, "replace", real)
        fit(settings, data, folder)
        assert_same_run(tmp_path / "whole", folder)
        monkeypatch.setattr(files.os, "replace", counting)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_ctrl_c_in_an_epoch_repeats_it(batch: int, data: Task, tmp_path: Path) -> None:
    settings = replace(SETTINGS, layers=2, dropout=0.4, batch_size=16)
    fit(settings, data, tmp_path / "whole")
    seen = 0

    def report(what: str, done: int, total: int | None) -> None:
        nonlocal seen
        seen += 1
        if seen == batch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(settings, data, tmp_path / "stopped", report=report)
    fit(settings, data, tmp_path / "stopped")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_log_cut_short_is_mended(data: Task, tmp_path: Path) -> None:
    fit(SETTINGS, data, tmp_path / "whole")
    fit(replace(SETTINGS, epochs=2), data, tmp_path / "cut")
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_')  # killed while it wrote the line of an epoch that has no training.pt
    (tmp_path / "cut" / "last.safetensors").write_bytes(b"")
    fit(SETTINGS, data, tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_broken_state_is_an_error(content: bytes | None, data: Task, tmp_path: Path) -> None:
    if content is None:
        torch.save({"format": 99}, tmp_path / "training.pt")
    else:
        (tmp_path / "training.pt").write_bytes(content)
    with pytest.raises(InputError, match="must be the state of a training run, but cannot be read"):
        fit(SETTINGS, data, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("best", 3), ("rng", []), ("optimizer", {}), ("order", torch.ones(5056)), ("last", {}), ("epoch", "x")),
        *(("rng", [{}]), ("last", None), ("best_loss", math.nan), ("epoch", -1)),
    ],
)
def test_a_wrong_state_is_refused_before_anything_is_written(
    key: str, value: object, data: Task, tmp_path: Path
) -> None:
    fit(replace(SETTINGS, epochs=2), data, tmp_path)
    content = torch.load(tmp_path / "training.pt", weights_only=True)
    (content if key in content else content["progress"])[key] = value
    torch.save(content, tmp_path / "training.pt")
    refused(SETTINGS, data, tmp_path, "training.pt: `file` must be the state of ")


@pytest.mark.parametrize("other", [{"hidden_size": 5}, {"dtype": "float64"}, {"lr": 0.5}, {"layers": 2}])
def test_the_state_of_another_run_is_refused(other: dict, data: Task, tmp_path: Path) -> None:
    fit(replace(SETTINGS, epochs=2), data, tmp_path)
    refused(replace(SETTINGS, **other), data, tmp_path, "must be the state of this very run, but does not fit it")


@pytest.mark.parametrize("text", [None, "", "garbage\n" * 2, '{"epoch": 1}\n{"epoch": 2}', '{"epoch": 2}\n' * 2])
def test_a_log_of_other_epochs_is_refused(text: str | None, data: Task, tmp_path: Path) -> None:
    fit(replace(SETTINGS, epochs=2), data, tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    refused(SETTINGS, data, tmp_path, "`metrics.jsonl` must hold a line for each of the 2 epochs of training.pt")


def test_a_log_without_a_state_begins_anew(data: Task, tmp_path: Path) -> None:
    fit(replace(SETTINGS, epochs=2), data, tmp_path)
    (tmp_path / "training.pt").unlink()
    fit(replace(SETTINGS, epochs=3), data, tmp_path)
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2, 3]


def refused(settings: Settings, data: Task, folder: Path, message: str) -> None:
    """An InputError that leaves every file as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=re.escape(message)):
        fit(settings, data, folder)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_state_holds_tensors_and_plain_types_only(data: Task, tmp_path: Path) -> None:
    fit(replace(SETTINGS, epochs=1), data, tmp_path)
    content = torch.load(tmp_path / "training.pt", weights_only=True)
    assert {"progress", "last", "best", "optimizer", "order", "rng"} <= set(content)


def test_tensorboard_has_every_epoch_once(data: Task, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for epochs in (2, 4):
        fit(replace(SETTINGS, epochs=epochs), data, tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curve = events.Scalars("validation/mse")
    assert [event.step for event in curve] == [1, 2, 3, 4]
    for event, line in zip(curve, log_of(tmp_path), strict=True):
        assert event.value == pytest.approx(line["validation_loss"], rel=1e-6)


# --- what a run says ---


def test_divergence_ends_a_run_and_keeps_the_epoch_before(data: Task, tmp_path: Path) -> None:
    fit(replace(SETTINGS, epochs=2), data, tmp_path)
    before = (tmp_path / "last.safetensors").read_bytes()
    poisoned = replace(data, train=replace(data.train, targets=data.train.targets * math.inf))
    outcome = fit(SETTINGS, poisoned, tmp_path)
    assert (outcome.stopped, outcome.diverged_at, outcome.epochs, outcome.test) == ("diverged", 3, 2, None)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert len(log_of(tmp_path)) == 2


def test_divergence_in_the_first_epoch(data: Task, tmp_path: Path) -> None:
    outcome = fit(replace(SETTINGS, lr=1e30, clip=0.0), data, tmp_path)
    assert (outcome.stopped, outcome.diverged_at, outcome.best_epoch) == ("diverged", 1, None)
    assert not (tmp_path / "best.safetensors").exists()
    assert all(torch.isfinite(p).all() for p in qunn.load(tmp_path / "last.safetensors").parameters())


def test_clipping_bounds_the_step(data: Task, tmp_path: Path) -> None:
    free = fit(replace(SETTINGS, epochs=1, clip=0.0), data, tmp_path / "free")
    loose = fit(replace(SETTINGS, epochs=1, clip=1e6), data, tmp_path / "loose")
    tight = fit(replace(SETTINGS, epochs=1, clip=1e-9), data, tmp_path / "tight")
    assert free.best_loss == loose.best_loss != tight.best_loss


def test_scores_do_not_depend_on_the_batches(data: Task, tmp_path: Path) -> None:
    outcomes = {}
    for size in (1, 3, 1000):
        settings = replace(SETTINGS, epochs=1, dtype="float64", lr=1e-12, batch_size=size)
        outcomes[size] = fit(settings, data, tmp_path / str(size)).test["mse"]
    assert outcomes[1] == pytest.approx(outcomes[1000], abs=1e-9)
    assert outcomes[3] == pytest.approx(outcomes[1000], abs=1e-9)


def test_invariants_of_a_monitored_core_are_logged(data: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(TorchRNN, Monitored):
        def invariants(self) -> dict[str, float]:
            return {"norm": float(self.rnn.weight_hh_l0.detach().norm())}

    def watched(_settings: Settings, _data: Task) -> Readout:
        return Readout(Watched("gru", 1, 4, batch_first=True), 1)

    monkeypatch.setattr(qunn.training.loop, "new_model", watched)
    fit(SETTINGS, data, tmp_path)
    numbers = [line["invariants"]["norm"] for line in log_of(tmp_path)]
    last = Checkpoint.load(tmp_path).last["core.rnn.weight_hh_l0"]
    assert numbers[-1] == pytest.approx(float(last.norm()))
    assert len(set(numbers)) == SETTINGS.epochs


@pytest.mark.parametrize("causal_window", [0, 5])
def test_invariants_of_a_qunn_are_logged(causal_window: int, data: Task, tmp_path: Path) -> None:
    own = {"period": 4, "heads": 2}
    settings = replace(SETTINGS, model="qunn-forecaster", causal_window=causal_window, model_options=own)
    fit(settings, data, tmp_path)
    last = qunn.load(tmp_path / "last.safetensors")
    numbers = [line["invariants"] for line in log_of(tmp_path)]
    assert numbers[-1] == (last.model if causal_window else last).invariants()
    assert all(0 <= one["p1_least"] <= one["p1_largest"] <= 1 for one in numbers)
    assert numbers[0] != numbers[-1]


def test_the_period_is_the_tasks_or_what_its_whole_training_part_shows(data: Task) -> None:
    settings = Settings("qunn", "sunspots", model_options=model_options("qunn"))
    assert with_period(settings, data).model_options == {**model_options("qunn"), "period": 11}
    assert with_period(replace(settings, model_options={"period": 7}), data).model_options == {"period": 7}
    assert with_period(SETTINGS, data) == SETTINGS
    t = np.arange(300)
    noise = np.random.default_rng(0).normal(size=(300, 2))
    waves = np.stack([np.sin(2 * np.pi * t / 30), np.cos(2 * np.pi * t / 30) ** 3], 1) + 0.3 * noise
    windows = Windows(length=40, warmup=5, stride=10, season=None)  # too short for thirty steps
    found = with_period(settings, forecast("waves", "", "", waves, windows)).model_options["period"]
    assert found == 30
    for series in (noise, np.r_[noise[:25]]):
        none = forecast("noise", "", "", series, replace(windows, length=8))
        with pytest.raises(InputError, match=r"^`period` must be given by --model-option period=N: none is found in"):
            with_period(settings, none)


def test_a_network_learns_better_than_persistence(data: Task, tmp_path: Path) -> None:
    outcome = fit(replace(SETTINGS, hidden_size=16, epochs=60, batch_size=8), data, tmp_path)
    assert outcome.test["mse"] < 0.6 * data.test.baselines["persistence"]


def test_classes_are_learned(tmp_path: Path) -> None:
    digits = task("digits", samples=600)
    settings = Settings("gru", "digits", hidden_size=24, epochs=12, lr=1e-2)
    outcome = fit(settings, digits, tmp_path)
    assert set(outcome.test) == {"accuracy", "cross_entropy"}
    assert outcome.test["accuracy"] > 0.75


# --- several processes ---


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    """36 windows in batches of 35: shares of 18 and 17, then of one and none; validation has two windows."""
    settings = Settings("lstm", "sunspots", hidden_size=4, epochs=3, batch_size=35, dtype="float64")
    one = train(make_fabric("cpu"), settings, task("sunspots", stride=4), 0, tmp_path)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "qunn.train", "--json", "--quiet"),
        *("--model", "lstm", "--task", "sunspots", "--task-option", "stride=4", "--dtype", "float64"),
        *("--hidden-size", "4", "--epochs", "3", "--batch-size", "35", "--out", str(tmp_path / "two")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)  # one object: only one process prints
    assert two["processes"] == 2
    assert two["test_mean"] == pytest.approx(one.test["mse"], rel=1e-12)
    for a, b in zip(log_of(tmp_path), log_of(tmp_path / "two" / "seed-0"), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-12)
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-12)


FAILING = """
import os, sys
from qunn import Readout
from qunn.command import run
from qunn.implicit import NotConverged
from qunn.train import main
import qunn.training.loop as loop

forward, train = Readout.forward, loop.train

def fail(*_):
    raise NotConverged("no solution")

def failing(self, *given):
    y, h = forward(self, *given)
    if os.environ["RANK"] == "1":
        if where == "backward" and self.training:
            y.register_hook(fail)
        elif where == "training" and self.training or where == "validation" and not self.training:
            fail()
    return y, h

def told(fabric, settings, data, seed, *more):
    global where
    where = ("training", "backward", "validation")[seed]
    return train(fabric, settings, data, seed, *more)

Readout.forward, loop.train = failing, told
run(main, "qunn.train")
"""


@pytest.mark.slow
def test_stages_unsolved_in_one_process_end_the_run_of_all(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", str(script), "--json", "--quiet"),
        *("--model", "lstm", "--task", "sunspots", "--task-option", "stride=4", "--hidden-size", "4"),
        *("--epochs", "3", "--seeds", "3", "--out", str(tmp_path / "run")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stdout)
    assert found["diverged"] == [0, 1, 2], done.stderr
    assert [one["diverged_at"] for one in found["runs"]] == [1, 1, 1]
    assert {one["reason"] for one in found["runs"]} == {"the implicit stages of another process did not converge"}


def test_ctrl_c_while_a_checkpoint_is_written_stays_one() -> None:
    """torch's writer makes a RuntimeError of it."""

    class Interrupted(io.BytesIO):
        writes = 0

        def write(self, data: bytes) -> int:
            self.writes += 1
            if self.writes == 2:
                raise KeyboardInterrupt
            return super().write(data)

    with pytest.raises(RuntimeError):
        torch.save({"a": torch.zeros(3)}, Interrupted())
    with pytest.raises(KeyboardInterrupt):
        save_with_torch({"a": torch.zeros(3)}, Interrupted())
