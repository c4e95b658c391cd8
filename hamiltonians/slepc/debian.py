"""What `make mpi` takes from Debian: mpi4py, linked into an environment, and where the builds of PETSc lie.

    python -I hamiltonians/slepc/debian.py            whether everything is installed: nothing, or one line and status 1
    python -I hamiltonians/slepc/debian.py FOLDER     prepare the environment FOLDER of the Python that runs this

Run as a file, before there is an environment: the standard library only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

NEEDED = (
    "openmpi-bin",
    "python3-mpi4py",
    *(f"python3-{p}4py-{b}" for b in ("real", "complex") for p in ("petsc", "slepc")),
)


def missing() -> str | None:
    """One line that tells what is missing and how it comes, or None."""
    if shutil.which("dpkg-query") is None:
        return "the engine slepc is taken from Debian's packages here, but there is no dpkg-query"
    absent = [package for package in NEEDED if not _files(package)]
    if absent:
        return f"the engine slepc is not installed: apt install {' '.join(absent)}"
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    if not (_module("python3-mpi4py", "mpi4py") / f"MPI{suffix}").exists():
        python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        return f"Debian's mpi4py is not for {python} but for Debian's own: make mpi PYTHON=/usr/bin/python3"
    return None


def prepare(environment: Path) -> None:
    """Link mpi4py into the environment and write where each build of PETSc and SLEPc lies."""
    site = Path(sysconfig.get_path("platlib", vars={"platbase": str(environment), "base": str(environment)}))
    link = site / "mpi4py"
    link.unlink(missing_ok=True)
    link.symlink_to(_module("python3-mpi4py", "mpi4py"))
    file = environment / "etc" / "qunn" / "slepc.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({build: _build(build) for build in ("real", "complex")}, indent=2) + "\n")


def _build(build: str) -> dict[str, object]:
    """…/petsc3.18/x86_64-linux-gnu-real/lib/python3/dist-packages holds petsc4py; PETSC_DIR is three folders up."""
    petsc = _module(f"python3-petsc4py-{build}", "petsc4py").parent
    slepc = _module(f"python3-slepc4py-{build}", "slepc4py").parent
    return {
        "PETSC_DIR": str(petsc.parents[2]),
        "SLEPC_DIR": str(slepc.parents[2]),
        "path": [str(petsc), str(slepc)],
    }


def _module(package: str, name: str) -> Path:
    """The folder of a Python package within a Debian package."""
    return next(Path(file).parent for file in _files(package) if file.endswith(f"/dist-packages/{name}/__init__.py"))


def _files(package: str) -> list[str]:
    """What a Debian package installed, and those that it depends on for its files (…-real is …-real3.18)."""
    depends = _said("dpkg-query", "--show", "--showformat=${db:Status-Status},${Depends}", package)
    status, *names = depends.replace("|", ",").split(",")
    if status != "installed":
        return []
    same = [name.split()[0] for name in names if name.strip().startswith(package)]
    return [line for each in (package, *same) for line in _said("dpkg-query", "--listfiles", each).splitlines()]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    told = missing()
    if told is not None:
        sys.exit(told)
    if sys.argv[1:]:
        prepare(Path(sys.argv[1]).resolve())
