"""Backends of a QUNN that are broken on purpose, each in one way, and the rows that must show it.

Some cannot be seen on every model: `swapped-registers` needs d above 1, as there is no data register else; `detached`
a p1 that is a parameter; `previous-clock` a model that the compiled kernels serve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from circuits.backends import Backend
from circuits.element import Element
from circuits.network import QUNNCircuit
from circuits.validation.model_tools import CIRCUIT, COMPILED, DENSE, SHOTS, STRUCTURED, TROTTER, ModelTools, setting
from qunn import QUNN
from qunn.quantum import fused

Array = NDArray[Any]


def _wrong_sign(tools: ModelTools) -> ModelTools:
    """The structured path takes -h for h, as with H† for H."""

    def structured(model: QUNN, Y: Tensor) -> Tensor:
        with setting(model, "step", -model.step):
            return tools.structured(model, Y)

    return replace(tools, structured=structured)


def _swapped_registers(tools: ModelTools) -> ModelTools:
    """The circuits' states are read with data and clock exchanged."""

    def circuit(model: QUNN, Y: Tensor, backend: Backend) -> Tensor:
        hidden = QUNNCircuit(model, backend=backend).evaluate(Y).hidden
        assert hidden is not None
        K = torch.from_numpy(hidden[0]).reshape(len(Y), model.period, -1).transpose(1, 2)
        read = torch.stack([model.clock.vector(t + 2, read=True) for t in range(len(Y))]).to(K.dtype)
        output: Tensor = model.activations[2]((K @ read[:, :, None]).squeeze(-1))
        return output if Y.is_complex() else output.real.to(Y.dtype)

    def sampled_state(model: QUNN, at: Element, shots: int, backend: Backend) -> Array:
        return tools.sampled_state(model, at, shots, backend).reshape(model.period, -1).T.reshape(-1)

    return replace(tools, circuit=circuit, sampled_state=sampled_state)


def _missing_h(tools: ModelTools) -> ModelTools:
    """The circuits evolve for a time of 1, whatever h is."""

    def circuit(model: QUNN, Y: Tensor, backend: Backend) -> Tensor:
        with setting(model, "step", 1.0):
            return tools.circuit(model, Y, backend)

    def circuit_state(model: QUNN, at: Element, backend: Backend) -> Array:
        with setting(model, "step", 1.0):
            return tools.circuit_state(model, at, backend)

    def with_circuits(model: nn.Module, **options: Any) -> tuple[nn.Module, Any]:
        changed, parts = tools.with_circuits(model, **options)
        for part in parts:
            part.circuit.model.step = 1.0
        return changed, parts

    return replace(tools, circuit=circuit, circuit_state=circuit_state, with_circuits=with_circuits)


def _acyclic_clock(tools: ModelTools) -> ModelTools:
    """The dense path has c_m = e_m as printed (E5): labels beyond N, and before 0, are no state of the clock."""

    def dense(model: QUNN, Y: Tensor) -> Tensor:
        def vector(m: int, *, read: bool = False) -> Tensor:
            profile = genuine(0, read=read)
            kept = torch.zeros_like(profile)
            for r in range(model.period):
                if 0 <= m + r < model.period:
                    kept[m + r] = profile[r]
            return kept

        genuine = model.clock.vector
        with setting(model.clock, "vector", vector):
            return tools.dense(model, Y)

    return replace(tools, dense=dense)


def _previous_clock(tools: ModelTools) -> ModelTools:
    """The compiled path reads c_l instead of c_{l+1}."""

    def compiled(model: QUNN, Y: Tensor) -> Tensor:
        genuine = model.clock.moving_read
        with setting(model.clock, "moving_read", lambda: genuine().roll(1)):
            return tools.compiled(model, Y)

    return replace(tools, compiled=compiled)


def _single_repetition(tools: ModelTools) -> ModelTools:
    """Product formulas take one step, whatever the repetitions are."""

    def trotter_state(model: QUNN, at: Element, formula: str, _reps: int, backend: Backend) -> Array:
        return tools.trotter_state(model, at, formula, 1, backend)

    return replace(tools, trotter_state=trotter_state)


def _short_time(tools: ModelTools) -> ModelTools:
    """Product formulas evolve for 9/10 of h: what they tend to is another state."""

    def trotter(model: QUNN, Y: Tensor, formula: str, reps: int, backend: Backend) -> Tensor:
        with setting(model, "step", 0.9 * model.step):
            return tools.trotter(model, Y, formula, reps, backend)

    def trotter_state(model: QUNN, at: Element, formula: str, reps: int, backend: Backend) -> Array:
        with setting(model, "step", 0.9 * model.step):
            return tools.trotter_state(model, at, formula, reps, backend)

    return replace(tools, trotter=trotter, trotter_state=trotter_state)


def _lost_sign(tools: ModelTools) -> ModelTools:
    """Shots give |output|, as probabilities alone do, without the reference that they interfere with."""

    def sampled(model: QUNN, Y: Tensor, shots: int, backend: Backend) -> Tensor:
        found = tools.sampled(model, Y, shots, backend)
        return torch.complex(found.real.abs(), found.imag.abs()) if found.is_complex() else found.abs()

    return replace(tools, sampled=sampled)


def _detached(tools: ModelTools) -> ModelTools:
    """The structured path has no gradient with respect to p1."""

    def structured(model: QUNN, Y: Tensor) -> Tensor:
        with fused.disabled():
            output: Tensor = torch.func.functional_call(model, {"p1_logit": model.p1_logit.detach()}, (Y,))[0]
        return output

    return replace(tools, structured=structured)


def _euler(tools: ModelTools) -> ModelTools:
    """The dense path takes 1 + hG for exp(hG)."""

    def dense_states(model: QUNN, Y: Tensor) -> Array:
        found = []
        for l in range(1, len(Y) + 1):  # noqa: E741
            K = torch.kron(Y[l - 1], model.clock.vector(l).to(Y.dtype))
            for G in model.generators(Y[:l], l).anti_hermitian:
                K = K + model.step * (G @ K)
            found.append(K.detach().numpy())
        return np.array(found)

    return replace(tools, dense_states=dense_states)


def _future(tools: ModelTools) -> ModelTools:
    """The structured path sees Y_{l+1} where it should see Y_l, in part."""

    def structured(model: QUNN, Y: Tensor) -> Tensor:
        return tools.structured(model, torch.cat([(Y[:-1] + Y[1:]) / 2, Y[-1:]]))

    return replace(tools, structured=structured)


def _half_precision(tools: ModelTools) -> ModelTools:
    """Single precision holds the parameters of torch in float16, and what circuits give in bfloat16."""

    def single(model: QUNN) -> QUNN:
        made = tools.single(model)
        with torch.no_grad():
            for parameter in made.parameters():
                real = torch.view_as_real(parameter) if parameter.is_complex() else parameter
                real.copy_(real.half())
        return made

    def circuit(model: QUNN, Y: Tensor, backend: Backend) -> Tensor:
        found = tools.circuit(model, Y, backend)
        if backend.precision == "double":
            return found
        real = torch.view_as_real(found) if found.is_complex() else found
        rounded = real.bfloat16().to(real.dtype)
        return torch.view_as_complex(rounded) if found.is_complex() else rounded

    return replace(tools, single=single, circuit=circuit)


def _stale_device(tools: ModelTools) -> ModelTools:
    """A device of which the CPU plays the part computes with other parameters than the model's."""

    def moved(model: QUNN, device: torch.device) -> QUNN:
        there = tools.moved(model, device)
        with torch.no_grad():
            for parameter in there.parameters():
                parameter.mul_(1.01)
        return there

    return replace(tools, gpu=lambda: torch.device("cpu"), moved=moved)


#: by name
MODEL: Final[Mapping[str, Callable[[ModelTools], ModelTools]]] = {
    "wrong-sign": _wrong_sign,
    "swapped-registers": _swapped_registers,
    "missing-h": _missing_h,
    "acyclic-clock": _acyclic_clock,
    "previous-clock": _previous_clock,
    "single-repetition": _single_repetition,
    "short-time": _short_time,
    "lost-sign": _lost_sign,
    "detached": _detached,
    "euler": _euler,
    "future": _future,
    "half-precision": _half_precision,
    "stale-device": _stale_device,
}

_FORWARD: Final = ("literal", "linear", "unitary", "literal-step", "unitary-step")

#: name -> the rows that must fail and the columns in which they must; a column that is empty cannot
MODEL_FAILS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "wrong-sign": dict.fromkeys((*_FORWARD, "gradients", "unitary-gradients", "whole-model"), (STRUCTURED,)),
    "swapped-registers": dict.fromkeys(_FORWARD, (CIRCUIT,)) | dict.fromkeys(("literal", "linear"), (CIRCUIT, SHOTS)),
    "missing-h": dict.fromkeys(("literal-step", "unitary-step"), (CIRCUIT,)),
    "acyclic-clock": dict.fromkeys((*_FORWARD, "gradients", "unitary-gradients", "whole-model"), (DENSE,)),
    "previous-clock": dict.fromkeys(("literal", "linear", "literal-step", "gradients"), (COMPILED,)),
    "single-repetition": dict.fromkeys(("trotter-lie", "trotter-suzuki2", "trotter-suzuki4"), (TROTTER,)),
    "short-time": dict.fromkeys(("unitary", "trotter-bound"), (TROTTER,)),
    "lost-sign": dict.fromkeys(("unitary", "shots"), (SHOTS,)),
    "detached": dict.fromkeys(("gradients", "unitary-gradients"), (STRUCTURED,)),
    "euler": {"norm": (DENSE,)},
    "future": dict.fromkeys((*_FORWARD, "causality"), (STRUCTURED,)),
    "half-precision": {"float32": (DENSE, STRUCTURED, COMPILED, CIRCUIT)},
    "stale-device": {"GPU": (DENSE, STRUCTURED)},
}
