"""What a search has found, in files that survive the death of any rank at any moment.

The vectors go into a file of PETSc's beside the checkpoint, which is a small JSON file that names them with their size
and checksum and is renamed into place when they are complete. The next write takes the other of two names, and what
the checkpoint names is removed only when the new one is in place. So there is a readable checkpoint at any time after
the first one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError
from hamiltonians.files import check_target, written_atomically
from hamiltonians.memory import in_units
from hamiltonians.slepc.agreement import at_rank_0
from hamiltonians.slepc.frame import Frame
from hamiltonians.slepc.layout import Vec

INTERVAL = 5.0  # seconds between two writes at least,
WRITING_SHARE = 0.1  # and no more of the time than this is spent in writing
_FORMAT = "hamiltonians.slepc.checkpoint 1"
_BLOCK = 2**24  # bytes read at a time for the checksum

Problem = dict[str, str | int]


@dataclass(frozen=True)
class Saved:
    """Where a search stood.

    Attributes
    ----------
    found : eigenvectors that met the tolerance.
    ritz : approximations to the next ones.
    searched : for how many eigenpairs the search has ended, 0 for none.
    restarts : of the basis, so far.
    """

    found: list[Vec]
    ritz: list[Vec]
    searched: int
    restarts: int


def fingerprint(H: ClockHamiltonian, k: int, solver: str, build: str) -> Problem:
    """What two runs must have in common so that one goes on where the other stopped; the words are the user's."""
    steps = H.steps.data()
    initial = "none" if H.initial is None else _digest(H.initial)
    return {
        "d": int(H.d),
        "T": int(H.T),
        "steps": f"{type(H.steps).__name__} {_digest(*steps[1:])}",
        "initial": initial,
        "dtype": f"{H.dtype.name} in a {build} build",
        "k": k,
        "solver": solver,
    }


def require_one_problem(comm: Any, problem: Problem) -> None:
    """Refuse ranks that were given different problems, such as steps drawn from different seeds; collective.

    Raises
    ------
    InputError : names what differs.
    """
    first = comm.bcast(problem, root=0)
    for differing in comm.allgather(_differing(first, problem)):
        if differing:
            raise InputError(f"`{differing[0]}` must be the same on all ranks, but is not", differing[0])


@final
class Checkpoint:
    """The file of one search.

    Parameters
    ----------
    file : its name; every rank must be given the same, and rank 0 reads and writes it.

    Raises
    ------
    InputError : it cannot be written.
    """

    def __init__(self, file: str | os.PathLike[str], frame: Frame, problem: Problem) -> None:
        self._file, self._frame, self._problem = Path(file), frame, problem
        self._comm = frame.libraries.comm
        self._slots = _slots(self._file)
        self._slot, self._last, self._cost = 0, -np.inf, 0.0

    @staticmethod
    def check(file: str | os.PathLike[str], comm: Any) -> None:
        """Refuse a name that cannot be written to, before any work; collective."""

        def check() -> None:
            try:
                check_target(file)
                vectors = _slots(Path(file))
                for name in (*vectors, *map(_info, vectors)):
                    check_target(name)
            except InputError as error:
                raise InputError(str(error).replace("`file`", "`checkpoint`"), "checkpoint") from error

        at_rank_0(comm, check)

    def load(self) -> Saved | None:
        """What was saved, or None where there is no file; collective.

        Raises
        ------
        InputError : it is no checkpoint, belongs to another problem, or its vectors are not those that were written.
        """
        document = at_rank_0(self._comm, self._read)
        if document is None:
            return None
        self._slot = self._slots.index(self._file.with_name(document["vectors"]))
        viewer = self._viewer(self._slot, "r")
        vectors = []
        for _ in range(document["found"] + document["ritz"]):
            vectors.append(self._frame.vector())
            vectors[-1].load(viewer)
        viewer.destroy()
        found = document["found"]
        return Saved(vectors[:found], vectors[found:], document["searched"], document["restarts"])

    def due(self) -> bool:
        """Whether it is time to write; the same on all ranks; collective."""
        waited = time.monotonic() - self._last
        return bool(self._comm.bcast(waited >= max(INTERVAL, self._cost / WRITING_SHARE), root=0))

    def save(self, vectors: Iterable[Vec], found: int, ritz: int, searched: int, restarts: int) -> None:
        """Write all of it and put it in the place of what was there; collective.

        Parameters
        ----------
        vectors : the `found` and the `ritz` ones, taken one after the other, so that they may be views of a basis.

        Raises
        ------
        InputError : there is no room for it, or it cannot be written.
        """
        begin = time.monotonic()
        slot = 1 - self._slot
        at_rank_0(self._comm, self._writing(lambda: self._make_room(slot, found + ritz)))
        viewer = self._viewer(slot, "w")
        for vector in vectors:
            vector.view(viewer)
        viewer.destroy()
        at_rank_0(self._comm, self._writing(lambda: self._put_in_place(slot, found, ritz, searched, restarts)))
        self._slot, self._last = slot, time.monotonic()
        self._cost = self._last - begin

    # ------------------------------------------------------------------------------------ on rank 0

    def _viewer(self, slot: int, mode: str) -> Any:
        PETSc = self._frame.libraries.PETSc
        return PETSc.Viewer().createBinary(str(self._slots[slot]), mode, comm=PETSc.COMM_WORLD)

    def _writing(self, action: Callable[[], None]) -> Callable[[], None]:
        def written() -> None:
            try:
                action()
            except OSError as error:
                raise self._must("be one that can be written", str(error.strerror)) from error

        return written

    def _make_room(self, slot: int, vectors: int) -> None:
        # a write that fails half-way would fail on rank 0 alone, inside PETSc, with the other ranks waiting for it
        self._slots[slot].unlink(missing_ok=True)
        needed = self._size(vectors)
        free = shutil.disk_usage(self._file.parent).free
        if needed > free:
            raise InputError(
                f"{self._file}: `checkpoint` must have {in_units(needed)} of room, but {in_units(free)} are free",
                "checkpoint",
            )

    def _put_in_place(self, slot: int, found: int, ritz: int, searched: int, restarts: int) -> None:
        name = self._slots[slot]
        _info(name).unlink(missing_ok=True)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        document = {
            "format": _FORMAT,
            "problem": self._problem,
            "vectors": name.name,
            "bytes": name.stat().st_size,
            "crc32": _checksum(name),
            "found": found,
            "ritz": ritz,
            "searched": searched,
            "restarts": restarts,
        }
        with written_atomically(self._file) as file:
            file.write(json.dumps(document, indent=1).encode())
        self._slots[1 - slot].unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._must("be a file that can be read", str(error.strerror)) from error
        document = self._parsed(text)
        for key in _differing(document["problem"], self._problem):
            there, here = document["problem"].get(key), self._problem[key]
            told = f"another `{key}`" if key in ("steps", "initial") else f"{key} = {there}, not {here}"
            raise self._must("belong to this problem", f"was written for {told}")
        vectors = self._file.with_name(document["vectors"])
        size = self._size(document["found"] + document["ritz"])
        try:
            whole = vectors.stat().st_size == document["bytes"] == size and _checksum(vectors) == document["crc32"]
        except OSError:
            raise self._must("have its vectors beside it", f"{vectors.name} cannot be read") from None
        if not whole:
            raise self._must("have the vectors that it was written with", f"{vectors.name} is not as it was")
        return document

    def _parsed(self, text: bytes) -> dict[str, Any]:
        kinds = {"problem": dict, "vectors": str} | dict.fromkeys(
            ("bytes", "crc32", "found", "ritz", "searched", "restarts"), int
        )
        try:
            document = json.loads(text)
            right = document["format"] == _FORMAT and all(type(document[key]) is kinds[key] for key in kinds)
            right = right and self._file.with_name(document["vectors"]) in self._slots
            right = right and min(document["found"], document["ritz"], document["searched"], document["restarts"]) >= 0
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError):
            right = False
        if not right:
            raise self._must("be one that this engine wrote", "is something else; name another file, or remove it")
        return dict(document)

    def _size(self, vectors: int) -> int:
        """Bytes of PETSc's binary file: a header of two integers and the numbers of every vector."""
        PETSc = self._frame.libraries.PETSc
        header, number = 2 * np.dtype(PETSc.IntType).itemsize, np.dtype(PETSc.ScalarType).itemsize
        return vectors * (header + number * self._frame.H.dimension)

    def _must(self, rule: str, found: str) -> InputError:
        return InputError(f"{self._file}: `checkpoint` must {rule}, but {found}", "checkpoint")


def _slots(file: Path) -> list[Path]:
    """The two files of vectors beside a checkpoint."""
    return [file.with_name(f"{file.name}.vectors{i}") for i in range(2)]


def _info(vectors: Path) -> Path:
    """What PETSc writes beside its file, and nobody needs."""
    return vectors.with_name(f"{vectors.name}.info")


def _differing(there: Problem, here: Problem) -> list[str]:
    return [key for key in here if there.get(key) != here[key]]


def _digest(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        whole = np.ascontiguousarray(array)
        digest.update(f"{whole.dtype.str} {whole.shape}".encode())
        digest.update(whole.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _checksum(file: Path) -> int:
    crc = 0
    with open(file, "rb") as opened:
        while block := opened.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc


__all__ = ["Checkpoint", "Problem", "Saved", "fingerprint", "require_one_problem"]
