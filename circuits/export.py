"""Circuits in files: OpenQASM 2 and 3, and QPY, Qiskit's own format.

OpenQASM is written in the gates of the standard library alone, so that every reader knows them. OpenQASM 3 keeps the
global phase: Qiskit's exporter drops it (Qiskit/qiskit issue 12114), so it is added here as `gphase`. OpenQASM 2 has
no word for it and loses it. QPY keeps everything.
"""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from types import MappingProxyType
from typing import IO

from qiskit import QuantumCircuit, qasm2, qasm3, qpy, transpile
from qiskit.exceptions import QiskitError

from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.files import check_target, written_atomically

_MAX_BYTES = 64 * 2**20  # read no more than that of an endless device
_VERSION = re.compile(r"(?:\s|//[^\n]*(?:\n|$)|/\*.*?\*/)*OPENQASM\s+(\d+)", re.DOTALL)
_QPY = b"QISKIT"  # the first bytes of every QPY file
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

#: qubits and bits that a file may declare: a slip in one number must not fill the memory while the file is read
_MAX_BITS = 1_000_000
_DECLARED = re.compile(r"\b(?:[qc]reg\s+\w+|qubit|bit)\s*\[\s*(\d+)\s*\]")
_OLDEST_QPY = 10  # of Qiskit 0.45; older headers are laid out differently

#: the gates that qelib1.inc defines in the paper that introduced OpenQASM 2
_QELIB1 = [
    "u1",
    "u2",
    "u3",
    "id",
    "x",
    "y",
    "z",
    "h",
    "s",
    "sdg",
    "t",
    "tdg",
    "rx",
    "ry",
    "rz",
    "cx",
    "cy",
    "cz",
    "ch",
    "crz",
    "ccx",
]
#: those of stdgates.inc
_STDGATES = [
    "u",
    "p",
    "x",
    "y",
    "z",
    "h",
    "s",
    "sdg",
    "t",
    "tdg",
    "sx",
    "rx",
    "ry",
    "rz",
    "cx",
    "cy",
    "cz",
    "ch",
    "cp",
    "crx",
    "cry",
    "crz",
    "swap",
    "ccx",
    "cswap",
    "cu",
]


# --- writing ---


def export(circuit: QuantumCircuit, path: str | os.PathLike[str]) -> None:
    """Write a circuit to a file whose suffix says how: .qasm OpenQASM 3, .qasm2 OpenQASM 2, .qpy QPY.

    The file is whole or not there. What a composite gate stands for is synthesised (a `PauliEvolutionGate` by the
    formula that it carries); nothing is optimised.

    Raises
    ------
    InputError : another suffix, a file that cannot be written, or, in OpenQASM, parameters without values and
        instructions that the language lacks.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from qiskit import QuantumCircuit
    >>> from circuits import read_circuit
    >>> from circuits.export import export
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> with TemporaryDirectory() as folder:
    ...     export(bell, Path(folder) / "bell.qasm")
    ...     read_circuit(Path(folder) / "bell.qasm").num_qubits
    2
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(f"`file` must end in {one_of(_WRITERS)}, but is {os.fspath(path)!r}", "file")
    check_target(path)
    content = _WRITERS[suffix](circuit)
    with written_atomically(path) as file:
        file.write(content)


def _qasm3(circuit: QuantumCircuit) -> bytes:
    lowered = _lowered(circuit, _STDGATES)
    phase = float(lowered.global_phase)
    text = _written(qasm3.dumps, lowered)
    return (text + (f"gphase({phase!r});\n" if phase else "")).encode()


def _qasm2(circuit: QuantumCircuit) -> bytes:
    return (_written(qasm2.dumps, _lowered(circuit, _QELIB1)) + "\n").encode()


def _qpy(circuit: QuantumCircuit) -> bytes:
    """As the circuit is; in standard gates where Qiskit cannot read back what it writes (an `Isometry`)."""
    content = _dumped(circuit)
    try:
        _from_qpy(content)
    except InputError:
        content = _dumped(transpile(circuit, basis_gates=_STDGATES, optimization_level=0, seed_transpiler=0))
    return content


def _dumped(circuit: QuantumCircuit) -> bytes:
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


#: the suffixes that `export` knows, with what writes each
_WRITERS: Mapping[str, Callable[[QuantumCircuit], bytes]] = MappingProxyType(
    {".qasm": _qasm3, ".qasm2": _qasm2, ".qpy": _qpy}
)


def _lowered(circuit: QuantumCircuit, gates: list[str]) -> QuantumCircuit:
    """The circuit in these gates; level 0 keeps those that are among them as they are."""
    if circuit.parameters:
        names = ", ".join(sorted(p.name for p in circuit.parameters))
        raise InputError(f"`circuit` must have values for all its parameters, but lacks those of {names}", "circuit")
    return transpile(circuit, basis_gates=gates, optimization_level=0, seed_transpiler=0)


def _written(dumps: Callable[[QuantumCircuit], str], circuit: QuantumCircuit) -> str:
    try:
        return dumps(circuit)
    except (qasm2.QASM2Error, qasm3.QASM3Error) as error:
        raise InputError(f"`circuit` must be one that OpenQASM can express, but {error.message}", "circuit") from error


# --- reading ---


def read_circuit(path_or_text: str | bytes | os.PathLike[str]) -> QuantumCircuit:
    """The circuit in a file or in its content: OpenQASM 2, OpenQASM 3 or QPY, told apart by the content alone.

    Parameters
    ----------
    path_or_text : a path, OpenQASM as text, or the content of any of the three as bytes. A string is text where it has
        a line break or a semicolon.

    OpenQASM has no name for a circuit: it gets the file's stem. `include` in an OpenQASM 2 file is looked up beside
    that file; Qiskit cannot read expressions, such as angles, in what is included (it looks for them in the file that
    includes), and says so in words of its own. Gates of Qiskit's own, longer `qelib1.inc` are known too. The circuit
    may have parameters without values (`input float a;` in OpenQASM 3), measurements and resets: what needs a unitary
    checks that itself.

    Raises
    ------
    InputError : one line that names the file and what is wrong, with line and column where the reader knows them.

    Examples
    --------
    >>> from circuits import read_circuit
    >>> circuit = read_circuit('OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0], q[1];')
    >>> circuit.num_qubits, dict(circuit.count_ops())
    (2, {'h': 1, 'cx': 1})
    """
    if isinstance(path_or_text, bytes):
        return _parsed(path_or_text, "text", None)
    if isinstance(path_or_text, str) and ("\n" in path_or_text or ";" in path_or_text):
        return _parsed(path_or_text.encode(errors="surrogatepass"), "text", None)
    path = os.fspath(path_or_text)
    return _parsed(_content(path), path, Path(path))


def _parsed(content: bytes, source: str, path: Path | None) -> QuantumCircuit:
    try:
        if content.startswith(_QPY):
            return _from_qpy(content)
        text = _decoded(content)
        version = _version(text)
        _check_bits(sum(int(found[1][:20]) for found in _DECLARED.finditer(text)))
        circuit = _from_qasm2(text, path) if version == 2 else _from_qasm3(text)
    except InputError as error:
        message = "".join(c if c.isprintable() else "\ufffd" for c in str(error))
        raise InputError(f"{source}: {message}", error.field) from error.__cause__
    if path is not None:
        circuit.name = path.stem
    return circuit


def _decoded(content: bytes) -> str:
    if not content.strip():
        raise InputError("`document` must be a circuit in OpenQASM 2, OpenQASM 3 or QPY, but is empty", "document")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            "`document` must be OpenQASM, which is text in UTF-8, or QPY, which begins with QISKIT, but byte "
            f"{error.start} is no such text",
            "document",
        ) from None


def _version(text: str) -> int:
    """2 or 3, from the line that must come first."""
    found = _VERSION.match(text)
    if found is None:
        start = " ".join(text.split())
        raise must_be("document", "one that begins with OPENQASM 2.0; or OPENQASM 3.0; (or a QPY file)", start)
    if found[1] not in ("2", "3"):
        raise must_be("OPENQASM", "version 2 or 3", found[1])
    return int(found[1])


def _from_qasm2(text: str, path: Path | None) -> QuantumCircuit:
    folders = () if path is None else (path.parent,)
    try:
        return qasm2.loads(
            text,
            include_path=folders,
            custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
        )
    except qasm2.QASM2Error as error:
        where = error.message.removeprefix("<input>:")
        raise InputError(f"`document` must be OpenQASM 2, but {where}", "document") from error


def _from_qasm3(text: str) -> QuantumCircuit:
    said = io.StringIO()  # the lexer prints what it dislikes and reads on
    try:
        with redirect_stderr(said):
            circuit = qasm3.loads(text)
    except ImportError as error:
        raise InputError(
            "`document` is OpenQASM 3, which needs qiskit-qasm3-import: pip install qiskit-qasm3-import", "document"
        ) from error
    except Exception as error:  # parser and importer raise errors of their own and of any other kind on broken text
        raise InputError(f"`document` must be OpenQASM 3, but {_reason(error, said.getvalue())}", "document") from error
    if said.getvalue():
        raise InputError(f"`document` must be OpenQASM 3, but {said.getvalue()}", "document")
    return circuit


def _reason(error: Exception, said: str) -> str:
    """What the OpenQASM 3 reader has against the text; its parser says where, but only within its own exceptions."""
    from antlr4.error.Errors import RecognitionException  # type: ignore[import-untyped]

    if isinstance(error, QiskitError):
        return error.message
    inner: BaseException | object = error.__cause__
    while isinstance(inner, Exception) and not isinstance(inner, RecognitionException):
        inner = inner.args[0] if inner.args else None
    if isinstance(inner, RecognitionException) and inner.offendingToken is not None:
        token = inner.offendingToken
        shown = "the end" if token.text == "<EOF>" else repr(token.text)
        return f"{token.line},{token.column}: {shown} was not expected"
    return str(error) or said or f"it cannot be parsed ({type(error).__name__})"


def _check_bits(declared: int) -> None:
    if declared > _MAX_BITS:
        raise InputError(
            f"`document` must declare at most {_MAX_BITS:,} qubits and bits, but declares {declared:,}", "document"
        )


def _from_qpy(content: bytes) -> QuantumCircuit:
    try:
        _check_bits(_bits_in_header(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "written by a newer Qiskit": read all the same, or an error
            circuit = qpy.load(io.BytesIO(content))[0]
    except InputError:
        raise
    except Exception as error:  # errors of struct, zlib, numpy and Qiskit on a damaged file
        said = _COLOURS.sub("", error.message if isinstance(error, QiskitError) else str(error))
        raise InputError(
            f"`document` must be a QPY file that this Qiskit reads, but reading it failed: {said[:200]}", "document"
        ) from error
    if not isinstance(circuit, QuantumCircuit):
        raise must_be("document", "a QPY file of a circuit", type(circuit).__name__)
    return circuit


def _bits_in_header(content: bytes) -> int:
    """Qubits and bits that a QPY file says its only circuit has; layout as Qiskit documents it."""
    version, programs = content[6], struct.unpack_from("!Q", content, 10)[0]
    if version < _OLDEST_QPY:
        raise must_be("document", f"QPY of version {_OLDEST_QPY} or later", version)
    if programs != 1:
        raise must_be("document", "a QPY file of one circuit", f"one of {programs}")
    header = 20 + (8 if version >= 16 else 0)  # since 16 a table of the places of the circuits comes first
    _, _, _, qubits, bits = struct.unpack_from("!HcHII", content, header)
    return int(qubits + bits)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content: bytes = _limited(file, path)
    except OSError as error:
        raise InputError(f"{path}: `file` must be readable, but is not: {error.strerror}", "file") from None
    except ValueError:  # a NUL in the name, or a lone surrogate
        raise InputError(f"{path!r}: `file` must be the name of a file, but no file can bear it", "file") from None
    return content


def _limited(file: IO[bytes], path: str) -> bytes:
    content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path}: `file` must be at most {_MAX_BYTES // 2**20} MiB, but is larger", "file")
    return content
