"""All claims about one machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from circuits.backends import Backend
from circuits.validation import machine_motion as motion
from circuits.validation import machine_rows as rows
from circuits.validation.claim import Row, Subject, drawn
from circuits.validation.machine_gap import gap
from circuits.validation.machine_output import output
from circuits.validation.machine_states import MachineStates
from circuits.validation.machine_tools import COLUMNS, GENUINE, MachineTools
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.progress import Progress, no_progress

#: row -> what makes it
ROWS: Final[Mapping[str, Callable[[MachineStates], Row]]] = {
    "hamiltonian": rows.hamiltonian,
    "ground-energy": rows.energy,
    "degeneracy": rows.degeneracy,
    "spectrum": rows.spectrum,
    "gap": gap,
    "history-state": rows.history,
    "output": output,
    "printed-eq40": rows.printed,
    "kept-by-terms": rows.kept,
    "dynamics": motion.dynamics,
    "lie-by-terms": partial(motion.by_terms, formula="lie"),
    "suzuki2-by-terms": partial(motion.by_terms, formula="suzuki2"),
    "suzuki4-by-terms": partial(motion.by_terms, formula="suzuki4"),
    "lie-by-strings": motion.by_strings,
    "relaxation": motion.relaxation,
    "float32": motion.precision,
    "GPU": motion.device,
}


def validate_machine(
    name: str,
    H: ClockHamiltonian,
    *,
    backend: Backend,
    tools: MachineTools = GENUINE,
    shots: int = 4096,
    seed: int = 0,
    device: str = "auto",
    only: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> Subject:
    """Every row for a machine's Hamiltonian (docs/mathematics/clock-hamiltonian.md, links.md).

    Parameters
    ----------
    H : with its machine (`ClockHamiltonian.from_machine`).
    backend : where the circuits run. shots : of the output that is read from counts. seed : of the random states.
    device : "CPU" leaves the comparison with a GPU out.
    tools : the implementations; a mutation has one of them wrong.
    only : keys of `ROWS`; all where it is left out, with the pictures.
    """
    at = MachineStates(H, tools, backend, shots=shots, seed=seed, device=device)
    wanted = [key for key in ROWS if only is None or key in only]
    found: list[Row] = []
    for i, key in enumerate(wanted):
        progress(key, i, len(wanted))
        found.append(ROWS[key](at))
    facts = {
        "space": H.space,
        "steps T": H.T,
        "data dimension d": H.d,
        "rows d(T+1)": H.dimension,
        "qubits": at.qubits.qubits,
        "seed": seed,
        "shots": shots,
    }
    pictures = (
        lambda: motion.spectrum_picture(at),
        lambda: motion.relaxation_picture(at),
        lambda: motion.formula_picture(found),
    )
    return Subject("machine", name, facts, COLUMNS, found, drawn(pictures) if only is None else [])
