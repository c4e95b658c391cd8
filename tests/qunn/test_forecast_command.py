"""`python -m qunn.forecast`: files of all kinds, what is written, the scores, and Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import qunn
from hamiltonians import InputError
from qunn import period_plot
from qunn.forecast import PICTURES, main
from qunn.forecasting import backtest
from qunn.forecasting.page import better
from qunn.forecasting.reading import read_series
from tests.systems.command_line import Command, called_here, in_terminal, process

FAST = ("--epochs", "2", "--model-option", "heads=1")
L, N = 120, 6


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    write("wave.csv", wave())
    return called_here(main, "qunn.forecast", capsys, monkeypatch)


def wave() -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=L)
    return 10 + 3 * np.sin(2 * np.pi * np.arange(L) / N) + 0.3 * noise


def write(name: str, values: np.ndarray, header: str = "x") -> None:
    Path(name).write_text("\n".join([header, *(f"{x:.6f}" for x in values)]) + "\n")


# --- what is written and said ---


def test_the_report_and_the_files(command: Command) -> None:
    found = command("wave.csv", "--json", *FAST)
    assert (found.status, found.err) == (0, "")
    report = found.report
    assert (report["file"], report["column"], report["values"]) == ("wave.csv", "x", L)
    assert (report["period"], report["steps"], report["level"], report["seed"]) == (N, N, 0.9, 0)
    assert report["period_confidence"] > 0.99
    x = np.loadtxt("wave.csv", skiprows=1)[:72]  # the training part
    unit = np.abs(x[N:] - x[:-N]).mean()
    assert report["mae"] == pytest.approx(report["mase_n_step"] * unit)  # steps = N
    assert set(report["baselines"]) == {"seasonal-naive", "persistence"}
    rows = [line.split(",") for line in Path("wave-forecast.csv").read_text().splitlines()]
    assert rows[0] == ["step", "value", "lower", "upper"]
    assert [int(row[0]) for row in rows[1:]] == list(range(1, N + 1))
    for k, key in enumerate(("forecast", "lower", "upper"), 1):
        assert [float(row[k]) for row in rows[1:]] == report[key]
    assert all(lo <= x <= up for lo, x, up in zip(report["lower"], report["forecast"], report["upper"], strict=True))
    assert Path("wave-forecast.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir()) == ["wave-forecast.csv", "wave-forecast.png", "wave.csv"]
    assert command("wave.csv", "--json", *FAST).report["forecast"] == report["forecast"]
    assert command("wave.csv", "--json", *FAST, "--seed", "1").report["forecast"] != report["forecast"]


def test_naive_scores_are_those_of_their_definition(command: Command) -> None:
    x = np.loadtxt("wave.csv", skiprows=1)
    found = command("wave.csv", "--json", *FAST).report["baselines"]
    a, b = 72, 96
    unit = np.mean([abs(x[t] - x[t - N]) for t in range(N, a)])
    one = {
        "seasonal-naive": [x[t] - x[t - N] for t in range(b, L)],
        "persistence": [x[t] - x[t - 1] for t in range(b, L)],
    }
    several: dict[str, list[float]] = {"seasonal-naive": [], "persistence": []}
    for t in range(b, L):
        for h in range(1, N + 1):
            if t + h - 1 < L:
                several["seasonal-naive"].append(x[t + h - 1] - x[t + h - 1 - N])
                several["persistence"].append(x[t + h - 1] - x[t - 1])
    for name, scores in found.items():
        assert scores["mase"] == pytest.approx(np.abs(one[name]).mean() / unit)
        assert scores["mase_n_step"] == pytest.approx(np.abs(several[name]).mean() / unit)


def test_the_network_beats_repeating(command: Command) -> None:
    found = command("wave.csv", "--json", "--epochs", "40", "--causal-window", "0", "--no-residual").report
    for key in ("mase", "mase_n_step"):
        assert found[key] < found["baselines"]["seasonal-naive"][key]
        assert found[key] < 0.5 * found["baselines"]["persistence"][key]
    expected = 10 + 3 * np.sin(2 * np.pi * np.arange(L, L + N) / N)
    np.testing.assert_allclose(found["forecast"], expected, atol=1.0)


def test_what_the_flags_leave_open_the_validation_part_chooses(command: Command) -> None:
    """The form of the lowest mean error of 1 … N steps there."""
    errors = {}
    for residual in (True, False):
        for window in (2 * N, 0):
            flags = ["--residual" if residual else "--no-residual", "--causal-window", str(window)]
            where = f"{residual}{window}"
            found = command("wave.csv", "--json", *FAST, *flags, "--out", where).report
            assert (found["residual"], found["causal_window"], found["forms_tried"]) == (residual, window, 1)
            x, train = np.loadtxt("wave.csv", skiprows=1), slice(0, 72)
            mean, spread = x[train].mean(), x[train].std()
            model = qunn.load(f"{where}/best.safetensors")
            off = []
            for t in range(72, 96):  # every origin of the validation part, from the 4N values before
                past = torch.tensor((x[t - 4 * N : t] - mean) / spread, dtype=torch.float32)[:, None]
                made, state = [], None
                for _ in range(N):
                    output, state = model(past, state)
                    past = output[-1:]
                    made.append(past.item() * spread + mean)
                off += [abs(made[h] - x[t + h]) for h in range(N) if t + h < 96]
            errors[residual, window] = np.mean(off)
    found = command("wave.csv", "--json", *FAST, "--out", "all").report
    best = min(errors, key=lambda form: errors[form])
    assert (found["residual"], found["causal_window"], found["forms_tried"]) == (*best, 4)
    again = command("wave.csv", "--json", *FAST, "--out", "all", "--resume").report
    assert again["forecast"] == found["forecast"]
    half = command("wave.csv", "--json", *FAST, "--causal-window", "0").report
    assert (half["forms_tried"], half["causal_window"]) == (2, 0)


def test_the_page_has_the_same_numbers(command: Command) -> None:
    page = command("wave.csv", *FAST, "--steps", "15", "--output", "o.csv", "--plot", "p.svg")
    report = command("wave.csv", *FAST, "--steps", "15", "--json", "--output", "o.csv", "--plot", "p.svg").report
    assert page.status == 0
    assert page.err == "wrote o.csv\nwrote p.svg\n"
    assert re.search(rf"this forecast +{report['mase']:.5g} +{report['mase_n_step']:.5g}", page.out)
    assert re.search(rf"\+12 +{report['forecast'][11]:.5g} +{report['lower'][11]:.5g}", page.out)
    assert "… 3 more in o.csv" in page.out
    assert len(report["forecast"]) == 15
    assert Path("p.svg").read_bytes().startswith(b"<?xml")
    assert command("wave.csv", *FAST, "--quiet").err == ""


def test_a_period_can_be_given(command: Command) -> None:
    write("noise.csv", np.random.default_rng(0).normal(size=100))
    found = command("noise.csv", *FAST, "--json")
    assert (found.status, found.out) == (2, "")
    assert found.err == ("error: no period is found in the training part (the first 60 %); give it with `--period N`\n")
    report = command("noise.csv", *FAST, "--json", "--period", "4").report
    assert (report["period"], report["period_confidence"]) == (4, None)


def test_stdin(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("wave.csv").read_bytes())))
    report = command("-", *FAST, "--json").report
    assert (report["file"], report["output"]) == ("stdin", "stdin-forecast.csv")
    assert Path("stdin-forecast.csv").exists()


def test_text_goes_to_a_pipe_without_escape_codes_and_fits_a_narrow_terminal(command: Command) -> None:
    done = process("qunn.forecast", "wave.csv", *FAST, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert (done.returncode, "\x1b" in done.stdout) == (0, False), done.stderr
    assert done.stderr == "wrote wave-forecast.csv\nwrote wave-forecast.png\n"
    root = str(Path(__file__).parents[2])
    written = in_terminal("qunn.forecast", "wave.csv", *FAST, "--quiet", COLUMNS="40", NO_COLOR="1", PYTHONPATH=root)
    text = re.sub(r"\x1b\[[0-9;]*m", "", written).replace("\r", "")
    assert max(len(line) for line in text.split("\n")) <= 40
    assert "seasonal-naive" in text


def test_help_loads_no_torch() -> None:
    code = "import sys, qunn.forecast; sys.exit(bool({'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version(command: Command, flag: str) -> None:
    found = command(flag)
    assert (found.status, found.err) == (0, "")
    assert "qunn.forecast" in found.out


def test_pictures_are_those_of_the_plot() -> None:
    assert tuple("." + suffix for suffix in period_plot.FORMATS) == PICTURES


# --- bad input ---


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", (), "bad.csv: `SERIES` must hold numbers, but is empty"),
        ("\n \n", (), "bad.csv: `SERIES` must hold numbers, but is empty"),
        ("x\n" + "1\n" * 5 + "\n" + "2\n" * 30, (), "bad.csv, line 7: `x` must be a number (or `--fill forward`)"),
        (
            'd,x\na,"1,002.5"\nb,"2,001"\n',
            (),
            "bad.csv: `SERIES` must have a column of numbers, but has none: '1,002.5' has separators between thousands",
        ),
        ("day,x\n2001-03,1\n2001-02,2\n", (), "bad.csv: `SERIES` must begin with its oldest value"),
        ("Year,x\n2001,1\n1999,2\n1998,1\n", ("--column", "x"), "bad.csv: `SERIES` must begin with its oldest value"),
        ("x\n" + "1e-200\n2e-200\n" * 30, (), "`x` must vary by more than 1e-150"),
        ("a\nb\nc\n", (), "bad.csv: `SERIES` must have a column of numbers, but has none"),
        ("\0\1", (), "bad.csv: `SERIES` must be a CSV file, text in UTF-8, but is binary"),
        ("x\n1\n2\n", (), "`SERIES` must be at least 20 values long, but is 2"),
        ("x\n" + "1\n" * 50, (), "`x` must not be constant over its training part"),
        ("x\n" + "1\n" * 5 + "NaN\n" + "2\n" * 30, (), "bad.csv, line 7: `x` must be a number (or `--fill forward`)"),
        ("x\n" + "1\n" * 5 + "inf\n" + "2\n" * 30, (), "bad.csv, line 7: `x` must be a number, but is 'inf'"),
        ("x\n" + "1\n" * 5 + "1e200\n" + "2\n" * 30, (), "bad.csv, line 7: `x` must be a number below 1e+100"),
        ("x\nna\n" + "1\n2\n" * 30, ("--fill", "forward"), "bad.csv, line 2: `x` must be a number before the first"),
        ("x\n" + "1\n" * 5 + "word\n" + "2\n" * 30, (), "bad.csv, line 7: `x` must be a number, but is 'word'"),
        (
            "a,b\n1,2\n3\n",
            (),
            "bad.csv: `SERIES` must have as many columns in each line as in its first, 2, but line 3",
        ),
        ("a,b\n1,2\n1,3\n4,4\n", (), "`--column` must be given for a file with several: one of a, b"),
        ("a,b\n1,2\n1,3\n", ("--column", "c"), "`--column` must be one of a, b, or a number up to 2, but is 'c'"),
        ("a,b\n1,x\n1,y\n", ("--column", "b"), "`--column` must be a column of numbers, but is 'b'"),
        ("WAVE", ("--period", "25"), "`--period` must be at most 24, a third of the 72 values to train on, but is 25"),
        ("WAVE", ("--period", "1"), "`--period` must be an integer of at least 2, but is 1"),
        ("WAVE", ("--steps", "0"), "`--steps` must be an integer of at least 1, but is 0"),
        ("WAVE", ("--level", "1"), "`--level` must be a probability between 0 and 1, but is 1.0"),
        ("WAVE", ("--lr", "nan"), "`--lr` must be a positive number"),
        ("WAVE", ("--resume",), "`--resume` must be beside `--out`"),
        ("WAVE", ("--resume", "--out", "nothing"), "`--resume` must be for the folder of an earlier forecast"),
        ("WAVE", ("--out", "bad.csv"), "`--out` must be a new folder"),
        ("WAVE", ("--output", "bad.csv"), "`--output` must be another file than the input, but is 'bad.csv'"),
        ("WAVE", ("--output", "x.png", "--plot", "x.png"), "`--plot` must be another file than the output"),
        ("WAVE", ("--output", "no/x.csv"), "no/x.csv: `file` must be one that can be written"),
        ("WAVE", ("--plot", ".png"), "`--plot` must be a name that ends in .png, .svg, .pdf, but is '.png'"),
        ("WAVE", ("--output", "/dev/null"), "/dev/null: `file` must be the name of a file, but is a device or a pipe"),
        ("WAVE", ("--plot", "x.gif"), "`--plot` must be a name that ends in .png, .svg, .pdf, but is 'x.gif'"),
        ("WAVE", ("--model-option", "tails=2"), "`--model-option` must be one of"),
        ("WAVE", ("--model-option", "period=3"), "`--model-option` must be left without period"),
        ("WAVE", ("--model-option", "heads=0"), "`heads` must be an integer of at least 1"),
        ("WAVE", ("--causal-window", "1"), "`--causal-window` must be 0, or an integer of at least 2"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    command: Command, content: str, arguments: tuple[str, ...], message: str
) -> None:
    Path("bad.csv").write_text(Path("wave.csv").read_text() if content == "WAVE" else content)
    before = Path("bad.csv").read_bytes()
    found = command("bad.csv", *arguments, "--json")
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"error: {message}"), found.err
    assert found.err.count("\n") == 1
    assert sorted(os.listdir()) == ["bad.csv", "wave.csv"]
    assert Path("bad.csv").read_bytes() == before


@pytest.mark.parametrize(("name", "reason"), [("missing.csv", "No such file"), (".", "Is a directory")])
def test_no_file(command: Command, name: str, reason: str) -> None:
    found = command(name)
    assert (found.status, found.out, found.err.count("\n")) == (2, "", 1)
    assert f"{name}: `SERIES` must be a CSV file that can be read, but {reason}" in found.err


def test_divergence_is_status_1(command: Command) -> None:
    found = command("wave.csv", *FAST, "--lr", "1e30", "--json")
    assert (found.status, found.out, found.err.count("\n")) == (1, "", 1)
    assert found.err.startswith("error: the forecast diverged: ")
    assert sorted(os.listdir()) == ["wave.csv"]


def test_a_series_that_repeats_exactly_has_no_mase(command: Command) -> None:
    write("exact.csv", np.tile(np.arange(6.0), 20))
    report = command("exact.csv", *FAST, "--json").report
    for scores in (report, *report["baselines"].values()):
        assert (scores["mase"], scores["mase_n_step"]) == (None, None)
    assert re.search(r"this forecast +- +-", command("exact.csv", *FAST).out)


@pytest.mark.filterwarnings("error")
def test_names_are_drawn_as_they_are(command: Command) -> None:
    rows = "\n".join(f"$d_{k}^$,{x}" for k, x in enumerate(wave()))
    Path("names.csv").write_text(f"日,price in $ and $^\n{rows}", encoding="utf-8")
    found = command("names.csv", *FAST, "--json")
    assert (found.status, found.err) == (0, "")


def test_nothing_of_the_test_part_reaches_training_or_intervals(command: Command) -> None:
    changed = wave()
    changed[96:] = np.random.default_rng(0).normal(size=24)
    write("changed.csv", changed)
    found = {}
    for name in ("wave", "changed"):
        report = command(f"{name}.csv", *FAST, "--json", "--out", name).report
        logs = sorted(Path(name).rglob("metrics.jsonl"))
        assert len(logs) == 4
        lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        losses = [(line["train_loss"], line["validation_loss"]) for line in lines]
        widths = np.subtract(report["upper"], report["lower"])
        found[name] = (report["period"], report["period_confidence"], losses, widths.round(9).tolist())
    assert found["wave"] == found["changed"]


# --- files of all kinds ---

VALUES = [1.5, 2.0, -3.25, 4.0, 5.5]
KINDS = {
    "plain": "1.5\n2\n-3.25\n4\n5.5\n",
    "header": "x\n1.5\n2\n-3.25\n4\n5.5\n",
    "dates": "date,x\n2001-01-01,1.5\n2001-01-02,2\n2001-01-03,-3.25\n2001-01-04,4\n2001-01-05,5.5\n",
    "years": "1700,1.5\n1701,2\n1702,-3.25\n1703,4\n1704,5.5\n",
    "named axis": "Year;x\n1700;1.5\n1702;2\n1703;-3.25\n1704;4\n1709;5.5\n",
    "semicolon": "x;y\n1,5;a\n2;a\n-3,25;a\n4;a\n5,5;a\n",
    "tab": "day\tx\nmo\t1.5\ntu\t2\nwe\t-3.25\nth\t4\nfr\t5.5\n",
    "comments": "# source: me\n\nx\n1.5\n2\n\n# more\n-3.25\n4\n5.5\n\n",
    "quotes": '"a day","x"\n"mo, 1",1.5\n"tu, 2",2\n"we, 3",-3.25\n"th, 4",4\n"fr, 5",5.5\n',
    "bom": "\ufeffx\r\n1.5\r\n2\r\n-3.25\r\n4\r\n5.5\r\n",
    "exponents": "+1.5e0\n.2E1\n-325e-2\n4.\n5.5\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(KINDS[kind], encoding="utf-8")
    found = read_series(str(path))
    assert found.values.tolist() == VALUES
    assert (found.labels is not None) == (kind in ("dates", "years", "named axis", "tab", "quotes"))
    assert found.column == ("1" if kind in ("plain", "exponents") else "2" if kind == "years" else "x")


def test_columns_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n5,1,\n3,,2\n4,3,9\n")
    assert read_series(str(path), "a").values.tolist() == [5, 3, 4]
    assert read_series(str(path), "1").values.tolist() == [5, 3, 4]
    found = read_series(str(path), "b", "forward")
    assert (found.values.tolist(), found.filled) == ([1, 1, 3], 1)
    with pytest.raises(InputError, match="line 3: `b` must be a number"):
        read_series(str(path), "b")
    with pytest.raises(InputError, match="line 2: `c` must be a number before the first gap"):
        read_series(str(path), "c", "forward")


# --- intervals ---


def test_intervals_are_order_statistics() -> None:
    errors = np.stack([np.arange(-50.0, 49), np.full(99, np.nan)], 1)  # 99 errors, one step
    lower, upper = backtest.intervals(errors, 0.9, 3)
    assert lower.tolist() == [-46.0] * 3  # the 5th of 99
    assert upper.tolist() == [44.0] * 3
    lower, upper = backtest.intervals(errors[60:], 0.9, 1)  # only positive ones
    assert (lower.tolist(), upper[0] > 0) == ([0.0], True)
    assert backtest.coverage(errors, np.array([-46.0, 0]), np.array([44.0, 0])) == pytest.approx(91 / 99)


def test_few_errors_give_no_narrower_interval() -> None:
    errors = np.array([[-3.0, 1], [2, np.nan]])  # too few for any level
    lower, upper = backtest.intervals(errors, 0.9, 4)
    assert (lower.tolist(), upper.tolist()) == ([-3.0] * 4, [2.0] * 4)


class Growing(torch.nn.Module):
    """Each output is a thousand times the input."""

    def forward(self, input: torch.Tensor, state: None = None) -> tuple[torch.Tensor, None]:
        return 1000 * input, state


def test_forecasts_that_leave_the_finite_numbers_are_no_forecasts() -> None:
    forecaster = backtest.Forecaster(Growing(), mean=1.0, spread=2.0, window=3, dtype=torch.float32)
    x, origins = np.arange(9.0), np.array([3, 5])
    np.testing.assert_allclose(forecaster.forecasts(x, origins, 2), [[1001, 1000001], [3001, 3000001]], rtol=1e-6)
    with pytest.raises(backtest.ForecastDivergedError, match="not finite"):
        forecaster.forecasts(x, origins, 20)


def test_long_parts_have_origins_evenly_spread() -> None:
    assert backtest.origins(7, 10).tolist() == [7, 8, 9]
    some = backtest.origins(7, 7 + 3 * backtest.ORIGINS)
    assert (len(some), some[0], some[-1]) == (backtest.ORIGINS, 7, 6 + 3 * backtest.ORIGINS)
    assert set(np.diff(some)) <= {3, 4}


def test_intervals_of_new_errors_hold_their_level() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        lower, upper = backtest.intervals(rng.exponential(size=(60, 1)), 0.8, 1)
        shares.append(backtest.coverage(rng.exponential(size=(500, 1)) - 0.0, lower, upper))
    assert np.mean(shares) == pytest.approx(0.9, abs=0.02)  # below: 0, for errors of one sign


def test_rolled_errors_stay_in_their_part() -> None:
    x = np.arange(10.0)
    found = backtest.rolled(x, 6, 9, np.zeros((3, 2)))
    np.testing.assert_array_equal(found.errors, [[6, 7], [7, 8], [8, np.nan]])
    assert found.mae(1) == 7
    np.testing.assert_array_equal(backtest.naive(x, np.array([6]), 5, 2), [[4, 5, 4, 5, 4]])


# --- a training that is kept ---


def test_a_training_goes_on_after_ctrl_c(command: Command) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    flags = ["wave.csv", "--epochs", "25", "--patience", "0", *FAST[2:], "--out"]
    whole = json.loads(process("qunn.forecast", *flags, "whole", "--json", env=environment).stdout)
    flags.append("parts")
    running = subprocess.Popen(
        [sys.executable, "-m", "qunn.forecast", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    log, deadline = Path("parts/form-2/metrics.jsonl"), time.monotonic() + 100
    while not (log.exists() and log.read_text().count("\n") >= 3):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, ""), err
    assert err == "error: interrupted; the training is kept; go on with --out parts --resume\n"
    found = json.loads(process("qunn.forecast", *flags, "--resume", "--json", env=environment).stdout)
    assert found["forecast"] == whole["forecast"]
    other = command(*flags, "--resume", "--lr", "0.1")
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert "`--resume` must have the same series, options and seed" in other.err
    again = command(*flags)
    assert "`--out` must be a new folder" in again.err


def test_ctrl_c_without_a_folder_keeps_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qunn.training.loop.train", interrupted)
    found = command("wave.csv", *FAST)
    assert (found.status, found.err) == (130, "error: interrupted; nothing was written\n")
    assert sorted(os.listdir()) == ["wave.csv"]


def test_ctrl_c_while_files_are_written_leaves_none(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qunn.forecasting.picture.plot", interrupted)
    found = command("wave.csv", *FAST)
    assert (found.status, found.err) == (130, "error: interrupted; nothing was written\n")
    found = command("wave.csv", *FAST, "--out", "kept")
    message = "error: interrupted; the training is kept; go on with --out kept --resume\n"
    assert (found.status, found.err) == (130, message)
    assert sorted(os.listdir()) == ["kept", "wave.csv"]


def test_the_plan_says_what_was_trained(command: Command) -> None:
    command("wave.csv", *FAST, "--out", "kept", "--quiet")
    plan = json.loads(Path("kept/forecast.json").read_text())
    assert plan["settings"]["model_options"]["period"] == N
    assert plan["settings"]["causal_window"] == 2 * N


def test_a_forecast_that_loses_says_what_to_try() -> None:
    report = {"mase": 0.5, "mase_n_step": 1.0, "baselines": {"seasonal-naive": {"mase": 1.0, "mase_n_step": 0.9}}}
    assert "seasonal-naive has a lower error here; --epochs" in str(better(report))
    assert better(report | {"mase_n_step": 0.8}) is None
    assert better(report | {"mase": None, "mase_n_step": None}) is None
