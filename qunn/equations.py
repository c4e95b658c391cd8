"""One layer of an ODERNN: Eqs. (2)-(4) with coefficients of any kind, evaluated over a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hamiltonians.errors import InputError, must_be
from qunn.activations import activation
from qunn.coefficients import Coefficient, Part, Source, Value, Vector, evaluated, part
from qunn.fields import Field
from qunn.implicit import Map, Solved, Solver, solve
from qunn.sequence import RecurrentLayer, State, check_size, check_step, draw_uniform
from qunn.stages import RightSides, Stage
from qunn.storage import widest_dtype
from qunn.structure import Structure
from qunn.tableau import ButcherTableau


class Equations(RecurrentLayer):
    """Eqs. (2)-(4) of an n-t-ODERNN (Definition 1, read as docs/mathematics/odernn.md settles it):

        K_q     = γ_q K_{q-1} + κ_q σ_q(W_q Y_{l - t_{q-1}} + b_q + V_q x_l + h Σ_k α_qk K_k),      q = 1..n,  γ_1 = 0
        Y_{l+1} = γ_{n+1} Y_l + κ_{n+1} σ_{n+1}(W_{n+1} Y_{l - t_{n-1}} + b_{n+1} + V_{n+1} x_l + h Σ_k β_k K_k)

    with the delays t_q = floor(t q/n). Stage 1 may be implicit and have a κ_1 (E3); σ_{n+1} is meant where Eq. (4)
    prints σ_{q+1} (E17). V_q x_l is the linear part of a b_q that depends on the input, computed for all l at once.
    Stages that need no later one are evaluated in order; those that need each other are solved together by `solver`.

    Parameters
    ----------
    n, t : stages, and inputs in time that they couple; t ≥ 1.
    W, b, sigma, gamma, kappa, V : lists of n + 1 entries, q = 1 … n + 1; left out: 0, 0, (tanh … tanh, identity), 0, 1,
        0. An entry of W, γ, κ is a number (scalar), a vector (diagonal), a matrix, or a function of
        (step, history, x_l) in `Scalar`, `Diagonal` or `Full`; of b a vector or `Vector`; of V a matrix.
    alpha : n × n, α_qk; or `a`: n × n, the a_qk of the form α_qk = W_q a_qk, whose sum stands inside W_q.
    beta : n, β_k. h : the scalar of Eqs. (3)-(4), > 0.
    state_size : s, of Y; needed where no W_q tells.
    input_size : m, features of x_l. x_block : x_l overwrites the first m entries of Y_l before the step.
    parts : for t = 1, how the state without its x block is handed over: (s - m,), or (H, H) for an LSTM's h and c.
    read : the slice of Y_{l+1} that is the output; left out: all but the x block.
    solver : of implicit stages.

    Raises
    ------
    InputError : lists of a wrong length, coefficients that do not fit each other, h ≤ 0; named with what is allowed.
    """

    def __init__(
        self,
        n: int,
        t: int = 1,
        *,
        W: Sequence[Any] | None = None,
        b: Sequence[Any] | None = None,
        sigma: Sequence[Any] | None = None,
        gamma: Sequence[Any] | None = None,
        kappa: Sequence[Any] | None = None,
        V: Sequence[Any] | None = None,
        alpha: Sequence[Sequence[Any]] | None = None,
        a: Sequence[Sequence[Any]] | None = None,
        beta: Sequence[Any],
        h: float = 1.0,
        state_size: int | None = None,
        input_size: int = 0,
        x_block: bool = False,
        parts: Sequence[int] | None = None,
        read: slice | None = None,
        solver: Solver | None = None,
        source: Source | None = None,
        tableau: ButcherTableau | None = None,
    ) -> None:
        super().__init__()
        check_size("n", n)
        check_size("t", t)
        check_step(h)
        check_size("input_size", input_size, 0)
        self.n, self.t, self.h = n, t, float(h)
        self.input_size, self.x_block = input_size, x_block
        if solver is not None and not isinstance(solver, Solver):
            raise must_be("solver", "a Solver", solver)
        self.solver = Solver() if solver is None else solver
        self.source, self.tableau = source, tableau
        self.solved: Solved | None = None
        sigma = ["tanh"] * n + ["identity"] if sigma is None else sigma
        if not isinstance(sigma, list | tuple) or len(sigma) != n + 1:
            raise must_be("sigma", f"a list of {n + 1} names or callables", sigma)
        self.sigma = [activation(s, f"sigma_{q}") for q, s in enumerate(sigma, 1)]
        lists = {"W": W, "b": b, "V": V, "gamma": gamma, "kappa": kappa, "alpha": alpha, "a": a, "beta": beta}
        self.structure = Structure(n, t, lists, state_size, input_size)
        self.state_size = self.structure.state_size
        self._set_state(parts, read)
        self._register()

    @classmethod
    def from_field(cls, tableau: ButcherTableau, field: Field, h: float, *, solver: Solver | None = None) -> Equations:
        """The Runge-Kutta method `tableau` with step h for a field; see `ODERNN.from_tableau`."""
        n = tableau.n
        W = part(field, "weight")
        V = None if field.V is None else part(field, "V")
        b = None if field.b is None else Vector(Part(field, "b"))
        kappa = None if field.kappa is None else part(field, "kappa")
        return cls(
            n,
            W=[W] * n + [None],
            b=[b] * n + [None],
            V=[V] * n + [None],
            sigma=[field.sigma] * n + ["identity"],
            gamma=[0] * n + [1.0],
            kappa=[kappa] * n + [None],
            a=tableau.A.tolist(),
            beta=tableau.b.tolist(),
            h=h,
            state_size=field.size,
            input_size=field.input_size,
            solver=solver,
            source=field,
            tableau=tableau,
        )

    def _set_state(self, parts: Sequence[int] | None, read: slice | None) -> None:
        s = self.state_size
        if self.x_block and not 0 < self.input_size < s:
            raise must_be("input_size", f"between 1 and {s - 1} where x is a block of Y", self.input_size)
        self._skip = self.input_size if self.x_block else 0
        if self.t > 1 and parts is not None:
            raise must_be("parts", "left out for t > 1, where the parts are Y_l, Y_{l-1}, …", tuple(parts))
        kept = (s,) * self.t if self.t > 1 else (s - self._skip,)
        self.state_sizes = kept if parts is None else tuple(parts)
        if self.t == 1 and sum(self.state_sizes) != s - self._skip:
            raise must_be("parts", f"sizes that add up to {s - self._skip}", self.state_sizes)
        self.read = slice(self._skip, s) if read is None else read
        self.output_size = len(range(s)[self.read])

    def _register(self) -> None:
        """Tensors become parameters or buffers, and functions submodules, so that `.to` and `state_dict` see them."""
        dtype: torch.dtype | None = None
        for name, slot in self.structure.slots.items():
            if isinstance(slot.value, nn.Parameter):
                self.register_parameter(name, slot.value)
            elif isinstance(slot.value, Tensor):
                self.register_buffer(name, slot.value)
            elif isinstance(slot.value, nn.Module):
                self.add_module(name, slot.value)
            if isinstance(slot.value, Tensor):
                dtype = slot.value.dtype if dtype is None else dtype
                if slot.value.dtype != dtype:
                    raise must_be(name, f"of one dtype with the others, {dtype}", slot.value.dtype)
        complex_ones = [name for name, slot in self.structure.slots.items() if isinstance(slot.value, complex)]
        if dtype is None and not any(True for _ in (*self.parameters(), *self.buffers())) and self.source is None:
            zero = torch.zeros(0, dtype=torch.get_default_dtype())
            self.register_buffer("no_tensor", zero.to(zero.dtype.to_complex()) if complex_ones else zero)
        if complex_ones and not self.state_dtype.is_complex:
            name = complex_ones[0]
            raise must_be(name, f"real, as the tensors, {self.state_dtype}", self.structure.slots[name].value)

    @property
    def state_dtype(self) -> torch.dtype:
        """The widest of all parameters and buffers: a complex network may have real ones too."""
        return widest_dtype((*self.parameters(), *self.buffers()))

    def reset_parameters(self) -> None:
        """Uniform in ±1/√s, as torch.nn.RNN does; a field or a known network draws its own way."""
        if self.source is not None:
            self.source.reset_parameters()
            return
        draw_uniform(self, self.state_size)

    # --- reading ---

    @property
    def implicit(self) -> bool:
        """Whether some stages must be solved for."""
        return any(implicit for _, _, implicit in self.structure.blocks)

    def coefficient(self, name: str) -> Coefficient | None:
        """W_1, b_2, gamma_3, kappa_1, V_1, alpha_2_1 or a_2_1, beta_1, …; None where it is zero (κ: one)."""
        return self.structure.slots.get(name)

    def value(self, name: str) -> Any:
        """A constant coefficient's number or tensor now; None where it is zero (κ: one) or a function."""
        slot = self.structure.slots.get(name)
        return None if slot is None or slot.moving else self._constant(name, slot)

    def _constant(self, name: str, slot: Coefficient) -> Any:
        if isinstance(slot.value, Part):
            return slot.value.read()
        return getattr(self, name) if isinstance(slot.value, Tensor) else slot.value

    # --- evaluating ---

    def scan(self, x: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        """Eqs. (2)-(4) for every x_l: x [T, B, m] -> outputs [T, B, o], and the state after them."""
        if self.implicit and torch.is_autocast_enabled(x.device.type):  # its precision cannot meet the tolerance
            with torch.autocast(x.device.type, enabled=False):
                return self.scan(x, state, step)
        moving = {name: slot for name, slot in self.structure.slots.items() if slot.moving}
        values = {name: self._constant(name, s) for name, s in self.structure.slots.items() if not s.moving}
        history = self._opened(state)
        drives = [self._drive(q, x, values) for q in range(1, self.n + 2)]
        stages: list[Stage] = []
        bare: list[Stage] = []
        outputs = []
        for i in range(x.shape[0]):
            if self._skip:
                history[0] = torch.cat([x[i], history[0][:, self._skip :]], -1)
            if moving:
                past = tuple(history)
                values |= {
                    name: evaluated(slot, name, slot.value(step + i, past, x[i]), past[0])
                    for name, slot in moving.items()
                }
            if not stages or moving:
                stages = [self._stage(q, values) for q in range(1, self.n + 2)]
                bare = [stage.detached() for stage in stages] if self.implicit else []
            now = [self._driven(q, drive, i, values) for q, drive in enumerate(drives, 1)]
            right = RightSides(stages, now, tuple(history))
            history = [self._step(right, right.detached(bare) if bare else right), *history[:-1]]
            outputs.append(history[0][:, self.read])
        return torch.stack(outputs), self._closed(history)

    def _opened(self, state: State) -> list[Tensor]:
        """Y_l, Y_{l-1}, … of full size from the parts of the state."""
        if self.t > 1:
            return list(state)
        Y = state[0] if len(state) == 1 else torch.cat(state, -1)
        return [torch.cat([Y.new_zeros(Y.shape[0], self._skip), Y], -1) if self._skip else Y]

    def _closed(self, history: list[Tensor]) -> State:
        return tuple(history) if self.t > 1 else torch.split(history[0][:, self._skip :], list(self.state_sizes), -1)

    def _drive(self, q: int, x: Tensor, values: dict[str, Any]) -> Tensor | None:
        """V_q x_l for all l, with b_q where that is constant: [T, B, p] or [p]."""
        V, b = values.get(f"V_{q}"), values.get(f"b_{q}")
        return b if V is None else nn.functional.linear(x, V, b)

    def _driven(self, q: int, drive: Tensor | None, i: int, values: dict[str, Any]) -> Tensor | None:
        at = drive[i] if drive is not None and drive.dim() == 3 else drive
        b = self.structure.slots.get(f"b_{q}")
        if b is None or not b.moving:
            return at
        now: Tensor = values[f"b_{q}"]
        return now if at is None else at + now

    def _stage(self, q: int, values: dict[str, Any]) -> Stage:
        slots = self.structure.slots

        def now(name: str) -> Value | None:
            return (slots[name].kind, values[name]) if name in slots else None

        sums = [(k, (slot.kind, self.h * values[name])) for k, name, slot in self.structure.couplings(q)]
        inside = self.structure.inside and q <= self.n
        return Stage(
            sigma=self.sigma[q - 1],
            delay=self.structure.delays[q - 1],
            inner=self.structure.inner[q - 1],
            W=now(f"W_{q}"),
            gamma=now(f"gamma_{q}"),
            kappa=now(f"kappa_{q}"),
            outside=[] if inside else sums,
            inside=sums if inside else [],
        )

    def _step(self, right: RightSides, loose: RightSides) -> Tensor:
        K: list[Tensor] = []
        for first, last, implicit in self.structure.blocks:
            if implicit:
                K += self._solve(right, loose, tuple(K), first, last)
            else:
                K.append(right.evaluate(first, K))
        return right.evaluate(self.n, K)

    def _solve(
        self, right: RightSides, loose: RightSides, known: tuple[Tensor, ...], first: int, last: int
    ) -> tuple[Tensor, ...]:
        """The stages of one block. The iteration works without the graph of what came before, or each step's gradient
        would walk back to the first one."""

        def image(sides: RightSides, known: tuple[Tensor, ...]) -> Map:
            return lambda unknown: tuple(sides.evaluate(q, [*known, *unknown]) for q in range(first, last))

        Y = right.history[0]
        start = tuple(Y.new_zeros(Y.shape[0], size) for size in self.structure.sizes[first:last])
        bare = image(loose, tuple(k.detach() for k in known))
        K, solved = solve(image(right, known), bare, start, self.solver)
        self.solved = solved.or_harder(self.solved)
        return K

    # --- saving ---

    def description(self) -> dict[str, Any]:
        """The constructor's arguments with every tensor's kind and shape in place of its numbers, as JSON holds them.

        Raises
        ------
        InputError : a coefficient or an activation that is a function.
        """
        table: dict[str, Any] = {}
        seen: dict[int, str] = {}
        for name, slot in self.structure.slots.items():
            if slot.moving or isinstance(slot.value, complex | Part):
                what = "a complex number" if isinstance(slot.value, complex) else "a function"
                raise InputError(f"`{name}` is {what}, which no file can hold", name)
            if isinstance(slot.value, Tensor):
                same_as = seen.setdefault(id(getattr(self, name)), name)
                trained = isinstance(slot.value, nn.Parameter)
                table[name] = {"kind": slot.kind, "shape": slot.shape, "trained": trained, "same_as": same_as}
            else:
                table[name] = slot.value
        for q, sigma in enumerate(self.sigma, 1):
            if not sigma.named:
                raise InputError(f"`sigma_{q}` is the callable {sigma.name!r}, which no file can hold", "sigma")
        others = {name: getattr(self, name) for name in ("n", "t", "h", "state_size", "input_size", "x_block")}
        return others | {
            "sigma": [sigma.name for sigma in self.sigma],
            "parts": self.state_sizes if self.t == 1 else None,
            "read": [self.read.start, self.read.stop, self.read.step],
            "solver": self.solver.config(),
            "inside": self.structure.inside,
            "coefficients": table,
        }

    @classmethod
    def from_description(cls, given: dict[str, Any], dtype: torch.dtype) -> Equations:
        """A layer of that structure; its tensors are zero until a file fills them."""
        made: dict[str, Any] = {}
        for name, entry in given["coefficients"].items():
            if not isinstance(entry, dict):
                made[name] = entry
            elif entry["same_as"] != name:
                made[name] = made[entry["same_as"]]
            else:
                zero = torch.zeros(entry["shape"], dtype=dtype)
                made[name] = nn.Parameter(zero) if entry["trained"] else zero
        n = given["n"]
        lists: dict[str, Any] = {
            family: [made.get(f"{family}_{q}") for q in range(1, n + 2)] for family in ("W", "b", "V", "gamma", "kappa")
        }
        inner = "a" if given["inside"] else "alpha"
        lists[inner] = [[made.get(f"{inner}_{q}_{k}") for k in range(1, n + 1)] for q in range(1, n + 1)]
        lists["beta"] = [made.get(f"beta_{k}") for k in range(1, n + 1)]
        plain = {name: given[name] for name in ("t", "sigma", "h", "state_size", "input_size", "x_block", "parts")}
        layer = cls(n, **lists, **plain, read=slice(*given["read"]), solver=Solver(**given["solver"]))
        if "no_tensor" in layer._buffers:
            layer.no_tensor = torch.zeros(0, dtype=dtype)
        return layer
