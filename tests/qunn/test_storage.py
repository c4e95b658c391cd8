"""Saved models: what comes back, and what is said of files that are broken."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import qunn
from hamiltonians import InputError
from qunn.storage import CLASSES, FORMAT, Savable

REAL = (torch.float32, torch.float64)
MODELS = {
    "URNN": (lambda dtype: qunn.URNN(3, 5, 2, dtype=dtype), (*REAL, torch.complex64, torch.complex128)),
    "URNN tanh": (lambda dtype: qunn.URNN(3, 5, activation="tanh", bias=False, dtype=dtype), (*REAL, torch.complex64)),
    "CWRNN": (lambda dtype: qunn.CWRNN(3, 6, 2, periods=(1, 3), bidirectional=True, dtype=dtype), REAL),
    "ResetBeforeGRU": (lambda dtype: qunn.ResetBeforeGRU(3, 5, 2, batch_first=True, dropout=0.5, dtype=dtype), REAL),
}
CASES = [(name, dtype) for name, (_, dtypes) in MODELS.items() for dtype in dtypes]
every_case = pytest.mark.parametrize(("name", "dtype"), CASES, ids=[f"{n} {str(d)[6:]}" for n, d in CASES])


def make(name: str, dtype: torch.dtype) -> Any:
    torch.manual_seed(6)
    return MODELS[name][0](dtype).eval()


def outputs(model: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        return model(torch.randn(7, 2, 3, generator=generator, dtype=dtype), step=2)


def same(a: Any, b: Any, dtype: torch.dtype) -> None:
    """The same class, arguments, tensors and outputs, bit for bit."""
    assert repr(a) == repr(b)
    assert a.config() == b.config()
    for (key, p), (other, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert key == other
        assert p.dtype == q.dtype
        assert torch.equal(p, q)
    for x, y in zip(outputs(a, dtype), outputs(b, dtype), strict=True):
        assert x.dtype == y.dtype == dtype
        assert torch.equal(x, y)


@every_case
def test_comes_back_bit_for_bit(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = make(name, dtype)
    model.save(tmp_path / "model.safetensors")
    torch.manual_seed(99)
    same(qunn.load(tmp_path / "model.safetensors").eval(), model, dtype)


@every_case
def test_comes_back_after_a_conversion_and_training(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = make(name, dtype).double()
    wide = torch.complex128 if dtype.is_complex else torch.float64
    optimiser = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        model(torch.ones(4, 1, 3, dtype=wide))[0].abs().sum().backward()
        optimiser.step()
    qunn.save(model, str(tmp_path / "model.safetensors"))
    back = qunn.load(str(tmp_path / "model.safetensors")).eval()
    same(back, model, wide)
    assert all(p.requires_grad and p.is_leaf for p in back.parameters())


@every_case
def test_what_is_in_the_file(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = make(name, dtype)
    model.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors"]
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert set(metadata) == {"format", "class", "arguments", "dtype", "shared"}
    assert metadata["format"] == FORMAT == "1"
    assert metadata["class"] == type(model).__name__ == name.split()[0]
    assert metadata["dtype"] == str(dtype)
    assert json.loads(metadata["arguments"]) == model.config()
    stored, state = load_file(path), model.state_dict()
    assert set(stored) == set(state)
    for key, value in state.items():
        assert torch.equal(stored[key], torch.view_as_real(value) if value.is_complex() else value)


def test_every_class_lives_where_it_is_said_to() -> None:
    for name in ("URNN", "CWRNN", "ResetBeforeGRU"):
        assert getattr(qunn, name).__module__ == CLASSES[name]


def test_the_device_is_chosen_while_loading(tmp_path: Path) -> None:
    make("URNN", torch.complex64).save(tmp_path / "m")
    assert {p.device.type for p in qunn.load(tmp_path / "m", device="meta").parameters()} == {"meta"}


def test_a_shared_tensor_is_kept_once_and_shared_again(tmp_path: Path) -> None:
    model = qunn.ResetBeforeGRU(5, 5, 2)
    first, second = model.layers
    second.weight_ih = first.weight_ih
    model.save(tmp_path / "m")
    assert "layers.1.weight_ih" not in load_file(tmp_path / "m")
    back = qunn.load(tmp_path / "m")
    assert back.layers[1].weight_ih is back.layers[0].weight_ih
    assert torch.equal(back.layers[0].weight_ih, first.weight_ih)


def test_a_copy_of_a_model_can_be_saved(tmp_path: Path) -> None:
    """As those who keep the best weights, or a moving average, do."""
    for model in (qunn.URNN(3, 5, activation="tanh"), qunn.ARNN(3, 5), qunn.ContractiveRNN(3, 5)):
        copy.deepcopy(model).save(tmp_path / "m")
        assert qunn.load(tmp_path / "m").config() == model.config()


# --- what cannot be saved ---


def test_a_failed_write_leaves_no_file_and_the_old_one_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    make("URNN", torch.float64).save(path)
    before = path.read_bytes()

    def full(*args: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qunn.storage.tensors_to_bytes", full)
    for target in (path, tmp_path / "new.safetensors"):
        with pytest.raises(InputError, match=r"`file` could not be written: No space left on device$"):
            make("CWRNN", torch.float32).save(target)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _strange() -> Savable:
    class Strange(Savable):
        def config(self) -> dict[str, Any]:
            return {}

    return Strange()


def _impostor() -> Savable:
    class URNN(Savable):
        def config(self) -> dict[str, Any]:
            return {}

    return URNN()


LISTED = r"^`model` must be one of ARNN, CWRNN, .*, but is "


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: qunn.URNN(2, 3, activation=lambda z: z),
            r"^`activation` must be a name, for a model that is saved, but",
        ),
        (_strange, LISTED + "'Strange'$"),
        (_impostor, LISTED + "'URNN'$"),
        (
            lambda: qunn.CWRNN(2, 4).to(torch.bfloat16),
            r"^`dtype` must be one of torch.float32, .*, torch.complex128, but is 'torch.bfloat16'$",
        ),
    ],
)
def test_what_no_file_can_hold_is_refused(model: Callable[[], Savable], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        model().save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    model = make("CWRNN", torch.float32)
    with pytest.raises(InputError, match=r"`file` must be the name of a file, but is a folder$"):
        model.save(tmp_path)
    with pytest.raises(InputError, match=r"`file` must be one that can be written, but No such file or directory$"):
        model.save(tmp_path / "no" / "m")
    with pytest.raises(InputError, match=r"`file` must be one that can be written, but File name too long$"):
        model.save(tmp_path / ("m" * 300))


# --- broken files ---

Edit = Callable[[dict[str, Tensor], dict[str, str]], Any]


def edited(path: Path, edit: Edit, name: str = "URNN", dtype: torch.dtype = torch.complex64) -> Path:
    """A saved model with something changed in it."""
    make(name, dtype).save(path)
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = load_file(path)
    edit(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        qunn.load(path)
    message = str(error.value)
    assert "\n" not in message
    assert error.value.field
    return message


def arguments(**new: Any) -> Edit:
    def edit(tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        metadata["arguments"] = json.dumps(json.loads(metadata["arguments"]) | new)

    return edit


def metadata(key: str, value: str) -> Edit:
    return lambda _, metadata: metadata.__setitem__(key, value)


BIAS = "layers.0.bias"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _, m: m.clear(), "`metadata` must hold format, class, arguments, dtype, shared, but has no format"),
        (lambda _, m: m.pop("class"), "`metadata` must hold format, class, arguments, dtype, shared, but has no class"),
        (lambda _, m: m.pop("dtype"), "`metadata` must hold format, class, arguments, dtype, shared, but has no dtype"),
        (metadata("format", "2"), "`format` must be 1, but is '2'"),
        (metadata("class", "os.system"), "`class` must be one of ARNN, CWRNN, "),
        (metadata("dtype", "torch.nn"), "`dtype` must be one of torch.float32, "),
        (metadata("dtype", "torch.float16"), "`dtype` must be one of torch.float32, "),
        (
            metadata("dtype", "torch.complex128"),
            "`layers.0.weight_ih` does not fit the model: (5, 3, 2) torch.float32, not (5, 3, 2) torch.float64",
        ),
        (metadata("class", "CWRNN"), "`arguments` must be those of CWRNN, but: "),
        (metadata("class", "ODERNN"), "`arguments` must be those of ODERNN, but have no 'layers'"),
        (metadata("arguments", '{"hidden_size": ' + "1" * 5000 + "}"), "`arguments` must be JSON, but: "),
        (metadata("shared", "["), "`shared` must be JSON, but: "),
        (metadata("shared", "[]"), "`shared` must be a JSON object, but is []"),
        (metadata("shared", '{"layers.0.bias": "nothing"}'), "`shared` must name tensors of the model, but: "),
        (metadata("shared", '{"layers.9.bias": "layers.0.bias"}'), "`shared` must name tensors of the model, but: "),
        (metadata("arguments", "{"), "`arguments` must be JSON, but: "),
        (metadata("arguments", "[" * 100_000), "`arguments` must be "),
        (metadata("arguments", "[1, 2]"), "`arguments` must be a JSON object, but is [1, 2]"),
        (metadata("arguments", "null"), "`arguments` must be a JSON object, but is None"),
        (metadata("arguments", "{}"), "`arguments` must be those of URNN, but: "),
        (arguments(size=3), "`arguments` must be those of URNN, but: "),
        (arguments(hidden_size="5"), "`hidden_size` must be an integer of at least 1, but is '5'"),
        (arguments(hidden_size=10**9), "`arguments` must be those of URNN, but: "),
        (arguments(hidden_size=10**30), "`arguments` must be those of URNN, but: "),
        (arguments(hidden_size=[5]), "`hidden_size` must be an integer of at least 1, but is [5]"),
        (arguments(dropout="much"), "`dropout` must be a probability in [0, 1], but is 'much'"),
        (arguments(activation="max"), "`activation` must be one of modrelu, "),
        (arguments(activation=["tanh"]), "`activation` must be one of identity, "),
        (arguments(activation="tanh"), "`tensors` must be those of the model, but 'layers.0.modrelu_bias' is not"),
        (arguments(num_layers=3), "`tensors` must hold 'layers.2.weight_ih', but it is missing"),
        (
            arguments(hidden_size=6),
            "`layers.0.weight_ih` does not fit the model: (5, 3, 2) torch.float32, not (6, 3, 2) torch.float32",
        ),
        (lambda t, _: t.pop(BIAS), f"`tensors` must hold '{BIAS}', but it is missing"),
        (lambda t, _: t.update(more=torch.ones(1)), "`tensors` must be those of the model, but 'more' is not"),
        (
            lambda t, _: t.update({BIAS: t[BIAS][1:]}),
            f"`{BIAS}` does not fit the model: (4, 2) torch.float32, not (5, 2)",
        ),
        (
            lambda t, _: t.update({BIAS: t[BIAS].double()}),
            f"`{BIAS}` does not fit the model: (5, 2) torch.float64, not (5, 2) torch.float32",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named_in_one_line(edit: Edit, message: str, tmp_path: Path) -> None:
    path = edited(tmp_path / "m", edit)
    assert message in refused(path)


def test_arguments_of_the_clockwork_are_checked(tmp_path: Path) -> None:
    path = edited(tmp_path / "m", arguments(periods="13"), "CWRNN", torch.float32)
    assert refused(path) == "`periods` must be a non-empty list of integers, but is '13'"
    path = edited(tmp_path / "m", metadata("dtype", "torch.complex64"), "CWRNN", torch.float32)
    assert refused(path) == "`dtype` must be a real floating-point dtype, but is torch.complex64"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"PK\x03\x04 a torch file", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"{nojson}"]
)
def test_no_safetensors_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: `file` must be a safetensors file, but it cannot be read: ")


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.99])
def test_a_file_that_was_cut_off(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "m"
    make("CWRNN", torch.float32).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert refused(path).startswith(f"{path}: `file` must be a safetensors file, but it cannot be read: ")


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    save_file({"weight": torch.ones(2)}, path)
    assert refused(path) == f"{path}: `metadata` must hold format, class, arguments, dtype, shared, but has no format"


def test_no_file_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        assert refused(path).startswith("`file` must be a saved model (safetensors), but is '")


def test_a_refused_file_is_not_half_loaded(tmp_path: Path) -> None:
    """`load` builds a module of its own: nothing that exists is touched, torch's generator aside."""
    model = make("URNN", torch.complex64)
    before = nn.utils.parameters_to_vector([p.abs() for p in model.parameters()])
    refused(edited(tmp_path / "m", lambda t, _: t.pop(BIAS)))
    assert torch.equal(before, nn.utils.parameters_to_vector([p.abs() for p in model.parameters()]))


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    make("CWRNN", torch.float32).save(tmp_path / "m")
    with pytest.raises(
        InputError, match=r"^`device` must be a device that torch has here, such as cpu, but is 'nope'$"
    ):
        qunn.load(tmp_path / "m", device="nope")


def test_networks_can_be_pickled(tmp_path: Path) -> None:
    """As worker processes need it."""
    for model in (qunn.ContractiveRNN(3, 4), qunn.as_odernn(nn.LSTM(3, 4))):
        back = pickle.loads(pickle.dumps(model))
        x = torch.randn(5, 2, 3)
        assert torch.equal(back(x)[0], model(x)[0])
