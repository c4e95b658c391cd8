"""What an installed distribution holds, and which way imports flow."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import circuits
import circuits.clock
import hamiltonians
import qunn

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("package", [hamiltonians, qunn, circuits, circuits.clock])
def test_public_names_are_there_and_shadow_no_submodule(package):
    """`__all__` resolves, and no submodule bears the name of an exported function."""
    exported = [name for name in package.__all__ if not isinstance(getattr(package, name), ModuleType)]
    for name in exported:
        assert getattr(getattr(package, name), "__name__", name) == name
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not modules & set(exported)
    with pytest.raises(AttributeError):
        _ = package.nothing


def test_importing_is_light():
    heavy = "{'numpy', 'scipy', 'numba', 'torch', 'qiskit'}"
    code = f"import sys, hamiltonians, qunn, circuits; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_wheel(tmp_path):
    """`pip wheel .` holds the three packages, their py.typed, and the examples, and the command runs from it."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    for package in ("hamiltonians", "qunn", "circuits"):
        assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names
    assert "hamiltonians/examples/binary_increment.json" in names
    assert "hamiltonians/solvers/sweep.py" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    example = tmp_path / "site" / "hamiltonians" / "examples" / "busy_beaver_2.txt"
    command = [sys.executable, "-m", "qunn.ground_state", str(example), "--quiet"]
    ran = subprocess.run(command, cwd=tmp_path / "site", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
