"""Forecasts of a scalar or vector series: an encoder, QUNNs side by side, and a linear read-out."""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from hamiltonians.errors import must_be
from qunn.monitored import Monitored
from qunn.quantum.arguments import DEFAULT_ACTIVATIONS, Probability, Sigma, check_dtype
from qunn.quantum.encoders import make_encoder
from qunn.quantum.generation import generated
from qunn.quantum.history import QUNNState
from qunn.quantum.network import QUNN
from qunn.sequence import check_flag, check_residual, check_size
from qunn.storage import Savable


@final
class QUNNForecaster(Savable, Monitored):
    """x_l, x_{l-1}, … -> a prediction of x_{l+1}, from what the QUNNs predict of its encoding:

        Y_l = encoder(x_l),    Z^i_{l+1} = QUNN_i(Y)_l,    x̂_{l+1} = C [Z^1 … Z^heads]_{l+1} + c (+ x_l with `residual`)

    Parameters
    ----------
    input_size : m. period : N. num_layers : L; N where it is left out. output_size : m where it is left out.
    encoding : "affine" with `size` dimensions, "angle" or "amplitude" (see `qunn.quantum.encoders`).
    heads : QUNNs side by side, each with an encoder of its own where that is learned.
    residual : predict the change from x_l. last : only the output after the last element, [B, p].
    clock, share, skip, step, activations, p1, p2, history, recompute : of the QUNNs.

    Shapes as for a QUNN; the state holds those of the heads.

    Raises
    ------
    InputError : what a QUNN or an encoder refuses; an input of another dtype than the parameters', which are real.

    Examples
    --------
    >>> import torch
    >>> from qunn import QUNNForecaster
    >>> model, x = QUNNForecaster(1, period=4, size=2, heads=2).double(), torch.randn(1, 12, 1).double()
    >>> whole, _ = model(x)  # whole[:, i] foretells x[:, i + 1]
    >>> first, state = model(x[:, :7])  # in two pieces
    >>> torch.allclose(torch.cat([first, model(x[:, 7:], state)[0]], 1), whole)
    True
    >>> model.generate(x, steps=3).shape
    torch.Size([1, 3, 1])
    """

    def __init__(
        self,
        input_size: int,
        period: int,
        num_layers: int | None = None,
        *,
        output_size: int | None = None,
        encoding: Literal["affine", "angle", "amplitude"] = "affine",
        size: int = 2,
        heads: int = 1,
        residual: bool = False,
        last: bool = False,
        clock: Literal["one-hot", "learned", "learned-read"] = "learned-read",
        share: bool = False,
        skip: Literal["scalar", "diagonal", "matrix"] = "scalar",
        step: float = 1.0,
        activations: tuple[Sigma, Sigma, Sigma] = DEFAULT_ACTIVATIONS,
        p1: Probability = 0.12,
        p2: Probability = 0.27,
        history: Literal["sliding", "block"] = "sliding",
        recompute: bool = False,
        batch_first: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("heads", heads)
        check_size("size", size)
        if check_dtype(dtype).is_complex:
            raise must_be("dtype", "real", dtype)
        for name, flag in (("last", last), ("batch_first", batch_first)):
            check_flag(name, flag)
        self.input_size = input_size
        self.output_size = input_size if output_size is None else output_size
        check_size("output_size", self.output_size)
        check_residual(residual, last, input_size, self.output_size)
        self.encoding, self.residual, self.last, self.batch_first = encoding, residual, last, batch_first
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.encoders = nn.ModuleList(make_encoder(encoding, input_size, size, **where) for _ in range(heads))
        d = self.encoders[0].output_size
        assert isinstance(d, int)
        options: dict[str, Any] = {
            "clock": clock,
            "share": share,
            "skip": skip,
            "step": step,
            "activations": activations,
        }
        options |= {"p1": p1, "p2": p2, "history": history, "recompute": recompute, "batch_first": batch_first}
        self.heads = nn.ModuleList(QUNN(d, period, num_layers, **options, **where) for _ in range(heads))
        self.linear = nn.Linear(heads * d, self.output_size, **where)

    def forward(
        self, input: Tensor, state: tuple[QUNNState, ...] | None = None
    ) -> tuple[Tensor, tuple[QUNNState, ...]]:
        """`(input, state) -> (output, state)`; output_l is the prediction of x_{l+1}."""
        self._check(input)
        before = (None,) * len(self.heads) if state is None else state
        if not isinstance(before, tuple | list) or len(before) != len(self.heads) or isinstance(before, QUNNState):
            got = len(before) if type(before) in (tuple, list) else type(before).__name__
            raise must_be("state", f"those of {len(self.heads)} heads in a tuple", got)
        found, after = [], []
        for encoder, head, one in zip(self.encoders, self.heads, before, strict=True):
            y, s = head(encoder(input).to(input.dtype), one)  # autocast makes it a narrower one
            found.append(y)
            after.append(s)
        output = self.linear(torch.cat(found, -1))
        output = output + input if self.residual else output
        if self.last:
            output = output.select(1 if self.batch_first and output.dim() == 3 else 0, -1)
        return output, tuple(after)

    def _check(self, input: Any) -> None:
        """What the encoders do not see: the shape of a sequence, and the dtype where they have no parameters."""
        if not isinstance(input, Tensor) or input.dim() not in (2, 3) or input.shape[-1] != self.input_size:
            got = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            order = "batch, time" if self.batch_first else "time, batch"
            raise must_be("input", f"of shape ({order}, {self.input_size}) or (time, {self.input_size})", got)
        if input.shape[1 if self.batch_first and input.dim() == 3 else 0] == 0:
            raise must_be("input", "at least one time step long", tuple(input.shape))
        if input.dtype != self.linear.weight.dtype:
            raise must_be("input", f"of dtype {self.linear.weight.dtype}, that of the module", input.dtype)

    @torch.no_grad()
    def generate(self, prompt: Tensor, steps: int, state: tuple[QUNNState, ...] | None = None) -> Tensor:
        """The `steps` values that follow the prompt, each predicted from those before it; shaped as the prompt."""
        if self.last:
            raise must_be("last", "False to feed outputs back", self.last)
        if self.output_size != self.input_size:
            raise must_be("output_size", f"input_size = {self.input_size} to feed outputs back", self.output_size)
        return generated(self, prompt, steps, state, self.batch_first)

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        for part in (*self.encoders, *self.heads, self.linear):
            part.reset_parameters()

    def invariants(self) -> dict[str, float]:
        """Those of the heads, the worst of each."""
        each = [head.invariants() for head in self.heads if isinstance(head, QUNN)]
        return {name: (min if name.endswith("least") else max)(one[name] for one in each) for name in each[0]}

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        head = self.heads[0]
        assert isinstance(head, QUNN)
        names = (
            "period",
            "num_layers",
            "clock",
            "share",
            "skip",
            "step",
            "activations",
            "p1",
            "p2",
            "history",
            "recompute",
        )
        own = {
            name: getattr(self, name)
            for name in ("input_size", "output_size", "encoding", "residual", "last", "batch_first")
        }
        config = head.config()
        return own | {name: config[name] for name in names} | {"size": head.input_size, "heads": len(self.heads)}
