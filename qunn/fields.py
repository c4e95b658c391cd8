"""Vector fields y' = κ σ(W y + V x + b): what an integrator turns into an ODERNN.

Each is a small module whose W, κ, V and b are the coefficients of Eq. (3), so that a Butcher tableau and a field
together are an ODERNN: α_qk = a_qk W, β_k = b_k, γ_q = 0, κ_q = κ (spec: section 1).
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hamiltonians.errors import InputError, must_be, one_of
from qunn.activations import Activation, activation
from qunn.arnn.parametrizations import Antisymmetric
from qunn.coefficients import Source
from qunn.sequence import check_size, draw_uniform

Factory = dict[str, Any]


class Field(Source, ABC):
    """f(y, x) = κ σ(W y + V x + b), y in R^size or C^size, x of `input_size` features (0: autonomous).

    Attributes
    ----------
    W [p, size], kappa [size, p], [size] or None for 1, V [p, input_size] or None, b [p] or None.
    sigma : the activation. kind : the name under which `make_field` builds it; "" for one that no file can hold.

    Examples
    --------
    >>> import torch
    >>> from qunn.fields import Field, GradientField
    >>> field = GradientField(2, input_size=3, inner=4)
    >>> isinstance(field, Field), field.kind, field.weight.shape, field.kappa.shape
    (True, 'gradient', torch.Size([4, 2]), torch.Size([2, 4]))
    >>> field(torch.zeros(5, 2), torch.ones(5, 3)).shape
    torch.Size([5, 2])
    """

    kind: ClassVar[str] = ""

    def __init__(self, size: int, input_size: int, inner: int, sigma: Any, bias: bool, **factory: Any) -> None:
        super().__init__()
        check_size("size", size)
        check_size("input_size", input_size, 0)
        self.size = size
        self.input_size = input_size
        self.sigma: Activation = activation(sigma)
        self.V = nn.Parameter(torch.empty(inner, input_size, **factory)) if input_size else None
        self.b = nn.Parameter(torch.empty(inner, **factory)) if bias else None

    @property
    def kappa(self) -> Tensor | None:
        """κ, the factor outside the activation; None stands for 1."""
        return None

    def forward(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """f(y, x) [..., size]."""
        z = y @ self.weight.mT
        if self.V is not None:
            if x is None:
                raise must_be("x", f"a tensor of {self.input_size} features", None)
            z = z + x @ self.V.mT
        value = self.sigma(z if self.b is None else z + self.b)
        kappa = self.kappa
        if kappa is None:
            return value
        return value * kappa if kappa.dim() == 1 else value @ kappa.mT

    @property
    def weight(self) -> Tensor:
        """W of Eqs. (2)-(3) [p, size]."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Uniform in ±1/√size, as torch.nn.RNN does."""
        draw_uniform(self, self.size)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, for a file."""
        if not self.sigma.named:
            raise InputError(f"`activation` is the callable {self.sigma.name!r}, which no file can hold", "activation")
        return {"input_size": self.input_size, "activation": self.sigma.name, "bias": self.b is not None}


class AffineField(Field):
    """f = σ(W y + V x + b), W any square matrix. Monotone σ does not make it monotone (E3).

    Examples
    --------
    >>> import torch
    >>> from qunn.fields import AffineField
    >>> field = AffineField(2, bias=False)
    >>> y = torch.ones(2)
    >>> torch.equal(field(y), torch.tanh(field.W @ y))
    True
    """

    kind = "affine"

    def __init__(
        self, size: int, input_size: int = 0, *, activation: Any = "tanh", bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(size, input_size, size, activation, bias, **factory)
        self.W = nn.Parameter(torch.empty(size, size, **factory))
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """W itself."""
        return self.W

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"size": self.size} | super().config()


class GradientField(Field):
    """f = -K† σ(K y + V x + b): monotone (dissipative) for every K and every non-decreasing σ.

    Re<f(y) - f(z), y - z> = -Re<σ(Ky + b) - σ(Kz + b), Ky - Kz> ≤ 0: minus the gradient of a convex function.
    K [inner, size].

    Examples
    --------
    >>> import torch
    >>> from qunn.fields import GradientField
    >>> field, (x, y) = GradientField(3, inner=7), torch.randn(2, 3)
    >>> bool((field(x) - field(y)) @ (x - y) <= 0)
    True
    """

    kind = "gradient"

    def __init__(
        self,
        size: int,
        input_size: int = 0,
        *,
        inner: int | None = None,
        activation: Any = "tanh",
        bias: bool = True,
        **factory: Any,
    ) -> None:
        inner = size if inner is None else inner
        check_size("inner", inner)
        super().__init__(size, input_size, inner, activation, bias, **factory)
        self.K = nn.Parameter(torch.empty(inner, size, **factory))
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """K."""
        return self.K

    @property
    def kappa(self) -> Tensor:
        """-K†."""
        return -self.K.mH

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"size": self.size, "inner": self.K.shape[0]} | super().config()


class DefiniteField(Field):
    """f = σ(-M y + V x + b), M = L Lᵀ + εI positive definite: monotone in the inner product <x, M y>, not in <x, y>.

    <f(y) - f(z), M(y - z)> = -<σ(u) - σ(v), u - v> ≤ 0 with u = -My + b, for every non-decreasing σ. Real only.

    Examples
    --------
    >>> import torch
    >>> from qunn.fields import DefiniteField
    >>> field, (x, y) = DefiniteField(3), torch.randn(2, 3)
    >>> bool((field(x) - field(y)) @ field.M @ (x - y) <= 0)
    True
    """

    kind = "definite"

    def __init__(
        self,
        size: int,
        input_size: int = 0,
        *,
        epsilon: float = 0.1,
        activation: Any = "tanh",
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(size, input_size, size, activation, bias, **factory)
        dtype = factory.get("dtype") or torch.get_default_dtype()
        if dtype.is_complex:
            raise must_be("dtype", "real: L Lᵀ would not be Hermitian", dtype)
        if not epsilon > 0:
            raise must_be("epsilon", "a positive number", epsilon)
        self.epsilon = epsilon
        self.L = nn.Parameter(torch.empty(size, size, **factory))
        self.reset_parameters()

    @property
    def M(self) -> Tensor:
        """L Lᵀ + εI, the metric of the contraction too [size, size]."""
        return self.L @ self.L.mT + self.epsilon * torch.eye(self.size, dtype=self.L.dtype, device=self.L.device)

    @property
    def weight(self) -> Tensor:
        """-M."""
        return -self.M

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"size": self.size, "epsilon": self.epsilon} | super().config()


class AntisymmetricField(Field):
    """f = σ((A - A† - γI) y + V x + b): the field of an ARNN (Sec. 2.3) with diffusion γ ≥ 0 (Chang et al. 2019).

    Examples
    --------
    >>> import torch
    >>> from qunn.fields import AntisymmetricField
    >>> W = AntisymmetricField(3, diffusion=0.5).weight
    >>> torch.allclose(W + W.mT, -2 * 0.5 * torch.eye(3))
    True
    """

    kind = "antisymmetric"

    def __init__(
        self,
        size: int,
        input_size: int = 0,
        *,
        diffusion: float = 0.0,
        activation: Any = "tanh",
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(size, input_size, size, activation, bias, **factory)
        if not 0 <= diffusion < float("inf"):
            raise must_be("diffusion", "a number of at least 0", diffusion)
        self.diffusion = diffusion
        self.W = nn.Parameter(torch.zeros(size, size, **factory))
        parametrize.register_parametrization(self, "W", Antisymmetric())
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """A - A† - γI."""
        W: Tensor = self.W
        if not self.diffusion:
            return W
        return W - self.diffusion * torch.eye(self.size, dtype=W.dtype, device=W.device)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"size": self.size, "diffusion": self.diffusion} | super().config()


class HamiltonianField(Field):
    """The pair of Eq. (1) as one field: y' = σ(W z + b_y), z' = -σ(W† y + b_z), state [y; z] of size 2·d.

    In Eq. (3): W_q = [[0, W], [W†, 0]], κ = diag(1, -1).

    Examples
    --------
    >>> import torch
    >>> from qunn.fields import HamiltonianField
    >>> field = HamiltonianField(4, activation="identity", bias=False)
    >>> state = torch.randn(4)
    >>> torch.allclose(field(state) @ state, torch.zeros(()), atol=1e-6)  # linear: the flow keeps the norm
    True
    """

    kind = "hamiltonian"

    def __init__(
        self, size: int, input_size: int = 0, *, activation: Any = "tanh", bias: bool = True, **factory: Any
    ) -> None:
        check_size("size", size)
        if size % 2:
            raise must_be("size", "even, two halves y and z", size)
        super().__init__(size, input_size, size, activation, bias, **factory)
        self.W = nn.Parameter(torch.empty(size // 2, size // 2, **factory))
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """[[0, W], [W†, 0]]."""
        zero = torch.zeros_like(self.W)
        return torch.cat([torch.cat([zero, self.W], 1), torch.cat([self.W.mH, zero], 1)])

    @property
    def kappa(self) -> Tensor:
        """diag(1, -1) as a vector [size]."""
        half = torch.ones(self.size // 2, dtype=self.W.dtype, device=self.W.device)
        return torch.cat([half, -half])

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"size": self.size} | super().config()


class FunctionField(Field):
    """Any f: y ↦ f(y) as a field: σ = f and W = I, since Eq. (3) allows each stage its own σ_q. No parameters.

    Examples
    --------
    >>> import torch
    >>> from qunn import ODERNN
    >>> from qunn.fields import FunctionField
    >>> decay = FunctionField(lambda y: -y, 1)
    >>> (end,) = ODERNN.from_tableau("rk4", decay, h=0.1).integrate(torch.ones(1), 10)[-1]
    >>> round(float(end), 4)  # e^-1
    0.3679
    """

    def __init__(self, function: Callable[[Tensor], Tensor], size: int, **factory: Any) -> None:
        super().__init__(size, 0, size, function, False)
        self.register_buffer("identity", torch.eye(size, **factory), persistent=False)

    @property
    def weight(self) -> Tensor:
        """I."""
        identity = self.identity
        assert isinstance(identity, Tensor)
        return identity


#: the fields that a command line and a file can name
FIELDS: dict[str, type[Field]] = {
    field.kind: field for field in (AffineField, AntisymmetricField, DefiniteField, GradientField, HamiltonianField)
}


def make_field(name: str, **arguments: Any) -> Field:
    """The field of that name.

    Raises
    ------
    InputError : an unknown name, or an argument that the field does not take.
    """
    if name not in FIELDS:
        raise must_be("field", one_of(FIELDS), name)
    return FIELDS[name](**arguments)


def field_name(field: Field) -> str:
    """The name under which `make_field` builds it again.

    Raises
    ------
    InputError : a field such as a FunctionField, that no file can hold.
    """
    if field.kind not in FIELDS:
        raise InputError(f"`field` must be {one_of(FIELDS)} to be saved, but is {type(field).__name__}", "field")
    return field.kind
