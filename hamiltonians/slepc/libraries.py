"""PETSc and SLEPc, found and started: which build numbers need, where it lies, and what is missing in one line.

A build of PETSc has one kind of numbers, real or complex, and a process can hold one build. petsc4py and slepc4py are
taken as Python finds them. Where it does not find them, a file of the environment tells where each build lies, since
Debian keeps the two in directories of their own; `make mpi` writes it:

    {"real": {"PETSC_DIR": "…", "SLEPC_DIR": "…", "path": ["…/dist-packages", "…"]}, "complex": {…}}
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hamiltonians.errors import InputError

PACKAGES = {
    "real": "python3-slepc4py-real python3-petsc4py-real python3-mpi4py openmpi-bin",
    "complex": "python3-slepc4py-complex python3-petsc4py-complex python3-mpi4py openmpi-bin",
}
_OTHER_NUMPY = re.compile(r"numpy\.\w+ size changed|_ARRAY_API|compiled using NumPy|numpy\.core\.multiarray", re.I)


@dataclass(frozen=True)
class Libraries:
    """The started libraries.

    Attributes
    ----------
    PETSc, SLEPc : the modules `petsc4py.PETSc` and `slepc4py.SLEPc`.
    comm : the mpi4py communicator of all ranks, PETSC_COMM_WORLD; it has `rank` and `size`.
    """

    PETSc: Any
    SLEPc: Any
    comm: Any

    @property
    def build(self) -> str:
        """The kind of numbers: "real" or "complex"."""
        return _kind(self.PETSc.ScalarType)


_started: Libraries | None = None


def load(dtype: DTypeLike = np.float64) -> Libraries:
    """The libraries with a build for numbers of `dtype`, started at the first call.

    A complex build serves real numbers too, so one that is there already is kept. PETSc reads no command line here;
    the environment variable PETSC_OPTIONS is its own and remains.

    Raises
    ------
    InputError : petsc4py, slepc4py or mpi4py is missing or belongs to another numpy, or the process holds, or Python
        finds, the real build where numbers are complex.
    """
    global _started
    needed = _kind(dtype)
    if _started is None:
        _started = _start(needed)
    if needed == "complex" and _started.build == "real":
        raise InputError(
            "`engine` slepc must have a complex build of PETSc for complex steps, but this process holds the real one: "
            f"start anew with them first, or apt install {PACKAGES['complex']} and `make mpi`",
            "engine",
        )
    return _started


def installed() -> Path:
    """The file of this environment that tells where the builds lie; it need not exist."""
    return Path(sys.prefix) / "etc" / "qunn" / "slepc.json"


def _kind(dtype: DTypeLike) -> str:
    return "complex" if np.issubdtype(dtype, np.complexfloating) else "real"


def _start(build: str) -> Libraries:
    if importlib.util.find_spec("slepc4py") is None or importlib.util.find_spec("petsc4py") is None:
        _take_directories(build)
    if importlib.util.find_spec("mpi4py") is None:
        raise InputError(
            "`engine` slepc must have mpi4py, but it cannot be imported here: `make mpi` builds an environment with it",
            "engine",
        )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # numpy 2 tells forty lines about a module that was built for numpy 1
            slepc4py = importlib.import_module("slepc4py")
            slepc4py.init([])
            SLEPc = importlib.import_module("slepc4py.SLEPc")
            PETSc = importlib.import_module("petsc4py.PETSc")
            return Libraries(PETSc, SLEPc, PETSc.COMM_WORLD.tompi4py())
    except (ImportError, AttributeError, ValueError) as error:
        raise _not_importable(error, said.getvalue()) from None


def _take_directories(build: str) -> None:
    """Put the build's directories where Python, PETSc and SLEPc look for them."""
    with _readable(installed()) as builds:
        there = builds.get(build) or builds.get("complex")  # which serves real numbers too
        if there is None:
            raise InputError(
                f"`engine` slepc must have a {build} build of PETSc for these steps, but there is none here: "
                f"apt install {PACKAGES[build]}, then `make mpi`",
                "engine",
            )
        os.environ.update({name: str(there[name]) for name in ("PETSC_DIR", "SLEPC_DIR")})
        sys.path[:0] = [str(folder) for folder in there["path"] if str(folder) not in sys.path]
    importlib.invalidate_caches()
    for name in ("petsc4py", "slepc4py"):
        if importlib.util.find_spec(name) is None:
            raise _missing(f"{name} is no longer in the directories that {installed()} names")


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[dict[str, Any]]:
    try:
        yield json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing("slepc4py and petsc4py cannot be imported here") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise _missing(f"{file} is not what `make mpi` writes") from None


def _missing(why: str) -> InputError:
    return InputError(
        f"`engine` slepc must be installed, but {why}: `make mpi` builds an environment with it "
        f"(Debian: apt install {PACKAGES['real']})",
        "engine",
    )


def _not_importable(error: Exception, said: str) -> InputError:
    petsc4py = getattr(sys.modules.get("petsc4py"), "__version__", "of an unknown version")
    if _OTHER_NUMPY.search(f"{error} {said}"):
        return InputError(
            f"`engine` slepc must have a petsc4py that was built for this numpy, but petsc4py {petsc4py} was built for "
            f"another major version than numpy {np.__version__}: `make mpi` builds an environment with numpy 1.26",
            "engine",
        )
    if isinstance(error, ImportError):
        return _missing(f"importing it failed ({error})")
    raise error


__all__ = ["PACKAGES", "Libraries", "installed", "load"]
