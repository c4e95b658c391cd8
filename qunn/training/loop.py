"""The training loop: epochs, early stopping, checkpoints and logs of one seed, on one process or several.

Processes share each batch: every one takes its part of the same global batch, so that the gradient is that of the whole
batch whatever their number.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from hamiltonians.errors import InputError, must_be
from hamiltonians.files import written_atomically
from qunn.implicit import NotConverged
from qunn.monitored import Monitored
from qunn.storage import save
from qunn.tasks.definition import METRICS, Part, Task
from qunn.training.checkpoint import (
    STATE,
    WRONG,
    Checkpoint,
    Progress,
    append_line,
    check_log,
    cut_log,
    rng_state,
    seed_all,
    set_rng_state,
    weights_of,
)
from qunn.training.room import new_model, torch_dtype
from qunn.training.settings import Settings

Report = Callable[[str, int, int | None], None]


@final
@dataclass(frozen=True)
class Outcome:
    """What came of one seed.

    Attributes
    ----------
    stopped : "epochs" (all done), "patience" or "diverged".
    diverged_at, reason : the epoch in which a loss or gradient was no number any more, or implicit stages were not
        solved, and which of it; else None.
    test : the task's metrics on its test part with the weights of the best epoch; None after divergence.
    """

    seed: int
    epochs: int
    best_epoch: int | None
    best_loss: float | None
    stopped: str
    diverged_at: int | None
    reason: str | None
    test: dict[str, float] | None
    parameters: int
    seconds: float


class DivergedError(ArithmeticError):
    """A loss or a gradient that is infinite or no number."""


def make_fabric(device: str) -> Fabric:
    """Fabric on this device, one process, or those that torchrun started.

    Raises
    ------
    InputError : CUDA where there is none, or fewer cards than processes.
    """
    if device not in ("cpu", "cuda"):
        raise must_be("--device", "cpu or cuda", device)
    if device == "cuda" and not torch.cuda.is_available():
        raise must_be("--device", "cpu: no CUDA device is found here", device)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would introduce itself on stderr
    world = local = 1
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if device == "cuda":
        cards = torch.cuda.device_count()
        if local > cards:
            raise must_be("--nproc-per-node", f"at most the number of cards, here {cards}, with --device cuda", local)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True, warn_only=True)
    # precision stays Fabric's default, which leaves tensors in the dtype they have; "64-true" would return float32
    return Fabric(accelerator=device, strategy="ddp" if world > 1 else "auto", devices=local, num_nodes=world // local)


def close(fabric: Fabric) -> None:
    """Leave the group of processes, if there is one."""
    if fabric.world_size > 1:
        torch.distributed.destroy_process_group()


def train(
    fabric: Fabric, settings: Settings, task: Task, seed: int, folder: Path, report: Report | None = None
) -> Outcome:
    """Train one seed in `folder`, going on from what lies there, and score the best epoch on the test part.

    The folder holds best.safetensors, last.safetensors (`qunn.load`), training.pt, metrics.jsonl, a folder tensorboard
    and, in the end, result.json. `report(what, batches done, batches)` is told the progress.

    Raises
    ------
    InputError : a state in the folder that cannot be read, options that the model refuses.
    KeyboardInterrupt : goes through; the folder is as after the last whole epoch.
    """
    return _Run(fabric, settings, task, seed, folder, report).outcome()


class _Run:
    def __init__(
        self, fabric: Fabric, settings: Settings, task: Task, seed: int, folder: Path, report: Report | None
    ) -> None:
        self.fabric, self.settings, self.task, self.seed, self.folder = fabric, settings, task, seed, folder
        self.report = report or (lambda _what, _done, _total: None)
        dtype = torch_dtype(settings)
        self.train_part, self.validation_part, self.test_part = (
            part.to(dtype, fabric.device) for part in (task.train, task.validation, task.test)
        )
        torch.manual_seed(seed)
        self.model = new_model(settings, task)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.lr)
        self.parallel, self.optimizer = fabric.setup(self.model, optimizer)
        seed_all(seed, fabric.global_rank)
        self.order = torch.Generator().manual_seed(seed)
        self.progress = Progress()
        self.best: dict[str, Tensor] | None = None

    # --- what the loop does ---

    def outcome(self) -> Outcome:
        """Run to the end."""
        if self.fabric.broadcast((self.folder / STATE).exists()):
            self._restore()
        else:
            if self.fabric.is_global_zero:
                cut_log(self.folder, 0)  # its state was lost, so that all begins anew
            self._store()
        diverged_at = reason = None
        try:
            with self._writer() as writer:
                while self._stopped() is None:
                    self._epoch(writer)
        except (DivergedError, NotConverged) as error:
            diverged_at, reason = self.progress.epoch + 1, str(error)
        test = None if diverged_at else self._test()
        result = Outcome(
            seed=self.seed,
            epochs=self.progress.epoch,
            best_epoch=self.progress.best_epoch,
            best_loss=self.progress.best_loss,
            stopped="diverged" if diverged_at else self._stopped() or "epochs",
            diverged_at=diverged_at,
            reason=reason,
            test=test,
            parameters=sum(p.numel() for p in self.model.parameters()),
            seconds=self.progress.seconds,
        )
        if self.fabric.is_global_zero:
            with written_atomically(self.folder / "result.json") as file:
                file.write(json.dumps(asdict(result), allow_nan=False).encode())
        return result

    def _stopped(self) -> str | None:
        """Why no further epoch is due, or None."""
        at, best, patience = self.progress.epoch, self.progress.best_epoch, self.settings.patience
        if patience and best is not None and at - best >= patience:
            return "patience"
        return "epochs" if at >= self.settings.epochs else None

    def _epoch(self, writer: SummaryWriter | None) -> None:
        begin = time.perf_counter()
        epoch = self.progress.epoch + 1
        train_loss = self._train(epoch)
        scores = self._scores(self.validation_part)
        loss = scores[self.task.loss]
        if not (math.isfinite(loss) and math.isfinite(train_loss)):
            raise DivergedError(f"the loss is {train_loss} in training and {loss} in validation")
        before = self.progress
        better = before.best_loss is None or loss < before.best_loss
        self.progress = Progress(
            epoch=epoch,
            best_epoch=epoch if better else before.best_epoch,
            best_loss=loss if better else before.best_loss,
            seconds=before.seconds + time.perf_counter() - begin,
        )
        if better:
            self.best = weights_of(self.model)
        monitored = next((m for m in self.model.modules() if isinstance(m, Monitored)), None)
        line = {
            "epoch": epoch,
            "train_loss": train_loss,
            "validation_loss": loss,
            "validation": scores,
            "lr": self.optimizer.param_groups[0]["lr"],
            "invariants": monitored.invariants() if monitored else None,
            "seconds": self.progress.seconds - before.seconds,
        }
        if writer is not None:
            _write_curves(writer, line)
            append_line(self.folder, line)
        self._store(better)

    def _train(self, epoch: int) -> float:
        """One pass over the training part; the mean loss on the way."""
        part, loss_of = self.train_part, METRICS[self.task.loss]
        rank, world = self.fabric.global_rank, self.fabric.world_size
        batches = torch.split(torch.randperm(len(part), generator=self.order), self.settings.batch_size)
        sums = torch.zeros(2, dtype=torch.float64, device=self.fabric.device)
        self.model.train()
        for k, batch in enumerate(batches):
            mine, weight = batch[rank::world], 1.0
            if not len(mine):  # a process without a share still takes part in the step, with weight 0
                mine, weight = batch[:1], 0.0
            self.optimizer.zero_grad()
            with self._together(), self.fabric.no_backward_sync(self.parallel, enabled=world > 1):
                total, count = loss_of(self._outputs(self.parallel, part, mine), part.targets[mine], part.scored[mine])
                # the mean over the global batch, to which each process adds its share
                self.fabric.backward(total * (weight / part.scored[batch].sum()))
            self._sum_gradients()
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
            if not bool(torch.isfinite(norm)):  # the same in all processes, since gradients are
                raise DivergedError(f"the norm of a gradient is {float(norm)}")
            self.optimizer.step()
            sums += weight * torch.stack([total.detach(), count]).double()
            self.report(f"seed {self.seed}, epoch {epoch} of {self.settings.epochs}", k + 1, len(batches))
        total, count = self._over_processes(sums)
        return float(total / count)

    @torch.no_grad()
    def _scores(self, part: Part) -> dict[str, float]:
        """The loss and the metrics on a part; each sample is seen once by one process."""
        names = dict.fromkeys((self.task.loss, *self.task.metrics))
        sums = torch.zeros(len(names), 2, dtype=torch.float64, device=self.fabric.device)
        self.model.eval()
        with self._together():
            for batch in torch.split(torch.arange(len(part)), self.settings.batch_size):
                mine = batch[self.fabric.global_rank :: self.fabric.world_size]
                if len(mine):
                    outputs = self._outputs(self.model, part, mine)
                    each = [METRICS[name](outputs, part.targets[mine], part.scored[mine]) for name in names]
                    sums += torch.stack([torch.stack(pair).double() for pair in each])
        totals, counts = self._over_processes(sums).unbind(-1)
        return dict(zip(names, (totals / counts).tolist(), strict=True))

    def _outputs(self, model: nn.Module, part: Part, rows: Tensor) -> Tensor:
        outputs: Tensor = model(part.inputs[rows])[0]
        return outputs

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Stages that one process could not solve end the run of all: none may wait for one that has left."""
        problem: NotConverged | None = None
        try:
            yield
        except NotConverged as error:
            problem = error
        if self.fabric.world_size > 1:
            flag = torch.tensor(float(problem is not None), device=self.fabric.device)
            if float(self._over_processes(flag)) and problem is None:
                problem = NotConverged("the implicit stages of another process did not converge")
        if problem is not None:
            raise problem

    def _sum_gradients(self) -> None:
        """Over the processes, after the backward pass: DDP's own sum would wait for a process that failed in it."""
        if self.fabric.world_size == 1:
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        for gradient in gradients:
            gradient.copy_(self._over_processes(gradient.clone()))

    def _over_processes(self, sums: Tensor) -> Tensor:
        total = self.fabric.all_reduce(sums, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def _test(self) -> dict[str, float]:
        """The metrics on the test part with the weights of the best epoch."""
        assert self.best is not None
        self.model.load_state_dict(self.best)
        scores = self._scores(self.test_part)
        return {name: scores[name] for name in self.task.metrics}

    # --- what the loop keeps ---

    def _store(self, better: bool = False) -> None:
        """training.pt first: it alone is what a run goes on from (see checkpoint.py)."""
        states = [rng_state(self.fabric.device)]
        if self.fabric.world_size > 1:
            gathered: list[Any] = [None] * self.fabric.world_size
            torch.distributed.all_gather_object(gathered, states[0])
            states = gathered
        if not self.fabric.is_global_zero:
            return
        Checkpoint(
            progress=self.progress,
            last=weights_of(self.model),
            best=self.best,
            optimizer=self.optimizer.state_dict(),
            order=self.order.get_state(),
            rng=states,
        ).save(self.folder)
        save(self.model, self.folder / "last.safetensors")
        if better:
            save(self.model, self.folder / "best.safetensors")

    def _restore(self) -> None:
        """Go on from training.pt; what was written beside it is made to agree, once all of it has been accepted."""
        saved = Checkpoint.load(self.folder)
        try:
            self._accept(saved)
        except WRONG as error:
            path = self.folder / STATE
            raise InputError(
                f"{path}: `file` must be the state of this very run, but does not fit it", STATE
            ) from error
        check_log(self.folder, saved.progress.epoch)
        if self.fabric.is_global_zero:
            cut_log(self.folder, saved.progress.epoch)
            if saved.best is not None:
                self.model.load_state_dict(saved.best)
                save(self.model, self.folder / "best.safetensors")
        self.model.load_state_dict(saved.last)
        if self.fabric.is_global_zero:
            save(self.model, self.folder / "last.safetensors")
        set_rng_state(saved.rng[self.fabric.global_rank], self.fabric.device)
        self.progress, self.best = saved.progress, saved.best

    def _accept(self, saved: Checkpoint) -> None:
        """Take over weights, optimiser and generators; writes nothing. Raises one of WRONG where they do not fit."""
        own = self.model.state_dict()
        for weights in (saved.last, saved.last if saved.best is None else saved.best):
            if any(
                weights[key].dtype != value.dtype or weights[key].shape != value.shape for key, value in own.items()
            ):
                raise ValueError("weights of another dtype or shape")
            self.model.load_state_dict(weights)
        fresh, groups = self.optimizer.state_dict()["param_groups"], saved.optimizer["param_groups"]
        for one, other in zip(fresh, groups, strict=True):
            if any(other[key] != one[key] for key in ("lr", "betas", "eps", "weight_decay", "params")):
                raise ValueError("an optimiser with other settings")
        parameters = list(self.model.parameters())
        for index, moments in saved.optimizer["state"].items():
            float(moments["step"])
            if any(moments[key].shape != parameters[index].shape for key in ("exp_avg", "exp_avg_sq")):
                raise ValueError("moments of another shape")
        self.optimizer.load_state_dict(saved.optimizer)
        self.order.set_state(saved.order)
        if len(saved.rng) != self.fabric.world_size:
            raise ValueError("another number of processes")
        for state in saved.rng:  # of all processes, so that all find the same
            set_rng_state(state, self.fabric.device)

    @contextmanager
    def _writer(self) -> Iterator[SummaryWriter | None]:
        """TensorBoard's, in the process that writes; what it holds of epochs to come is purged."""
        if not self.fabric.is_global_zero:
            yield None
            return
        purge = self.progress.epoch + 1 if self.progress.epoch else None
        writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=purge)
        try:
            yield writer
        finally:
            writer.close()


def _write_curves(writer: SummaryWriter, line: Mapping[str, Any]) -> None:
    curves = {"loss/train": line["train_loss"], "lr": line["lr"]}
    curves |= {f"validation/{name}": value for name, value in line["validation"].items()}
    curves |= {f"invariants/{name}": value for name, value in (line["invariants"] or {}).items()}
    for name, value in curves.items():
        writer.add_scalar(name, value, line["epoch"])
    writer.flush()
