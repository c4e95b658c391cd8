"""The model that a run's settings name, and the memory that the run will need."""

from __future__ import annotations

from dataclasses import replace

import torch

from hamiltonians.memory import require_memory
from qunn.networks.readout import Readout
from qunn.tasks.definition import Task
from qunn.training.models import build_readout
from qunn.training.settings import Settings


def torch_dtype(settings: Settings) -> torch.dtype:
    """The dtype that the settings name."""
    return torch.float64 if settings.dtype == "float64" else torch.float32


def new_model(settings: Settings, task: Task) -> Readout:
    """The core that the settings name under a read-out that fits the task, drawn from torch's global generator."""
    return build_readout(
        settings.model,
        task.input_size,
        settings.hidden_size,
        task.output_size,
        last=not task.per_step,
        num_layers=settings.layers,
        dropout=settings.dropout,
        dtype=torch_dtype(settings),
        **settings.model_options,
    )


def require_room(settings: Settings, task: Task, device: str) -> None:
    """Refuse a run that needs more memory than is free, before anything of it is made.

    Counted are the weights, their gradients, Adam's moments, the copies of the last and best epoch, the data in the
    run's dtype, and the states of one batch that a backward pass reads.

    Raises
    ------
    MemoryEstimateError : states what is needed and what is free.
    """
    size = torch_dtype(settings).itemsize
    data = sum(
        size * part.inputs.numel() + size * part.targets.numel() + part.scored.numel()
        for part in (task.train, task.validation, task.test)
    )
    rows, steps = min(settings.batch_size, len(task.train)), task.train.inputs.shape[1]
    states = size * rows * steps * settings.hidden_size * settings.layers
    weights = _weight_bytes(settings, task)
    on_host = 6 * weights + data + states if device == "cpu" else 3 * weights
    require_memory(
        on_host,
        f"{settings.model} with {settings.layers} x {settings.hidden_size} units on {settings.task}",
        "a smaller `--hidden-size`, `--layers` or `--batch-size` needs less",
    )


def _weight_bytes(settings: Settings, task: Task) -> int:
    """Of the model; where it cannot be built without memory, of torch's plain RNN, with as many units."""
    try:
        with torch.device("meta"):
            model = new_model(settings, task)
    except RuntimeError:
        with torch.device("meta"):
            plain = replace(settings, model="rnn", model_options={})
            model = new_model(plain, task)
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())
