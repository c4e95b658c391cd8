"""`python -m qunn.table1`: numbers that come from modules and not from a list."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hamiltonians import InputError
from qunn import ARNN, CWRNN, ODERNN, URNN, ContractiveRNN, ResetBeforeGRU, as_odernn
from qunn.fields import AffineField, GradientField
from qunn.table1.comparison import NETWORKS, PRINTED, SIZES, count, growth, qunn_growth, qunn_norms, stability, table3
from qunn.table1.orders import DEPTHS, orders, table1
from tests.systems.command_line import in_terminal, process

F64 = torch.float64


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    done = process("qunn.table1", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


# --- Table 1 ---


def test_as_printed_and_as_proved() -> None:
    """E4: n and t are swapped between the table and the proofs of Claims 1-3."""
    rows = {row.network: row for row in table1()}
    assert {name: row.printed for name, row in rows.items()} == {
        **dict.fromkeys(("LSTM", "GRU", "URNN"), "2-L"),
        **dict.fromkeys(("CW-RNN", "QUNN"), "L-L"),
    }
    assert {name: row.proved for name, row in rows.items()} == {
        **dict.fromkeys(("LSTM", "GRU", "URNN"), "L-2"),
        **dict.fromkeys(("CW-RNN", "QUNN"), "L-L"),
    }
    for name, erratum in {
        "LSTM": "E4",
        "GRU": "E4",
        "URNN": "E15",
        "CW-RNN": r"Eq\. \(29\)",
        "QUNN": "without proof",
    }.items():
        assert re.search(erratum, rows[name].remark)
    assert "Claim 2" in rows["GRU"].remark
    assert rows["QUNN"].measured.layers == {2: ((3, 2),), 3: ((4, 3),), 4: ((5, 4),)}
    assert rows["QUNN"].measured.beyond_depth == (1, 0)
    assert rows["LSTM"].measured.beyond_depth is None


def test_as_built_a_layer_of_every_depth() -> None:
    found = {row.network: row.measured for row in table1()}
    assert {name: measured.each for name, measured in found.items()} == {
        "LSTM": (2, 1),
        "GRU": (2, 1),
        "URNN": (1, 1),
        "CW-RNN": (1, 1),
        "QUNN": None,
    }
    assert {L: len(pairs) for L, pairs in found.pop("QUNN").layers.items()} == {2: 1, 3: 1, 4: 1}  # the whole network
    for measured in found.values():
        assert tuple(measured.layers) == DEPTHS
        assert [len(pairs) for pairs in measured.layers.values()] == list(DEPTHS)


@pytest.mark.parametrize(
    ("make", "each"),
    [
        (lambda L: nn.RNN(2, 3, L), (1, 1)),
        (lambda L: nn.LSTM(2, 3, L), (2, 1)),
        (lambda L: ResetBeforeGRU(2, 3, L), (2, 1)),
        (lambda L: ARNN(2, 3, L, scheme="leapfrog"), (2, 2)),
        (lambda L: ARNN(2, 3, L, scheme="symplectic-euler"), (2, 1)),
        (lambda L: ARNN(2, 3, L, scheme="forward-euler"), (1, 1)),
    ],
)
def test_orders_are_read_off_the_module(make: Callable[[int], nn.Module], each: tuple[int, int]) -> None:
    """Another module in the place of one of the table's gives another number."""
    found = orders(make, (1, 2))
    assert found.each == each
    for L, pairs in found.layers.items():
        net = as_odernn(make(L))
        assert (net.n, net.t) == each
        assert len(pairs) == L


def test_orders_that_differ_have_nothing_in_common() -> None:
    schemes: dict[int, Any] = {1: "leapfrog", 2: "forward-euler"}
    found = orders(lambda L: ARNN(2, 3, L, scheme=schemes[L]), (1, 2))
    assert found.each is None
    assert found.layers == {1: ((2, 2),), 2: ((1, 1), (1, 1))}


def test_what_is_no_member_is_refused() -> None:
    with pytest.raises(InputError, match="module"):
        orders(lambda L: nn.Linear(L, L))


# --- Table 3 ---


CLOSED: dict[str, Callable[[int], int]] = {
    "LSTM": lambda H: 4 * (H * H + H + 2 * H),
    "GRU": lambda H: 3 * (H * H + H + 2 * H),
    "URNN": lambda H: 2 * (H * H + H + H) + H,  # complex W, V and b; a real bias of modReLU
    "CW-RNN": lambda H: H * H + H + H,
    "ODERNN": lambda H: H * H + H + H,  # K, V and b; gauss2 has no numbers of its own to train
    "ARNN": lambda H: H * H + H + H,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_the_closed_forms_and_grow_about_quadratically(name: str) -> None:
    found = growth(NETWORKS[name])
    assert found.sizes == SIZES
    assert found.parameters == tuple(CLOSED[name](H) for H in SIZES)
    assert found.closed_form is None
    assert 1.85 < found.exponent < 2
    wanted = np.polyfit(np.log(SIZES), np.log([CLOSED[name](H) for H in SIZES]), 1)[0]
    assert found.exponent == pytest.approx(wanted, rel=1e-12)
    assert growth(NETWORKS[name], (256, 512)).exponent > found.exponent  # towards 2


@pytest.mark.parametrize(
    ("make", "closed"),
    [
        (lambda H: nn.LSTM(3, H, 2), lambda H: 4 * (H * H + 3 * H + 2 * H) + 4 * (H * H + H * H + 2 * H)),
        (lambda H: nn.GRU(3, H, bias=False), lambda H: 3 * (H * H + 3 * H)),
        (lambda H: URNN(3, H), lambda H: H * H + 3 * H + H + H),
        (lambda H: CWRNN(3, H, periods=[1, 2]), lambda H: H * H + 3 * H + H),
        (lambda H: ContractiveRNN(3, H, inner=2 * H), lambda H: 2 * H * H + 2 * H * 3 + 2 * H),
        (lambda H: nn.Linear(3, H), lambda H: 4 * H),
    ],
)
def test_counts_come_from_the_module(make: Callable[[int], nn.Module], closed: Callable[[int], int]) -> None:
    found = growth(make, (8, 16))
    assert found.parameters == (closed(8), closed(16))
    assert found.exponent == pytest.approx(log(closed(16) / closed(8)) / log(2))


def test_count_takes_trained_real_numbers() -> None:
    layer = nn.Linear(2, 3)
    assert count(layer) == 9
    layer.bias.requires_grad_(False)
    assert count(layer) == 6
    assert count(nn.Linear(2, 3, dtype=torch.complex64)) == 18


def test_one_size_has_no_exponent() -> None:
    with pytest.raises(InputError, match="sizes"):
        growth(NETWORKS["GRU"], (8, 8))


def test_the_QUNN_is_counted_beside_its_closed_form() -> None:
    found = qunn_growth((3, 12, 24))
    assert found.parameters == (9, 36, 72)
    assert found.closed_form == "3N"
    assert found.exponent == pytest.approx(1)
    (row,) = (row for row in table3((8, 16)) if row.network == "QUNN")
    assert row.stability is None


def test_only_the_unitary_QUNN_keeps_the_norm() -> None:
    unitary, literal = qunn_norms(8)
    assert unitary < 1e-14  # rounding of eight layers
    assert literal > 0.01


def test_table_3_as_printed() -> None:
    assert list(PRINTED) == [
        *("memory scale", "order of nonlinearity", "stability", "depth", "training parameters", "origin")
    ]
    assert PRINTED["stability"] == {"QUNN": "Yes", "LSTM": "?", "URNN": "Yes", "n-t-ODERNN": "?"}
    assert PRINTED["training parameters"]["QUNN"] == "O(n)"
    assert all(list(row) == ["QUNN", "LSTM", "URNN", "n-t-ODERNN"] for row in PRINTED.values())


def test_stability_is_the_reports_verdict_on_the_module() -> None:
    torch.manual_seed(1)
    good = stability(ODERNN.from_tableau("gauss2", GradientField(4, dtype=F64), 0.1))
    assert good.contractive is True
    assert good.refuted == ()
    assert good.linear is None
    field = AffineField(4, dtype=F64)
    with torch.no_grad():
        field.W.copy_(torch.eye(4))
    bad = stability(ODERNN.from_tableau("gauss2", field, 0.1))
    assert bad.contractive is False
    assert bad.refuted == ("field", "contraction")
    assert bad.largest_growth is not None
    assert bad.largest_growth > 5
    arnn = stability(ARNN(1, 4, dtype=F64))
    assert arnn.linear is True
    assert stability(ARNN(1, 4, h=50.0, dtype=F64)).linear is False
    layered = stability(nn.GRU(1, 4, 2, dtype=F64))
    assert layered.refuted[0] == "form"
    assert len(set(layered.refuted)) == len(layered.refuted)


def test_measured_stability_of_the_table() -> None:
    rows = {row.network: row.stability for row in table3((8, 16))}
    assert rows.pop("QUNN") is None
    assert [name for name, found in rows.items() if found is not None and found.contractive is True] == ["ODERNN"]
    assert rows["ARNN"] is not None
    assert rows["ARNN"].linear is True


# --- the command ---


def test_json_has_everything(shown: dict[str, Any]) -> None:
    assert set(shown) == {"table1", "table3"}
    first = {row["network"]: row for row in shown["table1"]}
    assert first["LSTM"]["measured"] == {
        "n": 2,
        "t": 1,
        "layers": {str(L): [[2, 1]] * L for L in DEPTHS},
    }
    assert first["QUNN"]["measured"] == {"n": None, "t": None, "layers": {"2": [[3, 2]], "3": [[4, 3]], "4": [[5, 4]]}}
    assert all(set(row) == {"network", "printed", "proved", "measured", "remark"} for row in shown["table1"])
    assert shown["table3"]["printed"] == PRINTED
    measured = {row["network"]: row for row in shown["table3"]["measured"]}
    assert list(measured) == ["QUNN", *NETWORKS]
    assert measured["QUNN"]["stability"] is None
    assert measured["QUNN"]["growth"]["closed_form"] == "3N"
    for name in NETWORKS:
        assert measured[name]["growth"]["parameters"] == [CLOSED[name](H) for H in SIZES]
        assert measured[name]["growth"]["closed_form"] is None
        assert set(measured[name]["stability"]) == {
            *("contractive", "refuted", "largest_step", "largest_growth", "linear")
        }
    assert measured["LSTM"]["stability"]["linear"] is None


def test_text_in_a_pipe() -> None:
    done = process("qunn.table1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    for line in (
        "LSTM      2-L       L-2      (2, 1)",
        "67,072",
        "QUNN (3N)",
        "Schrödinger equation",
        "contractive (proved)",
    ):
        assert line in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_help_says_what_the_columns_mean_at_once() -> None:
    begin = time.perf_counter()
    done = process("qunn.table1", "--help")
    assert time.perf_counter() - begin < 1
    assert done.returncode == 0
    for column in ("printed", "proofs", "as built", "exponent", "stability"):
        assert re.search(rf"^ +{column} ", done.stdout, re.MULTILINE)
    code = "import sys, qunn.table1.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bad_usage_is_one_line() -> None:
    done = process("qunn.table1", "--layers", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_narrow_terminal() -> None:
    text = in_terminal("qunn.table1", COLUMNS="40", NO_COLOR="1")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(len(line) for line in plain.splitlines()) <= 40
    assert "H = 128: 67,072" in plain
    assert "proofs: L-2" in plain
