"""What a task is: three parts of data, how an output is scored, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hamiltonians.memory import require_memory

#: training, validation and test take these shares of a data set, in this order
SHARES = (0.6, 0.2, 0.2)

#: (outputs, targets, scored) -> the sum over what is counted and how many that are, so that parts of a batch add up
Statistic = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@final
@dataclass(frozen=True)
class Part:
    """Training, validation or test data.

    Attributes
    ----------
    inputs : [n, T, m].
    targets : regression [n, T, p] (at every step) or [n, p] (after the last); classification [n, T] or [n], integers.
    scored : [n, T] or [n], whether a target counts. Forecasts are not scored before the network has seen a little of
        the past, and no value of a series is scored twice in validation or test.
    baselines : what needs no training scores in the task's first metric on this part; None where it does not apply.
    """

    inputs: Tensor
    targets: Tensor
    scored: Tensor
    baselines: Mapping[str, float | None]

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Part:
        """With inputs and real targets of this dtype, all on this device."""
        targets = self.targets.to(dtype) if self.targets.is_floating_point() else self.targets
        return replace(
            self,
            inputs=self.inputs.to(device, dtype),
            targets=targets.to(device),
            scored=self.scored.to(device),
        )


@final
@dataclass(frozen=True)
class Task:
    """A data set with a fixed split and its scores.

    Attributes
    ----------
    kind : "regression" (the loss is the squared error, mean over features) or "classification" (cross-entropy, nats).
    per_step : whether there is a target at every step, or one after the last.
    metrics : names in METRICS; baselines are in the first.
    period : season of the seasonal-naive baseline, where there is one.
    series : the training part in one piece [L, m], where the task is that of one series.
    """

    name: str
    description: str
    source: str
    input_size: int
    output_size: int
    kind: str
    per_step: bool
    metrics: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    period: int | None = None
    series: Tensor | None = None

    @property
    def forecasts(self) -> bool:
        """Whether a target may be the next input: a regression at every step, with as many features."""
        return self.kind == "regression" and self.per_step and self.input_size == self.output_size

    @property
    def loss(self) -> str:
        """The name of what is trained on, a key of METRICS."""
        return "mse" if self.kind == "regression" else "cross_entropy"


def _squared_error(outputs: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    return _total((outputs - targets).square().mean(-1), scored)


def _cross_entropy(outputs: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    losses = functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none")
    return _total(losses.view_as(targets), scored)


def _accuracy(outputs: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    return _total((outputs.argmax(-1) == targets).to(outputs.dtype), scored)


def _recall(outputs: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Accuracy where the target is a symbol: class 0 is the blank, which is easy."""
    return _accuracy(outputs, targets, scored & (targets != 0))


def _total(values: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    return (values * counted).sum(), counted.sum()


METRICS: dict[str, Statistic] = {
    "mse": _squared_error,
    "cross_entropy": _cross_entropy,
    "accuracy": _accuracy,
    "recall": _recall,
}


def shares(n: int) -> tuple[int, int, int]:
    """How many of n things go to training, validation and test; each gets at least one where n ≥ 3."""
    rest = max(1, round(n * SHARES[1])), max(1, round(n * SHARES[2]))
    return n - sum(rest), *rest


def parts(
    inputs: NDArray[Any], targets: NDArray[Any], baselines: Callable[[NDArray[Any]], Mapping[str, float | None]]
) -> tuple[Part, Part, Part]:
    """Independent samples split in their order; `baselines` maps the targets of a part to its scores."""
    made, start = [], 0
    for size in shares(len(inputs)):
        x, y = inputs[start : start + size], targets[start : start + size]
        dims = y.ndim if np.issubdtype(y.dtype, np.integer) else y.ndim - 1
        scored = torch.ones(y.shape[:dims], dtype=torch.bool)
        made.append(Part(torch.from_numpy(x), torch.from_numpy(y), scored, baselines(y)))
        start += size
    return made[0], made[1], made[2]


def require_data(rows: int, steps: int, features: int) -> None:
    """Refuse data [rows, steps, features] that do not fit into memory, before they are drawn.

    Raises
    ------
    MemoryEstimateError : inputs, targets and a copy on the way there need more than is free.
    """
    way_out = "smaller `--task-option` sizes need less"
    require_memory(3 * 8 * rows * steps * features, f"data of {rows} x {steps} x {features} numbers", way_out)


def mean_or_none(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if len(values) else None
