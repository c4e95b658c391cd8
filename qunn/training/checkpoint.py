"""The state of a training run on disk, so that a run killed at any moment goes on as if nothing had happened.

`training.pt` alone is the truth: it holds the weights of the last and of the best epoch, the optimiser and every
generator of random numbers, and it is replaced by one rename. `last.safetensors` and `best.safetensors` are copies for
`qunn.load`; a kill between the renames leaves them an epoch behind, and resuming writes them anew from `training.pt`.
The line of an epoch in `metrics.jsonl` is written before its `training.pt`; resuming cuts off what lies beyond.
"""

from __future__ import annotations

import json
import math
import pickle
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from hamiltonians.errors import InputError, must_be
from hamiltonians.files import written_atomically

FORMAT = 1
STATE, LOG = "training.pt", "metrics.jsonl"
#: what a file of the right format and the wrong content leads to
WRONG = (TypeError, LookupError, RuntimeError, ValueError, AttributeError, ArithmeticError)
Weights = dict[str, Tensor]


@dataclass
class Progress:
    """How far a run is; all zero and None before the first epoch.

    Attributes
    ----------
    epoch : whole epochs done. best_epoch, best_loss : of the lowest validation loss. seconds : of training so far.
    """

    epoch: int = 0
    best_epoch: int | None = None
    best_loss: float | None = None
    seconds: float = 0.0


@dataclass
class Checkpoint:
    """Everything that the next epoch depends on.

    Attributes
    ----------
    last, best : weights after the last and the best epoch; `best` is None before the first.
    optimizer : its state_dict. order : the generator that shuffles the training data.
    rng : a `rng_state` of every process.
    """

    progress: Progress
    last: Weights
    best: Weights | None
    optimizer: dict[str, Any]
    order: Tensor
    rng: list[dict[str, Any]]

    def save(self, folder: Path) -> None:
        """Replace `training.pt` in the folder."""
        content = dict(vars(self)) | {"progress": asdict(self.progress), "format": FORMAT}
        with written_atomically(folder / STATE) as file:
            save_with_torch(content, file)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Read `training.pt`, tensors and plain types only.

        Raises
        ------
        InputError : a file that cannot be read, or is none of this format.
        """
        path = folder / STATE
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content.pop("format") != FORMAT:
                raise KeyError("format")
            found = cls(progress=Progress(**content.pop("progress")), **content)
            found.check()
        except (OSError, EOFError, pickle.UnpicklingError, *WRONG) as error:
            raise InputError(
                f"{path}: `file` must be the state of a training run, but cannot be read", STATE
            ) from error
        return found

    def check(self) -> None:
        """Refuse what no run can have stored; whether it fits a certain run is for that to find out.

        Raises
        ------
        InputError : a part of the wrong kind.
        """
        at = self.progress
        best = self.best is None or _are_weights(self.best)
        agree = (self.best is None) == (at.best_epoch is None) == (at.best_loss is None) == (at.epoch == 0)
        for name, fits in (
            ("epoch", _whole(at.epoch) and at.epoch >= 0),
            ("best_epoch", at.best_epoch is None or (_whole(at.best_epoch) and 1 <= at.best_epoch <= at.epoch)),
            ("best_loss", at.best_loss is None or (isinstance(at.best_loss, float) and math.isfinite(at.best_loss))),
            ("seconds", isinstance(at.seconds, int | float) and 0 <= at.seconds < math.inf),
            ("last", _are_weights(self.last)),
            ("best", best and agree),
            ("optimizer", isinstance(self.optimizer, dict)),
            ("order", isinstance(self.order, Tensor)),
            ("rng", isinstance(self.rng, list) and all(isinstance(one, dict) for one in self.rng)),
        ):
            if not fits:
                raise must_be(name, "as a run stores it", "something else")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_weights(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, Tensor) for one in value.values())


def weights_of(module: torch.nn.Module) -> Weights:
    """A copy of the module's weights on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}


def rng_state(device: torch.device) -> dict[str, Any]:
    """Of this process: torch's, CUDA's, numpy's and Python's generators, as tensors and plain types."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - a model may use the global generator
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), *rest),
        "python": random.getstate(),
    }


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on from what `rng_state` gave."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - see above
    random.setstate(state["python"])


def seed_all(seed: int, rank: int) -> None:
    """Seed torch, numpy and Python; every process of a run draws its own dropout."""
    derived = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
    torch.manual_seed(derived)
    np.random.seed(derived)  # noqa: NPY002 - see above
    random.seed(derived)


def append_line(folder: Path, line: dict[str, Any]) -> None:
    """Add an epoch to `metrics.jsonl`."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def check_log(folder: Path, epoch: int) -> None:
    """Refuse a `metrics.jsonl` that does not begin with the lines of the epochs 1 to `epoch`.

    Raises
    ------
    InputError : no such file, a line that is cut, garbage, or another epoch's.
    """
    path = folder / LOG
    try:
        lines = path.read_bytes().splitlines(keepends=True) if epoch else []
    except OSError:
        lines = []
    for k in range(1, epoch + 1):
        if k > len(lines) or not _is_line(lines[k - 1], k):
            what = f"a line for each of the {epoch} epochs of {STATE}, but has none of epoch {k} as line {k}"
            raise InputError(f"{path}: `{LOG}` must hold {what}", LOG)


def _is_line(text: bytes, epoch: int) -> bool:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return text.endswith(b"\n") and isinstance(line, dict) and line.get("epoch") == epoch


def cut_log(folder: Path, epoch: int) -> None:
    """Drop what `metrics.jsonl` holds of epochs after this one, a line that a kill cut short among them."""
    path = folder / LOG
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = lines[:epoch]
    if kept != lines:
        with written_atomically(path) as file:
            file.writelines(kept)


def save_with_torch(content: Any, file: IO[bytes]) -> None:
    """torch.save, whose writer turns a Ctrl-C into a RuntimeError of its own: it becomes a KeyboardInterrupt again."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        cause = error.__context__
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__context__
        if cause is None:
            raise
        raise KeyboardInterrupt from error
