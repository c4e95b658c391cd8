"""`python -m qunn.train`: streams, exit statuses, and a run that survives whatever happens to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import qunn
from qunn import Readout
from qunn.implicit import NotConverged
from qunn.tasks import TASKS, task
from qunn.train import main
from qunn.training.models import MODELS
from tests.systems.command_line import Command, called_here

SMALL = ("--model", "gru", "--task", "sunspots", "--hidden-size", "4", "--lr", "0.01", "--task-option", "stride=4")


FEW = ("--task", "sunspots", "--task-option", "stride=8")
QUNN, FORECASTER = ("--model", "qunn", *FEW), ("--model", "qunn-forecaster", *FEW)


def options(*words: str) -> tuple[str, ...]:
    return tuple(part for word in words for part in ("--model-option", word))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return called_here(main, "qunn.train", capsys, monkeypatch)


def lines_of(folder: Path) -> list[dict]:
    """The log without its seconds."""
    if not (folder / "metrics.jsonl").exists():
        return []
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def weights_of(folder: Path) -> list[bytes]:
    """The tensors' bytes; safetensors writes the metadata before them in no fixed order."""
    contents = [(folder / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]
    return [content[8 + int.from_bytes(content[:8], "little") :] for content in contents]


def test_a_run_says_its_score_beside_what_needs_no_training(command: Command, tmp_path: Path) -> None:
    found = command(*SMALL, "--epochs", "3", "--seeds", "2", "--seed", "5", "--out", str(tmp_path / "run"), "--json")
    assert (found.status, found.err) == (0, "")
    report = found.report
    assert report["seeds"] == [5, 6]
    scores = [one["test"]["mse"] for one in report["runs"]]
    assert report["test_mean"] == pytest.approx(sum(scores) / 2)
    assert report["test_spread"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert report["baselines"] == task("sunspots").test.baselines
    assert report["diverged"] == []
    assert report == json.loads((tmp_path / "run" / "summary.json").read_text())
    for one in report["runs"]:
        folder = Path(one["folder"])
        assert [line["epoch"] for line in lines_of(folder)] == [1, 2, 3]
        model = qunn.load(folder / "best.safetensors")
        assert sum(p.numel() for p in model.parameters()) == report["parameters"]
        assert one["seconds"] > 0
    assert weights_of(Path(report["runs"][0]["folder"])) != weights_of(Path(report["runs"][1]["folder"]))


def test_the_page_has_the_same_numbers(command: Command, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    page = command(*SMALL, "--epochs", "2", "--out", out)
    report = command("--resume", "--out", out, "--json").report
    assert (page.status, page.err) == (0, "")
    assert re.search(rf"^test mse +{report['test_mean']:.5g}", page.out, re.MULTILINE)
    assert re.search(rf"persistence +{report['baselines']['persistence']:.5g}", page.out)
    assert re.search(rf"seasonal-naive +{report['baselines']['seasonal-naive']:.5g}", page.out)
    assert f"{report['parameters']:,}" in page.out
    assert report["test_spread"] is None


def test_a_run_goes_on_with_its_settings(command: Command, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    one = command(*SMALL, "--epochs", "4", "--seeds", "2", "--out", str(whole), "--json").report
    command(*SMALL, "--epochs", "1", "--out", str(parts))
    two = command("--resume", "--epochs", "4", "--seeds", "2", "--lr", "0.01", "--out", str(parts), "--json").report
    assert one["test_mean"] == two["test_mean"]
    for seed in ("seed-0", "seed-1"):
        assert weights_of(whole / seed) == weights_of(parts / seed)
        assert lines_of(whole / seed) == lines_of(parts / seed)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--lr", "0.1"), "`--lr` must be left out, or 0.01 as the run was begun, but is 0.1"),
        (("--model", "lstm"), "`--model` must be left out, or gru as the run was begun, but is 'lstm'"),
        (("--task", "co2"), "`--task` must be left out, or sunspots as the run was begun, but is 'co2'"),
        (("--seed", "1"), "`--seed` must be left out, or 0"),
        (("--hidden-size", "8"), "`--hidden-size` must be left out, or 4"),
        (("--task-option", "stride=5"), "`--task-option` must be left out, or {"),
        (("--epochs", "1"), "`--epochs` must be at least 2, as the run was begun, but is 1"),
    ],
)
def test_a_run_does_not_go_on_with_other_settings(
    command: Command, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    out = str(tmp_path / "run")
    command(*SMALL, "--epochs", "2", "--out", out)
    before = (tmp_path / "run" / "run.json").read_bytes()
    found = command("--resume", "--out", out, *flags)
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"error: {message}")
    assert found.err.count("\n") == 1
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert command("--resume", "--out", out, "--task-option", "stride=4", "--hidden-size", "4").status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "adding", "--out", "x"), "`--model` must be given: one of rnn"),
        (("--model", "gru", "--out", "x"), "`--task` must be given: one of adding"),
        (("--model", "gru", "--task", "adding"), "`--out` must be given"),
        (("--model", "mlp", "--task", "adding", "--out", "x"), "`model` must be one of"),
        (("--model", "gru", "--task", "sums", "--out", "x"), "`task` must be one of"),
        ((*SMALL, "--out", "x", "--lr", "nan"), "`--lr` must be a positive number, but is nan"),
        ((*SMALL, "--out", "x", "--epochs", "0"), "`--epochs` must be an integer of at least 1, but is 0"),
        ((*SMALL, "--out", "x", "--seeds", "0"), "`--seeds` must be an integer of at least 1, but is 0"),
        ((*SMALL, "--out", "x", "--batch-size", "-3"), "`--batch-size`"),
        ((*SMALL, "--out", "x", "--dtype", "float16"), "`--dtype` must be one of float32, float64"),
        ((*SMALL, "--out", "x", "--device", "tpu"), "`--device` must be cpu or cuda"),
        ((*SMALL, "--out", "x", "--task-option", "length"), "`--task-option` must be NAME=VALUE, but is 'length'"),
        ((*SMALL, "--out", "x", "--task-option", "stride=2"), "`--task-option` must be given once for stride"),
        ((*SMALL, "--out", "x", "--model-option", "h=1"), "`--model-option` must be one of (none), but is 'h'"),
        ((*SMALL, "--out", "x", "--hidden-size", "10000000"), "gru with 1 x 10000000 units on sunspots: "),
        ((*SMALL, "--out", "x", "--memory-limit", "1K"), "data of "),
        ((*SMALL, "--out", "x", "--hidden-size", "1000", "--memory-limit", "1M"), "gru with 1 x 1000 units"),
        ((*SMALL, "--out", "x", "--hidden-size", "1" + "0" * 20), "`--hidden-size` must be an integer of at most"),
        ((*SMALL, "--out", "x", "--batch-size", "1" + "0" * 20), "`--batch-size` must be an integer of at most"),
        ((*SMALL, "--out", "x", "--lr", "1e300"), "`--lr` must be a number of at most 1e+30"),
        ((*SMALL, "--out", "x", "--seed", "4294967295", "--seeds", "2"), "`--seeds` must be at most 1"),
        ((*SMALL, "--out", "x", "--task-option", "length=1" + "0" * 20), "`length` must be an integer of at most"),
        (("--model", "arnn-leapfrog", *SMALL[2:], "--hidden-size", "10000000", "--out", "x"), "arnn-leapfrog with 1 x"),
        ((*SMALL, "--out", "x", "--resume"), "`--resume` must be for the folder of an earlier run"),
        ((*SMALL, "--out", "file"), "`--out` must be a new folder"),
        ((*SMALL, "--out", "full"), "`--out` must be a new folder, or one of an earlier run with --resume"),
        ((*SMALL, "--out", "file/below"), "file/below: `--out` must be a folder that can be made, but Not a directory"),
        ((*SMALL, "--out", "broken", "--resume"), "broken/run.json: `run.json` must be one that this command wrote"),
        (
            (*QUNN, "--hidden-size", "4", "--out", "x"),
            "`--hidden-size` must be left out: qunn has its sizes in --model-",
        ),
        ((*FORECASTER, "--layers", "1", "--out", "x"), "`--layers` must be left out: qunn-forecaster has its sizes"),
        ((*QUNN, "--dropout", "0.5", "--out", "x"), "`--dropout` must be left out: qunn has its sizes"),
        *(
            ((*FORECASTER, *options(word), "--out", "x"), message)
            for word, message in (
                ("period=1", "`period` must be an integer of at least 2, but is 1"),
                ("period=-3", "`period` must be an integer of at least 2, but is -3"),
                ("period=eleven", "`period` must be an integer, but is 'eleven'"),
                ("period=1" + "0" * 20, "qunn-forecaster with period=1" + "0" * 20),
                (
                    "period=186",
                    "`period` must be at most 185, the values of sunspots to train on in one piece, but is 186",
                ),
                ("period=2000000000", "qunn-forecaster with period=2000000000, size=2, heads=1 on sunspots: "),
                ("period=300000", "qunn-forecaster with period=300000, size=2"),
                ("hidden_layers=-1", "`hidden_layers` must be an integer of at least 1, or 0: as many as the period"),
                ("hidden_layers=1" + "0" * 20, "qunn-forecaster with period=11, hidden_layers=1" + "0" * 20),
                ("heads=0", "`heads` must be an integer of at least 1, but is 0"),
                ("heads=1001", "`heads` must be at most 1000, but is 1001"),
                ("size=0", "`size` must be an integer of at least 1, but is 0"),
                ("size=2000000", "`size` must be at most 1000000, but is 2000000"),
                ("encoding=phase", "`encoding` must be one of affine, angle, amplitude, but is 'phase'"),
                ("clock=cuckoo", "`clock` must be one of one-hot, learned, learned-read, but is 'cuckoo'"),
                ("share=maybe", "`share` must be true or false, but is 'maybe'"),
                ("sigma_2=sine", "`activations` must be one of"),
                ("p1=2", "`p1` must be in [0, 1], but is 2.0"),
                ("h=0.1", "`--model-option` must be one of encoding, size, heads, period"),
            )
        ),
        ((*QUNN, *options("hidden_layers=2"), "--out", "x"), "`num_layers` must be at least period - 1 = 10, but is 2"),
        ((*QUNN, *options("heads=2"), "--out", "x"), "`--model-option` must be one of period"),
        ((*FORECASTER, "--memory-limit", "300K", "--out", "x"), "qunn-forecaster with period=11, size=2, heads=1 on "),
        (
            (*FORECASTER, *options("size=2000", "hidden_layers=100"), "--memory-limit", "100M", "--out", "x"),
            "qunn-forecaster with period=11, hidden_layers=100, size=2000, heads=1 on sunspots: ",
        ),
        *(
            ((*flags, "--causal-window", window, "--out", "x"), message)
            for flags in (SMALL, FORECASTER)
            for window, message in (
                ("1", "`--causal-window` must be 0, or an integer of at least 2, but is 1"),
                ("-3", "`--causal-window` must be 0, or an integer of at least 2, but is -3"),
                ("1" + "0" * 20, "`--causal-window` must be at most 1000000000, but is 1"),
                ("1000000000", f"{flags[1]} with "),
            )
        ),
        *(
            (("--model", model, "--task", name, *flags, "--out", "x"), message)
            for model in ("lstm", "qunn-forecaster")
            for name in ("adding", "digits")
            for flags, message in (
                (
                    ("--task-option", "samples=30", "--residual", *options("period=5")[: 2 * (model != "lstm")]),
                    f"`--residual` must be left out: {name} is no forecast of its own input, but is True",
                ),
                (
                    (
                        "--task-option",
                        "samples=30",
                        "--causal-window",
                        "7",
                        *options("period=5")[: 2 * (model != "lstm")],
                    ),
                    f"`--causal-window` must be left out: {name} is no forecast of its own input, but is 7",
                ),
            )
        ),
        *(
            (("--model", "qunn-forecaster", "--task", name, "--task-option", "samples=30", "--out", "x"), message)
            for name, message in (
                (name, f"`period` must be given by --model-option period=N: none is found in {name}, but is 0")
                for name in ("adding", "copy", "digits", "permuted-digits")
            )
        ),
        ((*SMALL, "--out", "x", "--epochs", "many"), "Invalid value for '--epochs'"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    for name in ("full", "broken"):
        Path(name).mkdir()
        (Path(name) / "run.json").write_text('{"format": 1}')
    found = command(*arguments, "--json")
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"error: {message}")
    assert found.err.count("\n") == 1
    assert sorted(os.listdir()) == ["broken", "file", "full"]


VARIANTS = {
    "qunn": QUNN,
    "qunn residual": (*QUNN, "--residual", "--causal-window", "11"),
    "forecaster": FORECASTER,
    "forecaster normalised": (*FORECASTER, "--causal-window", "11", "--dtype", "float64"),
    "forecaster options": (
        *(*FORECASTER, "--residual"),
        *options("period=7", "heads=2", "clock=learned", "share=true", "hidden_layers=3", "sigma_2=identity"),
    ),
    "lstm residual": ("--model", "lstm", *FEW, "--hidden-size", "4", "--residual"),
    "lstm normalised": ("--model", "lstm", *FEW, "--hidden-size", "4", "--causal-window", "11"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_forecasters_go_on_bit_for_bit(command: Command, tmp_path: Path, variant: str) -> None:
    flags, whole, parts = VARIANTS[variant], tmp_path / "whole", tmp_path / "parts"
    one = command(*flags, "--epochs", "3", "--out", str(whole), "--json").report
    assert command(*flags, "--epochs", "1", "--out", str(parts)).status == 0
    two = command("--resume", "--epochs", "3", "--out", str(parts), "--json").report
    assert one["test_mean"] == two["test_mean"]
    assert weights_of(whole / "seed-0") == weights_of(parts / "seed-0")
    assert lines_of(whole / "seed-0") == lines_of(parts / "seed-0")
    assert one["settings"] == two["settings"]
    numbers = [line["invariants"] for line in lines_of(whole / "seed-0")]
    if "lstm" in variant:
        assert numbers == [None] * 3
        assert one["settings"]["hidden_size"] == 4
        return
    assert all(0 <= p <= 1 for line in numbers for p in line.values())
    assert set(numbers[0]) == {"p1_least", "p1_largest", "p2_least", "p2_largest"}
    assert one["settings"]["model_options"]["period"] == (7 if "options" in variant else 11)
    assert [one["settings"][name] for name in ("hidden_size", "layers", "dropout")] == [None] * 3  # not its own
    model = qunn.load(whole / "seed-0" / "best.safetensors")
    if variant == "forecaster options":
        assert isinstance(model, qunn.QUNNForecaster)
        config = model.config()
        assert [config[name] for name in ("heads", "clock", "share", "num_layers")] == [2, "learned", True, 3]
        assert config["activations"] == ["tanh", "identity", "identity"]
        assert one["parameters"] == 2 * (2 + 3 + 7 + 4) + 5
    assert isinstance(model, qunn.CausallyNormalised) == ("--causal-window" in flags)


@pytest.mark.parametrize(
    ("model", "name", "wanted", "period"),
    [
        ("qunn", "mackey-glass", ("stride=200", "length=60"), None),  # no window is long enough to show it
        ("qunn-forecaster", "mackey-glass", ("stride=200", "length=60"), None),
        ("qunn-forecaster", "fitzhugh-nagumo", ("trajectories=6",), 39),
        ("qunn-forecaster", "adding", ("samples=30", "length=20"), 5),
        ("qunn-forecaster", "digits", ("samples=60",), 8),
        ("qunn", "digits", ("samples=60",), 8),
    ],
)
def test_every_kind_of_task_has_its_qunn(
    command: Command, tmp_path: Path, model: str, name: str, wanted: tuple[str, ...], period: int | None
) -> None:
    data = task(name, 0, **{word.split("=")[0]: int(word.split("=")[1]) for word in wanted})
    period = qunn.estimate_period(data.series).value if period is None else period
    assert period is not None
    given = [part for word in wanted for part in ("--task-option", word)]
    own = options(f"period={period}") if name in ("adding", "digits") else ()
    out = str(tmp_path / "run")
    found = command("--model", model, "--task", name, *given, *own, "--epochs", "1", "--out", out, "--json")
    assert (found.status, found.err) == (0, "")
    assert found.report["settings"]["model_options"]["period"] == period
    best = qunn.load(tmp_path / "run" / "seed-0" / "best.safetensors")
    assert best.last != data.per_step
    assert best.output_size == data.output_size


def test_diverging_qunns_are_status_1(command: Command, tmp_path: Path) -> None:
    for at, flags in enumerate((QUNN, FORECASTER, (*FORECASTER, "--causal-window", "11"))):
        found = command(*flags, "--lr", "1e30", "--clip", "0", "--out", str(tmp_path / str(at)))
        assert (found.status, found.err.count("\n")) == (1, 1)
        assert found.err.startswith("error: seed 0 diverged in epoch ")


def test_divergence_is_status_1_and_one_line(command: Command, tmp_path: Path) -> None:
    found = command(*SMALL, "--lr", "1e30", "--clip", "0", "--seeds", "2", "--out", str(tmp_path / "run"), "--json")
    assert found.status == 1
    assert found.report["diverged"] == [0, 1]
    assert found.report["test_mean"] is None
    assert found.err.splitlines()[0].startswith("error: seed 0 diverged in epoch 1: the ")
    assert len(found.err.splitlines()) == 2
    assert command("--resume", "--out", str(tmp_path / "run")).status == 1


def test_implicit_stages_that_are_not_solved_are_status_1_and_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsolved(*_: object) -> None:
        raise NotConverged("the implicit stages did not converge")

    monkeypatch.setattr(Readout, "forward", unsolved)
    found = command(*SMALL, "--epochs", "2", "--out", str(tmp_path / "run"))
    assert found.status == 1
    assert found.err.startswith("error: seed 0 diverged in epoch 1: the implicit stages did not converge; ")
    assert found.err.count("\n") == 1


def started(out: Path, *flags: str) -> subprocess.Popen[str]:
    """A long run in a process of its own."""
    arguments = [sys.executable, "-m", "qunn.train", *SMALL, "--epochs", "100000", "--patience", "0", "--out", str(out)]
    return subprocess.Popen([*arguments, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_epochs(process: subprocess.Popen[str], folder: Path, epochs: int) -> None:
    deadline = time.monotonic() + 120
    log = folder / "metrics.jsonl"
    while not log.exists() or log.read_text().count("\n") < epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_ctrl_c_leaves_a_run_that_goes_on(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = started(out)
    wait_for_epochs(process, out / "seed-0", 3)
    process.send_signal(signal.SIGINT)
    text, error = process.communicate(timeout=60)
    assert (process.returncode, text) == (130, ""), error
    told = re.fullmatch(
        rf"error: interrupted; seed 0 is kept as after epoch (\d+); go on with --out {out} --resume\n", error
    )
    assert told, error
    done = int(told.group(1))
    kept = lines_of(out / "seed-0")[:done]
    assert len(kept) == done >= 2
    whole = command(*SMALL, "--epochs", str(done + 2), "--patience", "0", "--out", str(tmp_path / "whole"), "--json")
    assert whole.status == 0
    finish(out, done + 2)
    assert command("--resume", "--out", str(out), "--json").report["test_mean"] == whole.report["test_mean"]
    assert lines_of(out / "seed-0") == lines_of(tmp_path / "whole" / "seed-0")
    assert weights_of(out / "seed-0") == weights_of(tmp_path / "whole" / "seed-0")


def finish(out: Path, epochs: int) -> None:
    """Let a run that was begun with too many epochs end after so many."""
    plan = json.loads((out / "run.json").read_text())
    plan["settings"]["epochs"] = epochs
    (out / "run.json").write_text(json.dumps(plan))


@pytest.mark.parametrize("after", [1, 3])
def test_kill_9_leaves_a_run_that_goes_on(command: Command, tmp_path: Path, after: int) -> None:
    out = tmp_path / "run"
    process = started(out)
    wait_for_epochs(process, out / "seed-0", after)
    process.kill()
    process.communicate(timeout=60)
    epochs = len((out / "seed-0" / "metrics.jsonl").read_text().splitlines()) + 2
    finish(out, epochs)
    found = command("--resume", "--out", str(out), "--json")
    whole = command(*SMALL, "--epochs", str(epochs), "--patience", "0", "--out", str(tmp_path / "whole"), "--json")
    assert found.report["test_mean"] == whole.report["test_mean"]
    assert lines_of(out / "seed-0") == lines_of(tmp_path / "whole" / "seed-0")
    assert weights_of(out / "seed-0") == weights_of(tmp_path / "whole" / "seed-0")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("seed", 0.5), ("seed", -1), ("seeds", "x"), ("processes", "x"), ("device", [])),
        *(("model_options", 5), ("model", ["foo"]), ("task", "foo"), ("task_options", {"foo": 1}), ("lr", 1e300)),
    ],
)
def test_a_changed_plan_is_refused_by_its_key(command: Command, tmp_path: Path, key: str, value: object) -> None:
    command(*SMALL, "--epochs", "1", "--out", str(tmp_path))
    plan = json.loads((tmp_path / "run.json").read_text())
    (plan if key in plan else plan["settings"])[key] = value
    (tmp_path / "run.json").write_text(json.dumps(plan))
    found = command("--resume", "--out", str(tmp_path))
    assert (found.status, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(f"error: {tmp_path}/run.json: `")
    assert key in found.err


def test_ctrl_c_before_going_on_says_that_all_is_kept(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    command(*SMALL, "--epochs", "1", "--out", str(tmp_path))
    monkeypatch.setattr("qunn.train.task", interrupted)
    found = command("--resume", "--out", str(tmp_path))
    assert found.status == 130
    assert found.err == f"error: interrupted; {tmp_path} is as it was; go on with --out {tmp_path} --resume\n"


def test_list_shows_models_and_tasks(command: Command) -> None:
    page = command("--list")
    assert page.status == 0
    report = command("--list", "--json").report
    assert [one["name"] for one in report["models"]] == list(MODELS)
    assert [one["name"] for one in report["tasks"]] == list(TASKS)
    for one in (*report["models"], *report["tasks"]):
        assert one["name"] in page.out
        assert one["description"]


def test_help_loads_no_torch() -> None:
    code = "import sys, qunn.train; sys.exit(bool({'torch', 'lightning_fabric', 'pandas', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_are_bounded(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []  # other tests keep their threads
    monkeypatch.setattr("qunn.command.limit_threads", told.append)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    found = command(*SMALL, "--epochs", "1", "--threads", "1", "--out", str(tmp_path / "run"), "--quiet")
    assert (found.status, found.err, told) == (0, "", [1, 1])


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version(command: Command, flag: str) -> None:
    found = command(flag)
    assert (found.status, found.err) == (0, "")
    assert "qunn.train" in found.out


# ------------------------------------------------------------------------------------ several processes


def by_torchrun(processes: int, *flags: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m", "qunn.train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*call, *flags], env=environment, capture_output=True, text=True, timeout=240, check=False)


SHARED = (*SMALL, "--dtype", "float64", "--batch-size", "7", "--json")


def check_same(one: Path, two: Path, epochs: int) -> None:
    ours, theirs = lines_of(one / "seed-0"), lines_of(two / "seed-0")
    assert len(ours) == len(theirs) == epochs
    for mine, other in zip(ours, theirs, strict=True):
        for key in ("train_loss", "validation_loss"):
            # sums of a few hundred numbers in another order, and a few steps that carry it on
            assert other[key] == pytest.approx(mine[key], rel=1e-11), (mine["epoch"], key)


@pytest.mark.slow
def test_two_processes_train_as_one_does(command: Command, tmp_path: Path) -> None:
    """They share every global batch, so that only the order of sums differs; batches of seven are shared unevenly."""
    one, two = tmp_path / "one", tmp_path / "two"
    alone = command(*SHARED, "--epochs", "2", "--out", str(one)).report
    done = by_torchrun(2, *SHARED, "--epochs", "2", "--out", str(two))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # one object: one of them prints
    assert report["processes"] == 2
    assert report["test_mean"] == pytest.approx(alone["test_mean"], rel=1e-11)
    check_same(one, two, 2)
    found = command("--resume", "--out", str(two))
    assert (found.status, found.out) == (2, "")
    assert "`processes` must be 2, as the run was begun, but is 1" in found.err


@pytest.mark.exhaustive
def test_processes_go_on_as_one_does(command: Command, tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    command(*SHARED, "--epochs", "3", "--out", str(one))
    for flags in ((*SHARED, "--epochs", "1"), ("--resume", "--epochs", "3")):
        done = by_torchrun(3, *flags, "--out", str(three))
        assert done.returncode == 0, done.stderr
    check_same(one, three, 3)


def torchrun_says(monkeypatch: pytest.MonkeyPatch, world: int, local: int) -> None:
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local))


def test_cards_talk_by_nccl_and_cpus_by_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight processes on two machines of four cards, as Fabric is told; it chooses the backend by the device."""
    from lightning_fabric.utilities.distributed import _get_default_process_group_backend_for_device as chosen

    from qunn.training import loop

    asked: list[dict[str, object]] = []
    monkeypatch.setattr(loop, "Fabric", lambda **given: asked.append(given))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **__: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torchrun_says(monkeypatch, 8, 4)
    for device, backend in (("cuda", "nccl"), ("cpu", "gloo")):
        loop.make_fabric(device)
        assert asked.pop() == {"accelerator": device, "strategy": "ddp", "devices": 4, "num_nodes": 2}
        assert chosen(torch.device(device)) == backend


def test_more_processes_than_cards_is_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    torchrun_says(monkeypatch, 2, 2)
    found = command(*SMALL, "--device", "cuda", "--out", str(tmp_path / "run"))
    assert (found.status, found.out) == (2, "")
    assert found.err == (
        "error: `--nproc-per-node` must be at most the number of cards, here 1, with --device cuda, but is 2\n"
    )
