"""Models on disk: a safetensors file whose metadata says how to build the module that its tensors belong to.

Nothing in such a file is executed: the class is looked up in `CLASSES`, its arguments are JSON.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.files import written_atomically

FORMAT = "1"
_DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128)}
#: every class that can be saved, and the module it lives in
CLASSES = {
    "ARNN": "qunn.arnn.network",
    "CWRNN": "qunn.networks.cwrnn",
    "CausallyNormalised": "qunn.networks.normalised",
    "ContractiveRNN": "qunn.networks.contractive",
    "ODERNN": "qunn.odernn",
    "QUNN": "qunn.quantum.network",
    "QUNNForecaster": "qunn.quantum.forecaster",
    "Readout": "qunn.networks.readout",
    "ResetBeforeGRU": "qunn.networks.reset_before_gru",
    "TorchRNN": "qunn.networks.torch_rnn",
    "URNN": "qunn.networks.urnn",
}
_METADATA = ("format", "class", "arguments", "dtype", "shared")


class Savable(nn.Module, ABC):
    """A module that a file can hold: it knows its constructor's arguments and can be built from them."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype, as JSON can hold them.

        Raises
        ------
        InputError : an argument, such as a callable, that no file can hold.
        """

    @classmethod
    def from_config(cls, arguments: dict[str, Any], dtype: torch.dtype) -> Self:
        """A new module from what `config` gave."""
        return cls(**arguments, dtype=dtype)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters and the constructor's arguments to a safetensors file (see `qunn.load`)."""
        save(self, path)


def save(model: Savable, path: str | os.PathLike[str]) -> None:
    """Write `model` under `path`, which appears only when everything is written.

    Metadata: `format`, `class`, `arguments` (the constructor's, as JSON), `dtype`, and `shared` (as JSON): names of
    tensors that stand under another name too, and that name. They are kept once, and are one again when loaded. Complex
    tensors are kept as real ones with a last dimension of 2 (real, imaginary part): safetensors has no complex128.

    Raises
    ------
    InputError : a class, a dtype, or an argument such as a callable, that no file can hold; a path that cannot be
        written.

    Examples
    --------
    >>> import tempfile
    >>> from qunn import URNN, load, save
    >>> urnn = URNN(3, 8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(urnn, f"{folder}/urnn.safetensors")
    ...     again = load(f"{folder}/urnn.safetensors")
    >>> all(bool((p == q).all()) for p, q in zip(urnn.parameters(), again.parameters(), strict=True))
    True
    """
    name = type(model).__name__
    if CLASSES.get(name) != type(model).__module__:
        raise must_be("model", f"{one_of(CLASSES)}", name)
    dtype = str(widest_dtype(model.state_dict().values()))
    if dtype not in _DTYPES:
        raise must_be("dtype", one_of(_DTYPES), dtype)
    shared = _shared(model)
    metadata = {"format": FORMAT, "class": name, "arguments": json.dumps(model.config()), "dtype": dtype}
    metadata["shared"] = json.dumps(shared)
    tensors = {
        key: _as_real(value.detach()).cpu().clone(memory_format=torch.contiguous_format)
        for key, value in model.state_dict().items()
        if key not in shared
    }
    with written_atomically(path) as file:
        file.write(_in_order(tensors_to_bytes(tensors, metadata)))


def _in_order(data: bytes) -> bytes:
    """The same file with its metadata sorted: safetensors writes them in random order, and equal models should be
    equal files. A header of the same entries has the same length."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return data[:8] + text.ljust(length) + data[8 + length :]


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Any:
    """The module that `save` wrote, on `device`, in the dtype it had.

    Raises
    ------
    InputError : no such file, not a safetensors file, not one of this format, or tensors that do not fit.

    Examples
    --------
    >>> import tempfile
    >>> from qunn import ARNN, load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ARNN(3, 8, scheme="leapfrog").save(f"{folder}/arnn.safetensors")
    ...     arnn = load(f"{folder}/arnn.safetensors")
    >>> arnn.config()["scheme"], arnn.hidden_size
    ('leapfrog', 8)
    """
    if not Path(path).is_file():
        raise must_be("file", "a saved model (safetensors)", str(path))
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            # numpy's copy is aligned; torch crashes on a complex128 tensor at an odd multiple of 8 bytes in the file
            tensors = {key: torch.from_numpy(file.get_tensor(key).copy()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: `file` must be a safetensors file, but it cannot be read: {error}", "file"
        ) from error
    if missing := [key for key in _METADATA if key not in metadata]:
        raise InputError(f"{path}: `metadata` must hold {', '.join(_METADATA)}, but has no {missing[0]}", "metadata")
    if metadata["format"] != FORMAT:
        raise must_be("format", FORMAT, metadata["format"])
    model = _build(metadata, str(path))
    for name, owner in _object(metadata, "shared", str(path)).items():
        _tie(model, name, owner, str(path))
        tensors[name] = tensors.get(owner, torch.empty(0))
    _fill(model, tensors, str(path))
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise must_be("device", "a device that torch has here, such as cpu", str(device)) from error


def _build(metadata: dict[str, str], path: str) -> nn.Module:
    name = metadata["class"]
    kind = _class("class", name, CLASSES)
    dtype = _DTYPES.get(metadata["dtype"])
    if dtype is None:
        raise must_be("dtype", one_of(_DTYPES), metadata["dtype"])
    arguments = _object(metadata, "arguments", path)
    try:
        return kind.from_config(arguments, dtype)
    except KeyError as error:
        raise InputError(f"{path}: `arguments` must be those of {name}, but have no {error}", "arguments") from error
    except (TypeError, AttributeError, ArithmeticError, RuntimeError, IndexError) as error:  # or sizes
        raise InputError(f"{path}: `arguments` must be those of {name}, but: {error}", "arguments") from error


def described(model: Savable) -> dict[str, Any]:
    """Class and arguments of a module within another's arguments."""
    return {"class": type(model).__name__, "arguments": model.config()}


def from_description(what: str, found: dict[str, Any], allowed: Iterable[str], dtype: torch.dtype) -> Any:
    """The module that `described` told of, if its class is one of `allowed`.

    Raises
    ------
    InputError : another class; `what` names the argument.
    """
    return _class(what, found["class"], allowed).from_config(found["arguments"], dtype)


def _class(what: str, name: str, allowed: Iterable[str]) -> type[Savable]:
    if name not in allowed:
        raise must_be(what, one_of(allowed), name)
    kind: type[Savable] = getattr(import_module(CLASSES[name]), name)
    return kind


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: str) -> None:
    expected = model.state_dict()
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise InputError(f"{path}: `tensors` must be those of the model, but {unknown[0]!r} is not", "tensors")
    for key, value in expected.items():
        if key not in tensors:
            raise InputError(f"{path}: `tensors` must hold {key!r}, but it is missing", "tensors")
        given, fitting = tensors[key], _as_real(value)
        if given.shape != fitting.shape or given.dtype != fitting.dtype:
            shapes = f"{tuple(given.shape)} {given.dtype}, not {tuple(fitting.shape)} {fitting.dtype}"
            raise InputError(f"{path}: `{key}` does not fit the model: {shapes}", "tensors")
        if value.is_complex():
            tensors[key] = torch.view_as_complex(given)
    model.load_state_dict(tensors)


def _object(metadata: dict[str, str], key: str, path: str) -> dict[str, Any]:
    """That entry of the metadata, which must be a JSON object."""
    try:
        found = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: `{key}` must be JSON, but: {error}", key) from error
    if not isinstance(found, dict):
        raise must_be(key, "a JSON object", found)
    return found


def _shared(model: nn.Module) -> dict[str, str]:
    """Names of the tensors that stand under another name too (a field in two layers), and that name."""
    seen: dict[int, str] = {}
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    owners = {name: seen.setdefault(id(tensor), name) for name, tensor in named}
    return {name: owner for name, owner in owners.items() if owner != name}


def _tie(model: nn.Module, name: str, owner: str, path: str) -> None:
    """Let the tensor of one name be that of another."""
    where, _, last = name.rpartition(".")
    try:
        holder = model.get_submodule(where)
        if last in holder._parameters:
            holder._parameters[last] = model.get_parameter(owner)
        else:
            holder._buffers[last] = model.get_buffer(owner)
    except (AttributeError, TypeError) as error:
        raise InputError(f"{path}: `shared` must name tensors of the model, but: {error}", "shared") from error


def _as_real(value: Tensor) -> Tensor:
    return torch.view_as_real(value.resolve_conj()) if value.is_complex() else value


def widest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """That all of the tensors fit in, those of integers apart; torch's default where there is none."""
    kinds = [t.dtype for t in tensors if t.is_floating_point() or t.is_complex()]
    dtype = kinds[0] if kinds else torch.get_default_dtype()
    for kind in kinds[1:]:
        dtype = torch.promote_types(dtype, kind)
    return dtype
