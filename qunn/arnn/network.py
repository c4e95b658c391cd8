"""Recurrent networks with anti-Hermitian weights (docs/mathematics/odernn.md; Definition 3, Theorem 3, Eq. 1 with E8).

    symplectic-euler   Z_{l+½} = Z_{l-½} - h σ(Wᴴ Y_l + V x_l + b),  Y_{l+1} = Y_l + h σ(W Z_{l+½} + V x_l + b)
    leapfrog           Y_{l+1} = Y_{l-1} + 2h σ(W Y_l + V x_l + b)
    forward-euler      Y_{l+1} = Y_l + h σ((W - γI) Y_l + V x_l + b)

They are the 1-2-ARNN, the 2-2-ARNN and the AntisymmetricRNN of Chang et al., with W = -Wᴴ, ᴴ the conjugate transpose.
The first two are reversible: the past follows from the present, so that training need not store it.

Reference: B. Chang, M. Chen, E. Haber, E. Chi, AntisymmetricRNN, ICLR 2019.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from hamiltonians.errors import must_be, one_of
from qunn.activations import ACTIVATIONS, Activation
from qunn.activations import activation as as_activation
from qunn.arnn.couplings import scan, unscan
from qunn.arnn.linear_stability import LinearStability, linear_stability
from qunn.arnn.parametrizations import Antisymmetric, ImaginarySymmetric, anti_hermitian_error
from qunn.arnn.schemes import SCHEMES, Recurrence, Scheme
from qunn.sequence import (
    RecurrentLayer,
    SequenceModule,
    State,
    cascade,
    check_flag,
    check_size,
    check_step,
    draw_uniform,
)

WEIGHTS = ("antisymmetric", "imaginary-symmetric")


@final
class ARNNLayer(RecurrentLayer):
    """One layer of an ARNN; see there.

    Attributes
    ----------
    weight : W [H, H], anti-Hermitian: computed from `parametrizations.weight`, which holds the parameter.
    weight_in : V [H, m]. bias : b [H], or None.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        run: Recurrence,
        weight: str,
        diffusion: float,
        bias: bool,
        device: Any,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.state_sizes = (hidden_size,) * (run.scheme.lag + 1)
        self.run, self.diffusion = run, diffusion
        empty: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.zeros(hidden_size, hidden_size, **empty))
        self.weight_in = nn.Parameter(torch.empty(hidden_size, input_size, **empty))
        self.bias = nn.Parameter(torch.empty(hidden_size, **empty)) if bias else None
        form = Antisymmetric() if weight == "antisymmetric" else ImaginarySymmetric(embedded=not dtype.is_complex)
        parametrize.register_parametrization(self, "weight", form)
        self.reset_parameters()

    @property
    def input_dtype(self) -> torch.dtype:
        """Of the inputs and outputs: that of the weights."""
        return self.weight_in.dtype

    @property
    def state_dtype(self) -> torch.dtype:
        """Of the state: that of the weights, or double precision in reversible mode."""
        return self.run.wide(self.weight_in.dtype)

    def matrix(self) -> Tensor:
        """The W - γI that acts on the state [H, H]."""
        W = self.weight
        if not self.diffusion:
            return W
        return W - self.diffusion * torch.eye(W.shape[0], dtype=W.dtype, device=W.device)

    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:  # noqa: ARG002 - no clock in it
        """All outputs and the last state; see `qunn.arnn.couplings.scan`."""
        return scan(self.run, x, state, self.matrix(), self.weight_in, self.bias)

    def unscan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All outputs and the first state, from the last; see `qunn.arnn.couplings.unscan`."""
        return unscan(self.run, x, state, self.matrix(), self.weight_in, self.bias)

    def reset_parameters(self) -> None:
        """Every parameter uniform in ±1/√H (its real and imaginary parts, where it is complex), as in torch.nn.RNN."""
        draw_uniform(self, self.output_size)


@final
class ARNN(SequenceModule):
    """A stack of ARNN layers with torch.nn.RNN's conventions: `(input, h_0) -> (output, h_n)`.

    Parameters
    ----------
    input_size, hidden_size : features m of x_l and H of the state.
    num_layers : layers; layer q's input is layer q-1's new output.
    scheme : "symplectic-euler" (state Y, Z: two tensors), "leapfrog" (state Y_l, Y_{l-1}) or "forward-euler" (state Y).
    weight : "antisymmetric", W = A - Aᴴ, or "imaginary-symmetric", W = iS with S real and symmetric; for a real dtype
        its embedding [[0, -S], [S, 0]], with S of size H/2.
    h : the step.
    diffusion : γ of forward Euler.
    activation : σ, a name or a callable; on complex numbers a named one acts on real and imaginary parts separately.
    bias : whether there is a b.
    reversible : keep no states for the gradient but recompute them backwards, from states on a grid of multiples of
        2^-fraction_bits below 2^(52 - fraction_bits) (see `qunn.arnn.stretch`). One layer's memory is then that of its
        input and output, independent of T with `return_sequence=False`. The gradient is that of the same rounded
        network with rounding taken as the identity. h_0 is rounded to the grid. The state is double precision
        whatever the dtype of the module, so that it can be carried on and reversed exactly.
    fraction_bits : see there; 40 is a grid of 9e-13 for states below 4096.
    return_sequence : False: the output has length 1 in time and holds each direction's last output.
    batch_first, dropout, bidirectional, device, dtype : as in torch.nn.RNN.

    The gradient can be taken once. A σ without σ' in terms of σ (sin, gelu, a callable) is run by autograd step by
    step, which is slower, and cannot be reversible.

    Raises
    ------
    InputError : an argument out of its range; an input or h_0 as in SequenceModule; states beyond the grid's range.
    ReversalError : in the backward pass, when the recovered past is not the past (see `qunn.arnn.couplings`).

    Examples
    --------
    >>> import torch
    >>> from qunn import ARNN
    >>> arnn = ARNN(3, 8, scheme="leapfrog", h=0.05, dtype=torch.float64)
    >>> output, h_n = arnn(torch.randn(20, 4, 3, dtype=torch.float64))  # time, batch, features
    >>> output.shape, [tuple(part.shape) for part in h_n]  # the state is (Y_l, Y_{l-1})
    (torch.Size([20, 4, 8]), [(1, 4, 8), (1, 4, 8)])
    >>> arnn.anti_hermitian_error()  # max |W + W†|
    0.0
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        scheme: Literal["symplectic-euler", "leapfrog", "forward-euler"] = "symplectic-euler",
        weight: Literal["antisymmetric", "imaginary-symmetric"] = "antisymmetric",
        h: float = 0.1,
        diffusion: float = 0.0,
        activation: str | Activation | Any = "tanh",
        bias: bool = True,
        reversible: bool = False,
        fraction_bits: int = 40,
        return_sequence: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        dtype = torch.get_default_dtype() if dtype is None else dtype
        check_size("input_size", input_size)
        flags = {"bias": bias, "reversible": reversible, "return_sequence": return_sequence}
        for name, value in (flags | {"bidirectional": bidirectional}).items():
            check_flag(name, value)
        _check_weight(weight, hidden_size, dtype)
        sigma = as_activation(activation)
        run = Recurrence(_checked_scheme(scheme, h, diffusion), h, sigma, fraction_bits if reversible else None)

        def make(size: int) -> ARNNLayer:
            return ARNNLayer(size, hidden_size, run, weight, diffusion, bias, device, dtype)

        layers = cascade(make, input_size, num_layers, bidirectional)
        super().__init__(layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional)
        for i in range(len(layers) - self.directions, len(layers)):
            self._layer(i).run = replace(run, sequence=return_sequence)
        self.hidden_size, self.bias, self.reversible, self.return_sequence = (
            hidden_size,
            bias,
            reversible,
            return_sequence,
        )
        self.run, self.weight, self.diffusion, self.fraction_bits = run, weight, diffusion, fraction_bits

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        if not self.run.sigma.named:
            raise must_be("activation", f"{one_of(ACTIVATIONS)} to be saved", self.run.sigma.name)
        names = ("weight", "diffusion", "bias", "reversible", "fraction_bits", "return_sequence")
        own = {"scheme": self.run.scheme.name, "h": self.run.h, "activation": self.run.sigma.name}
        return self.common_config() | own | {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """The sizes, the scheme, and whatever is not a default."""
        parts = [super().extra_repr(), f"scheme={self.run.scheme.name}, weight={self.weight}, h={self.run.h}"]
        for name, default in (("diffusion", 0.0), ("reversible", False), ("return_sequence", True), ("bias", True)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        if self.run.sigma.name != "tanh":
            parts.append(f"activation={self.run.sigma.name}")
        return ", ".join(parts)

    def linear_stability(self) -> tuple[LinearStability, ...]:
        """For every layer, whether the network with σ = identity and no input stays bounded, with its sharp limit.

        Examples
        --------
        >>> from qunn import ARNN
        >>> schemes = ("symplectic-euler", "leapfrog", "forward-euler")
        >>> [ARNN(1, 6, scheme=name, h=0.1).linear_stability()[0].stable for name in schemes]  # Euler spirals out
        [True, True, False]
        """
        layers = [self._layer(i) for i in range(len(self.layers))]
        return tuple(linear_stability(self.run.scheme, x.weight, self.run.h, self.diffusion) for x in layers)

    def anti_hermitian_error(self) -> float:
        """The largest |W + Wᴴ| of all layers: 0."""
        return max(anti_hermitian_error(self._layer(i).weight.detach()) for i in range(len(self.layers)))

    @torch.no_grad()
    def reverse(self, h_n: Any, input: Any) -> tuple[Any, Tensor]:
        """The past from the present: `(h_0, output)` of the call `output, h_n = self(input, h_0)`.

        Layers are undone from the bottom up: a layer's recovered outputs are the inputs of the layer above.

        In reversible mode the result is bit for bit that of the forward call, for the same input in one call (cut
        elsewhere, a matrix product may sum in another order). Otherwise it is exact up to rounding, which a nonlinear
        network may multiply by a constant factor in every step.

        Raises
        ------
        InputError : a packed input, forward Euler, dropout while training, or an input or h_n of a wrong shape.

        Examples
        --------
        >>> import torch
        >>> from qunn import ARNN
        >>> arnn, x = ARNN(3, 8, reversible=True), torch.randn(100, 4, 3)
        >>> output, h_n = arnn(x)
        >>> h_0, again = arnn.reverse(h_n, x)
        >>> torch.equal(again, output), [int(part.count_nonzero()) for part in h_0]  # back at 0, bit for bit
        (True, [0, 0])
        """
        if not self.run.scheme.reversible:
            raise must_be("scheme", _REVERSIBLE, self.run.scheme.name)
        if self.dropout and self.training and self.num_layers > 1:
            raise must_be(
                "dropout", "0, or the model in eval mode, to be reversed (its masks are not kept)", self.dropout
            )
        if isinstance(input, PackedSequence):
            raise must_be("input", "a tensor to be reversed", "PackedSequence")
        if h_n is None:
            raise must_be("h_n", "the state after `input`", None)
        output, h_0 = self._padded(input, h_n, _unscan)
        return h_0, output

    def _layer(self, i: int) -> ARNNLayer:
        layer = self.layers[i]
        assert isinstance(layer, ARNNLayer)
        return layer

    def _packed(self, input: PackedSequence, h_0: Any, step: int) -> tuple[PackedSequence, Any]:
        if not self.return_sequence:
            what = "a tensor where return_sequence=False (of a packed batch, h_n holds the last outputs)"
            raise must_be("input", what, "PackedSequence")
        return super()._packed(input, h_0, step)

    def _split(self, h_0: Any, batch: int, batched: bool) -> State:
        """A state of the module's dtype is widened in reversible mode."""
        wide = self._layer(0).state_dtype
        if self.reversible and isinstance(h_0, tuple | list) and all(isinstance(part, Tensor) for part in h_0):
            h_0 = tuple(part.to(wide) if part.dtype == self._layer(0).input_dtype else part for part in h_0)
        return super()._split(h_0, batch, batched)


_REVERSIBLE = one_of(scheme.name for scheme in SCHEMES.values() if scheme.reversible)


def _unscan(layer: RecurrentLayer, x: Tensor, state: State) -> tuple[Tensor, State]:
    assert isinstance(layer, ARNNLayer)
    return layer.unscan(x, state)


def _checked_scheme(scheme: Any, h: Any, diffusion: Any) -> Scheme:
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise must_be("scheme", one_of(SCHEMES), scheme)
    check_step(h)
    if isinstance(diffusion, bool) or not isinstance(diffusion, int | float) or not 0 <= diffusion < float("inf"):
        raise must_be("diffusion", "a number of at least 0", diffusion)
    if diffusion and scheme != "forward-euler":
        raise must_be("diffusion", f"0 for {scheme}, whose conserved energy it would break", diffusion)
    return SCHEMES[scheme]


def _check_weight(weight: Any, hidden_size: Any, dtype: Any) -> None:
    check_size("hidden_size", hidden_size)
    if weight not in WEIGHTS:
        raise must_be("weight", one_of(WEIGHTS), weight)
    allowed = (torch.float32, torch.float64, torch.complex64, torch.complex128)
    if dtype not in allowed:
        raise must_be("dtype", one_of(str(kind).removeprefix("torch.") for kind in allowed), dtype)
    if weight == "imaginary-symmetric" and not dtype.is_complex and hidden_size % 2:
        raise must_be("hidden_size", "even for the real embedding [[0, -S], [S, 0]]", hidden_size)
