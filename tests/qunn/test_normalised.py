"""CausallyNormalised: mean and spread of the last values and nothing later, against a loop over single numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import qunn
from hamiltonians import InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from qunn import QUNN, URNN, CausallyNormalised, QUNNForecaster, Readout, TorchRNN
from qunn.networks.normalised import LEAST_SPREAD, NormalisedState

TINY = 1e-12
F64 = torch.float64


def random(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def lstm(m: int = 2, dtype: torch.dtype = F64, **rest: Any) -> TorchRNN:
    return TorchRNN("lstm", m, 4, batch_first=True, dtype=dtype, **rest)


MODELS: dict[str, Callable[..., Any]] = {
    "lstm": lambda m, dtype=F64: Readout(lstm(m, dtype), m),
    "lstm residual": lambda m, dtype=F64: Readout(lstm(m, dtype), m, residual=True),
    "qunn": lambda m, dtype=F64: Readout(QUNN(m, 3, dtype=dtype), m),
    "urnn": lambda m, dtype=F64: Readout(URNN(m, 4, batch_first=True, dtype=dtype.to_complex()), m),
    "forecaster": lambda m, dtype=F64: QUNNForecaster(m, 3, heads=2, residual=True, dtype=dtype),
}
every_model = pytest.mark.parametrize("name", MODELS)


def make(name: str, m: int = 2, window: int = 4, **rest: Any) -> CausallyNormalised:
    torch.manual_seed(1)
    return CausallyNormalised(MODELS[name](m, **rest), window)


def series(*shape: int) -> Tensor:
    """Far from zero, and not of unit spread."""
    return 50 + 3 * random(*shape)


def literal(model: CausallyNormalised, x: np.ndarray) -> np.ndarray:
    """Of one sequence [T, m]."""
    T, m = x.shape
    mean, spread = np.empty((2, T, m))
    for t in range(T):
        for i in range(m):
            values = x[max(0, t - model.window + 1) : t + 1, i]
            mean[t, i] = sum(values) / len(values)
            spread[t, i] = np.sqrt(sum((v - mean[t, i]) ** 2 for v in values) / len(values) + LEAST_SPREAD**2)
    z = torch.from_numpy((x - mean) / spread)
    with torch.no_grad():
        y = model.model(z)[0].numpy()
    return mean + spread * y


@every_model
@pytest.mark.parametrize(("m", "window"), [(1, 2), (2, 4), (3, 40)])
def test_equals_the_loop(name: str, m: int, window: int) -> None:
    model, x = make(name, m, window), series(2, 11, m)
    y, _ = model(x)
    assert y.shape == x.shape
    for i in range(2):
        np.testing.assert_allclose(y[i].detach(), literal(model, x[i].numpy()), rtol=0, atol=50 * TINY)
        alone, _ = model(x[i])
        torch.testing.assert_close(alone, y[i], rtol=0, atol=50 * TINY)


@every_model
@pytest.mark.parametrize("batched", [True, False])
def test_pieces_give_what_the_whole_gives(name: str, batched: bool) -> None:
    model = make(name)
    x = series(3, 12, 2) if batched else series(12, 2)
    time = int(batched)
    whole, end = model(x)
    state, pieces = None, []
    for piece in x.split([1, 2, 1, 6, 2], time):
        y, state = model(piece, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, time), whole, rtol=0, atol=50 * TINY)
    assert state is not None
    assert torch.equal(state.past, end.past)
    assert torch.equal(state.past, x.narrow(time, 9, 3))
    assert state.seen.tolist() == end.seen.tolist() == ([12] * 3 if batched else 12)


@every_model
def test_no_output_depends_on_a_later_input(name: str) -> None:
    model, x = make(name), series(1, 8, 2)
    y = model(x)[0]
    for t in range(1, 8):
        other = x.clone()
        other[:, t:] = -7 * other[:, t:] + 1
        z = model(other)[0]
        torch.testing.assert_close(z[:, :t], y[:, :t], rtol=0, atol=50 * TINY)
        assert (z[:, t:] - y[:, t:]).abs().max() > 1


@every_model
@pytest.mark.parametrize(("a", "c"), [(1.0, 1000.0), (8.0, -3.0), (0.25, 20.0)])
def test_shift_and_scale_go_through(name: str, a: float, c: float) -> None:
    """x -> a x + c gives a y + c, but for LEAST_SPREAD beside a spread of 3: so behind windows that are full."""
    model, x = make(name), series(2, 12, 2)
    y, _ = model(x)
    shifted, _ = model(x + c)
    torch.testing.assert_close(shifted, y + c, rtol=0, atol=1e-9)
    warm = model(x)[1]
    later = series(2, 9, 2) - 5
    y, _ = model(later, warm._replace(inner=None))
    scaled, _ = model(a * later + c, warm._replace(past=a * warm.past + c, inner=None))
    torch.testing.assert_close(scaled, a * y + c, rtol=0, atol=a * 1e-3)


def test_a_constant_series_stays_what_it_is() -> None:
    model = make("lstm")
    y, _ = model(torch.full((1, 9, 2), 5.0, dtype=F64))
    assert (y - 5).abs().max() < 2 * LEAST_SPREAD
    assert torch.isfinite(torch.autograd.grad(y.sum(), tuple(model.parameters()))[0]).all()


def test_gradients_of_the_series_go_through() -> None:
    model = make("qunn", window=3)
    x = series(1, 5, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x)[0], (x,), atol=1e-4)


@every_model
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_saved_and_loaded_it_is_the_same(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model, x = make(name, dtype=dtype), series(2, 6, 2).to(dtype)
    model.save(tmp_path / "model.safetensors")
    again = qunn.load(tmp_path / "model.safetensors")
    assert isinstance(again, CausallyNormalised)
    assert again.config() == model.config()
    y = again(x)[0]
    assert y.dtype == dtype
    assert torch.equal(y, model(x)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CausallyNormalised(QUNN(1, 3), 4), "`model` must be a Readout or a QUNNForecaster, but is 'QUNN'"),  # type: ignore[arg-type]
        (lambda: CausallyNormalised(make("lstm"), 4), "`model` must be a Readout or a QUNNForecaster"),  # type: ignore[arg-type]
        (lambda: CausallyNormalised(Readout(lstm(2), 3), 4), "`model` must be batch first, with an output"),
        (lambda: CausallyNormalised(Readout(lstm(2), 2, last=True), 4), "`model` must be batch first, with an output"),
        (lambda: CausallyNormalised(Readout(TorchRNN("gru", 2, 3), 2), 4), "`model` must be batch first"),
        (lambda: CausallyNormalised(QUNNForecaster(2, 3, batch_first=False), 4), "`model` must be batch first"),
        (lambda: CausallyNormalised(Readout(lstm(bidirectional=True), 2), 4), "`model` must be of one direction"),
        (
            lambda: CausallyNormalised(Readout(URNN(2, 3, batch_first=True, bidirectional=True), 2), 4),
            "`model` must be of one direction",
        ),
        (lambda: make("lstm", window=1), "`window` must be an integer of at least 2, but is 1"),
        (lambda: make("lstm", window=4.0), "`window` must be an integer of at least 2, but is 4.0"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_built_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make()


@every_model
def test_a_wrong_input_is_refused(name: str) -> None:
    model, x = make(name), series(3, 5, 2)
    bad = x.clone()
    bad[1, 2, 1] = torch.nan
    for wrong, message in (
        (x[..., :1], "`input` must be of shape (batch, time, 2) or (time, 2), but is (3, 5, 1)"),
        (x[0, 0], "`input` must be of shape (batch, time, 2) or (time, 2), but is (2,)"),
        (x.numpy(), "`input` must be of shape (batch, time, 2) or (time, 2), but is 'ndarray'"),
        (x[:, :0], "`input` must be at least one time step long, but is (3, 0, 2)"),
        (x.float(), "`input` must be of dtype torch.float64, that of the model, but is torch.float32"),
        (x.long(), "`input` must be of dtype torch.float64, that of the model, but is torch.int64"),
        (x + 0j, "`input` must be of dtype torch.float64, that of the model, but is torch.complex128"),
        (bad, "`input` must be finite, but is nan at index (1, 2, 1)"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            model(wrong)


@every_model
def test_a_wrong_state_is_refused(name: str) -> None:
    model, x = make(name), series(3, 5, 2)
    state = model(x)[1]
    wanted = "`state` must be past (3, 3, 2) of torch.float64 and seen (3,), but is "
    for wrong, message in (
        (5, "`state` must be a NormalisedState, but is 'int'"),
        (state[:2], "`state` must be a NormalisedState, but is 'tuple'"),
        (NormalisedState([], state.seen, None), "`state` must be a NormalisedState"),  # type: ignore[arg-type]
        (model(x[:2])[1], wanted + "((2, 3, 2), (2,))"),
        (model(x[0])[1], wanted + "((3, 2), ())"),
        (make(name, window=5)(x)[1], wanted + "((3, 4, 2), (3,))"),
        (state._replace(past=state.past.float()), wanted),
        (state._replace(past=state.past * torch.inf), "`past` must be finite"),
        (state._replace(seen=state.seen - 6), "`seen` must be integers of at least 0, but is [-1, -1, -1]"),
        (state._replace(seen=state.seen / 2), "`seen` must be integers of at least 0, but is [2.5, 2.5, 2.5]"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            model(x, wrong)


def test_windows_beyond_the_memory_are_refused() -> None:
    model = make("lstm", window=10**12)
    with pytest.raises(MemoryEstimateError, match=r"^windows of 1000000000000 values on 3 x 5 elements: "):
        model(series(3, 5, 2))
    model = make("lstm", window=10**6)
    token = memory_limit.set(2**26)
    try:
        with pytest.raises(MemoryEstimateError):
            model(series(1, 5, 2))
    finally:
        memory_limit.reset(token)
