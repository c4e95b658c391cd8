"""The unitary evolution RNN: a recurrent matrix that is orthogonal or unitary whatever its parameters are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from hamiltonians.errors import must_be, one_of
from qunn.activations import ACTIVATIONS, Activation, activation
from qunn.exponential import exponential
from qunn.sequence import RecurrentLayer, SequenceModule, State, cascade, check_size

MODRELU = "modrelu"
_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def modrelu(z: Tensor, b: Tensor) -> Tensor:
    """ReLU(|z| + b) z/|z|, elementwise: the modulus is shifted by the real b, the phase stays; 0 at z = 0.

    Real z: sign(z) ReLU(|z| + b). Values and gradients are finite everywhere: what is so small that b/|z| might
    overflow counts as 0, where the phase has no derivative and gets none.

    References
    ----------
    Arjovsky, Shah, Bengio, "Unitary evolution recurrent neural networks" (ICML 2016), Sec. 4.
    """
    if not z.is_complex():
        return z.sign() * torch.relu(z.abs() + b)
    kind = torch.finfo(z.dtype)
    zero = z.detach().abs() <= kind.tiny / kind.eps
    phase = torch.where(zero, 1.0, z)  # never divide by 0: a NaN in an unused branch would reach the gradient
    r = phase.abs()
    return torch.where(zero, 0.0, phase / r * torch.relu(r + b))


@final
class _Exponential(nn.Module):
    """X -> exp(L - L†), L the lower triangle of X with its diagonal: unitary, or orthogonal of determinant 1.

    The exponential by scaling and squaring strays from unitarity by some 2^s ε; one Newton step of the polar
    decomposition, Q (3 - Q†Q)/2, takes that back to rounding.
    """

    def forward(self, X: Tensor) -> Tensor:
        """X [H, H] -> W [H, H]."""
        L = X.tril()
        Q = exponential(L - L.mH)
        return 1.5 * Q - 0.5 * Q @ (Q.mH @ Q)


@final
class _URNNLayer(RecurrentLayer):
    """weight_ih [H, m], bias and modrelu_bias [H], and weight_hh [H, H], computed from a parameter of that shape."""

    weight_hh: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        sigma: Activation | None,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if dtype not in _DTYPES:
            raise must_be("dtype", "one of float32, float64, complex64, complex128", dtype)
        real = dtype.to_real()
        self.input_size, self.output_size, self.state_sizes = input_size, hidden_size, (hidden_size,)
        self.sigma = sigma
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype)) if bias else None
        self.modrelu_bias = None if sigma else nn.Parameter(torch.empty(hidden_size, device=device, dtype=real))
        self.register_parameter("weight_hh", nn.Parameter(torch.zeros(hidden_size, hidden_size).to(device, dtype)))
        parametrize.register_parametrization(self, "weight_hh", _Exponential())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """V and b of mean square 1/(3H), as in torch.nn.RNN; modReLU's b in ±0.01, as Arjovsky et al. do.

        W = exp(A): the entries of A below the diagonal are normal with mean square (π/2)²/H, so that by Wigner's
        semicircle law the eigenvalues' angles fill (-π, π).
        """
        H = self.output_size
        with torch.no_grad():
            for parameter in (self.weight_ih, self.bias):
                if parameter is not None:
                    bound = (H * (2 if parameter.is_complex() else 1)) ** -0.5
                    parameter.uniform_(-bound, bound)
            if self.modrelu_bias is not None:
                self.modrelu_bias.uniform_(-0.01, 0.01)
            self.get_parameter("parametrizations.weight_hh.original").normal_(0.0, math.pi / (2 * math.sqrt(H)))

    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:  # noqa: ARG002 - no clock in it
        """x [T, B, m], K [B, H] -> outputs [T, B, H] and the last of them."""
        (K,) = state
        W = self.weight_hh.t()  # rows are vectors here: (W K)ᵀ = Kᵀ Wᵀ, also where W is complex
        outputs = []
        for v in linear(x, self.weight_ih, self.bias).unbind(0):
            z = torch.addmm(v, K, W)
            K = self._activate(z)
            outputs.append(K)
        return torch.stack(outputs), (K,)

    def _activate(self, z: Tensor) -> Tensor:
        if self.sigma is not None:
            return self.sigma(z)
        assert self.modrelu_bias is not None
        return modrelu(z, self.modrelu_bias)


@final
class URNN(SequenceModule):
    """A unitary evolution RNN (Arjovsky et al. 2016), Eq. (28) with the recurrence over time that it lacks (E15).

        K_{l+1} = σ(W K_l + V x_l + b),     W†W = I

    W is unitary for a complex dtype, orthogonal (with determinant 1) for a real one, by construction: W = exp(L - L†)
    with L lower triangular, so that any optimiser may move L and W stays unitary to rounding (`unitarity_error`).
    The gradient of the linear part then neither vanishes nor explodes: |W K| = |K|.

    Eq. (28) as printed recurs over layers only, K^l = σ(W_l K^{l-1} + V_l x), and has no memory; Claim 3's W_q = 0
    would delete the input (E15). Arjovsky et al. compose W from diagonal, reflection and Fourier factors, 7H
    parameters; the exponential reaches every unitary matrix with H² (Lezcano-Casado and Martínez-Rubio 2019).

    Arguments are those of torch.nn.RNN, and
    activation : "modrelu", ReLU(|z| + b_mod) z/|z| with a real b_mod a unit of its own; or a name of
        `qunn.activations`, or a callable; named ones act on the real and the imaginary part of a complex z.

    The calling conventions are in `SequenceModule`. The state is one tensor [directions·num_layers, B, H] of the
    module's dtype; a complex module takes real inputs too. Layer q's parameters are `layers[q].weight_ih` (V) [H, m],
    `.bias` [H] and `.modrelu_bias` [H]; `.weight_hh` (W) [H, H] is computed.

    Raises
    ------
    InputError : an unknown activation, a size or number of layers below 1, dropout outside [0, 1], a dtype that is
        neither float32, float64, complex64 nor complex128.

    References
    ----------
    Arjovsky, Shah, Bengio, "Unitary evolution recurrent neural networks" (ICML 2016); Lezcano-Casado,
    Martínez-Rubio, "Cheap orthogonal constraints in neural networks" (ICML 2019).

    Examples
    --------
    >>> import torch
    >>> from qunn import URNN
    >>> urnn = URNN(3, 8, dtype=torch.complex128)
    >>> output, h_n = urnn(torch.randn(20, 4, 3, dtype=torch.complex128))
    >>> output.shape, urnn.unitarity_error() < 1e-14  # ‖W†W - I‖
    (torch.Size([20, 4, 8]), True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        activation: str | Activation | Callable[[Tensor], Tensor] = MODRELU,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        sigma = _sigma(activation)

        def layer(features: int) -> RecurrentLayer:
            return _URNNLayer(features, hidden_size, sigma, bias=bias, device=device, dtype=dtype)

        layers = cascade(layer, input_size, num_layers, bidirectional)
        super().__init__(layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional)
        self.hidden_size = hidden_size
        self.bias = bias
        self.sigma = sigma

    def forward(self, input: Any, h_0: Any = None, *, step: int = 0) -> tuple[Any, Any]:
        """`(input, h_0) -> (output, h_n)`; see `SequenceModule`."""
        with parametrize.cached():  # a packed sequence is scanned in stretches: one exponential serves them all
            return super().forward(input, h_0, step=step)

    @torch.no_grad()
    def unitarity_error(self) -> float:
        """max ‖W†W - I‖₂ over the layers: rounding, at any time in training."""
        errors = []
        for layer in self.layers:
            assert isinstance(layer, _URNNLayer)
            W = layer.weight_hh
            identity = torch.eye(len(W), dtype=W.dtype, device=W.device)
            errors.append(float(torch.linalg.matrix_norm(W.mH @ W - identity, 2)))
        return max(errors)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype.

        Raises
        ------
        InputError : the activation is a callable, which no file can hold.
        """
        if self.sigma is not None and not self.sigma.named:
            raise must_be("activation", "a name, for a model that is saved", self.sigma.function)
        return self.common_config() | {
            "activation": MODRELU if self.sigma is None else self.sigma.name,
            "bias": self.bias,
        }

    def extra_repr(self) -> str:
        """The sizes and whatever is not a default."""
        parts = [super().extra_repr()]
        if self.sigma is not None:
            parts.append(f"activation={self.sigma.name}")
        if not self.bias:
            parts.append("bias=False")
        return ", ".join(parts)


def _sigma(which: str | Activation | Callable[[Tensor], Tensor]) -> Activation | None:
    """None stands for modReLU, which has a parameter."""
    if which == MODRELU:
        return None
    if isinstance(which, str) and which not in ACTIVATIONS:
        raise must_be("activation", f"{one_of((MODRELU, *ACTIVATIONS))}, or a callable", which)
    return activation(which)
