"""`python -m qunn.train --model NAME --task NAME --out DIR`: train a recurrent network, resumably."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import (
    BAD_INPUT,
    CHECK_FAILED,
    INTERRUPTED,
    LateProgress,
    Size,
    common_options,
    limit_torch_threads,
    run,
)
from qunn.options import checked, parsed
from qunn.tasks import TASKS, task, task_options
from qunn.training.models import MODELS, OWN_SIZES, model_options
from qunn.training.settings import LAST_SEED, Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from qunn.tasks.definition import Task
    from qunn.training.loop import Outcome

RUN, SUMMARY = "run.json", "summary.json"
FORMAT = 1
#: these may grow when a run goes on; all else is as it was begun
_GROWS = ("epochs", "seeds")
#: flags that are not for models in OWN_SIZES
_UNUSED = ("hidden_size", "layers", "dropout")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", metavar="NAME", help="The recurrent network; see --list.")
@click.option("--task", metavar="NAME", help="The data set; see --list.")
@click.option("--out", metavar="DIR", help="Where everything goes; a new folder, or with --resume an old one.")
@click.option("--resume", is_flag=True, help="Go on with the run in DIR, bit for bit, with its settings.")
@click.option("--seeds", type=int, default=1, show_default=True, help="Runs with the seeds SEED, SEED+1, ….")
@click.option("--epochs", type=int, default=100, show_default=True, help="At most; may grow with --resume.")
@click.option("--patience", type=int, default=20, show_default=True, help="Epochs without a better loss; 0: any.")
@click.option("--hidden-size", type=int, default=32, show_default=True, help="Units of a layer.")
@click.option("--layers", type=int, default=1, show_default=True, help="Layers, one on the other.")
@click.option("--residual", is_flag=True, help="Foretell the change from the last value.")
@click.option("--causal-window", type=int, default=0, show_default=True, help="Normalise by the last values; 0: no.")
@click.option("--dropout", type=float, default=0.0, show_default=True, help="Between layers.")
@click.option("--batch-size", type=int, default=32, show_default=True, help="Of all processes together.")
@click.option("--lr", type=float, default=1e-3, show_default=True, help="Adam's learning rate.")
@click.option("--clip", type=float, default=1.0, show_default=True, help="Largest norm of a gradient; 0: any.")
@click.option("--dtype", default="float32", show_default=True, help="float32 or float64.")
@click.option("--data-seed", type=int, default=0, show_default=True, help="Of the data, the same for all seeds.")
@click.option("--model-option", multiple=True, metavar="NAME=VALUE", help="Of the model's own; see --list.")
@click.option("--task-option", multiple=True, metavar="NAME=VALUE", help="Such as length=50 or city=san-francisco.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda; with torchrun several of them.")
@click.option("--memory-limit", type=Size(), help="Bytes that may be taken, such as 4GiB; default: what is free.")
@click.option("--list", "list_names", is_flag=True, help="Show models and tasks with their options and leave.")
@common_options
@click.pass_context
def main(context: click.Context, /, **given: Any) -> int:
    """Train a recurrent network on a task, and score it on the task's test part beside what needs no training.

    Each seed has its folder DIR/seed-K: best.safetensors and last.safetensors (for qunn.load), training.pt (for
    --resume), metrics.jsonl (a line an epoch) and tensorboard. Ctrl-C and a kill lose the epoch under way at most.
    Several processes: torchrun --nproc-per-node N -m qunn.train ….
    """
    if given["list_names"]:
        return _list(given["as_json"])
    spoken = {name for name in given if context.get_parameter_source(name) != click.core.ParameterSource.DEFAULT}
    try:
        return _train(given, spoken)
    except (InputError, MemoryError):
        if int(os.environ.get("RANK", "0")) == 0:
            raise
        return BAD_INPUT  # the first process says it for all
    except KeyboardInterrupt:  # before training began
        if not given["resume"]:
            raise
        if int(os.environ.get("RANK", "0")) == 0:
            out = given["out"]
            print(f"error: interrupted; {out} is as it was; go on with --out {out} --resume", file=sys.stderr)
        return INTERRUPTED
    except RuntimeError as error:  # torch has no MemoryError of its own
        if "allocate" not in str(error) and "out of memory" not in str(error):
            raise
        raise InputError("`--hidden-size`, `--batch-size` or the data must be smaller: out of memory") from error


@final
@dataclass(frozen=True)
class Plan:
    """A whole run: what DIR/run.json holds."""

    settings: Settings
    seed: int
    seeds: int
    device: str
    processes: int

    def flags(self) -> dict[str, Any]:
        """By the names of the command line's options."""
        return asdict(self.settings) | {"seed": self.seed, "seeds": self.seeds}


def _train(given: dict[str, Any], spoken: set[str]) -> int:
    if given["out"] is None:
        raise InputError("`--out` must be given: the folder for everything that a run writes", "--out")
    out = Path(given["out"])
    before = _read_plan(out) if given["resume"] else None
    plan = _plan(given, spoken, before)
    limit_torch_threads(given["threads"])
    from hamiltonians.memory import memory_limit
    from qunn.training.loop import close, make_fabric, train
    from qunn.training.room import new_model, require_period, require_room, with_period

    memory_limit.set(given["memory_limit"])

    fabric = make_fabric(plan.device)
    fabric.launch()
    plan = replace(plan, processes=fabric.world_size)
    if before is not None and before.processes != plan.processes:
        raise must_be("processes", f"{before.processes}, as the run was begun", plan.processes)
    data = task(plan.settings.task, plan.settings.data_seed, **plan.settings.task_options)
    settings = with_period(plan.settings, data)
    require_room(settings, data, plan.device)
    require_period(settings, data)
    new_model(settings, data)  # what it refuses it refuses before a folder is made
    progress = LateProgress(given["quiet"] or not fabric.is_global_zero)
    outcomes: list[Outcome] = []
    try:
        _prepare(fabric, out, plan, before)
        for seed in range(plan.seed, plan.seed + plan.seeds):
            folder = _seed_folder(out, seed)
            folder.mkdir(exist_ok=True)
            outcomes.append(train(fabric, settings, data, seed, folder, progress))
    except KeyboardInterrupt:
        progress.close()
        return _interrupted(fabric, out, plan.seed + len(outcomes))
    finally:
        progress.close()
    if fabric.is_global_zero:
        _finish(given, out, replace(plan, settings=settings), data, outcomes)
    close(fabric)
    return CHECK_FAILED if any(o.stopped == "diverged" for o in outcomes) else 0


# --- what was asked for, and what the folder says ---


def _plan(given: dict[str, Any], spoken: set[str], before: Plan | None) -> Plan:
    """From the flags; of a run that goes on from its folder, with which spoken flags must agree."""
    names = [f.name for f in fields(Settings)]
    for name, known in (("model", MODELS), ("task", TASKS)):
        if before is None and given[name] is None:
            raise InputError(f"`--{name}` must be given: one of {', '.join(known)}", f"--{name}")
    flags = before.flags() if before else {}
    for kind, defaults in (("model", model_options), ("task", task_options)):
        chosen = given[kind] or flags[kind]
        options = checked(parsed(given[f"{kind}_option"], f"--{kind}-option"), defaults(chosen), f"--{kind}-option")
        given = given | {f"{kind}_options": defaults(chosen) | options}
        if f"{kind}_option" in spoken:
            spoken = spoken | {f"{kind}_options"}
    if before is not None:
        _agree(flags, given, spoken)
        kept = {name: flags[name] for name in flags if name not in spoken}
        device = given["device"] if "device" in spoken else before.device
        given = given | kept | {"device": device}
    if given["model"] in OWN_SIZES:
        for name in sorted(spoken & set(_UNUSED)):
            flag = "--" + name.replace("_", "-")
            raise must_be(flag, f"left out: {given['model']} has its sizes in --model-option", given[name])
    if given["seeds"] < 1:
        raise must_be("--seeds", "an integer of at least 1", given["seeds"])
    if given["seed"] + given["seeds"] - 1 > LAST_SEED:
        raise must_be("--seeds", f"at most {LAST_SEED - given['seed'] + 1}, with this --seed", given["seeds"])
    settings = Settings(**{name: given[name] for name in names})
    return Plan(settings, given["seed"], given["seeds"], given["device"], processes=1)


def _agree(flags: dict[str, Any], given: dict[str, Any], spoken: set[str]) -> None:
    for name in flags:
        if name not in spoken or given[name] == flags[name]:
            continue
        flag = "--" + name.replace("_", "-").removesuffix("s" if name.endswith("_options") else " ")
        if name in _GROWS:
            if given[name] < flags[name]:
                raise must_be(flag, f"at least {flags[name]}, as the run was begun", given[name])
            continue
        raise must_be(flag, f"left out, or {flags[name]} as the run was begun", given[name])


def _read_plan(out: Path) -> Plan:
    path = out / RUN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise KeyError("format")
        content.pop("versions")
        plan = Plan(settings=Settings(**content.pop("settings")), **content)
        _check_plan(plan)
        return plan
    except FileNotFoundError as error:
        raise must_be("--resume", f"for the folder of an earlier run, with its {RUN}", str(out)) from error
    except InputError as error:
        raise InputError(f"{path}: {error}", error.field) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: `{RUN}` must be one that this command wrote, but cannot be read", RUN) from error


def _check_plan(plan: Plan) -> None:
    """Settings check themselves; the names in them and the rest of a run.json are checked here."""
    for name, least, most in (("seed", 0, LAST_SEED), ("seeds", 1, LAST_SEED + 1), ("processes", 1, 10**6)):
        value = getattr(plan, name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise must_be(name, f"an integer from {least} to {most}", value)
    if plan.device not in ("cpu", "cuda"):
        raise must_be("device", "cpu or cuda", plan.device)
    settings = plan.settings
    checked(settings.model_options, model_options(settings.model), "model_options")
    checked(settings.task_options, task_options(settings.task), "task_options")


def _prepare(fabric: Fabric, out: Path, plan: Plan, before: Plan | None) -> None:
    """The first process makes the folder; all learn what came of it."""
    problem = None
    if fabric.is_global_zero:
        try:
            _make_folder(out, plan, before)
        except InputError as error:
            problem = str(error)
    problem = fabric.broadcast(problem)
    if problem is not None:
        raise InputError(problem, "--out")


def _make_folder(out: Path, plan: Plan, before: Plan | None) -> None:
    import platform
    from importlib.metadata import version

    from hamiltonians.files import written_atomically

    try:
        # a kill may have left an empty folder and the beginnings of a file in it
        if before is None and out.exists() and not (out.is_dir() and all(p.name[0] == "." for p in out.iterdir())):
            raise must_be("--out", "a new folder, or one of an earlier run with --resume", str(out))
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: `--out` must be a folder that can be made, but {error.strerror}", "--out") from error
    if before == plan:
        return
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("qunn", "torch")}
    with written_atomically(out / RUN) as file:
        file.write(json.dumps(asdict(plan) | {"format": FORMAT, "versions": versions}, indent=1).encode())


# --- what is said in the end ---


def _interrupted(fabric: Fabric, out: Path, seed: int) -> int:
    from qunn.training.checkpoint import STATE, Checkpoint

    if fabric.is_global_zero:
        folder = _seed_folder(out, seed)
        epoch = Checkpoint.load(folder).progress.epoch if (folder / STATE).exists() else 0
        kept = f"seed {seed} is kept as after epoch {epoch}; go on with --out {out} --resume"
        print(f"error: interrupted; {kept if (out / RUN).exists() else 'nothing was written'}", file=sys.stderr)
    return INTERRUPTED


def _seed_folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _finish(given: dict[str, Any], out: Path, plan: Plan, data: Task, outcomes: list[Outcome]) -> None:
    from hamiltonians.files import written_atomically

    summary = summarised(out, plan, data, outcomes)
    text = json.dumps(summary, allow_nan=False)
    with written_atomically(out / SUMMARY) as file:
        file.write(text.encode())
    if given["as_json"]:
        print(text)
    else:
        from qunn.training.page import print_summary

        print_summary(summary)
    for o in outcomes:
        if o.diverged_at is not None:
            where = f"seed {o.seed} diverged in epoch {o.diverged_at}: {o.reason}"
            print(f"error: {where}; {_seed_folder(out, o.seed)} is as before it", file=sys.stderr)


def summarised(out: Path, plan: Plan, data: Task, outcomes: list[Outcome]) -> dict[str, Any]:
    """The object that `--json` prints: all seeds, and mean and spread of the first metric on the test part."""
    from statistics import mean, stdev

    metric = data.metrics[0]
    values = [o.test[metric] for o in outcomes if o.test is not None]
    return {
        "model": plan.settings.model,
        "task": data.name,
        "description": data.description,
        "source": data.source,
        "metric": metric,
        "test_mean": mean(values) if values else None,
        "test_spread": stdev(values) if len(values) > 1 else None,
        "baselines": dict(data.test.baselines),
        "parameters": outcomes[0].parameters,
        "seeds": [o.seed for o in outcomes],
        "diverged": [o.seed for o in outcomes if o.stopped == "diverged"],
        "runs": [asdict(o) | {"folder": str(_seed_folder(out, o.seed))} for o in outcomes],
        "seconds": sum(o.seconds for o in outcomes),
        "device": plan.device,
        "processes": plan.processes,
        "settings": asdict(plan.settings) | dict.fromkeys(_UNUSED if plan.settings.model in OWN_SIZES else ()),
        "out": str(out),
    }


def _list(as_json: bool) -> int:
    from qunn.training.page import print_list

    listed = {
        "models": [{"name": name, "description": what, "options": own} for name, (what, own) in MODELS.items()],
        "tasks": [
            {"name": name, "description": what, "options": task_options(name)} for name, (_, what) in TASKS.items()
        ],
    }
    if as_json:
        print(json.dumps(listed))
    else:
        print_list(listed)
    return 0


if __name__ == "__main__":
    run(main, "qunn.train")
