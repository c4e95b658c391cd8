"""The picture shows what the amplitudes are: cells divided by probability, heads where they can be, ticks that fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hamiltonians import ClockHamiltonian, TuringMachine, certify, ground_state, load_machine
from hamiltonians.plot import draw_space_time, draw_spectrum, symbol_colours
from hamiltonians.report import ground_projection, history_of
from hamiltonians.state import SparseState

EXAMPLES = Path(__file__).parents[2] / "examples"
AT_ONCE = TuringMachine("halts at once", ("1", "_"), "_", ("end",), "end", frozenset({"end"}), {}, ("1",))


def drawn(H: ClockHamiltonian, psi: SparseState) -> tuple[Axes, NDArray[np.uint8], set[tuple[int, int]]]:
    """The axes, the pixels and the heads as (cell, clock time)."""
    axes = Figure().subplots()
    draw_space_time(axes, H, psi)
    points = [offset for dots in axes.collections for offset in np.asarray(dots.get_offsets()).astype(int).tolist()]
    return axes, np.asarray(axes.images[0].get_array()), {(cell, clock) for cell, clock in points}


@pytest.mark.parametrize("k", [1, 4, 6])
def test_heads_are_where_the_run_has_them(k):
    machine = load_machine(str(EXAMPLES / "binary_increment.json"))
    H = ClockHamiltonian.from_machine(machine)
    low = ground_state(H, k=k)
    psi = ground_projection(H, low, history_of(H, low))  # holds rows of amplitude 0 where k reaches other paths
    _, _, heads = drawn(H, psi)
    assert heads == {(c.head, j) for j, c in enumerate(machine.run().configurations, start=1)}


def test_cells_hold_what_the_tape_holds():
    H = ClockHamiltonian.from_machine(load_machine("bb:1RB1RZ_1LB0RC_1LC1LA"), "tape")
    readout = H.readout
    assert readout is not None
    axes, image, heads = drawn(H, ground_state(H, k=1).state(0))
    colours = np.rint(255 * symbol_colours(readout.machine.alphabet, readout.machine.blank))
    parts = image.shape[1] // (readout.window[1] - readout.window[0] + 1)
    (run,) = readout.trajectories.values()
    wanted = [colours[run.configurations.tape(j, *readout.window)] for j in range(H.clock_states)]
    assert np.array_equal(image, np.repeat(wanted, parts, axis=1))
    assert not heads  # a tape does not say where the head is
    assert (axes.get_yticks()[0], axes.get_yticks()[-1]) == (1, H.clock_states)


def test_a_cell_is_divided_among_its_symbols():
    H = ClockHamiltonian.from_machine(
        load_machine(str(EXAMPLES / "logical_and.json")), "function", input_length=2, history="bennett"
    )
    low = ground_state(H, k=4)
    _, image, _ = drawn(H, ground_projection(H, low, history_of(H, low)))
    zero, one = (np.rint(255 * np.array(to_rgb(name))) for name in ("#0072B2", "#D55E00"))
    half = image.shape[1] // 2
    for row, share in [(0, 1 / 2), (2, 3 / 4)]:  # of the inputs have a 0 in the second cell, first and at the end
        cell = image[row, half:]
        assert np.all(cell[: int(share * half)] == zero)
        assert np.all(cell[int(share * half) :] == one)


def test_a_clock_time_without_weight_is_grey():
    H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"))
    psi = ground_state(H, k=1).state(0)
    _, image, heads = drawn(H, replace(psi, values=np.where(psi.indices % H.clock_states == 2, 0.0, psi.values)))
    assert np.all(image[2] == np.rint(255 * np.array(to_rgb("#b0b0b0"))))
    assert 3 not in {clock for _, clock in heads}


def inside(ticks: NDArray[np.float64], limits: tuple[float, float]) -> list[float]:
    return [tick for tick in ticks.tolist() if min(limits) <= tick <= max(limits)]


@pytest.mark.parametrize("machine", [AT_ONCE, load_machine(str(EXAMPLES / "palindrome.json"))], ids=lambda m: m.name)
def test_ticks_are_whole_numbers_that_exist(machine):  # one cell, and one or two clock times
    H = ClockHamiltonian.from_machine(machine)
    low = ground_state(H, k=4)
    left, right = Figure().subplots(1, 2)
    draw_space_time(left, H, low.state(0))
    draw_spectrum(right, certify(H, low))
    assert inside(left.get_xticks(), left.get_xlim()) == [0]
    assert inside(left.get_yticks(), left.get_ylim()) == list(range(1, H.clock_states + 1))
    assert inside(right.get_xticks(), right.get_xlim()) == list(range(len(low.energies)))


def test_small_energies_leave_the_title_alone():
    H = ClockHamiltonian.from_machine(load_machine(str(EXAMPLES / "binary_increment.json")), input="1" * 3000)
    figure = Figure()
    axes = figure.subplots()
    draw_spectrum(axes, certify(H, ground_state(H, k=4)))
    figure.draw_without_rendering()
    assert axes.yaxis.get_offset_text().get_text() == ""


@pytest.mark.parametrize("symbols", [2, 8, 9, 40])
def test_every_symbol_has_a_colour_of_its_own(symbols):
    alphabet = (*map(str, range(symbols - 1)), "_")
    assert len(np.unique(symbol_colours(alphabet, "_"), axis=0)) == symbols
