"""Results on disk: written to a temporary name and renamed, and checked again when read."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import scipy.sparse as sp
from pydantic import BaseModel, ConfigDict

from hamiltonians import state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError
from hamiltonians.files import written_atomically
from hamiltonians.memory import require_memory
from hamiltonians.report import Report
from hamiltonians.result import GroundState
from hamiltonians.state import SparseState

FORMAT = 1
#: what a file holds: the kinds of number (or dtypes) allowed for an array, and its dimensions
_KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "format": (("i",), 0),
    "machine": (("U",), 0),
    "options": (("U",), 0),
    "report": (("U",), 0),
    "energies": (("f8",), 1),
    "gap": (("f8",), 0),
    "degeneracy": (("U",), 0),
    "psi_indices": (("i8",), 1),
    "psi_values": (("f8", "c16"), 1),
    "H_rows": (("i8",), 1),
    "H_data": (("f8", "c16"), 1),
    "H_indices": (("i4", "i8"), 1),
    "H_indptr": (("i4", "i8"), 1),
}
_BYTES_PER_ROW = (
    180  # of the block of H at its peak: three entries, their columns, and the sums they come from; measured
)


@final
@dataclass(frozen=True)
class Saved:
    """What a file holds: the machine and the options to rebuild H, the block of H, and the state."""

    machine: dict[str, Any]
    options: dict[str, Any]
    solver: str
    energies: np.ndarray
    gap: float | None
    degeneracy: int
    psi: SparseState
    H_rows: np.ndarray
    H: sp.csr_array


def save(
    path: str | os.PathLike[str],
    H: ClockHamiltonian,
    result: GroundState,
    psi: SparseState,
    report: Report,
    machine: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Write energies, the ground state ψ, H and the machine as an npz file.

    H is kept as the CSR parts of its block on the rows of ψ, which is invariant where ψ fills whole components;
    `H_rows` are these rows.

    Raises
    ------
    MemoryEstimateError : the block does not fit.
    InputError : the file cannot be written.
    """
    require_memory(_BYTES_PER_ROW * len(psi.indices), "saving H on the rows of ψ", "leave out `--save`")
    block = state.block(H, psi.indices)
    arrays = {
        "format": np.array(FORMAT),
        "machine": np.array(json.dumps(machine)),
        "options": np.array(json.dumps(options)),
        "report": np.array(json.dumps(report.as_dict(), default=str)),
        "energies": result.energies,
        "gap": np.array(np.nan if result.gap is None else result.gap),
        "degeneracy": np.array(str(result.degeneracy)),  # exact, also above 64 bits
        "psi_indices": psi.indices,
        "psi_values": psi.values,
        "H_rows": psi.indices,
        "H_data": block.data,
        "H_indices": block.indices,
        "H_indptr": block.indptr,
    }
    with written_atomically(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


class _Options(BaseModel):
    """How H was asked for: the arguments of `ClockHamiltonian.from_machine`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Literal["configuration", "tape", "function"]
    tape_cells: int | None = None
    input_length: int | None = None
    history: Literal["bennett"] | None = None
    input: str | None = None
    max_steps: int | None = None


def load(path: str | os.PathLike[str]) -> Saved:
    """Read a file that `save` wrote; its contents are compared with H by `check_block`.

    Raises
    ------
    InputError : no such file, no npz file, or one whose arrays `save` did not write: names the array.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = {key: file[key] for key in _KINDS if key in file}
    except OSError as error:
        raise InputError(f"{path}: `file` must be readable, but {error.strerror or error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, zlib.error) as error:
        raise InputError(f"{path}: `file` must be an npz file written by `--save`, but {error}") from error
    for key, (kinds, ndim) in _KINDS.items():
        if key not in found:
            raise InputError(f"{path}: `{key}` must be in the file, but is missing", key)
        array = found[key]
        finite = array.dtype.kind not in "fc" or key == "gap" or bool(np.isfinite(array).all())
        if (array.dtype.str[1:] not in kinds and array.dtype.kind not in kinds) or array.ndim != ndim or not finite:
            raise InputError(f"{path}: `{key}` must be as `--save` writes it, but is {array.dtype} {array.shape}", key)
    try:
        return _saved(found)
    except (ValueError, TypeError, LookupError) as error:  # JSON, numbers as text, and what pydantic refuses
        problem = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: `options`, `report`, `H_data` must be as `--save` writes them, but {problem}"
        ) from error


def _saved(found: dict[str, np.ndarray]) -> Saved:
    if int(found["format"]) != FORMAT:
        raise ValueError(f"`format` is {int(found['format'])}, not {FORMAT}")
    if not len(found["energies"]) or np.isinf(found["gap"]):
        raise ValueError("`energies` are empty or `gap` is infinite")
    rows = found["H_rows"]
    H = sp.csr_array((found["H_data"], found["H_indices"], found["H_indptr"]), shape=(len(rows), len(rows)))
    H.check_format(full_check=True)  # indices out of range would be written through
    report = json.loads(str(found["report"]))
    return Saved(
        machine=json.loads(str(found["machine"])),
        options=_Options.model_validate_json(str(found["options"])).model_dump(),
        solver=str(report["solver"]),
        energies=found["energies"],
        gap=None if np.isnan(found["gap"]) else float(found["gap"]),
        degeneracy=int(str(found["degeneracy"])),
        psi=SparseState(found["psi_indices"], found["psi_values"]),
        H_rows=rows,
        H=H,
    )


def check_block(path: str | os.PathLike[str], H: ClockHamiltonian, saved: Saved) -> None:
    """Compare the block of H in a file with H itself, element by element.

    Raises
    ------
    InputError : they differ, or the rows do not belong to H.
    """
    rows = saved.psi.indices
    H.require_row_numbers()
    ascending = len(rows) > 0 and bool(state.is_ascending(rows)) and rows[0] >= 0 and rows[-1] < H.dimension
    if not ascending or len(saved.psi.values) != len(rows) or not np.array_equal(saved.H_rows, rows):
        raise InputError(f"{path}: `psi_indices` must be ascending rows of H, equal to `H_rows`", "psi_indices")
    if not saved.psi.norm() > 0:
        raise InputError(f"{path}: `psi_values` must not all be zero", "psi_values")
    difference = abs(saved.H - state.block(H, rows))
    if difference.nnz and difference.max() > 0:
        raise InputError(f"{path}: `H_data` must be H of the machine in the file, but differs from it", "H_data")
