"""What every recurrent module here shares: torch.nn.RNN's conventions around layers that scan a sequence.

A `RecurrentLayer` is the mathematics: it maps x [T, B, m] and a state to outputs [T, B, o] and the state after them.
`SequenceModule` is the rest: shapes, batches, packed sequences, stacking, dropout, both directions, saving.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hamiltonians.errors import InputError, must_be
from qunn.storage import Savable

#: the parts of a layer's state, each [batch, size]; a module's state has [directions·num_layers, batch, size] each
State = tuple[Tensor, ...]


class RecurrentLayer(nn.Module, ABC):
    """One layer: (x_l, state_l) -> (output_l, state_{l+1}) for every l of a sequence.

    Attributes
    ----------
    input_size, output_size : features of x_l and of the output.
    state_sizes : features of every part of the state; (H,) for an Elman network, (H, H) for h and c of an LSTM.
    """

    input_size: int
    output_size: int
    state_sizes: tuple[int, ...]

    @property
    def state_dtype(self) -> torch.dtype:
        """Of the state and the outputs: that of the first floating-point parameter or buffer."""
        return next((p.dtype for p in _tensors(self) if p.is_floating_point() or p.is_complex()), torch.float32)

    @property
    def input_dtype(self) -> torch.dtype:
        """Of x; a layer whose state is kept in a wider dtype says so by overriding this."""
        return self.state_dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in _tensors(self)), torch.device("cpu"))

    @abstractmethod
    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        """All outputs and the last state: x [T, B, m], state parts [B, size]; `step` is the index of x[0]."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw the parameters anew."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """`.double()`, `.to(…)` and the like change the precision: real tensors stay real, and complex ones complex.

        nn.Module would turn a complex layer's real tensors complex, leave the others out, or drop imaginary parts.
        """

        def on_parts(t: Tensor) -> Tensor:
            out = fn(torch.view_as_real(t.resolve_conj()) if t.is_complex() else t)
            out = out.real if out.is_complex() else out
            return torch.view_as_complex(out.contiguous()) if t.is_complex() else out

        return super()._apply(on_parts, recurse)  # type: ignore[no-untyped-call]


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


class SequenceModule(Savable, ABC):
    """A stack of recurrent layers with the calling conventions of torch.nn.RNN: `(input, h_0) -> (output, h_n)`.

    input : [T, B, m], [B, T, m] with `batch_first`, [T, m] unbatched, or a PackedSequence.
    h_0 : [directions·num_layers, B, H], or a tuple of them where the state has several parts (an LSTM's h and c, the
        delays of an ODERNN); without B where the input is unbatched; zeros where it is left out.
    output : the last layer's outputs, shaped as the input. h_n : shaped as h_0.

    Layer q's input is layer q-1's new output at the same time (a cascade). Dropout acts between layers while training.

    Raises
    ------
    InputError : a wrong shape, size, dtype, or a number that is not finite, named with what is allowed.
    """

    def __init__(
        self,
        layers: Sequence[RecurrentLayer],
        *,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise must_be("dropout", "a probability in [0, 1]", dropout)
        check_flag("batch_first", batch_first)
        check_flag("bidirectional", bidirectional)
        self.layers = nn.ModuleList(layers)
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.directions = 2 if bidirectional else 1
        self.num_layers = len(layers) // self.directions
        self.input_size = self._layer(0).input_size
        self.output_size = self._layer(len(layers) - 1).output_size * self.directions
        self.state_sizes = self._layer(0).state_sizes
        for layer in layers:
            if layer.state_dtype != layers[0].state_dtype:
                raise must_be("layers", f"of one dtype, {layers[0].state_dtype}", layer.state_dtype)
            if layer.state_sizes != self.state_sizes:
                raise must_be("layers", f"layers whose states have the sizes {self.state_sizes}", layer.state_sizes)

    def reset_parameters(self) -> None:
        """Draw the parameters of all layers anew, from torch's global generator."""
        for layer in self.layers:
            assert isinstance(layer, RecurrentLayer)
            layer.reset_parameters()

    def common_config(self) -> dict[str, Any]:
        """The arguments that all these networks take, for `config`."""
        sizes = {"input_size": self.input_size, "hidden_size": self.state_sizes[0], "num_layers": self.num_layers}
        return sizes | {name: getattr(self, name) for name in ("batch_first", "dropout", "bidirectional")}

    def extra_repr(self) -> str:
        """The sizes and whatever is not a default, as torch.nn.RNN prints them."""
        parts = [f"{self.input_size}, {self.state_sizes[0]}"]
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        for name, default in (("batch_first", False), ("dropout", 0.0), ("bidirectional", False)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)

    def _layer(self, i: int) -> RecurrentLayer:
        layer = self.layers[i]
        assert isinstance(layer, RecurrentLayer)
        return layer

    # --- the conventions of torch.nn.RNN ---

    def forward(self, input: Any, h_0: Any = None, *, step: int = 0) -> tuple[Any, Any]:
        """`(input, h_0) -> (output, h_n)`; `step` is the index of the first element, for what depends on time."""
        check_size("step", step, least=0)
        if isinstance(input, PackedSequence):
            return self._packed(input, h_0, step)
        return self._padded(input, h_0, lambda layer, x, state: layer.scan(x, state, step))

    def _padded(
        self, input: Any, h_0: Any, scan: Callable[[RecurrentLayer, Tensor, State], tuple[Tensor, State]]
    ) -> tuple[Any, Any]:
        """`scan` through the cascade, with an input that is one tensor."""
        batched = self._check_input(input)
        x = input if batched else input.unsqueeze(1)
        if self.batch_first and batched:
            x = x.transpose(0, 1)
        x = self._cast(x)
        state = self._split(h_0, x.shape[1], batched)
        output, state = self._stack(x, state, scan, _flip_time)
        if not batched:
            output, state = output.squeeze(1), tuple(part.squeeze(1) for part in state)
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, self._join(state)

    def _stack(
        self,
        x: Tensor,
        state: State,
        scan: Callable[[RecurrentLayer, Tensor, State], tuple[Tensor, State]],
        flip: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, State]:
        """The cascade, in one direction or in both."""
        last: list[State] = []
        for q in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                i = q * self.directions + direction
                y, after = scan(self._layer(i), flip(x) if direction else x, tuple(part[i] for part in state))
                outputs.append(flip(y) if direction else y)
                last.append(after)
            x = torch.cat(outputs, -1) if self.bidirectional else outputs[0]
            if self.dropout and self.training and q < self.num_layers - 1:
                x = _drop(x, self.dropout)
        return x, tuple(torch.stack(parts) for parts in zip(*last, strict=True))

    def _packed(self, input: PackedSequence, h_0: Any, step: int) -> tuple[PackedSequence, Any]:
        data, sizes, order, unsorted = input
        self._check_features(data, "input")
        data = self._cast(data)
        state = self._split(h_0, int(sizes[0]), batched=True)
        if order is not None:
            state = tuple(part.index_select(1, order) for part in state)
        rows = _reversal(sizes).to(data.device)

        def scan(layer: RecurrentLayer, x: Tensor, s: State) -> tuple[Tensor, State]:
            return _scan_packed(layer, x, sizes.tolist(), s, step)

        output, state = self._stack(data, state, scan, lambda y: y[rows])
        if unsorted is not None:
            state = tuple(part.index_select(1, unsorted) for part in state)
        return PackedSequence(output, sizes, order, unsorted), self._join(state)

    def _join(self, state: State) -> Any:
        return state[0] if len(self.state_sizes) == 1 else state

    def _split(self, h_0: Any, batch: int, batched: bool) -> State:
        """h_0 as a tuple of [directions·num_layers, B, size]."""
        layer, rows = self._layer(0), len(self.layers)
        if h_0 is None:
            return tuple(
                torch.zeros(rows, batch, size, dtype=layer.state_dtype, device=layer.device)
                for size in self.state_sizes
            )
        parts = (h_0,) if isinstance(h_0, Tensor) else h_0
        if not isinstance(parts, tuple | list) or len(parts) != len(self.state_sizes):
            what = "a tensor" if len(self.state_sizes) == 1 else f"a tuple of {len(self.state_sizes)} tensors"
            raise must_be("h_0", what, type(h_0).__name__)
        checked = []
        for part, size in zip(parts, self.state_sizes, strict=True):
            shape = (rows, batch, size) if batched else (rows, size)
            if not isinstance(part, Tensor) or tuple(part.shape) != shape:
                raise must_be("h_0", f"of shape {shape}", tuple(part.shape) if isinstance(part, Tensor) else part)
            check_finite(part, "h_0")
            part = _to_dtype(part, layer.state_dtype, "h_0")
            checked.append(part if batched else part.unsqueeze(1))
        return tuple(checked)

    def _check_input(self, input: Any) -> bool:
        """Whether the input has a batch dimension."""
        if not isinstance(input, Tensor):
            raise must_be("input", "a tensor or a PackedSequence", type(input).__name__)
        if input.dim() not in (2, 3):
            order = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
            raise must_be("input", f"of shape {order}, or (time, features)", tuple(input.shape))
        self._check_features(input, "input")
        if input.shape[1 if self.batch_first and input.dim() == 3 else 0] == 0:
            raise must_be("input", "at least one time step long", tuple(input.shape))
        return input.dim() == 3

    def _check_features(self, x: Tensor, name: str) -> None:
        if x.shape[-1] != self.input_size:
            raise must_be(name, f"of {self.input_size} features in its last dimension", tuple(x.shape))
        check_finite(x, name)

    def _cast(self, x: Tensor) -> Tensor:
        return _to_dtype(x, self._layer(0).input_dtype, "input")


def _to_dtype(x: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """x itself; a real x becomes complex for a complex module; any other dtype is an error."""
    if x.dtype == dtype:
        return x
    if dtype.is_complex and x.dtype == dtype.to_real():
        return x.to(dtype)
    raise must_be(name, f"of dtype {dtype}, that of the module (`.to({str(dtype).removeprefix('torch.')})`)", x.dtype)


def check_finite(x: Tensor, name: str) -> None:
    """Refuse numbers that are not finite; names the first."""
    x = x.detach().resolve_conj()
    if not x.numel() or not (x.is_floating_point() or x.is_complex()):
        return
    low, high = torch.aminmax(torch.view_as_real(x) if x.is_complex() else x)  # no memory: an input may be long
    if not bool(torch.isfinite(low) & torch.isfinite(high)):  # NaN comes through
        where = tuple(int(i) for i in (~torch.isfinite(x)).nonzero()[0])
        raise InputError(f"`{name}` must be finite, but is {x[where].item()} at index {where}", name)


def _drop(x: Tensor, p: float) -> Tensor:
    """Dropout; a complex number falls out as a whole (torch's own refuses complex tensors)."""
    if x.is_complex():
        return x * nn.functional.dropout(torch.ones_like(x.real), p)
    return nn.functional.dropout(x, p)


def _flip_time(x: Tensor) -> Tensor:
    return x.flip(0)


def _scan_packed(
    layer: RecurrentLayer, data: Tensor, sizes: list[int], state: State, step: int
) -> tuple[Tensor, State]:
    """Scan stretches of constant batch size; sequences that have ended leave their state behind."""
    outputs, ended, at, time = [], [], 0, 0
    for size, stretch in groupby(sizes):
        steps = len(list(stretch))
        ended.append(tuple(part[size:] for part in state))
        state = tuple(part[:size] for part in state)
        x = data[at : at + steps * size].reshape(steps, size, -1)
        y, state = layer.scan(x, state, step + time)
        outputs.append(y.reshape(steps * size, -1))
        at, time = at + steps * size, time + steps
    whole = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return torch.cat(outputs), whole


def _reversal(sizes: Tensor) -> Tensor:
    """The rows of packed data with every sequence turned round; its own inverse."""
    offset = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    time = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    which = torch.arange(int(offset[-1])) - offset[time]
    length = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(0)
    return offset[length[which] - 1 - time] + which


def cascade(
    make: Callable[[int], RecurrentLayer], input_size: int, num_layers: int, bidirectional: bool = False
) -> list[RecurrentLayer]:
    """Layers in torch's order (layer 0 forward, layer 0 backward, layer 1 …), each made for the input it will see."""
    check_size("num_layers", num_layers)
    layers: list[RecurrentLayer] = []
    for _ in range(num_layers):
        pair = [make(input_size) for _ in range(2 if bidirectional else 1)]
        layers += pair
        input_size = sum(layer.output_size for layer in pair)
    return layers


@torch.no_grad()
def draw_uniform(module: nn.Module, size: int) -> None:
    """Every parameter uniform in ±1/√size (its real and imaginary parts, where it is complex), as in torch.nn.RNN."""
    for parameter in module.parameters():
        parameter.uniform_(-(size**-0.5), size**-0.5)


def check_size(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise must_be(name, f"an integer of at least {least}", value)


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise must_be(name, "True or False", value)


def check_residual(residual: Any, last: bool, input_size: int, output_size: int) -> None:
    """Refuse to foretell changes where outputs do not stand beside inputs of their size."""
    check_flag("residual", residual)
    if residual and (last or output_size != input_size):
        raise must_be("residual", "False where outputs are not as large as inputs, or only the last is read", residual)


def check_step(h: Any, name: str = "h") -> None:
    """Refuse a step h that is not a positive finite number."""
    if isinstance(h, bool) or not isinstance(h, int | float) or not 0 < h < float("inf"):
        raise must_be(name, "a positive number", h)
