"""Where the libraries of the slepc engine are found, on small stand-ins for them: neither MPI nor PETSc is needed."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from hamiltonians.errors import InputError
from hamiltonians.slepc import libraries

NAMES = ("petsc4py", "petsc4py.PETSc", "slepc4py", "slepc4py.SLEPc", "mpi4py")
PETSC = """
    import numpy as np
    ScalarType = np.{scalar}
    class COMM_WORLD:
        @staticmethod
        def tompi4py():
            return "the ranks"
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """A process that has started nothing, in an environment that tells nothing."""
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("PETSC_DIR", "SLEPC_DIR"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
    monkeypatch.setattr(libraries, "_started", None)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if not importlib_finds(folder)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    yield
    for name in NAMES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def importlib_finds(folder: str) -> bool:
    """Whether true bindings lie there, as they do in the environment of `make mpi`."""
    return any((Path(folder) / name).is_dir() for name in ("petsc4py", "slepc4py", "mpi4py"))


def bindings(folder: Path, scalar: str = "float64", slepc: str = "def init(args): assert args == []\n") -> Path:
    """Stand-ins for petsc4py, slepc4py and mpi4py."""
    for name in ("petsc4py", "slepc4py", "mpi4py"):
        (folder / name).mkdir(parents=True)
    (folder / "petsc4py" / "__init__.py").write_text("__version__ = '3.18.5'\n")
    (folder / "petsc4py" / "PETSc.py").write_text(dedent(PETSC.format(scalar=scalar)))
    (folder / "slepc4py" / "__init__.py").write_text("import petsc4py\n" + dedent(slepc))
    (folder / "slepc4py" / "SLEPc.py").write_text("")
    (folder / "mpi4py" / "__init__.py").write_text("")
    return folder


def written(**builds: Path) -> Path:
    """The file of the environment, with a stand-in of each build."""
    file = libraries.installed()
    file.parent.mkdir(parents=True)
    told = {
        name: {"PETSC_DIR": f"/petsc-{name}", "SLEPC_DIR": f"/slepc-{name}", "path": [str(folder)]}
        for name, folder in builds.items()
    }
    file.write_text(json.dumps(told))
    return file


def refusal(dtype: object = np.float64) -> str:
    with pytest.raises(InputError) as caught:
        libraries.load(dtype)
    assert caught.value.field == "engine"
    return str(caught.value)


def test_bindings_that_python_finds_are_taken_and_kept(tmp_path):
    sys.path.insert(0, str(bindings(tmp_path / "site")))
    found = libraries.load()
    assert (found.build, found.comm) == ("real", "the ranks")
    assert found.PETSc is sys.modules["petsc4py.PETSc"]
    assert found.SLEPc is sys.modules["slepc4py.SLEPc"]
    assert libraries.load(np.float64) is found


@pytest.mark.parametrize(("dtype", "build"), [(np.float64, "real"), (np.complex128, "complex")])
def test_the_environments_file_leads_to_the_build_that_numbers_need(tmp_path, dtype, build):
    written(real=bindings(tmp_path / "r"), complex=bindings(tmp_path / "c", "complex128"))
    assert libraries.load(dtype).build == build
    assert (os.environ["PETSC_DIR"], os.environ["SLEPC_DIR"]) == (f"/petsc-{build}", f"/slepc-{build}")
    assert str(tmp_path / build[0]) in sys.path


def test_a_complex_build_serves_real_numbers(tmp_path):
    written(complex=bindings(tmp_path / "c", "complex128"))
    found = libraries.load(np.float64)
    assert found.build == "complex"
    assert libraries.load(np.complex128) is found


def test_one_process_holds_one_build(tmp_path):
    written(real=bindings(tmp_path / "r"), complex=bindings(tmp_path / "c", "complex128"))
    libraries.load(np.float64)
    assert "this process holds the real one" in refusal(np.complex128)


def test_a_real_build_cannot_hold_complex_steps(tmp_path):
    written(real=bindings(tmp_path / "r"))
    assert "apt install python3-slepc4py-complex" in refusal(np.complex128)
    sys.path.insert(0, str(tmp_path / "r"))
    assert "must have a complex build" in refusal(np.complex128)


def test_no_engine():
    told = refusal()
    assert told.startswith("`engine` slepc must be installed, but slepc4py and petsc4py cannot be imported here")
    assert "make mpi" in told
    assert "apt install python3-slepc4py-real" in told


@pytest.mark.parametrize("text", ["", "{", "[]", '{"real": {"PETSC_DIR": "/p"}}', '{"real": 1}', "\xff"])
def test_a_broken_file_of_the_environment(text):
    file = written()
    file.write_text(text, encoding="latin-1")
    assert f"{file} is not what `make mpi` writes" in refusal()


def test_directories_that_are_gone(tmp_path):
    file = written(real=tmp_path / "gone")
    assert f"petsc4py is no longer in the directories that {file} names" in refusal()


def test_no_mpi4py(tmp_path):
    sys.path.insert(0, str(bindings(tmp_path / "site")))
    (tmp_path / "site" / "mpi4py" / "__init__.py").unlink()
    (tmp_path / "site" / "mpi4py").rmdir()
    assert refusal().startswith("`engine` slepc must have mpi4py")


# what numpy 2 does with Debian's petsc4py 3.18, with other builds of it, and what mpi4py's C interface says
@pytest.mark.parametrize(
    "slepc",
    [
        "def init(args): raise ValueError('numpy.dtype size changed, may indicate binary incompatibility.')",
        "def init(args): raise AttributeError('_ARRAY_API not found')",
        """
        import sys
        def init(args):
            print("A module that was compiled using NumPy 1.x cannot be run in\\nNumPy 2.4", file=sys.stderr)
            raise ImportError("the module failed to import")
        """,
    ],
)
def test_bindings_of_another_numpy(tmp_path, capfd, slepc):
    sys.path.insert(0, str(bindings(tmp_path / "site", slepc=slepc)))
    told = refusal()
    assert f"petsc4py 3.18.5 was built for another major version than numpy {np.__version__}" in told
    assert "make mpi" in told
    assert capfd.readouterr() == ("", "")  # numpy's own forty lines are not seen


def test_bindings_of_another_python(tmp_path):
    sys.path.insert(0, str(bindings(tmp_path / "site", slepc="def init(args): raise ImportError('no module PETSc')")))
    assert "importing it failed (no module PETSc)" in refusal()


def test_a_defect_keeps_its_traceback(tmp_path):
    sys.path.insert(0, str(bindings(tmp_path / "site", slepc="def init(args): raise ValueError('something else')")))
    with pytest.raises(ValueError, match="something else"):
        libraries.load()
