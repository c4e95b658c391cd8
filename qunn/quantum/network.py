"""The QUNN (Definition 5, Eqs. 32-36) with the conventions of torch's recurrent modules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from hamiltonians.errors import InputError, must_be
from hamiltonians.memory import require_memory
from qunn.monitored import Monitored
from qunn.quantum import dense, fused, structured
from qunn.quantum.arguments import (
    DEFAULT_ACTIVATIONS,
    PART_BYTES,
    Probability,
    Sigma,
    activations_of,
    check_dtype,
    check_names,
    fixed,
    logit_of,
    probability,
    require_depth,
    require_parameters,
)
from qunn.quantum.clock import Clock
from qunn.quantum.generation import generated
from qunn.quantum.history import History, QUNNState
from qunn.sequence import check_finite, check_flag, check_size, check_step
from qunn.storage import Savable


@final
class QUNN(Savable, Monitored):
    """Y_l, Y_{l-1}, … Y_{l-L} -> a prediction of Y_{l+1}, for every l of a sequence (Definition 5).

        K^0 = σ_1(Y_l ⊗ c_l)
        D^k = (1-p1) I + p1 [I ⊗ (c_{l-k} c_lᵀ) - I ⊗ (c_l c_{l-k}ᵀ)]                                           (34)
        W^k = (1-p2) W^{k-1} + p2 [(Y_{l-k} Y_l†) ⊗ (c_{l-k} c_lᵀ) - (Y_l Y_{l-k}†) ⊗ (c_l c_{l-k}ᵀ)]           (35)
        K^k = S_k K^{k-1} + h σ_2(D^k W^k K^{k-1}),   k = 1 … L                                             (32, 33)
        output_l = σ_out((I ⊗ c_{l+1}ᵀ) K^L)                                                                    (36)

    with W^0 = 0 (E6), a cyclic clock (E5), p1 and p2 functions of l mod N. N + N + L parameters, whatever d is (E7).

    Parameters
    ----------
    input_size : d. period : N, at least 2. num_layers : L; N where it is left out.
    clock : "one-hot", c_m = e_{m mod N}; "learned", c_m = Σ_r f_r e_{(m+r) mod N} with N more parameters f;
        "learned-read", with another profile for c_{l+1} in Eq. (36).
    skip : S_k as one number a layer, a diagonal, or a matrix.
    history : "sliding": Y_{l-k} is the true past; "block": 0 where it lies before the block of N that l is in.
    mode : "literal", the equations above; "unitary": K^k = exp(h anti(D^k W^k)) K^{k-1} exactly (Eq. 31), which keeps
        ‖K‖, without activations and skip.
    backend : "structured": all l at once, without a matrix on data ⊗ clock; "dense": the formula, matrix by matrix.
    activations : σ_1, σ_2, σ_out, names or callables; a callable of its own sees vectors [..., dN] (data * N + clock),
        that for σ_out [..., d]. The unitary mode takes the default for none.
    p1, p2 : initial values in [0, 1], one number or N of them; exactly 0 or 1 throughout: fixed, no parameters. What
        the dtype cannot tell from 0 or 1 starts at the nearest number that it can, where there still is a gradient.
    share : one p1 and one p2 for all l instead of N each.
    recompute : train with the memory of a part of the sequence at a time, for about a third more work.

    Shapes
    ------
    input : [B, T, d], [T, B, d] without `batch_first`, [T, d] unbatched, or a PackedSequence; real (of the module's
        dtype), complex of the same precision, or binary (bool, integers). output : shaped as the input; output_l is
        the prediction of Y_{l+1}.
    state : QUNNState(history [B, L, d], position [B]), without B where the input is unbatched; where it is left out
        the first element is l = 1, with no past. A sequence fed in pieces gives what it gives as a whole.

    With a one-hot clock the first output (with history="block" the first of each block) is σ_out(0): there is no past.

    Raises
    ------
    InputError : period below 2, p outside [0, 1], an unknown name, L < N-1 with a one-hot clock, whose output would be
        zero; activations or a skip in the unitary mode; a wrong shape, dtype, or number that is not finite.
    MemoryEstimateError : sizes, or an input, that need more memory than there is.

    Examples
    --------
    >>> import torch
    >>> from qunn import QUNN
    >>> model = QUNN(input_size=3, period=4, backend="dense")  # the formula; "structured" is fast
    >>> sum(p.numel() for p in model.parameters())  # N + N + L
    12
    >>> output, state = model(torch.randn(2, 9, 3))  # batch, time, features
    >>> output.shape, int(output[:, 0].count_nonzero())  # the first has no past
    (torch.Size([2, 9, 3]), 0)
    """

    p1_logit: Tensor
    p2_logit: Tensor

    def __init__(
        self,
        input_size: int,
        period: int,
        num_layers: int | None = None,
        *,
        clock: Literal["one-hot", "learned", "learned-read"] = "one-hot",
        skip: Literal["scalar", "diagonal", "matrix"] = "scalar",
        history: Literal["sliding", "block"] = "sliding",
        mode: Literal["literal", "unitary"] = "literal",
        backend: Literal["structured", "dense"] = "structured",
        activations: tuple[Sigma, Sigma, Sigma] = DEFAULT_ACTIVATIONS,
        step: float = 1.0,
        batch_first: bool = True,
        p1: Probability = 0.12,
        p2: Probability = 0.27,
        share: bool = False,
        recompute: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("period", period, least=2)
        depth = period if num_layers is None else num_layers
        check_size("num_layers", depth)
        check_names(clock=clock, skip=skip, history=history, mode=mode, backend=backend)
        require_depth(clock, depth, period)
        check_step(step, "step")
        for name, flag in (("batch_first", batch_first), ("share", share), ("recompute", recompute)):
            check_flag(name, flag)
        if mode == "unitary" and skip != "scalar":
            raise must_be("skip", 'left out with mode="unitary", which has none', skip)
        kind = check_dtype(dtype)
        shape = {"scalar": (), "diagonal": (input_size * period,), "matrix": (input_size * period,) * 2}[skip]
        require_parameters(period, depth, shape if mode == "literal" else (), kind, device)
        self.input_size = self.output_size = input_size
        self.period, self.num_layers = period, depth
        self.skip_kind, self.history, self.mode, self.backend = skip, history, mode, backend
        self.activations = activations_of(activations, mode)
        self.step, self.batch_first, self.share, self.recompute = float(step), batch_first, share, recompute
        real: dict[str, Any] = {"device": device, "dtype": kind.to_real()}
        self.clock = Clock(clock, period, **real)
        size = 1 if share else period
        self._initial = {name: probability(name, value, size) for name, value in (("p1", p1), ("p2", p2))}
        for name, value in self._initial.items():
            logit = logit_of(value, kind.to_real()).to(**real)
            if fixed(value):
                self.register_buffer(f"{name}_logit", logit)  # its sigmoid is 0 or 1 exactly
            else:
                self.register_parameter(f"{name}_logit", nn.Parameter(logit))
        self.skip: nn.Parameter | None = None
        if mode == "literal":
            numbers = real if skip == "scalar" else real | {"dtype": kind}
            self.skip = nn.Parameter(torch.empty(depth, *shape, **numbers))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """p1 and p2 as they were given, S_k = 1; a learned clock is drawn near the one-hot one."""
        with torch.no_grad():
            for name in ("p1", "p2"):
                logit = getattr(self, f"{name}_logit")
                logit.copy_(logit_of(self._initial[name], logit.dtype))
            if self.skip is not None:
                one = torch.eye(self.skip.shape[-1]) if self.skip_kind == "matrix" else torch.ones(())
                self.skip.copy_(one)
        self.clock.reset_parameters()

    @property
    def p1(self) -> Tensor:
        """p1 in [0, 1] by l mod N [N]."""
        return torch.sigmoid(self.p1_logit).expand(self.period)

    @property
    def p2(self) -> Tensor:
        """p2 in [0, 1] by l mod N [N]."""
        return torch.sigmoid(self.p2_logit).expand(self.period)

    # --- the conventions of torch's recurrent modules ---

    def forward(self, input: Any, state: Any = None) -> tuple[Any, QUNNState]:
        """`(input, state) -> (output, state)`; see the class."""
        if isinstance(input, PackedSequence):
            return self._packed(input, state)
        Y, batched = self.as_batch(input)
        past = History(Y, self._state(state, Y, batched), self.history, self.period)
        output, after = self._run(past), past.after()
        if not batched:
            return output[0], QUNNState(*(part[0] for part in after))
        return output if self.batch_first else output.transpose(0, 1), after

    def _packed(self, input: PackedSequence, state: Any) -> tuple[PackedSequence, QUNNState]:
        padded, lengths = pad_packed_sequence(input, batch_first=True)
        Y = self._cast(padded)
        past = History(Y, self._state(state, Y, batched=True), self.history, self.period)
        output, order = self._run(past), input.sorted_indices
        if order is not None:  # the input's own: another order of equal lengths would move the rows of `data`
            output, lengths_there = output[order], lengths[order.cpu()]
        else:
            lengths_there = lengths
        data = pack_padded_sequence(output, lengths_there, batch_first=True).data
        packed = PackedSequence(data, input.batch_sizes, order, input.unsorted_indices)
        return packed, past.after(lengths.to(Y.device))

    @torch.no_grad()
    def generate(self, prompt: Tensor, steps: int, state: QUNNState | None = None) -> Tensor:
        """The `steps` elements that follow the prompt, each predicted from those before it; shaped as the prompt.

        Raises
        ------
        InputError : the predictions grow beyond all numbers.

        Examples
        --------
        >>> import torch
        >>> from qunn import QUNN
        >>> model, prompt = QUNN(3, period=4, backend="dense").double(), torch.randn(8, 3).double()
        >>> future = model.generate(prompt, steps=5)
        >>> future.shape, torch.allclose(future[0], model(prompt)[0][-1])
        (torch.Size([5, 3]), True)
        """
        return generated(self, prompt, steps, state, self.batch_first)

    def _state(self, state: Any, Y: Tensor, batched: bool) -> QUNNState:
        """The state as one of a batch."""
        shape = (len(Y), self.num_layers, self.input_size)
        if state is None:
            return QUNNState(Y.new_zeros(shape), torch.zeros(len(Y), dtype=torch.long, device=Y.device))
        if not (isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, Tensor) for part in state)):
            raise must_be("state", "a QUNNState, or a tuple (history, position) of tensors", _kinds(state))
        past, position = state if batched else (part.unsqueeze(0) for part in state)
        if tuple(past.shape) != shape or tuple(position.shape) != shape[:1]:
            wanted = f"history {shape if batched else shape[1:]} and position {shape[: int(batched)]}"
            raise must_be("state", wanted, tuple(tuple(part.shape) for part in state))
        integers = not (position.is_floating_point() or position.is_complex() or position.dtype == torch.bool)
        if not integers or bool((position < 0).any()):
            raise must_be("position", "integers of at least 0", position.tolist())
        past = self._cast(past, "history")
        return QUNNState(past if past.is_complex() else past.to(Y.dtype), position)

    def as_batch(self, input: Any) -> tuple[Tensor, bool]:
        """The input as [B, T, d], and whether it had a batch dimension."""
        if not isinstance(input, Tensor):
            raise must_be("input", "a tensor or a PackedSequence", type(input).__name__)
        if input.dim() not in (2, 3):
            order = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
            raise must_be("input", f"of shape {order}, or (time, features)", tuple(input.shape))
        batched = input.dim() == 3
        Y = self._cast(input if batched else input.unsqueeze(0))
        Y = Y if self.batch_first or not batched else Y.transpose(0, 1)
        if Y.shape[1] == 0:
            raise must_be("input", "at least one time step long", tuple(input.shape))
        return Y, batched

    def _cast(self, Y: Tensor, name: str = "input") -> Tensor:
        """Of d features, finite, and of the module's precision."""
        if Y.shape[-1] != self.input_size:
            raise must_be(name, f"of {self.input_size} features in its last dimension", tuple(Y.shape))
        check_finite(Y, name)
        real = self.p1_logit.dtype
        if not (Y.is_floating_point() or Y.is_complex()):
            Y = Y.to(real)
        if Y.dtype not in (real, real.to_complex()):
            change = f"`.to({str(real).removeprefix('torch.')})` changes the module"
            raise must_be(name, f"of dtype {real} or {real.to_complex()} ({change})", Y.dtype)
        return Y.to(real.to_complex()) if self.skip is not None and self.skip.is_complex() else Y

    # --- the two backends ---

    def _run(self, past: History) -> Tensor:
        """Outputs [B, T, d]."""
        if not past.l.numel():
            return past.lag(0)  # a batch of no sequences
        if self.backend == "dense":
            return self._run_dense(past)
        self._require(self._clock_bytes(), past, "a shorter period or fewer layers need less")
        stack, p1, p2 = self._stack(), self.p1, self.p2
        compiled = fused.serves(stack, past, p1, p2)
        length = past.steps if compiled else self._part_length(past)
        cost = fused.bytes_needed(stack, past) if compiled else self._bytes(past, length)
        self._require(cost, past, "shorter pieces with the state between them need less, as does `recompute=True`")
        if compiled:
            return fused.outputs(stack, past, p1, p2)
        if not self.recompute:
            return self._part(past, slice(None))
        parts = [slice(start, start + length) for start in range(0, past.steps, length)]
        return torch.cat([checkpoint(self._part, past, part, use_reentrant=False) for part in parts], 1)

    def bytes_needed(self, rows: int, steps: int, device: torch.device | str | None = None) -> int:
        """What `forward` takes on sequences [rows, steps, d] of the module's dtype beyond its parameters.

        For a backward pass too, unless gradients are off. device : where; the parameters' where it is left out.
        """
        kind = self.p1_logit.dtype if self.skip is None or not self.skip.is_complex() else self.skip.dtype
        empty = torch.empty(rows, self.num_layers + steps, self.input_size, device="meta", dtype=kind)
        state = QUNNState(empty[:, :-steps], torch.zeros(rows, dtype=torch.long, device="meta"))
        past = History(empty[:, -steps:], state, self.history, self.period)
        if self.backend == "dense":
            n, kept = self.input_size * self.period, rows * steps if torch.is_grad_enabled() else 1
            return kept * dense.bytes_needed(self.num_layers, n, empty.element_size())
        on = self.p1_logit.device if device is None else torch.device(device)
        if on.type == "cpu" and self._compiles(kind):
            return self._clock_bytes() + fused.bytes_needed(self._shapes(), past)
        return self._clock_bytes() + self._bytes(past, self._part_length(past))

    def _compiles(self, kind: torch.dtype) -> bool:
        """Whether `fused.serves` such a model on a CPU."""
        scalar = self.mode == "literal" and self.skip_kind == "scalar"
        named = all(sigma.named and sigma.name in fused.CODES for sigma in self.activations)
        return scalar and named and kind in (torch.float32, torch.float64)

    def _require(self, cost: int, past: History, way_out: str) -> None:
        if cost > PART_BYTES:  # to ask takes longer than to take less
            what = f"a QUNN with N = {self.period} on {len(past.l)} x {past.steps} elements"
            require_memory(cost, what, way_out)

    def _clock_bytes(self) -> int:
        """What `Clock.moving` takes, two tables of indices and the vectors."""
        return (self.num_layers + 1) * self.period * (16 + self.p1_logit.element_size())

    def _bytes(self, past: History, steps: int) -> int:
        """What `structured` holds: about seven vectors a layer when it is differentiated, twelve in all when not."""
        vectors = 7 * (self.num_layers + 1) if torch.is_grad_enabled() else 12
        return len(past.l) * steps * self.input_size * self.period * past.joined.element_size() * vectors

    def _part_length(self, past: History) -> int:
        """How many elements of each sequence are taken together."""
        return max(1, min(past.steps, PART_BYTES // max(self._bytes(past, 1), 1))) if self.recompute else past.steps

    def _part(self, past: History, times: slice) -> Tensor:
        """Outputs at these times [B, times, d]."""
        found = structured.outputs(self._stack(), structured.elements(past, self.p1, self.p2, times))
        return found.T.reshape(len(past.l), -1, self.output_size)

    def _stack(self) -> structured.Stack:
        return self._stack_with(self.clock.moving(self.num_layers), self.clock.moving_read())

    def _shapes(self) -> structured.Stack:
        """The stack with clock vectors that have a shape only."""
        clock = torch.empty(self.num_layers + 1, self.period, device="meta")
        return self._stack_with(clock, clock[0])

    def _stack_with(self, clock: Tensor, read: Tensor) -> structured.Stack:
        return structured.Stack(
            clock,
            read,
            self.clock.one_hot,
            self.skip,
            self.activations,
            self.step,
            self.mode == "unitary",
        )

    def _run_dense(self, past: History) -> Tensor:
        rows = []
        for b in range(len(past.l)):
            for t in range(past.steps):
                lags = [past.lag(k, slice(t, t + 1))[b, 0] for k in range(self.num_layers + 1)]
                rows.append(self._dense_output(lags, int(past.l[b, t])))
        return torch.stack(rows).reshape(len(past.l), past.steps, -1)

    def _dense_output(self, lags: list[Tensor], l: int) -> Tensor:  # noqa: E741
        sigma_1, sigma_2, sigma_out = self.activations
        matrices = self._matrices(lags, l)
        K = sigma_1(torch.kron(lags[0], self.clock.vector(l).to(lags[0].dtype)))
        for k in range(self.num_layers):
            if self.mode == "unitary":
                K = dense.evolve(K, (matrices.H[k] - matrices.H[k].mH) / 2, self.step)
            else:
                S = self.skip[k] if self.skip is not None else 1.0
                K = dense.layer(K, matrices.H[k], None, S, sigma_2, self.step)
        read: Tensor = sigma_out(K.reshape(-1, self.period) @ self.clock.vector(l + 1, read=True).to(K.dtype))
        return read

    def _matrices(self, lags: list[Tensor], l: int) -> dense.LayerMatrices:  # noqa: E741
        at = l % self.period
        return dense.layer_matrices(lags, l, self.p1[at], self.p2[at], self.clock)

    # --- the generators, for the circuits ---

    def layer_matrices(self, history: Tensor, l: int) -> dense.LayerMatrices:  # noqa: E741
        """D^k, W^k and H^k = D^k W^k of the layers k = 1 … L at time l (Eqs. 33-35), each [L, dN, dN].

        history [m, d] : the inputs up to Y_l, which is the last of them; what lies before them is 0, and with
        history="block" what lies before l's block.

        Examples
        --------
        >>> import torch
        >>> from qunn import QUNN
        >>> model, Y = QUNN(input_size=2, period=3, p2=1.0), torch.randn(5, 2)
        >>> W = model.layer_matrices(Y, l=5).W[0]  # of layer 1
        >>> c = torch.eye(3)[[0, 1, 2, 0, 1, 2]]  # c_m = e_{m mod 3}
        >>> half = torch.kron(torch.outer(Y[3], Y[4]), torch.outer(c[4], c[5]))  # (Y_4 Y_5†) ⊗ (c_4 c_5ᵀ)
        >>> torch.allclose(W, half - half.T)  # Eq. (35) with p2 = 1
        True
        """
        return self._matrices(self.lags(history, l), l)

    def lags(self, history: Tensor, l: int) -> list[Tensor]:  # noqa: E741
        """Y_l, Y_{l-1}, … Y_{l-L}, each [d], as the layers at time l see them; arguments as for `layer_matrices`."""
        check_size("l", l)
        if not isinstance(history, Tensor) or history.dim() != 2 or not len(history):
            raise must_be("history", f"of shape (m, {self.input_size}) with Y_l as its last row", _shape(history))
        Y = self._cast(history[None, -self.num_layers - 1 :])
        position = torch.tensor([l - 1], device=Y.device)
        before = Y.new_zeros(1, self.num_layers + 1 - Y.shape[1], self.input_size)
        state = QUNNState(torch.cat([before, Y[:, :-1]], 1), position)
        past = History(Y[:, -1:], state, self.history, self.period)
        return [past.lag(k)[0, 0] for k in range(self.num_layers + 1)]

    def generators(self, history: Tensor, l: int) -> dense.Generators:  # noqa: E741
        """The anti-Hermitian and the Hermitian part of every D^k W^k, each [L, dN, dN]; arguments as above.

        Examples
        --------
        >>> import torch
        >>> from qunn import QUNN
        >>> model, Y = QUNN(input_size=2, period=3).double(), torch.randn(5, 2).double()
        >>> anti, hermitian = model.generators(Y, l=5)
        >>> torch.equal(anti, -anti.mT), torch.allclose(anti + hermitian, model.layer_matrices(Y, l=5).H)
        (True, True)
        """
        return dense.generators(self.layer_matrices(history, l))

    # --- the rest ---

    def invariants(self) -> dict[str, float]:
        """The ranges of p1 and p2, which must lie in [0, 1]; of the unitary mode the drift of ‖K‖ on a random input."""
        found: dict[str, float] = {}
        with torch.no_grad():
            for name in ("p1", "p2"):
                p = getattr(self, name)
                found |= {f"{name}_least": p.min().item(), f"{name}_largest": p.max().item()}
            if self.mode == "unitary":
                found["norm_drift"] = self._norm_drift()
        return found

    def _norm_drift(self) -> float:
        """|‖K^L‖ / ‖K^0‖ - 1| on unit vectors."""
        generator = torch.Generator().manual_seed(0)
        L, N = self.num_layers, self.period
        Y = torch.randn(1, L + N, self.input_size, generator=generator, dtype=torch.float64)
        Y = nn.functional.normalize(Y, dim=-1).to(self.p1_logit)
        behind = QUNNState(Y[:, :L], torch.full((1,), L, device=Y.device))  # every l mod N once, with a whole past
        first, last = self._norms(Y[:, L:], behind)
        return (last / first - 1).abs().max().item()

    def norms(self, input: Tensor, state: QUNNState | None = None) -> tuple[Tensor, Tensor]:
        """‖K^0‖ and ‖K^L‖ of every element of an input shaped as for `forward`, each [B * T], sequence by sequence.

        Raises
        ------
        InputError : what `forward` refuses.
        """
        return self._norms(self.as_batch(input)[0], state)

    def _norms(self, Y: Tensor, state: QUNNState | None) -> tuple[Tensor, Tensor]:
        past = History(Y, self._state(state, Y, batched=True), self.history, self.period)
        stack, elements = self._stack(), structured.elements(past, self.p1, self.p2, slice(None))
        without = replace(elements, lags=elements.lags[:1])  # no layers
        first, last = (structured.hidden(stack, found).flatten(0, 1).norm(dim=0) for found in (without, elements))
        return first, last

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without device and dtype."""
        if unnamed := [sigma.name for sigma in self.activations if not sigma.named]:
            raise InputError(
                f"`activations` must be names to be saved, but {unnamed[0]!r} is a callable", "activations"
            )
        named = {name: getattr(self, name) for name in ("history", "mode", "backend", "step", "batch_first")}
        kept = {name: getattr(self, name) for name in ("input_size", "period", "num_layers", "share", "recompute")}
        initial = {name: value.tolist() for name, value in self._initial.items()}
        own = {"clock": self.clock.kind, "skip": self.skip_kind, "activations": [s.name for s in self.activations]}
        return kept | named | initial | own

    def extra_repr(self) -> str:
        """The sizes and whatever is not a default."""
        parts = [f"{self.input_size}, {self.period}"]
        if self.num_layers != self.period:
            parts.append(f"num_layers={self.num_layers}")
        given = {
            "clock": self.clock.kind,
            "skip": self.skip_kind,
            "activations": tuple(s.name for s in self.activations),
        }
        given |= {name: getattr(self, name) for name in ("history", "mode", "backend", "step", "batch_first")}
        given |= {name: getattr(self, name) for name in ("share", "recompute")}
        parts += [f"{name}={value!r}" for name, value in given.items() if value != _DEFAULTS[name]]
        return ", ".join(parts)


_DEFAULTS = {
    "clock": "one-hot",
    "skip": "scalar",
    "activations": DEFAULT_ACTIVATIONS,
    "history": "sliding",
    "mode": "literal",
    "backend": "structured",
    "step": 1.0,
    "batch_first": True,
    "share": False,
    "recompute": False,
}


def _kinds(state: Any) -> Any:
    return [type(part).__name__ for part in state] if isinstance(state, tuple) else type(state).__name__


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else value
