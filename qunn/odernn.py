"""`ODERNN`: one evaluator of Eqs. (2)-(4), as a recurrent torch module.

    model = ODERNN.from_tableau("gauss2", GradientField(8, input_size=3), h=0.1)
    output, h_n = model(torch.randn(50, 4, 3))                 # [T, B, m] -> [T, B, 8], [1, B, 8]

The data flow: coefficients -> `equations.Equations` (one layer) -> `ODERNN` (a cascade, torch.nn.RNN's conventions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor

from hamiltonians.errors import InputError, must_be
from qunn.equations import Equations
from qunn.fields import Field, field_name, make_field
from qunn.implicit import Solved, Solver
from qunn.sequence import SequenceModule, check_size, check_step
from qunn.tableau import ButcherTableau, tableaux


@final
class ODERNN(SequenceModule):
    """A cascade of n-t-ODERNNs (Definition 1, Eqs. 2-4); see `Equations` for the formula and the coefficients.

        ODERNN(Equations(n=2, t=2, W=[W1, W2, None], b=[b1, b2, None], alpha=[[0, 0], [a21, 0]], beta=[b1, b2], …))
        ODERNN.from_tableau("rk4", AffineField(16, input_size=2), h=0.05)
        qunn.as_odernn(torch.nn.LSTM(3, 16))

    `(input, h_0) -> (output, h_n)` as torch.nn.RNN, input [T, B, m]. For t = 1 the state is Y_l without its x block,
    [num_layers, B, s]; for t > 1 it is the tuple (Y_l, Y_{l-1}, …, Y_{l-t+1}), x blocks included. A network without
    input takes an input of no features, [T, B, 0]; `integrate` is the short form.

    Parameters
    ----------
    layers : one `Equations`, or several; each takes the outputs of the one before as its input.

    Raises
    ------
    InputError : layers that do not fit each other; `bidirectional`, which has no meaning here.
    NotConverged : implicit stages that the solver could not solve, while calling.

    Examples
    --------
    >>> import torch
    >>> from qunn import ODERNN
    >>> from qunn.fields import GradientField
    >>> network = ODERNN.from_tableau("gauss2", GradientField(8, input_size=3), h=0.1)
    >>> output, h_n = network(torch.randn(50, 4, 3))  # time, batch, features
    >>> output.shape, h_n.shape, (network.n, network.t)  # two stages, one step of memory
    (torch.Size([50, 4, 8]), torch.Size([1, 4, 8]), (2, 1))
    """

    def __init__(
        self,
        layers: Equations | Sequence[Equations],
        *,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        if bidirectional:
            raise must_be("bidirectional", "False: Eqs. (2)-(4) run forward in time only", bidirectional)
        layers = [layers] if isinstance(layers, Equations) else layers
        if not isinstance(layers, list | tuple) or not layers or not all(isinstance(x, Equations) for x in layers):
            raise must_be("layers", "Equations, or a list of at least one", layers)
        for above, below in zip(layers[1:], layers, strict=False):
            if above.input_size != below.output_size:
                raise must_be("layers", f"such that {below.output_size} outputs meet as many inputs", above.input_size)
        super().__init__(layers, batch_first=batch_first, dropout=dropout)

    @classmethod
    def from_tableau(
        cls,
        tableau: str | ButcherTableau,
        field: Field | Sequence[Field],
        h: float,
        *,
        solver: Solver | None = None,
        batch_first: bool = False,
        dropout: float = 0.0,
    ) -> Self:
        """The Runge-Kutta method (A, b) with step h for y' = f(y, x): α_qk = a_qk W, β_k = b_k, γ_q = 0, γ_{n+1} = 1.

        x_l is held constant during its step. Several fields make several layers, each with the same tableau.

        Raises
        ------
        InputError : an unknown tableau, h ≤ 0, or something that is no field.

        Examples
        --------
        >>> import torch
        >>> from qunn import ODERNN
        >>> from qunn.fields import FunctionField
        >>> rk4 = ODERNN.from_tableau("rk4", FunctionField(torch.neg, 1, dtype=torch.float64), h=0.1)  # y' = -y
        >>> y = rk4.integrate(torch.ones(1, dtype=torch.float64), steps=10)[-1]
        >>> abs(float(y) - torch.e**-1) < 1e-6  # fourth order: some 10^-7
        True
        """
        table = tableaux[tableau] if isinstance(tableau, str) else tableau
        if not isinstance(table, ButcherTableau):
            raise must_be("tableau", "a name or a ButcherTableau", tableau)
        check_step(h)
        fields = [field] if isinstance(field, Field) else field
        if not isinstance(fields, list | tuple) or not all(isinstance(f, Field) for f in fields):
            raise must_be("field", "a Field, or a list of them (a function y ↦ f(y) is a FunctionField)", field)
        return cls(
            [Equations.from_field(table, f, h, solver=solver) for f in fields],
            batch_first=batch_first,
            dropout=dropout,
        )

    @classmethod
    def anti_hermitian(
        cls,
        n: int,
        t: int,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        h: float = 0.1,
        weight: str = "antisymmetric",
        activation: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """The n-t-ARNN in general (Sec. 2.3): anti-Hermitian W_q, trained a_qk and β_k; see `AntiHermitianMember`.

        The schemes with a name, and fast, are in `qunn.ARNN`.

        Raises
        ------
        InputError : a size, n or t below 1, h ≤ 0, an unknown weight or activation.

        Examples
        --------
        >>> import torch
        >>> from qunn import ODERNN
        >>> network = ODERNN.anti_hermitian(n=2, t=2, input_size=3, hidden_size=8)
        >>> network.n, network.t, network(torch.randn(5, 1, 3))[0].shape
        (2, 2, torch.Size([5, 1, 8]))
        """
        from qunn.members.anti_hermitian import AntiHermitianMember

        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            check_size(name, size)
        others: dict[str, Any] = {"n": n, "t": t, "h": h, "weight": weight, "activation": activation}
        layers = [
            AntiHermitianMember(size, hidden_size, bias=bias, dtype=dtype, **others).equations()
            for size in [input_size, *[hidden_size] * (num_layers - 1)]
        ]
        return cls(layers, batch_first=batch_first, dropout=dropout)

    @property
    def n(self) -> int:
        """Stages that reach the output, the largest over the layers; computed from the coefficients' structure."""
        return max(layer.structure.reached_stages() for layer in self.equations)

    @property
    def t(self) -> int:
        """1 + the longest delay that is read, the largest over the layers; computed from the structure."""
        return max(layer.structure.memory() for layer in self.equations)

    @property
    def equations(self) -> list[Equations]:
        """The layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, Equations)]

    @property
    def solved(self) -> list[Solved | None]:
        """A layer each: the most iterations and the largest residual of the last call; None where explicit."""
        return [layer.solved for layer in self.equations]

    def forward(self, input: Any, h_0: Any = None, *, step: int = 0) -> tuple[Any, Any]:
        """`(input, h_0) -> (output, h_n)`; see `SequenceModule`."""
        for layer in self.equations:
            layer.solved = None
        return super().forward(input, h_0, step=step)

    def integrate(self, y_0: Tensor, steps: int) -> Tensor:
        """Y_0 … Y_steps of one layer without input: y_0 [B, s] or [s] -> [steps + 1, B, s] or [steps + 1, s].

        Examples
        --------
        >>> import torch
        >>> from qunn import ODERNN
        >>> from qunn.fields import FunctionField
        >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
        >>> field = FunctionField(lambda y: y @ turn.T, 2, dtype=torch.float64)  # a circle
        >>> orbit = ODERNN.from_tableau("implicit_midpoint", field, h=0.5).integrate(turn[0], steps=100)
        >>> orbit.shape, bool((orbit.norm(dim=1) - 1).abs().max() < 1e-10)  # it keeps the radius
        (torch.Size([101, 2]), True)
        """
        layer = self.equations[0]
        if self.num_layers != 1 or layer.t != 1 or layer.input_size:
            raise must_be("integrate", "called on one layer with t = 1 and no input", repr(self))
        check_size("steps", steps)
        if not isinstance(y_0, Tensor) or y_0.dim() not in (1, 2) or y_0.shape[-1] != layer.state_size:
            shape = f"a tensor of shape (batch, {layer.state_size}) or ({layer.state_size},)"
            raise must_be("y_0", shape, tuple(y_0.shape) if isinstance(y_0, Tensor) else y_0)
        if layer.state_dtype not in (y_0.dtype, y_0.dtype.to_complex()):
            raise must_be("y_0", f"of dtype {layer.state_dtype}, that of the network", y_0.dtype)
        empty = y_0.new_zeros(steps, *y_0.shape[:-1], 0)
        output, _ = self(empty.transpose(0, 1) if self.batch_first and y_0.dim() == 2 else empty, y_0.unsqueeze(0))
        output = output.transpose(0, 1) if self.batch_first and y_0.dim() == 2 else output
        return torch.cat([y_0.unsqueeze(0), output])

    def extra_repr(self) -> str:
        """Sizes, n and t."""
        return f"{super().extra_repr()}, n={self.n}, t={self.t}"

    # --- saving ---

    def config(self) -> dict[str, Any]:
        """How every layer was built, for a file."""
        layers = [_recipe(layer) for layer in self.equations]
        return {"layers": layers, "batch_first": self.batch_first, "dropout": self.dropout}

    @classmethod
    def from_config(cls, arguments: Mapping[str, Any], dtype: torch.dtype) -> Self:
        """A new network of that structure; the numbers come from the file's tensors."""
        layers = [_rebuilt(recipe, dtype) for recipe in arguments["layers"]]
        return cls(layers, batch_first=arguments["batch_first"], dropout=arguments["dropout"])


def _recipe(layer: Equations) -> dict[str, Any]:
    made_of = layer.source
    if made_of is None:
        return {"coefficients": layer.description()}
    if isinstance(made_of, Field):
        table = layer.tableau
        assert table is not None
        named = tableaux.get(table.name)
        same = named is not None and np.array_equal(named.A, table.A) and np.array_equal(named.b, table.b)
        tableau = (
            {"name": table.name}
            if same
            else {
                "name": table.name,
                "A": table.A.tolist(),
                "b": table.b.tolist(),
                "c": table.c.tolist(),
                "order": table.order,
            }
        )
        field = {"name": field_name(made_of), "arguments": made_of.config()}
        return {"tableau": tableau, "field": field, "h": layer.h, "solver": layer.solver.config()}
    from qunn.members.base import Member

    if isinstance(made_of, Member):
        return {"member": {"class": made_of.kind, "arguments": made_of.config()}}
    raise InputError(f"`layers` must be built from coefficients, a field or a known network to be saved: {made_of}")


def _rebuilt(recipe: Mapping[str, Any], dtype: torch.dtype) -> Equations:
    if "coefficients" in recipe:
        return Equations.from_description(recipe["coefficients"], dtype)
    if "tableau" in recipe:
        given = dict(recipe["tableau"])
        table = tableaux[given["name"]] if set(given) == {"name"} else ButcherTableau(**given)
        field = make_field(recipe["field"]["name"], **recipe["field"]["arguments"], dtype=dtype)
        return Equations.from_field(table, field, recipe["h"], solver=Solver(**recipe["solver"]))
    from qunn.members import rebuilt_member

    return rebuilt_member(recipe["member"]["class"], recipe["member"]["arguments"], dtype)
