"""The model that a run's settings name, and the memory that the run will need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from hamiltonians.errors import InputError, must_be
from hamiltonians.memory import require_memory
from qunn.networks.normalised import CausallyNormalised, Forecaster
from qunn.quantum.network import QUNN
from qunn.tasks.definition import Task
from qunn.training.models import OWN_SIZES, build_model
from qunn.training.settings import Settings


def torch_dtype(settings: Settings) -> torch.dtype:
    """The dtype that the settings name."""
    return torch.float64 if settings.dtype == "float64" else torch.float32


def new_model(settings: Settings, task: Task) -> Forecaster | CausallyNormalised:
    """The model that the settings name with a read-out that fits the task, drawn from torch's global generator."""
    if (settings.residual or settings.causal_window) and not task.forecasts:
        flag = "--residual" if settings.residual else "--causal-window"
        value = True if settings.residual else settings.causal_window
        raise must_be(flag, f"left out: {task.name} is no forecast of its own input", value)
    model = build_model(
        settings.model,
        task.input_size,
        settings.hidden_size,
        task.output_size,
        last=not task.per_step,
        residual=settings.residual,
        num_layers=settings.layers,
        dropout=settings.dropout,
        dtype=torch_dtype(settings),
        **settings.model_options,
    )
    if not settings.causal_window:
        return model
    return CausallyNormalised(model, settings.causal_window)


def with_period(settings: Settings, task: Task) -> Settings:
    """period=0 of a QUNN replaced by the task's own, or by the one that its training part shows.

    Raises
    ------
    InputError : no period is found.
    """
    if settings.model_options.get("period") != 0:
        return settings
    period = task.period
    if period is None:
        from qunn.period import estimate_period

        try:
            period = estimate_period(task.train.inputs[0] if task.series is None else task.series).value
        except InputError:  # too short, or constant
            period = None
    if period is None:
        raise must_be("period", f"given by --model-option period=N: none is found in {task.name}", 0)
    return replace(settings, model_options={**settings.model_options, "period": period})


def require_period(settings: Settings, task: Task) -> None:
    """Refuse a period of which the data do not hold one.

    Raises
    ------
    InputError : a period longer than the series to train on, or than the sequences of a task without one.
    """
    period = settings.model_options.get("period", 0)
    known = task.train.inputs.shape[1] if task.series is None else len(task.series)
    if period > known:
        raise must_be("period", f"at most {known}, the values of {task.name} to train on in one piece", period)


def require_room(settings: Settings, task: Task, device: str) -> None:
    """Refuse a run that needs more memory than is free, before anything of it is made.

    Counted are the weights, their gradients, Adam's moments, the copies of the last and best epoch, the data in the
    run's dtype, and the states of one batch that a backward pass reads; of a QUNN what it holds itself.

    Raises
    ------
    MemoryEstimateError : states what is needed and what is free.
    """
    size = torch_dtype(settings).itemsize
    what, way_out = _described(settings)
    if settings.model in OWN_SIZES:  # a QUNN draws its p's on the host, on any device
        require_memory(_least_bytes(settings.model_options, task.input_size), what, way_out)
    data = sum(
        size * part.inputs.numel() + size * part.targets.numel() + part.scored.numel()
        for part in (task.train, task.validation, task.test)
    )
    rows, steps = min(settings.batch_size, len(task.train)), task.train.inputs.shape[1]
    model = _without_memory(settings, task)
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    qunns = [part for part in model.modules() if isinstance(part, QUNN)]
    states = sum(part.bytes_needed(rows, steps, device) for part in qunns)
    states = states if qunns else size * rows * steps * settings.hidden_size * settings.layers
    if isinstance(model, CausallyNormalised):
        states += model.bytes_needed(rows, steps)
    require_memory(6 * weights + data + states if device == "cpu" else 3 * weights, what, way_out)


def _described(settings: Settings) -> tuple[str, str]:
    """The run in a few words, and what would need less memory."""
    own = settings.model_options
    sizes, smaller = f"{settings.layers} x {settings.hidden_size} units", "`--hidden-size`, `--layers`"
    if settings.model in OWN_SIZES:
        names = [name for name in ("period", "hidden_layers", "size", "heads") if own.get(name)]
        sizes, smaller = ", ".join(f"{name}={own[name]}" for name in names), "`period`, `hidden_layers`"
    if settings.causal_window:
        sizes += f" and windows of {settings.causal_window}"
        smaller += ", `--causal-window`"
    return f"{settings.model} with {sizes} on {settings.task}", f"a smaller {smaller} or `--batch-size` needs less"


def _least_bytes(own: Mapping[str, Any], m: int) -> int:
    """Of QUNNs with these options: parameters, Adam's moments, gradients, and one element in all layers."""
    N, L = own["period"], own["hidden_layers"] or own["period"]
    return 64 * (own.get("heads", 1) * (N + L + own.get("size", 0) * m) + L * N)


def _without_memory(settings: Settings, task: Task) -> torch.nn.Module:
    """The model on no device; where it cannot be built there, torch's plain RNN, with as many units."""
    try:
        with torch.device("meta"):
            return new_model(settings, task)
    except RuntimeError:
        with torch.device("meta"):
            return new_model(replace(settings, model="rnn", model_options={}), task)
