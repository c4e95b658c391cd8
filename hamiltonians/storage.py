"""Results on disk: written to a temporary name and renamed, and checked again when read."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final

import numpy as np
import scipy.sparse as sp

from hamiltonians import state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError
from hamiltonians.memory import require_memory
from hamiltonians.report import Report
from hamiltonians.result import GroundState
from hamiltonians.state import SparseState

FORMAT = 1
_KEYS = (
    "format",
    "machine",
    "options",
    "report",
    "energies",
    "psi_indices",
    "psi_values",
    "gap",
    "degeneracy",
    "error",
)
_H_KEYS = ("H_rows", "H_data", "H_indices", "H_indptr")
_BYTES_PER_ROW = 60  # of the block of H that is saved: three entries, their columns, and the triplets they come from


@contextmanager
def written_atomically(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name only when everything is written.

    Raises
    ------
    InputError : the folder cannot be written to; the message names it.
    """
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise InputError(
            f"{target}: `file` must be in a folder that can be written to, but {error.strerror}"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@final
@dataclass(frozen=True)
class Saved:
    """What a file holds: the machine and the options to rebuild H, the block of H, and the state."""

    machine: dict[str, Any]
    options: dict[str, Any]
    report: dict[str, Any]
    energies: np.ndarray
    gap: float | None
    degeneracy: int
    error: float
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
        "error": np.array(result.error),
        "psi_indices": psi.indices,
        "psi_values": psi.values,
        "H_rows": psi.indices,
        "H_data": block.data,
        "H_indices": block.indices,
        "H_indptr": block.indptr,
    }
    with written_atomically(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: str | os.PathLike[str]) -> Saved:
    """Read a file that `save` wrote; its contents are checked by whoever rebuilds H.

    Raises
    ------
    InputError : no such file, no npz file, or one that something else wrote.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [key for key in (*_KEYS, *_H_KEYS) if key not in file]
            if missing:
                raise InputError(f"{path}: `{missing[0]}` must be in the file, but is missing", missing[0])
            if int(file["format"]) != FORMAT:
                raise InputError(f"{path}: `format` must be {FORMAT}, but is {int(file['format'])}", "format")
            gap, rows = float(file["gap"]), file["H_rows"]
            return Saved(
                machine=json.loads(str(file["machine"])),
                options=json.loads(str(file["options"])),
                report=json.loads(str(file["report"])),
                energies=file["energies"],
                gap=None if np.isnan(gap) else gap,
                degeneracy=int(str(file["degeneracy"])),
                error=float(file["error"]),
                psi=SparseState(file["psi_indices"].astype(np.int64), file["psi_values"]),
                H_rows=rows,
                H=sp.csr_array((file["H_data"], file["H_indices"], file["H_indptr"]), shape=(len(rows), len(rows))),
            )
    except OSError as error:
        raise InputError(f"{path}: `file` must be readable, but {error.strerror or error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: `file` must be an npz file written by `--save`, but {error}") from error


def check_block(path: str | os.PathLike[str], H: ClockHamiltonian, saved: Saved) -> None:
    """Compare the block of H in a file with H itself, element by element.

    Raises
    ------
    InputError : they differ, or the rows do not belong to H.
    """
    rows = saved.psi.indices
    ascending = len(rows) > 0 and bool(state.is_ascending(rows)) and rows[0] >= 0 and rows[-1] < H.dimension
    if not ascending or len(saved.psi.values) != len(rows) or not np.array_equal(saved.H_rows, rows):
        raise InputError(f"{path}: `psi_indices` must be ascending rows of H, equal to `H_rows`", "psi_indices")
    if not np.isfinite(saved.psi.values).all() or not saved.psi.norm() > 0:
        raise InputError(f"{path}: `psi_values` must be finite and not all zero", "psi_values")
    difference = abs(saved.H - state.block(H, rows))
    if difference.nnz and difference.max() > 0:
        raise InputError(f"{path}: `H_data` must be H of the machine in the file, but differs from it", "H_data")
