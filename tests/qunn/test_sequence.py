"""The conventions of `SequenceModule` against torch.nn.RNN and torch.nn.LSTM themselves."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hamiltonians import InputError
from qunn.sequence import RecurrentLayer, SequenceModule, State, cascade, check_size, check_step

M, H, T, B = 3, 5, 7, 4
LENGTHS = [7, 2, 5, 2]  # unsorted, one of them twice


class _Elman(RecurrentLayer):
    gates, parts = 1, 1

    def __init__(self, m: int, H: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.input_size, self.output_size, self.state_sizes = m, H, (H,) * self.parts
        self.weight_ih = nn.Parameter(torch.empty(self.gates * H, m, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * H, H, dtype=dtype))
        self.bias_ih = nn.Parameter(torch.empty(self.gates * H, dtype=dtype))
        self.bias_hh = nn.Parameter(torch.empty(self.gates * H, dtype=dtype))
        self.seen: list[tuple[int, int]] = []
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.rand(p.shape, dtype=p.dtype) - 0.5)

    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        self.seen.append((step, len(x)))
        outputs = []
        for v in x:
            state = self.advance(
                linear(v, self.weight_ih, self.bias_ih) + linear(state[0], self.weight_hh, self.bias_hh), state
            )
            outputs.append(state[0])
        return torch.stack(outputs), state

    def advance(self, v: Tensor, state: State) -> State:  # noqa: ARG002 - an LSTM needs it
        return (torch.tanh(v),)


class _LSTM(_Elman):
    gates, parts = 4, 2

    def advance(self, v: Tensor, state: State) -> State:
        i, f, g, o = v.chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class Stack(SequenceModule):
    def __init__(
        self,
        num_layers: int = 1,
        *,
        kind: type[_Elman] = _Elman,
        bidirectional: bool = False,
        dtype: torch.dtype = torch.float64,
        **rest: Any,
    ) -> None:
        layers = cascade(lambda features: kind(features, H, dtype), M, num_layers, bidirectional)
        super().__init__(layers, bidirectional=bidirectional, **rest)

    def config(self) -> dict[str, Any]:
        return {}


def twins(num_layers: int = 1, kind: type[_Elman] = _Elman, **rest: Any) -> tuple[Stack, nn.RNNBase]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(1)
    ours = Stack(num_layers, kind=kind, **rest)
    torchs = {_Elman: nn.RNN, _LSTM: nn.LSTM}[kind](M, H, num_layers, dtype=torch.float64, **rest)
    with torch.no_grad():
        for mine, theirs in zip(ours.layers, torchs.all_weights, strict=True):
            for name, p in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), theirs, strict=True):
                p.copy_(mine.get_parameter(name))
    return ours, torchs


def close(a: Any, b: Any) -> None:
    """Equal types, shapes, dtypes; values up to the order of a sum of numbers of at most 1."""
    if isinstance(a, PackedSequence):
        assert isinstance(b, PackedSequence)
        close(a.data, b.data)
        for x, y in zip(a[1:], b[1:], strict=True):
            assert (x is None) == (y is None)
            assert x is None or torch.equal(x, y)
    elif isinstance(a, tuple):
        assert isinstance(b, tuple)
        for x, y in zip(a, b, strict=True):
            close(x, y)
    else:
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def random(*shape: int, seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def states(parts: int, *shape: int) -> Any:
    h = tuple(random(*shape, seed=3 + i) for i in range(parts))
    return h[0] if parts == 1 else h


def packed(kind: str) -> PackedSequence:
    lengths = torch.tensor(LENGTHS)
    x = random(T, B, M)
    if kind == "sorted":
        return pack_padded_sequence(x, lengths.sort(descending=True).values)
    if kind == "batch_first":
        return pack_padded_sequence(x.transpose(0, 1), lengths, batch_first=True, enforce_sorted=False)
    return pack_padded_sequence(x, lengths, enforce_sorted=False)


LAYOUTS = ("batched", "batch_first", "unbatched", "unbatched batch_first", "sorted", "unsorted", "batch_first packed")


def example(layout: str, rows: int, parts: int) -> tuple[bool, Any, Any]:
    """batch_first, an input and an h_0."""
    first = "batch_first" in layout
    if "unbatched" in layout:
        return first, random(T, M), states(parts, rows, H)
    h = states(parts, rows, B, H)
    if layout in ("sorted", "unsorted", "batch_first packed"):
        return first, packed(layout.removesuffix(" packed")), h
    return first, random(B, T, M) if first else random(T, B, M), h


@pytest.mark.parametrize("kind", [_Elman, _LSTM])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_returns_what_torch_returns(
    layout: str, num_layers: int, bidirectional: bool, given: bool, kind: type[_Elman]
) -> None:
    first, x, h = example(layout, num_layers * (1 + bidirectional), kind.parts)
    ours, torchs = twins(num_layers, kind, bidirectional=bidirectional, batch_first=first)
    args = (x, h) if given else (x,)
    close(ours(*args), torchs(*args))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_torchs(layout: str) -> None:
    gradients = []
    first, x, h = example(layout, 4, 1)
    for model in twins(2, bidirectional=True, batch_first=first):
        data = (x.data if isinstance(x, PackedSequence) else x).clone().requires_grad_()
        start = h.clone().requires_grad_()
        output, last = model(x._replace(data=data) if isinstance(x, PackedSequence) else data, start)
        y = output.data if isinstance(output, PackedSequence) else output
        (y * random(*y.shape, seed=5)).sum().add((last * random(*last.shape, seed=6)).sum()).backward()
        if isinstance(model, nn.RNNBase):
            weights = [p for layer in model.all_weights for p in layer]
        else:
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weights = [layer.get_parameter(name) for layer, name in product(model.layers, names)]
        gradients.append([data.grad, start.grad, *(p.grad for p in weights)])
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-13)


def test_a_packed_sequence_is_its_sequences_one_by_one() -> None:
    ours, _ = twins(2, bidirectional=True)
    x, h = random(T, B, M), states(1, 4, B, H)
    output, last = ours(pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False), h)
    padded, _ = pad_packed_sequence(output)
    for i, length in enumerate(LENGTHS):
        alone, end = ours(x[:length, i], h[:, i])
        close(padded[:length, i], alone)
        close(last[:, i], end)
        assert not padded[length:, i].any()


def test_the_step_reaches_every_scan() -> None:
    model = Stack(2, bidirectional=True)
    model(random(T, B, M), step=11)
    assert [layer.seen for layer in model.layers] == [[(11, T)]] * 4
    model = Stack()
    model(packed("unsorted"), step=11)
    assert [layer.seen for layer in model.layers] == [[(11, 2), (13, 3), (16, 2)]]


def test_h_0_in_a_tuple_or_a_list_of_one() -> None:
    model, _ = twins(2)
    h = states(1, 2, B, H)
    close(model(random(T, B, M), (h,)), model(random(T, B, M), h))
    close(model(random(T, B, M), [h]), model(random(T, B, M), h))


def test_an_empty_batch_is_one_as_in_torch() -> None:
    ours, torchs = twins(2, bidirectional=True)
    close(ours(torch.zeros(T, 0, M).double()), torchs(torch.zeros(T, 0, M).double()))


# --- dropout ---


@pytest.mark.parametrize("layout", ["batched", "unsorted"])
def test_dropout_is_torchs_number_by_number(layout: str) -> None:
    ours, torchs = twins(3, dropout=0.4)
    _, x, h = example(layout, 3, 1)
    results = []
    for model in (ours, torchs, ours):
        torch.manual_seed(8)
        results.append(model(x, h))
    close(results[0], results[1])
    close(results[0], results[2])
    torch.manual_seed(9)
    other = ours(x, h)[0]
    changed = (results[0][0].data - other.data) if isinstance(x, PackedSequence) else results[0][0] - other
    assert changed.abs().max() > 0.01


def test_dropout_of_everything_leaves_the_next_layer_without_input() -> None:
    ours, _ = twins(2, dropout=1.0)
    h = states(1, 2, B, H)
    output, _ = ours(random(T, B, M), h)
    silent, _ = ours.layers[1].scan(torch.zeros(T, B, H).double(), (h[1],), 0)
    close(output, silent)


def test_dropout_does_nothing_in_evaluation_nor_after_the_last_layer() -> None:
    x = random(T, B, M)
    plain, _ = twins(3)
    ours, _ = twins(3, dropout=0.9)
    close(ours.eval()(x), plain(x))
    single = Stack(dropout=1.0)
    assert single(x)[0].abs().min() > 0


def test_a_complex_number_drops_out_as_a_whole() -> None:
    torch.manual_seed(0)
    model = Stack(2, dropout=0.5, dtype=torch.complex128)
    inner: list[Tensor] = []
    scan = model.layers[1].scan

    def listen(x: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        inner.append(x)
        return scan(x, state, step)

    model.layers[1].scan = listen
    model(random(T, B, M))
    model.eval()(random(T, B, M))
    dropped, whole = inner
    gone = dropped == 0
    assert 0.3 < gone.double().mean() < 0.7
    torch.testing.assert_close(dropped[~gone], 2 * whole[~gone])


# --- dtypes, devices, printing ---


def test_a_complex_module_takes_real_input_and_real_h_0() -> None:
    model = Stack(2, dtype=torch.complex128)
    x, h = random(T, B, M), states(1, 2, B, H)
    output, last = model(x, h)
    assert output.dtype == last.dtype == torch.complex128
    close(model(x.to(torch.complex128), h.to(torch.complex128)), (output, last))


def test_the_state_has_the_layers_dtype_and_device() -> None:
    class Bare(RecurrentLayer):
        input_size = output_size = M
        state_sizes = (M,)

        def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:
            return x + step, state

        def reset_parameters(self) -> None: ...

    layer = Bare()
    assert layer.state_dtype == torch.float32
    assert layer.device == torch.device("cpu")
    layer.register_buffer("mask", torch.ones(2, dtype=torch.bool))
    layer.register_buffer("h", torch.ones(2, dtype=torch.float64))
    assert layer.state_dtype == torch.float64


def test_prints_what_is_no_default() -> None:
    assert Stack().extra_repr() == "3, 5"
    model = Stack(2, batch_first=True, dropout=0.5, bidirectional=True)
    assert model.extra_repr() == "3, 5, num_layers=2, batch_first=True, dropout=0.5, bidirectional=True"
    assert (model.input_size, model.output_size, model.num_layers, model.directions) == (3, 10, 2, 2)


def test_reset_parameters_draws_all_layers_anew() -> None:
    model = Stack(2)
    before = [p.clone() for p in model.parameters()]
    torch.manual_seed(4)
    model.reset_parameters()
    after = [p.clone() for p in model.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    torch.manual_seed(4)
    model.reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, model.parameters(), strict=True))


# --- bad input ---

_NAN, _INF = random(T, B, M), random(2, B, H)
_NAN[3, 1, 2] = float("nan")
_INF[1, 2, 0] = float("-inf")
X = random(T, B, M)


@pytest.mark.parametrize(
    ("rest", "args", "field", "message"),
    [
        ({}, (random(M),), "input", "of shape (time, batch, features), or (time, features), but is (3,)"),
        (
            {"batch_first": True},
            (random(1, T, B, M),),
            "input",
            "of shape (batch, time, features), or (time, features), but is (1, 7, 4, 3)",
        ),
        ({}, (random(T, B, M + 1),), "input", "of 3 features in its last dimension, but is (7, 4, 4)"),
        ({}, (random(T, M + 1),), "input", "of 3 features in its last dimension, but is (7, 4)"),
        ({}, (random(0, B, M),), "input", "at least one time step long, but is (0, 4, 3)"),
        ({}, (random(0, M),), "input", "at least one time step long, but is (0, 3)"),
        ({"batch_first": True}, (random(B, 0, M),), "input", "at least one time step long, but is (4, 0, 3)"),
        ({}, (X.tolist(),), "input", "a tensor or a PackedSequence, but is 'list'"),
        ({}, (_NAN,), "input", "finite, but is nan at index (3, 1, 2)"),
        ({}, (_NAN.to(torch.complex128),), "input", "finite, but is (nan+0j) at index (3, 1, 2)"),
        (
            {},
            (X.float(),),
            "input",
            "of dtype torch.float64, that of the module (`.to(float64)`), but is torch.float32",
        ),
        (
            {},
            (X.long(),),
            "input",
            "of dtype torch.float64, that of the module (`.to(float64)`), but is torch.int64",
        ),
        (
            {"dtype": torch.complex128},
            (X.float(),),
            "input",
            "of dtype torch.complex128, that of the module (`.to(complex128)`), but is torch.float32",
        ),
        ({}, (X, random(2, B + 1, H)), "h_0", "of shape (2, 4, 5), but is (2, 5, 5)"),
        ({}, (X, random(2, H)), "h_0", "of shape (2, 4, 5), but is (2, 5)"),
        ({}, (random(T, M), random(2, 1, H)), "h_0", "of shape (2, 5), but is (2, 1, 5)"),
        ({"bidirectional": True}, (X, random(2, B, H)), "h_0", "of shape (4, 4, 5), but is (2, 4, 5)"),
        ({}, (X, _INF), "h_0", "finite, but is -inf at index (1, 2, 0)"),
        (
            {},
            (X, random(2, B, H).float()),
            "h_0",
            "of dtype torch.float64, that of the module (`.to(float64)`), but is torch.float32",
        ),
        ({}, (X, 0), "h_0", "a tensor, but is 'int'"),
        ({}, (X, (_INF, _INF)), "h_0", "a tensor, but is 'tuple'"),
        ({}, (X, (None,)), "h_0", "of shape (2, 4, 5), but is None"),
        ({"kind": _LSTM}, (X, random(2, B, H)), "h_0", "a tuple of 2 tensors, but is 'Tensor'"),
        ({"kind": _LSTM}, (X, "hc"), "h_0", "a tuple of 2 tensors, but is 'str'"),
    ],
)
def test_what_cannot_be_computed_is_named(
    rest: dict[str, Any], args: tuple[Any, ...], field: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        Stack(2, **rest)(*args)
    assert str(error.value) == f"`{field}` must be {message}"
    assert error.value.field == field


def test_packed_input_is_checked_too() -> None:
    with pytest.raises(InputError, match=r"^`input` must be of 3 features in its last dimension, but is \(16, 4\)$"):
        Stack()(pack_padded_sequence(random(T, B, M + 1), torch.tensor(LENGTHS), enforce_sorted=False))
    with pytest.raises(InputError, match=r"^`input` must be finite, but is nan at index \(13, 2\)$"):
        Stack()(pack_padded_sequence(_NAN, torch.tensor([T] * B)))
    with pytest.raises(InputError, match=r"^`input` must be of dtype torch\.float64.* but is torch\.float32$"):
        Stack()(pack_padded_sequence(X.float(), torch.tensor([T] * B)))
    with pytest.raises(InputError, match=r"^`h_0` must be of shape \(1, 4, 5\), but is \(1, 3, 5\)$"):
        Stack()(packed("unsorted"), random(1, 3, H))


@pytest.mark.parametrize("step", [-1, 1.0, True, None, "0"])
def test_the_step_is_an_index(step: Any) -> None:
    with pytest.raises(InputError) as error:
        Stack()(X, step=step)
    assert str(error.value) == f"`step` must be an integer of at least 0, but is {step!r}"


@pytest.mark.parametrize("dropout", [-0.1, 1.1, float("nan"), True, None, "half"])
def test_dropout_is_a_probability(dropout: Any) -> None:
    with pytest.raises(InputError) as error:
        Stack(2, dropout=dropout)
    assert str(error.value) == f"`dropout` must be a probability in [0, 1], but is {dropout!r}"


@pytest.mark.parametrize("num_layers", [0, -1, 1.0, True, None])
def test_num_layers_is_a_positive_integer(num_layers: Any) -> None:
    with pytest.raises(InputError) as error:
        Stack(num_layers)
    assert str(error.value) == f"`num_layers` must be an integer of at least 1, but is {num_layers!r}"


def test_layers_must_agree_on_the_state() -> None:
    layers = [_Elman(M, H, torch.float64), _LSTM(H, H, torch.float64)]
    with pytest.raises(InputError) as error:
        SequenceModule.__init__(Stack(), layers)
    assert str(error.value) == "`layers` must be layers whose states have the sizes (5,), but is (5, 5)"


def test_the_small_checks() -> None:
    check_size("N", 1)
    check_size("N", 0, least=0)
    check_step(1)
    check_step(0.5)
    for bad in (0, -1.0, float("inf"), float("nan"), True, "1", None):
        with pytest.raises(InputError, match=r"^`h` must be a positive number, but is"):
            check_step(bad)
