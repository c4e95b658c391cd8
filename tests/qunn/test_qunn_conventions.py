"""The QUNN as a torch module: streaming, batches, packed sequences, parameters, saving, and what it refuses."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import qunn
from hamiltonians import InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from qunn.quantum import fused
from qunn.quantum.history import QUNNState

CLOCKS, SKIPS, HISTORIES = (
    ("one-hot", "learned", "learned-read"),
    ("scalar", "diagonal", "matrix"),
    ("sliding", "block"),
)
BACKENDS = ("structured", "dense")
KINDS: dict[str, dict[str, Any]] = {
    f"{clock} {skip} {history}": {"clock": clock, "skip": skip, "history": history}
    for clock, skip, history in product(CLOCKS, SKIPS, HISTORIES)
} | {
    f"unitary {clock} {history}": {"clock": clock, "mode": "unitary", "history": history}
    for clock, history in product(CLOCKS, HISTORIES)
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_backend = pytest.mark.parametrize("backend", BACKENDS)
SUMS = 1e-14  # rounding of sums of some ten numbers below 1: the same elements in batches of other shapes


def model_of(kind: dict[str, Any] | None = None, d: int = 2, N: int = 3, L: int | None = 4, **rest: Any) -> qunn.QUNN:
    """With parameters away from their initial values, different for every l and k."""
    torch.manual_seed(4)
    model = qunn.QUNN(d, N, L, **({"dtype": torch.float64} | (kind or {}) | rest))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn_like(p)
    return model


def random(*shape: int, seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    Y = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return Y / Y.norm(dim=-1, keepdim=True)


def close(a: Tensor, b: Tensor, atol: float = SUMS) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def same_state(a: QUNNState, b: QUNNState) -> None:
    assert isinstance(a, QUNNState)
    assert torch.equal(a.history, b.history)
    assert torch.equal(a.position, b.position)


# --- shapes, streaming, packed sequences ---


@every_kind
@every_backend
@pytest.mark.parametrize("seed", range(2))
def test_a_sequence_in_pieces_is_the_whole(kind: dict[str, Any], backend: str, seed: int) -> None:
    """Pieces of random lengths, over several blocks, shorter and longer than L; the state is the same to the bit."""
    model = model_of(kind, backend=backend)
    Y = random(2, 13, 2, dtype=torch.complex128 if seed else torch.float64)
    expected, after = model(Y)
    same_state(after, QUNNState(Y[:, -4:], torch.tensor([13, 13])))
    rng, at, state, pieces = np.random.default_rng(seed), 0, None, []
    while at < 13:
        length = int(rng.integers(1, 7))
        output, state = model(Y[:, at : at + length], state)
        pieces.append(output)
        at += length
        same_state(state, model(Y[:, :at])[1])
    close(torch.cat(pieces, 1), expected)


@every_backend
def test_a_short_beginning_leaves_zeros_in_the_state(backend: str) -> None:
    Y = random(3, 2, 2)
    _, (history, position) = model_of(backend=backend)(Y)
    assert torch.equal(history[:, -2:], Y)
    assert not history[:, :2].any()
    assert position.tolist() == [2, 2, 2]


@every_backend
@pytest.mark.parametrize("history", HISTORIES)
def test_every_sequence_of_a_batch_has_its_own_position(backend: str, history: str) -> None:
    model = model_of({"history": history, "clock": "learned"}, backend=backend)
    Y = random(3, 12, 2)
    starts = (0, 4, 5)
    states = [model(Y[b : b + 1, :start])[1] if start else None for b, start in enumerate(starts)]
    zero = QUNNState(torch.zeros(1, 4, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.long))
    together = QUNNState(*(torch.cat(parts) for parts in zip(*(s or zero for s in states), strict=True)))
    pieces = torch.stack([Y[b, start : start + 6] for b, start in enumerate(starts)])
    output, after = model(pieces, together)
    for b, start in enumerate(starts):
        close(output[b], model(Y[b])[0][start : start + 6])
    assert after.position.tolist() == [6, 10, 11]


@every_kind
@every_backend
def test_batches(kind: dict[str, Any], backend: str) -> None:
    """batch_first both ways, and unbatched, are the same numbers."""
    first, second = model_of(kind, backend=backend), model_of(kind, backend=backend, batch_first=False)
    Y = random(3, 7, 2)
    output, state = first(Y)
    assert output.shape == Y.shape
    assert (state.history.shape, state.position.shape) == ((3, 4, 2), (3,))
    other, other_state = second(Y.transpose(0, 1))
    assert torch.equal(other.transpose(0, 1), output)
    same_state(other_state, state)
    again, _ = second(Y.transpose(0, 1)[:2], state)
    close(again.transpose(0, 1), first(Y[:, :2], state)[0])
    for b in range(3):
        for model in (first, second):
            alone, (history, position) = model(Y[b])
            close(alone, output[b])
            assert (history.shape, position.shape) == ((4, 2), ())
            close(model(Y[b, :2], (history, position))[0], again[:, b])


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("sort", [True, False])
@every_backend
def test_a_packed_sequence_is_its_sequences_one_by_one(history: str, sort: bool, backend: str) -> None:
    model = model_of({"history": history, "clock": "learned-read"}, backend=backend)
    lengths = [9, 6, 6, 1] if sort else [6, 9, 1, 6]
    whole = [random(8 + n, 2, seed=n + i) for i, n in enumerate(lengths)]
    states = [model(Y[: 3 + i])[1] for i, Y in enumerate(whole)]
    parts = [Y[3 + i :][:n] for i, (Y, n) in enumerate(zip(whole, lengths, strict=True))]
    lengths = [len(part) for part in parts]
    if sort:
        assert lengths == sorted(lengths, reverse=True)
    together = QUNNState(*(torch.stack(part) for part in zip(*states, strict=True)))
    packed = pack_sequence(parts, enforce_sorted=sort)
    output, after = model(packed, together)
    assert (output.sorted_indices is None) == (packed.sorted_indices is None)
    assert torch.equal(output.batch_sizes, packed.batch_sizes)
    padded, found = pad_packed_sequence(output, batch_first=True)
    assert found.tolist() == lengths
    for i, part in enumerate(parts):
        expected, end = model(part, states[i])
        close(padded[i, : len(part)], expected)
        same_state(QUNNState(after.history[i], after.position[i]), end)
    for i, part in enumerate(parts):  # and from the beginning
        close(pad_packed_sequence(model(packed)[0], batch_first=True)[0][i, : len(part)], model(part)[0])


def test_a_packed_output_has_the_order_of_its_input() -> None:
    """Whatever the order of sequences of equal length is, `output.data` lies row by row beside `input.data`."""
    model = model_of(N=3)
    Y = random(3, 2, 2)
    order = torch.tensor([2, 0, 1])
    packed = PackedSequence(Y[order].transpose(0, 1).flatten(0, 1), torch.tensor([3, 3]), order, order.argsort())
    output, after = model(packed)
    assert torch.equal(output.sorted_indices, order)
    assert torch.equal(output.unsorted_indices, order.argsort())
    expected, end = model(Y)
    close(output.data, expected[order].transpose(0, 1).flatten(0, 1))
    same_state(after, end)


def test_padding_is_not_read() -> None:
    model = model_of()
    Y = random(2, 6, 2)
    lengths = torch.tensor([6, 3])
    output = [model(pack_padded_sequence(Y, lengths, batch_first=True))[0].data]
    Y[1, 3:] = 1e6
    output.append(model(pack_padded_sequence(Y, lengths, batch_first=True))[0].data)
    assert torch.equal(*output)


@every_backend
@pytest.mark.parametrize("shape", [(0, 5, 2), (2, 1, 2), (1, 2)])
def test_small_shapes(backend: str, shape: tuple[int, ...]) -> None:
    output, _ = model_of(backend=backend)(torch.ones(shape, dtype=torch.float64))
    assert output.shape == shape


@every_kind
@pytest.mark.parametrize("batch_first", [True, False])
def test_generate_is_the_loop(kind: dict[str, Any], batch_first: bool) -> None:
    """Each output is the next input; the whole prompt is read, with the state before it."""
    model = model_of(kind, batch_first=batch_first)
    before, prompt = random(2, 5, 2, seed=8), random(2, 4, 2)
    turn = (lambda Y: Y) if batch_first else (lambda Y: Y.transpose(0, 1))
    state = model(turn(before))[1]
    found = model.generate(turn(prompt), 7, state)
    assert not found.requires_grad
    assert found.shape == turn(torch.empty(2, 7, 2)).shape
    known = torch.cat([before, prompt], 1)
    for m in range(7):
        following = turn(model(turn(known))[0])[:, -1:]
        close(turn(found)[:, m : m + 1], following.detach())
        known = torch.cat([known, following], 1)
    alone = model.generate(prompt[0], 7, QUNNState(*(part[0] for part in state)))
    close(alone, turn(found)[0])


def test_generate_refuses() -> None:
    for steps in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="`steps`"):
            model_of().generate(random(4, 2), steps)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="features"):
        model_of().generate(random(4, 3), 2)
    with pytest.raises(InputError, match="`prompt` must be a tensor, but is 'PackedSequence'"):
        model_of().generate(pack_sequence([random(4, 2)]), 2)  # type: ignore[arg-type]


def test_generate_says_when_the_predictions_diverge() -> None:
    model = qunn.QUNN(2, 3)
    with torch.no_grad():
        model.skip.fill_(1e30)  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"`steps` must end before .* but prediction \d of 5 is not finite"):
        model.generate(random(4, 2).float(), 5)


# --- kinds of numbers ---


@every_backend
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8, torch.int32])
def test_binary_inputs(backend: str, dtype: torch.dtype) -> None:
    model = model_of(backend=backend)
    Y = torch.tensor([[0, 1], [1, 1], [1, 0], [0, 0], [1, 1]])
    output, state = model(Y.to(dtype))
    assert output.dtype == state.history.dtype == torch.float64
    assert torch.equal(output, model(Y.double())[0])
    assert torch.equal(model(Y.to(dtype), state)[0], model(Y.double(), state)[0])
    close(model.generate(Y.to(dtype), 3), model.generate(Y.double(), 3))


@every_kind
def test_complex_inputs_with_no_imaginary_part_are_the_real_ones(kind: dict[str, Any]) -> None:
    model = model_of(kind)
    Y = random(2, 8, 2)
    output, state = model(Y)
    found, complex_state = model(Y.to(torch.complex128))
    assert found.dtype == complex_state.history.dtype == torch.complex128
    close(found.real, output)
    assert found.imag.abs().max() < SUMS
    for past in (state, complex_state):  # a real past of complex inputs, and the other way round
        for now in (Y, Y.to(torch.complex128)):
            close(model(now, past)[0].real, model(Y, state)[0])


@every_kind
def test_single_precision(kind: dict[str, Any]) -> None:
    model = model_of(kind)
    Y = random(2, 8, 2)
    expected = model(Y)[0].detach()
    for moved in (
        copy.deepcopy(model).float(),
        copy.deepcopy(model).to(torch.float32),
        copy.deepcopy(model).to("cpu").float(),
    ):
        output, state = moved(Y.float())
        assert output.dtype == state.history.dtype == moved.p1.dtype == torch.float32
        close(output.double(), expected, 1e-5)
        assert moved(Y.to(torch.complex64))[0].dtype == torch.complex64
        with pytest.raises(InputError, match=r"torch.float32 or torch.complex64 \(`.to\(float32\)`"):
            moved(Y)
        close(moved.double()(Y)[0].detach(), expected, 1e-5)


def test_dtype_at_construction() -> None:
    for dtype, real in (
        (torch.float32, torch.float32),
        (torch.complex128, torch.float64),
        (torch.complex64, torch.float32),
    ):
        for skip in SKIPS:
            model = qunn.QUNN(2, 3, skip=skip, clock="learned-read", dtype=dtype)  # type: ignore[arg-type]
            assert {model.p1.dtype, model.clock.profile.dtype} == {real}  # type: ignore[union-attr]
            assert model.skip is not None
            assert model.skip.dtype == (real if skip == "scalar" else dtype)
            assert model(random(4, 2).to(real))[0].dtype == (model.skip.dtype if dtype.is_complex else real)


# --- parameters ---


@pytest.mark.parametrize("d", [1, 2, 5, 40])
@pytest.mark.parametrize(("N", "L"), [(2, 1), (3, 3), (7, 6), (12, 20)])
def test_the_number_of_parameters_is_free_of_d(d: int, N: int, L: int) -> None:
    def count(**rest: Any) -> int:
        return sum(p.numel() for p in qunn.QUNN(d, N, L, **rest).parameters())

    assert count() == 2 * N + L
    assert count(clock="learned") == 3 * N + L
    assert count(clock="learned-read") == 4 * N + L
    assert count(mode="unitary") == 2 * N
    assert count(share=True) == 2 + L
    assert count(p1=0.0) == count(p2=1.0) == N + L
    assert count(p1=1.0, p2=0.0) == L
    assert count(p1=1.0, p2=0.0, mode="unitary") == 0
    assert count(skip="diagonal") == 2 * N + L * d * N
    if d * N < 20:
        assert count(skip="matrix") == 2 * N + L * (d * N) ** 2


def test_depth_is_the_period_unless_given() -> None:
    assert qunn.QUNN(2, 5).num_layers == 5
    assert sum(p.numel() for p in qunn.QUNN(2, 5).parameters()) == 15


def test_parameter_counts_grow_as_in_table_3() -> None:
    """3N against the O(N²) of two-layer LSTMs and of URNNs of N features and N hidden units: exponents fitted over
    N = 8 … 128, where an LSTM's 16 N² + 16 N is not yet quite a square.
    """
    sizes = [8, 16, 32, 64, 128]

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    def exponent(counts: list[int]) -> float:
        return float(np.polyfit(np.log(sizes), np.log(counts), 1)[0])

    quantum = [count(qunn.QUNN(N, N)) for N in sizes]
    assert quantum == [3 * N for N in sizes]
    lstm = [count(nn.LSTM(N, N, 2)) for N in sizes]
    assert lstm == [16 * N * N + 16 * N for N in sizes]
    urnn = [count(qunn.URNN(N, N)) for N in sizes]
    assert exponent(quantum) == pytest.approx(1, abs=1e-12)
    assert exponent(lstm) == pytest.approx(2, abs=0.1)
    assert exponent(urnn) == pytest.approx(2, abs=0.1)
    assert all(q < u < s for q, u, s in zip(quantum, urnn, lstm, strict=True))


def test_fixed_weights_are_buffers() -> None:
    model = qunn.QUNN(2, 3, p1=0.0, p2=1.0)
    assert [name for name, _ in model.named_parameters()] == ["skip"]
    assert {name for name, _ in model.named_buffers()} >= {"p1_logit", "p2_logit"}
    assert torch.equal(model.p1, torch.zeros(3))
    assert torch.equal(model.p2, torch.ones(3))
    assert set(model.state_dict()) == {"p1_logit", "p2_logit", "skip"}
    model(random(5, 2).float())[0].sum().backward()
    assert model.skip is not None
    assert torch.isfinite(model.skip.grad).all()  # type: ignore[arg-type]
    for moved in (model.double(), copy.deepcopy(model)):
        assert torch.equal(moved.p2, torch.ones(3, dtype=torch.float64))
    assert torch.equal(qunn.QUNN(2, 3, p1=[1, 1, 1]).p1, torch.ones(3))


def test_initial_values() -> None:
    model = qunn.QUNN(2, 3, dtype=torch.float64)
    close(model.p1.detach(), torch.full((3,), 0.12, dtype=torch.float64))
    close(model.p2.detach(), torch.full((3,), 0.27, dtype=torch.float64))
    assert model.skip is not None
    assert torch.equal(model.skip, torch.ones(3, dtype=torch.float64))
    given = [0.1, 0.5, 0.999]
    for value in (given, tuple(given), torch.tensor(given, dtype=torch.float64), np.array(given)):
        close(qunn.QUNN(2, 3, p1=value, dtype=torch.float64).p1.detach(), torch.tensor(given, dtype=torch.float64))  # type: ignore[arg-type]
    assert torch.equal(qunn.QUNN(2, 3, skip="diagonal").skip, torch.ones(3, 6))  # type: ignore[arg-type]
    assert torch.equal(qunn.QUNN(2, 3, skip="matrix").skip, torch.eye(6).expand(3, 6, 6))  # type: ignore[arg-type]
    shared = qunn.QUNN(2, 3, share=True, p1=0.4)
    assert shared.p1.shape == (3,)
    assert shared.p1_logit.shape == (1,)
    near = model_of({"clock": "learned-read"}, N=500, L=1)
    near.reset_parameters()
    for profile in (near.clock.profile, near.clock.read_profile):
        assert profile is not None
        assert profile[0].item() == pytest.approx(1, abs=0.5)
        assert profile[1:].std().item() == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("p", [5e-324, 1e-9, 1 - 1e-9, 1 - 2**-53])
def test_initial_values_that_the_dtype_cannot_tell_from_the_ends_can_be_trained(p: float, dtype: torch.dtype) -> None:
    model = qunn.QUNN(2, 3, p1=p, dtype=dtype)
    assert isinstance(model.p1_logit, nn.Parameter)
    for _ in range(2):
        assert ((model.p1 > 0) & (model.p1 < 1)).all()
        assert abs(model.p1[0].item() - p) <= torch.finfo(dtype).eps
        model.p1.sum().backward()
        assert (model.p1_logit.grad != 0).all()  # type: ignore[union-attr]
        model.zero_grad()
        model.reset_parameters()


@every_kind
def test_reset_parameters_follows_the_seed(kind: dict[str, Any]) -> None:
    model = model_of(kind)
    torch.manual_seed(9)
    model.reset_parameters()
    torch.manual_seed(9)
    other = qunn.QUNN(2, 3, 4, dtype=torch.float64, **kind)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("name", ["p1", "p2"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.3, r"in \[0, 1\], but is 1.3"),
        (-0.01, "but is -0.01"),
        (math.nan, "but is nan"),
        (math.inf, "but is inf"),
        ([0.1, 0.2, 7.0], "but is 7.0"),
        ([0.0, 0.2, 0.3], "for every l or for none"),
        ([1.0, 0.2, 0.3], "for every l or for none"),
        ([0.1, 0.2], "or 3 of them"),
        ([], "or 3 of them"),
        ([[0.1, 0.2, 0.3]], "or 3 of them"),
        ("half", "or 3 of them"),
        (True, "or 3 of them"),
        (None, "or 3 of them"),
        (1j, "or 3 of them"),
    ],
)
def test_probabilities_that_are_none(name: str, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        qunn.QUNN(2, 3, **{name: value})
    assert error.value.field == name
    assert str(error.value).startswith(f"`{name}` must be")
    assert "\n" not in str(error.value)


def test_p_stays_in_its_range_while_training() -> None:
    """Adam with an absurd rate on p alone drives them to the ends, never beyond; invariants() says where they are."""
    model = model_of()
    optimiser = torch.optim.Adam(model.parameters(), 5.0)
    Y = random(2, 9, 2)
    for _ in range(20):
        optimiser.zero_grad()
        model(Y)[0].square().sum().backward()
        optimiser.step()
        found = model.invariants()
        assert set(found) == {"p1_least", "p1_largest", "p2_least", "p2_largest"}
        assert 0 <= found["p1_least"] <= found["p1_largest"] <= 1
        assert found["p2_largest"] == model.p2.max().item()


@pytest.mark.parametrize("clock", CLOCKS)
def test_unitary_keeps_the_norm_while_training(clock: str) -> None:
    model = model_of({"mode": "unitary", "clock": clock})
    optimiser = torch.optim.Adam(model.parameters(), 0.1)
    Y = random(2, 9, 2)
    for _ in range(10):
        optimiser.zero_grad()
        (model(Y)[0][:, :-1] - Y[:, 1:]).square().sum().backward()
        optimiser.step()
        assert model.invariants()["norm_drift"] < 1e-14  # four layers


# --- saving and copies ---

SAVED: dict[str, Callable[[], qunn.QUNN]] = {
    name: (lambda kind=kind: model_of(kind)) for name, kind in KINDS.items()
} | {  # type: ignore[misc]
    "fixed": lambda: model_of(p1=0.0, p2=1.0),
    "nothing to learn": lambda: model_of({"mode": "unitary"}, p1=0.5, p2=1.0),
    "one of each": lambda: model_of(share=True, p1=0.3),
    "complex": lambda: model_of({"skip": "matrix", "clock": "learned"}, dtype=torch.complex128),
    "complex single": lambda: model_of({"skip": "diagonal"}, dtype=torch.complex64),
    "single": lambda: model_of(dtype=torch.float32),
    "others": lambda: model_of(
        backend="dense", activations=("relu", "sin", "sigmoid"), step=0.3, batch_first=False, p2=[0.1, 0.2, 0.3]
    ),
    "recomputed": lambda: model_of(recompute=True, L=None),
}
every_saved = pytest.mark.parametrize("name", SAVED)


def same(a: qunn.QUNN, b: qunn.QUNN) -> None:
    """The same arguments, tensors and outputs, bit for bit."""
    assert repr(a) == repr(b)
    assert a.config() == b.config()
    assert list(a.state_dict()) == list(b.state_dict())
    for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert p.dtype == q.dtype
        assert torch.equal(p, q)
    assert [n for n, _ in a.named_parameters()] == [n for n, _ in b.named_parameters()]
    Y = random(2, 7, 2).to(a.p1.dtype)
    (x, state), (y, other) = a(Y), b(Y)
    assert torch.equal(x, y)
    same_state(state, other)


@every_saved
def test_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, path = SAVED[name](), tmp_path / "model.safetensors"
    model.save(path)
    same(model, qunn.load(path))
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert metadata["class"] == "QUNN"
    assert json.loads(metadata["arguments"]) == json.loads(json.dumps(model.config()))


@every_saved
def test_copies(name: str) -> None:
    model = SAVED[name]()
    same(model, copy.deepcopy(model))
    same(model, pickle.loads(pickle.dumps(model)))
    other = qunn.QUNN(
        **model.config(),
        dtype=torch.float64
        if name not in ("single", "complex", "complex single")
        else {"single": torch.float32, "complex": torch.complex128, "complex single": torch.complex64}[name],
    )
    other.load_state_dict(model.state_dict())
    same(model, other)


def test_a_model_with_a_callable_is_copied_and_cannot_be_saved(tmp_path: Path) -> None:
    def mine(v: Tensor) -> Tensor:
        return v.tanh()

    model = model_of(activations=("tanh", mine, "identity"))
    Y = random(5, 2)
    assert torch.equal(copy.deepcopy(model)(Y)[0], model(Y)[0])
    with pytest.raises(InputError, match="`activations` must be names to be saved, but 'mine'"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_repr() -> None:
    assert repr(qunn.QUNN(2, 5)).startswith("QUNN(\n  2, 5\n") or repr(qunn.QUNN(2, 5)).startswith("QUNN(2, 5")
    shown = repr(
        model_of(
            {"clock": "learned", "skip": "diagonal", "history": "block"}, step=0.5, activations=("relu", "relu", "sin")
        )
    )
    for part in (
        "2, 3",
        "num_layers=4",
        "clock='learned'",
        "skip='diagonal'",
        "history='block'",
        "step=0.5",
        "('relu', 'relu', 'sin')",
    ):
        assert part in shown
    assert "backend" not in shown
    assert "mode='unitary'" in repr(model_of({"mode": "unitary"}))


# --- memory ---


@contextmanager
def limited(limit: int) -> Iterator[None]:
    token = memory_limit.set(limit)
    try:
        yield
    finally:
        memory_limit.reset(token)


@pytest.mark.parametrize(
    "kind", [{}, {"skip": "diagonal", "clock": "learned"}, {"mode": "unitary"}, {"history": "block"}]
)
@pytest.mark.parametrize("parts", [1, 100, 3000])
def test_recomputing_changes_nothing(kind: dict[str, Any], parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts of one element, of a few, and all at once: values and gradients to the rounding of sums of 40 terms."""
    monkeypatch.setattr("qunn.quantum.network.PART_BYTES", parts * 100)
    found = []
    with fused.disabled():
        for recompute in (False, True):
            model = model_of(kind, recompute=recompute)
            Y = random(2, 20, 2).requires_grad_()
            output, _ = model(Y)
            output.square().sum().backward()
            found.append([output.detach(), Y.grad, *(p.grad for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-13)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [{}, {"skip": "diagonal"}, {"mode": "unitary"}])
def test_memory_is_asked_for_before_it_is_taken(kind: dict[str, Any]) -> None:
    model = model_of(kind, d=8, N=8, L=8)
    Y = torch.zeros(64, 500, 8, dtype=torch.float64)  # 8 MB; all that is kept of its layers about 1 GB
    with limited(10**7):
        with (
            fused.disabled(),
            pytest.raises(MemoryEstimateError, match=r"a QUNN with N = 8 on 64 x 500 elements.*recompute"),
        ):
            model(Y)
        model(Y[:1, :20])


@pytest.mark.parametrize("rest", [{}, {"recompute": True}, {"clock": "learned"}, {"mode": "unitary"}])
def test_the_clock_of_a_long_period_is_asked_for_first(rest: dict[str, Any]) -> None:
    model = qunn.QUNN(1, 10**7, **rest)  # 10^14 clock entries in the moving frame
    with pytest.raises(MemoryEstimateError, match="a QUNN with N = 10000000 on 1 x 1 elements"):
        model(torch.ones(1, 1))


def test_recomputing_asks_for_one_part() -> None:
    model = model_of({"skip": "diagonal", "recompute": True}, d=8, N=8, L=8)
    with limited(10**7), pytest.raises(MemoryEstimateError):
        model(torch.zeros(4096, 2, 8, dtype=torch.float64))


@pytest.mark.parametrize(
    "sizes",
    [
        {"period": 2 * 10**12},
        {"period": 10**20},
        {"period": 3, "num_layers": 10**15},
        {"period": 10**3, "skip": "matrix", "num_layers": 10**6},
        {"period": 10**6, "skip": "diagonal"},
    ],
)
def test_sizes_whose_parameters_do_not_fit(sizes: dict[str, Any]) -> None:
    with pytest.raises(MemoryEstimateError, match="the parameters of a QUNN with period") as error:
        qunn.QUNN(2, **sizes)
    assert "\n" not in str(error.value)
    small = {**sizes, "period": 3, "num_layers": 3}
    with limited(1):
        qunn.QUNN(2, **small)


@pytest.mark.parametrize("kind", [{}, {"skip": "diagonal"}, {"mode": "unitary"}, {"backend": "dense"}])
def test_bytes_needed_are_those_asked_for(kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("qunn.quantum.network.PART_BYTES", 0)
    monkeypatch.setattr("qunn.quantum.dense._ASKED_FOR", 0)
    for module in ("network", "dense"):
        monkeypatch.setattr(f"qunn.quantum.{module}.require_memory", lambda cost, *_: asked.append(cost))
    model = model_of(kind)
    asked.clear()
    model(random(2, 5, 2))
    assert model.bytes_needed(2, 5) == sum(asked)
    del asked[1:]
    assert model.bytes_needed(4, 50) > model.bytes_needed(2, 50) > model.bytes_needed(2, 5)
    whole = model.bytes_needed(2, 50, "cuda")
    with torch.no_grad():
        assert model.bytes_needed(2, 50, "cuda") < whole


def test_the_dense_backend_asks_too() -> None:
    model = model_of(d=50, N=40, L=40, backend="dense")
    with limited(10**8), pytest.raises(MemoryEstimateError, match="layer matrices of 2000 rows"):
        model(torch.zeros(3, 50, dtype=torch.float64))
    with limited(10**8), pytest.raises(MemoryEstimateError, match="layer matrices"):
        model.layer_matrices(torch.zeros(3, 50, dtype=torch.float64), 3)


# --- what is refused ---

GOOD: dict[str, Any] = {"input_size": 2, "period": 3}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"input_size": 0}, "input_size"),
        ({"input_size": 2.0}, "input_size"),
        ({"input_size": True}, "input_size"),
        ({"period": 1}, "period"),
        ({"period": 0}, "period"),
        ({"period": "12"}, "period"),
        ({"num_layers": 1}, "num_layers"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_layers": 2.5}, "num_layers"),
        ({"num_layers": 0, "clock": "learned"}, "num_layers"),
        ({"clock": "onehot"}, "clock"),
        ({"skip": "vector"}, "skip"),
        ({"history": "cyclic"}, "history"),
        ({"mode": "euler"}, "mode"),
        ({"backend": "fast"}, "backend"),
        ({"activations": "tanh"}, "activations"),
        ({"activations": ("tanh", "tanh")}, "activations"),
        ({"activations": ("tanh", "tanh", "swish")}, "activations"),
        ({"activations": ("tanh", None, "tanh")}, "activations"),
        ({"step": 0.0}, "step"),
        ({"step": -1.0}, "step"),
        ({"step": math.nan}, "step"),
        ({"step": "1"}, "step"),
        ({"batch_first": 1}, "batch_first"),
        ({"share": "yes"}, "share"),
        ({"recompute": None}, "recompute"),
        ({"dtype": "float32"}, "dtype"),
        ({"dtype": torch.int32}, "dtype"),
    ],
)
def test_arguments_that_are_refused(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as error:
        qunn.QUNN(**(GOOD | changed))
    assert error.value.field == field
    assert f"`{field}`" in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_are_no_strings_are_refused() -> None:
    for name in ("clock", "skip", "history", "mode", "backend"):
        with pytest.raises(InputError, match=f"`{name}` must be one of"):
            qunn.QUNN(2, 3, **{name: ["dense"]})  # type: ignore[arg-type]


@every_backend
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(bad: float, backend: str) -> None:
    model = model_of(backend=backend)
    Y = random(2, 5, 2)
    state = model(Y)[1]
    wrong = Y.clone()
    wrong[1, 3, 0] = bad
    with pytest.raises(InputError, match=r"`input` must be finite, but is .* at index \(1, 3, 0\)"):
        model(wrong)
    with pytest.raises(InputError, match="`input` must be finite"):
        model(pack_padded_sequence(wrong, torch.tensor([5, 4]), batch_first=True))
    with pytest.raises(InputError, match="`input` must be finite"):
        model(wrong.to(torch.complex128))
    with pytest.raises(InputError, match="`history` must be finite"):
        model(Y, (wrong[:, 1:], state.position))
    with pytest.raises(InputError, match="`input` must be finite"):
        model.layer_matrices(wrong[1], 5)


@every_backend
def test_inputs_that_are_refused(backend: str) -> None:
    model = model_of(backend=backend)
    for wrong, words in (
        (random(2, 5, 3), "of 2 features"),
        (random(5, 1), "of 2 features"),
        (random(2), "of shape"),
        (random(1, 2, 3, 2), "of shape"),
        (torch.zeros(2, 0, 2, dtype=torch.float64), "at least one time step"),
        (torch.zeros(0, 2, dtype=torch.float64), "at least one time step"),
        (random(5, 2).float(), "of dtype"),
        (random(5, 2).half(), "of dtype"),
        (random(5, 2).to(torch.complex64), "of dtype"),
        ([[1.0, 0.0]], "a tensor or a PackedSequence"),
        (None, "a tensor or a PackedSequence"),
    ):
        with pytest.raises(InputError, match=words) as error:
            model(wrong)
        assert error.value.field == "input"
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="of 2 features"):
        model(pack_sequence([random(3, 3)]))


@every_backend
def test_states_that_are_refused(backend: str) -> None:
    model = model_of(backend=backend)
    Y = random(2, 5, 2)
    history, position = model(Y)[1]
    for wrong in (
        history,
        (history,),
        (history, 5),
        [history, position],
        (history, position, position),
        (history[:, :3], position),
        (history[:1], position),
        (history[..., :1], position),
        (history, position[:1]),
        (history[0], position[0]),
        (history, position[:, None]),
        (history, position.double()),
        (history, position - 6),
        (history, position > 0),
        (history.float(), position),
    ):
        with pytest.raises(InputError) as error:
            model(Y, wrong)
        assert "\n" not in str(error.value)
        with pytest.raises(InputError):
            model(pack_padded_sequence(Y, torch.tensor([5, 4]), batch_first=True), wrong)
    with pytest.raises(InputError, match="`history` must be of dtype"):
        model(Y, (history.float(), position))
    with pytest.raises(InputError, match=r"of tensors, but is \['Tensor', 'int'\]"):
        model(Y, (history, 5))
    with pytest.raises(InputError, match=r"history \(4, 2\) and position \(\)"):
        model(Y[0], (history, position))
    model(Y, (history, position.int()))
    model(Y, (history.to(torch.complex128), position))


def test_layer_matrices_refuse() -> None:
    model = model_of()
    for wrong in (random(2), random(1, 3, 2), torch.zeros(0, 2, dtype=torch.float64), [[1.0, 0.0]]):
        with pytest.raises(InputError, match="`history` must be of shape"):
            model.layer_matrices(wrong, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="of 2 features"):
        model.layer_matrices(random(3, 3), 3)
    for l in (0, -1, 1.0, True):  # noqa: E741
        with pytest.raises(InputError, match="`l` must be"):
            model.generators(random(3, 2), l)  # type: ignore[arg-type]
