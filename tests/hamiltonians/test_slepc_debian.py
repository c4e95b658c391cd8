"""What `make mpi` takes from Debian's packages, with a stand-in for dpkg-query."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from hamiltonians.slepc import debian

FILE = Path(debian.__file__)
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


class Debian:
    """A root folder with packages; …-real and …-complex have their files in a package with the version in its name."""

    def __init__(self, root: Path) -> None:
        self.root, self.packages = root, root / "packages"
        self.packages.mkdir(parents=True)
        program = self.root / "bin" / "dpkg-query"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\nfor last; do :; done\ncase "$1" in --show) kind=status;; *) kind=files;; esac\n'
            f'exec cat "{self.packages}/$last.$kind"\n'
        )
        program.chmod(0o755)

    def install(self, package: str, *files: str, depends: str = "") -> None:
        (self.packages / f"{package}.status").write_text(f"installed,{depends}")
        listed = [str(self.root / file) for file in files]
        (self.packages / f"{package}.files").write_text("\n".join(["/.", *listed]) + "\n")
        for file in map(Path, listed):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def remove(self, package: str) -> None:
        (self.packages / f"{package}.status").write_text("config-files,")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Everything is installed."""
    made = Debian(tmp_path / "debian")
    monkeypatch.setenv("PATH", str(made.root / "bin") + os.pathsep + os.environ["PATH"])
    made.install("openmpi-bin", "bin/mpirun", depends="libc6 (>= 2.34), openssh-client | ssh-client")
    site = "python3/dist-packages/mpi4py"
    made.install("python3-mpi4py", f"{site}/__init__.py", f"{site}/MPI{SUFFIX}")
    for library in ("petsc", "slepc"):
        for build in ("real", "complex"):
            name = f"python3-{library}4py-{build}"
            made.install(name, f"doc/{name}", depends=f"{name}9.9, python3-numpy")
            folder = f"{library}dir/{library}9.9/{build}/lib/python3/dist-packages/{library}4py"
            made.install(f"{name}9.9", f"{folder}/__init__.py")
    return made


def test_nothing_is_missing(machine):
    assert debian.missing() is None


@pytest.mark.parametrize("absent", [["openmpi-bin"], ["python3-slepc4py-complex", "python3-petsc4py-real"]])
def test_what_is_missing_is_told_in_one_line(machine, absent):
    for package in absent:
        machine.remove(package)
    done = subprocess.run([sys.executable, "-I", str(FILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    named = [package for package in debian.NEEDED if package in absent]
    assert done.stderr == f"the engine slepc is not installed: apt install {' '.join(named)}\n"


def test_another_python_is_told(machine):
    machine.install("python3-mpi4py", "other/dist-packages/mpi4py/__init__.py")
    told = debian.missing()
    assert told is not None
    assert "make mpi PYTHON=/usr/bin/python3" in told


def test_no_debian(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.missing() == "the engine slepc is taken from Debian's packages here, but there is no dpkg-query"


def test_an_environment_is_prepared_and_again(machine, tmp_path):
    environment = tmp_path / "environment"
    site = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    for _ in range(2):
        done = subprocess.run([sys.executable, "-I", str(FILE), str(environment)], check=False)
        assert done.returncode == 0
        assert (site / "mpi4py").resolve() == machine.root / "python3/dist-packages/mpi4py"
    told = json.loads((environment / "etc" / "qunn" / "slepc.json").read_text())
    assert set(told) == {"real", "complex"}
    for build, there in told.items():
        petsc, slepc = (machine.root / f"{name}dir/{name}9.9/{build}" for name in ("petsc", "slepc"))
        assert (there["PETSC_DIR"], there["SLEPC_DIR"]) == (str(petsc), str(slepc))
        assert there["path"] == [str(folder / "lib/python3/dist-packages") for folder in (petsc, slepc)]


def test_it_needs_the_standard_library_only():
    """It runs before there is an environment."""
    code = f"import sys; before = set(sys.modules); exec(open({str(FILE)!r}).read(), {{'__name__': 'm'}}); "
    code += "print(sorted({n.partition('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
