"""What determines a training run. Importing this loads no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from hamiltonians.errors import must_be, one_of

DTYPES = ("float32", "float64")
#: no machine has more; below them no product of sizes overflows and no step of Adam is out of float32's range
MOST = {"hidden_size": 10**8, "layers": 1000, "batch_size": 10**9, "epochs": 10**9}
LARGEST = 1e30
LONGEST = 10**9
LAST_SEED = 2**32 - 1


@final
@dataclass(frozen=True)
class Settings:
    """What determines a run, beside its seed.

    Attributes
    ----------
    batch_size : of all processes together. lr : of Adam. clip : the largest norm of a gradient, 0: any.
    patience : epochs without a lower validation loss before a run stops, 0: never.
    residual : a forecast is that of the change from the last value.
    causal_window : forecasts are normalised by the last so many values (`qunn.CausallyNormalised`), 0: not.
    data_seed : of the task, the same for all seeds of a run.

    hidden_size, layers and dropout are not for models in `qunn.training.models.OWN_SIZES`.
    """

    model: str
    task: str
    hidden_size: int = 32
    layers: int = 1
    dropout: float = 0.0
    batch_size: int = 32
    lr: float = 1e-3
    clip: float = 1.0
    epochs: int = 100
    patience: int = 20
    residual: bool = False
    causal_window: int = 0
    dtype: str = "float32"
    data_seed: int = 0
    model_options: Mapping[str, Any] = field(default_factory=dict)
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "batch_size", "epochs"):
            value, most = getattr(self, name), MOST[name]
            _check(name, value, int, "an integer of at least 1", lambda x: x >= 1)
            if value > most:
                _check(name, value, int, f"an integer of at most {most}", lambda _: False)
        _check("causal_window", self.causal_window, int, "0, or an integer of at least 2", lambda x: x == 0 or x >= 2)
        _check("causal_window", self.causal_window, int, f"at most {LONGEST}", lambda x: x <= LONGEST)
        _check("patience", self.patience, int, "an integer of at least 0", lambda x: x >= 0)
        seeds = f"an integer from 0 to {LAST_SEED}"
        _check("data_seed", self.data_seed, int, seeds, lambda x: 0 <= x <= LAST_SEED)
        _check("lr", self.lr, float, "a positive number", lambda x: 0 < x < math.inf)
        _check("clip", self.clip, float, "a positive number, or 0 for none", lambda x: 0 <= x < math.inf)
        for name in ("lr", "clip"):
            _check(name, getattr(self, name), float, f"a number of at most {LARGEST:g}", lambda x: x <= LARGEST)
        _check("dropout", self.dropout, float, "a probability in [0, 1)", lambda x: 0 <= x < 1)
        if self.dtype not in DTYPES:
            raise must_be("--dtype", one_of(DTYPES), self.dtype)
        if not isinstance(self.residual, bool):
            raise must_be("--residual", "True or False", self.residual)
        for name in ("model", "task"):
            if not isinstance(getattr(self, name), str):
                raise must_be(f"--{name}", "a name", getattr(self, name))
            options = getattr(self, f"{name}_options")
            if not isinstance(options, Mapping):
                raise must_be(f"{name}_options", "options by their names", options)


def _check(name: str, value: Any, kind: type, allowed: str, fits: Callable[[Any], bool]) -> None:
    right = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not (right and fits(value)):
        raise must_be("--" + name.replace("_", "-"), allowed, value)
