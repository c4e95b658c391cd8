"""A recurrent network that is contractive whatever its parameters are: Theorem 1 with what it leaves out (E3)."""

from __future__ import annotations

from typing import Any, final

import torch

from hamiltonians.errors import must_be, one_of
from qunn.equations import Equations
from qunn.fields import GradientField
from qunn.implicit import Solver
from qunn.monitored import Monitored
from qunn.odernn import ODERNN
from qunn.sequence import SequenceModule, cascade, check_size, check_step
from qunn.tableau import tableaux

STABLE = tuple(name for name, table in tableaux.items() if table.algebraically_stable())


@final
class ContractiveRNN(SequenceModule, Monitored):
    """y' = -K† σ(K y + V x + b) by an algebraically stable method: two orbits with the same input never separate.

        ‖Y_{l+1} - Y'_{l+1}‖ ≤ ‖Y_l - Y'_l‖

    for every K, V, b, every h > 0 and every non-decreasing σ: the field is minus the gradient of a convex function,
    hence monotone, and Q ⪰ 0, β ⪰ 0 do the rest. There is nothing to project or to penalise while it is trained; an
    optimiser may move K anywhere. `invariants` measures it all the same. The stages must be solved, though: of a very
    stiff network, h‖K‖² of some 10^5, that may fail, and a step is refused rather than taken wrongly.

    Arguments are those of torch.nn.RNN, and
    tableau : one of the algebraically stable ones; h : its step; inner : rows of K; activation : non-decreasing.
    solver : of the implicit stages; see `Solver`.

    Raises
    ------
    InputError : a method that is not algebraically stable, an activation that decreases somewhere, h ≤ 0.
    NotConverged : a step whose implicit stages were not solved, while calling.

    Examples
    --------
    >>> import torch
    >>> from qunn import ContractiveRNN
    >>> _ = torch.manual_seed(0)
    >>> model = ContractiveRNN(3, 8, dtype=torch.float64)
    >>> x, h = torch.randn(10, 1, 3, dtype=torch.float64), torch.randn(2, 1, 1, 8, dtype=torch.float64)
    >>> apart = (model(x, h[0])[0] - model(x, h[1])[0]).norm(dim=-1)
    >>> bool((apart.diff(dim=0) <= 0).all())  # two orbits with the same input come closer
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        tableau: str = "implicit_midpoint",
        h: float = 0.5,
        inner: int | None = None,
        activation: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        solver: Solver | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if tableau not in STABLE:
            raise must_be("tableau", f"algebraically stable, {one_of(STABLE)}", tableau)
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        check_step(h)

        def layer(features: int) -> Equations:
            field = GradientField(
                hidden_size, features, inner=inner, activation=activation, bias=bias, device=device, dtype=dtype
            )
            if not field.sigma.non_decreasing:
                raise must_be("activation", "non-decreasing", activation)
            return Equations.from_field(tableaux[tableau], field, h, solver=solver)

        layers = cascade(layer, input_size, num_layers, bidirectional)
        super().__init__(layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional)
        self.hidden_size = hidden_size
        self.solver = Solver() if solver is None else solver
        self._arguments = {"tableau": tableau, "h": h, "inner": inner, "activation": activation, "bias": bias}

    def odernn(self) -> ODERNN:
        """The same layers as an ODERNN, sharing the parameters; for one direction only.

        Raises
        ------
        InputError : a bidirectional network.
        """
        layers = [layer for layer in self.layers if isinstance(layer, Equations)]
        network = ODERNN(layers, batch_first=self.batch_first, dropout=self.dropout, bidirectional=self.bidirectional)
        return network.train(self.training)

    @torch.no_grad()
    def invariants(self) -> dict[str, float]:
        """Of 64 pairs of orbits over 4 steps and all layers: the largest ‖ΔY_{l+1}‖/‖ΔY_l‖, and how many exceed 1."""
        from qunn.stability.contraction import measure

        layers = [layer for layer in self.layers if isinstance(layer, Equations)]
        found = [measure(layer, pairs=64, steps=4) for layer in layers]
        ratios = [f.largest_step for f in found if f.largest_step is not None]
        return {
            "largest_step_ratio": max(ratios, default=0.0),
            "contraction_violations": float(sum(f.violations for f in found)),
        }

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        return self.common_config() | self._arguments | {"solver": self.solver.config()}

    @classmethod
    def from_config(cls, arguments: dict[str, Any], dtype: torch.dtype) -> ContractiveRNN:
        """A new network from what `config` gave."""
        rest = {name: value for name, value in arguments.items() if name != "solver"}
        return cls(**rest, solver=Solver(**arguments["solver"]), dtype=dtype)
