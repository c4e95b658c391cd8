"""A network that goes on by itself: each output is the next input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hamiltonians.errors import InputError, must_be
from qunn.sequence import check_size


def generated(model: nn.Module, prompt: Tensor, steps: int, state: Any, batch_first: bool) -> Tensor:
    """The `steps` outputs that follow the prompt when each is fed back as the next input."""
    check_size("steps", steps)
    if not isinstance(prompt, Tensor):
        raise must_be("prompt", "a tensor", type(prompt).__name__)
    output, state = model(prompt, state)
    time = 1 if batch_first and prompt.dim() == 3 else 0
    made = [output.narrow(time, output.shape[time] - 1, 1)]
    for i in range(1, steps + 1):
        if not bool(torch.isfinite(made[-1]).all()):
            raise InputError(
                f"`steps` must end before the predictions diverge, but prediction {i} of {steps} is not finite", "steps"
            )
        if i < steps:
            output, state = model(made[-1], state)
            made.append(output)
    return torch.cat(made, time)
