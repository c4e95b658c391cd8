"""QUNNForecaster: encoder, QUNNs and read-out by their formulas; streams, files, and what it refuses.

Tolerance TINY: sums of some tens of numbers of size 1 in each of a few layers.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

import qunn
from circuits.validation import literal_qunn as reference
from circuits.validation.literal_qunn import SIGMA, Network
from hamiltonians import InputError
from qunn.quantum.history import QUNNState

TINY = 1e-13
F64 = torch.float64


def random(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def make(m: int = 1, N: int = 3, L: int | None = None, **options: Any) -> qunn.QUNNForecaster:
    """With every parameter away from its first value."""
    torch.manual_seed(1)
    model = qunn.QUNNForecaster(m, N, L, **{"dtype": F64} | options)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter += 0.2 * random(*parameter.shape, seed=10 + i).to(parameter)
    return model


def array(t: Tensor | None) -> Any:
    return None if t is None else t.detach().numpy()


# --- the formula ---


def encoded(encoding: str, encoder: Any, x: np.ndarray) -> np.ndarray:
    if encoding == "angle":
        theta = np.pi * x / 8
        return np.stack([np.cos(theta), np.sin(theta)], -1).reshape(len(x), -1) / np.sqrt(x.shape[1])
    if encoding == "amplitude":
        v = np.concatenate([x, np.ones((len(x), 1))], 1)
    else:
        v = x @ array(encoder.linear.weight).T + array(encoder.linear.bias)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def network(head: Any) -> Network:
    p1, p2 = (np.broadcast_to(array(torch.sigmoid(p)), head.period) for p in (head.p1_logit, head.p2_logit))
    functions = tuple(SIGMA[sigma.name] for sigma in head.activations)
    profiles = (array(head.clock.profile), array(head.clock.read_profile))
    return Network(p1, p2, array(head.skip), *profiles, head.history == "block", False, head.step, functions)  # type: ignore[arg-type]


def literal(model: qunn.QUNNForecaster, x: Tensor) -> Tensor:
    """Of one sequence [T, m]."""
    found = [
        reference.outputs(network(head), encoded(model.encoding, encoder, x.numpy()))
        for encoder, head in zip(model.encoders, model.heads, strict=True)
    ]
    output = np.concatenate(found, 1) @ array(model.linear.weight).T + array(model.linear.bias)
    output = output + x.numpy() if model.residual else output
    return torch.from_numpy(output[-1] if model.last else output)


OPTIONS: dict[str, dict[str, Any]] = {
    "affine": {},
    "angle": {"encoding": "angle"},
    "amplitude": {"encoding": "amplitude"},
    "size 3": {"size": 3},
    "3 heads": {"heads": 3},
    "3 heads angle": {"heads": 3, "encoding": "angle"},
    "residual": {"residual": True, "heads": 2},
    "last": {"last": True, "heads": 2},
    "p = 4": {"output_size": 4},
    "p = 4 last": {"output_size": 4, "last": True, "encoding": "amplitude"},
    "one-hot": {"clock": "one-hot"},
    "learned": {"clock": "learned", "L": 1},
    "share": {"share": True, "L": 5},
    "fixed p": {"p1": 0.0, "p2": 1.0},
    "block": {"history": "block"},
    "activations": {"activations": ("identity", "relu", "tanh"), "step": 0.5},
    "recompute": {"recompute": True, "p1": [0.1, 0.2, 0.3], "activations": ("tanh", "gelu", "identity")},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
each_size = pytest.mark.parametrize("m", [1, 3])


@every_option
@each_size
def test_equals_the_formula(options: dict[str, Any], m: int) -> None:
    model, x = make(m, **options), random(2, 7, m)
    y, _ = model(x)
    for i in range(2):
        torch.testing.assert_close(y[i].detach(), literal(model, x[i]), rtol=0, atol=TINY)
    assert y.shape == ((2,) if model.last else (2, 7)) + (model.output_size,)


@every_option
def test_layouts_agree(options: dict[str, Any]) -> None:
    model, other = make(2, **options), make(2, **options, batch_first=False)
    x = random(3, 5, 2)
    y, state = model(x)
    by_time, after = other(x.transpose(0, 1))
    torch.testing.assert_close(by_time if model.last else by_time.transpose(0, 1), y, rtol=0, atol=TINY)
    for one in (model, other):
        alone, end = one(x[1])
        torch.testing.assert_close(alone, y[1], rtol=0, atol=TINY)
        for a, b, c in zip(end, state, after, strict=True):
            torch.testing.assert_close(a.history, b.history[1], rtol=0, atol=TINY)
            torch.testing.assert_close(c.history, b.history, rtol=0, atol=TINY)
            assert (a.position, b.position.tolist(), c.position.tolist()) == (5, [5] * 3, [5] * 3)


@every_option
def test_pieces_give_what_the_whole_gives(options: dict[str, Any]) -> None:
    model, x = make(2, **options), random(2, 9, 2)
    whole, end = model(x)
    pieces, state = [], None
    for piece in x.split([1, 4, 1, 3], 1):
        y, state = model(piece, state)
        pieces.append(y)
    joined = pieces[-1] if model.last else torch.cat(pieces, 1)
    torch.testing.assert_close(joined, whole, rtol=0, atol=TINY)
    assert state is not None
    for a, b in zip(state, end, strict=True):
        torch.testing.assert_close(a.history, b.history, rtol=0, atol=TINY)
        assert torch.equal(a.position, b.position)


@every_option
def test_no_output_depends_on_a_later_input(options: dict[str, Any]) -> None:
    model = make(2, **options | {"last": False})
    x = random(1, 8, 2).requires_grad_()
    y, _ = model(x)
    for t in range(8):
        (gradient,) = torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)
        assert not gradient[0, t + 1 :].any()
    assert gradient[0, 7].any()


@pytest.mark.parametrize("options", [{}, {"residual": True}, {"heads": 2, "batch_first": False}])
@pytest.mark.parametrize("batched", [True, False])
def test_generate_feeds_outputs_back(options: dict[str, Any], batched: bool) -> None:
    model = make(2, **options)
    x = random(4, 6, 2) if batched else random(6, 2)
    time = 1 if batched and model.batch_first else 0
    known, expected = x, []
    for _ in range(5):  # all of it anew each time
        after = model(known)[0].detach().narrow(time, known.shape[time] - 1, 1)
        expected.append(after)
        known = torch.cat([known, after], time)
    found = model.generate(x, 5)
    torch.testing.assert_close(found, torch.cat(expected, time), rtol=0, atol=TINY)
    assert not found.requires_grad
    first = x.narrow(time, 0, 2)
    rest = x.narrow(time, 2, x.shape[time] - 2)
    torch.testing.assert_close(model.generate(rest, 5, model(first)[1]), found, rtol=0, atol=TINY)


@pytest.mark.parametrize("encoding", ["affine", "angle", "amplitude"])
def test_gradients(encoding: str) -> None:
    model = make(2, encoding=encoding, heads=2, residual=True)
    parameters = tuple(p for p in model.parameters())

    def of(x: Tensor, *_: Tensor) -> Tensor:
        y: Tensor = model(x)[0]
        return y

    assert torch.autograd.gradcheck(of, (random(1, 4, 2).requires_grad_(), *parameters))


# --- parameters and files ---


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize(("m", "p", "N", "L"), [(1, 1, 11, 11), (3, 2, 4, 6)])
def test_the_number_of_parameters(share: bool, heads: int, m: int, p: int, N: int, L: int) -> None:
    """A head: p1 and p2 (1 each with `share`, else N), L skips, 0, 1 or 2 profiles of N."""
    for clock, profiles in (("one-hot", 0), ("learned", 1), ("learned-read", 2)):
        for encoding, d, encoder in (("affine", 5, 5 * m + 5), ("angle", 2 * m, 0), ("amplitude", m + 1, 0)):
            options: dict[str, Any] = {"clock": clock, "encoding": encoding, "size": 5}
            model = qunn.QUNNForecaster(m, N, L, output_size=p, heads=heads, share=share, **options)
            head = profiles * N + L + (2 if share else 2 * N)
            expected = heads * (head + encoder) + p * (heads * d + 1)
            assert sum(one.numel() for one in model.parameters()) == expected
    fixed = qunn.QUNNForecaster(m, N, L, p1=0, p2=1, heads=heads, share=share)
    assert sum(one.numel() for one in fixed.heads.parameters()) == heads * (2 * N + L)


@every_option
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_saved_and_loaded_it_is_the_same(options: dict[str, Any], dtype: torch.dtype, tmp_path: Path) -> None:
    model = make(2, **options, dtype=dtype)
    model.save(tmp_path / "model.safetensors")
    again = qunn.load(tmp_path / "model.safetensors")
    assert again.config() == model.config()
    assert list(again.state_dict()) == list(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    x = random(2, 6, 2).to(dtype)
    assert torch.equal(again(x)[0], model(x)[0])
    assert again(x)[0].dtype == dtype
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_a_callable_cannot_be_saved(tmp_path: Path) -> None:
    model = make(activations=("tanh", lambda v: v.sin(), "identity"))
    with pytest.raises(InputError, match=r"`activations` must be names to be saved, but .* is a callable"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["affine", "angle", "amplitude"])
def test_parameters_are_drawn_anew(encoding: str) -> None:
    model = make(2, heads=2, encoding=encoding)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        model.reset_parameters()
        drawn.append({name: value.clone() for name, value in model.named_parameters()})
    one, same, other = drawn
    assert all(torch.equal(one[name], same[name]) for name in one)
    anew = {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert anew == {"heads", "linear"} | ({"encoders"} if encoding == "affine" else set())
    assert torch.equal(one["heads.1.skip"], torch.ones(3, dtype=F64))
    assert not torch.equal(one["heads.0.clock.profile"], one["heads.1.clock.profile"])


def test_a_copy_shares_nothing() -> None:
    model, x = make(2, heads=2), random(2, 5, 2)
    before = model(x)[0].detach()
    other = copy.deepcopy(model)
    assert torch.equal(other(x)[0], before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1
    assert torch.equal(model(x)[0], before)
    assert not torch.equal(other(x)[0], before)


def test_invariants_are_the_worst_of_the_heads() -> None:
    model = make(heads=3)
    p1, p2 = (torch.stack([getattr(head, name) for head in model.heads]) for name in ("p1", "p2"))
    assert model.invariants() == {
        "p1_least": p1.min().item(),
        "p1_largest": p1.max().item(),
        "p2_least": p2.min().item(),
        "p2_largest": p2.max().item(),
    }
    assert model.invariants()["p1_least"] != model.heads[0].invariants()["p1_least"] or (
        model.invariants()["p1_largest"] != model.heads[0].invariants()["p1_largest"]
    )
    assert make(p1=0.0, p2=1.0).invariants()["p2_least"] == 1.0


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"m": 0}, "`input_size` must be an integer of at least 1, but is 0"),
        ({"N": 1}, "`period` must be an integer of at least 2, but is 1"),
        ({"L": 0}, "`num_layers` must be an integer of at least 1, but is 0"),
        ({"heads": 0}, "`heads` must be an integer of at least 1, but is 0"),
        ({"heads": True}, "`heads` must be an integer of at least 1, but is True"),
        ({"output_size": 0}, "`output_size` must be an integer of at least 1, but is 0"),
        ({"size": 0}, "`size` must be an integer of at least 1, but is 0"),
        ({"size": 0, "encoding": "angle"}, "`size` must be an integer of at least 1, but is 0"),
        ({"encoding": "phase"}, "`encoding` must be one of affine, angle, amplitude, but is 'phase'"),
        ({"residual": True, "output_size": 2}, "`residual` must be False where outputs are not as large as inputs"),
        ({"residual": True, "last": True}, "`residual` must be False where outputs are not as large as inputs"),
        ({"residual": 1}, "`residual` must be True or False, but is 1"),
        ({"last": "no"}, "`last` must be True or False, but is 'no'"),
        ({"batch_first": None}, "`batch_first` must be True or False, but is None"),
        ({"clock": "one-hot", "L": 1}, "`num_layers` must be at least period - 1 = 2, but is 1"),
        ({"p1": 1.5}, "`p1` must be in [0, 1], but is 1.5"),
        ({"dtype": torch.complex128}, "`dtype` must be real, but is torch.complex128"),
        ({"dtype": "float32"}, "`dtype` must be a real or complex floating-point torch.dtype, but is 'float32'"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    sizes = [options.get(name, value) for name, value in (("m", 1), ("N", 3), ("L", None))]
    rest = {name: value for name, value in options.items() if name not in ("m", "N", "L")}
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        qunn.QUNNForecaster(*sizes, **rest)


@pytest.mark.parametrize("options", [{}, {"encoding": "angle"}, {"encoding": "amplitude", "batch_first": False}])
def test_a_wrong_input_is_refused(options: dict[str, Any]) -> None:
    model, x = make(2, **options), random(3, 4, 2)
    order = "batch, time" if model.batch_first else "time, batch"
    shape = f"`input` must be of shape ({order}, 2) or (time, 2), but is "
    bad = x.clone()
    bad[1, 2, 1] = torch.inf
    for wrong, message in (
        (x[..., :1], shape + "(3, 4, 1)"),
        (x[0, 0], shape + "(2,)"),
        (x[None], shape + "(1, 3, 4, 2)"),
        (x.numpy(), shape + "'ndarray'"),
        (torch.nn.utils.rnn.pack_sequence(list(x)), shape + "'PackedSequence'"),
        (x[:, :0] if model.batch_first else x[:0], "`input` must be at least one time step long, but is "),
        (x[0, :0], "`input` must be at least one time step long, but is (0, 2)"),
        (bad, "`input` must be finite, but is inf at index (1, 2, 1)"),
        (x.to(torch.complex128), "`input` must be of dtype torch.float64, that of the module, but is torch.complex128"),
        (x.float(), "`input` must be of dtype torch.float64, that of the module, but is torch.float32"),
        (x.long(), "`input` must be of dtype torch.float64, that of the module, but is torch.int64"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            model(wrong)


def test_autocast_reaches_the_linear_maps() -> None:
    model, x = qunn.QUNNForecaster(1, 3), torch.rand(2, 5, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = model(x)
    torch.testing.assert_close(output.float(), model(x)[0], rtol=0, atol=0.1)


def test_a_wrong_state_is_refused() -> None:
    model, x = make(2, heads=2), random(3, 4, 2)
    state = model(x)[1]
    for wrong, message in (
        (state[:1], "`state` must be those of 2 heads in a tuple, but is 1"),
        ((*state, state[0]), "`state` must be those of 2 heads in a tuple, but is 3"),
        (state[0], "`state` must be those of 2 heads in a tuple, but is 'QUNNState'"),  # two tensors are no two states
        (5, "`state` must be those of 2 heads in a tuple, but is 'int'"),
        ((state[0], 5), "`state` must be a QUNNState"),
        (model(x[:2])[1], "`state` must be history (3, 3, 2) and position (3,), but is ((2, 3, 2), (2,))"),
        (model(x[0])[1], "`state` must be history (3, 3, 2) and position (3,), but is ((3, 2), ())"),
        ((state[0], QUNNState(state[1].history * torch.nan, state[1].position)), "`history` must be finite"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            model(x, wrong)
    model(x, list(state))


@pytest.mark.parametrize(
    ("options", "steps", "message"),
    [
        ({"last": True}, 1, "`last` must be False to feed outputs back, but is True"),
        ({"output_size": 3}, 1, "`output_size` must be input_size = 2 to feed outputs back, but is 3"),
        ({}, 0, "`steps` must be an integer of at least 1, but is 0"),
    ],
)
def test_what_cannot_be_generated_is_refused(options: dict[str, Any], steps: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make(2, **options).generate(random(4, 2), steps)


def _with_metadata(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with safe_open(path, framework="np") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    arguments = json.loads(metadata["arguments"])
    change(arguments)
    save_file(tensors, path, metadata | {"arguments": json.dumps(arguments)})


@pytest.mark.parametrize(
    "change",
    [
        lambda arguments: arguments.update(heads=2),
        lambda arguments: arguments.update(heads="x"),
        lambda arguments: arguments.update(encoding=[1]),
        lambda arguments: arguments.update(size=None),
        lambda arguments: arguments.update(period=4),
        lambda arguments: arguments.update(more=1),
        lambda arguments: arguments.pop("period"),
        lambda arguments: arguments.update(residual=0),
    ],
)
def test_a_changed_file_is_an_error(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    make(2).save(path)
    _with_metadata(path, change)
    with pytest.raises(InputError):
        qunn.load(path)
