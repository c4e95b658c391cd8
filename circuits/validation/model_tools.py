"""Every implementation of a QUNN that the cross-validation calls, as a field that a test can count or break.

NumPy literal       Eqs. (32)-(36) by loops over numpy.kron (`literal_qunn`), which shares no code with the rest
torch dense         the same, matrix by matrix, in torch
torch structured    two inner products a layer, without a matrix on data ⊗ clock
torch compiled      the fused kernels; for real literal models with numbers S_k and one of four activations
circuit             circuits on Aer, every layer exact on the four dimensions in which it acts
Trotter             circuits of product formulas over hop and permutation part; unitary models
shots               exact circuits read by shots, signs included; of literal models after every layer
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from circuits.backends import Backend, gpu_fault
from circuits.bounds import trotter_bound
from circuits.element import Element
from circuits.hybrid import hidden_states
from circuits.network import QUNNCircuit
from circuits.runs import Runs
from circuits.substitution import with_circuits
from circuits.validation import literal_qunn
from circuits.validation.literal_qunn import Network
from hamiltonians.memory import require_memory
from qunn import QUNN
from qunn.quantum import dense as dense_formula
from qunn.quantum import fused

Array = NDArray[Any]
Forward = Callable[[QUNN, Tensor], Tensor]

LITERAL, DENSE, STRUCTURED, COMPILED = "NumPy literal", "torch dense", "torch structured", "torch compiled"
CIRCUIT, TROTTER, SHOTS = "circuit", "Trotter", "shots"

#: the columns, and what each calls
COLUMNS: Final = {
    LITERAL: "Eqs. (32)-(36) with numpy.kron, one time and one layer at a time: what the others are compared with",
    DENSE: 'qunn.QUNN(…, backend="dense"): the same matrices in torch',
    STRUCTURED: "qunn.QUNN in torch, two inner products a layer, no matrix on data ⊗ clock",
    COMPILED: "qunn.QUNN by compiled kernels, forwards and backwards",
    CIRCUIT: 'circuits.QUNNCircuit(…, "subspace") on Aer, every layer exact',
    TROTTER: "circuits.QUNNCircuit with product formulas over hop and permutation part",
    SHOTS: "circuits.QUNNCircuit read by shots, with signs told by an ancilla",
}


# --- the same parameters in other forms ---


def variant(model: QUNN, mode: str, activations: tuple[str, str, str], step: float | None = None) -> QUNN:
    """A QUNN in double precision on the CPU with the parameters of `model`; S_k = 1 where it has none.

    Raises
    ------
    InputError : activations of `model` that have no name.
    """
    unitary = mode == "unitary"
    options: dict[str, Any] = model.config() | {"mode": mode, "backend": "structured", "recompute": False}
    options |= {"batch_first": True, "step": model.step if step is None else step, "activations": activations}
    if unitary:
        options |= {"skip": "scalar", "activations": ("identity",) * 3}
    skip = model.skip
    kind = torch.complex128 if skip is not None and skip.is_complex() and not unitary else torch.float64
    made = QUNN(**options, dtype=kind)
    given = model.state_dict()
    made.load_state_dict({name: given.get(name, value) for name, value in made.state_dict().items()})
    return made


def network(model: QUNN) -> Network:
    """What the literal evaluator needs to know of a model, read off its parameters."""

    def numbers(value: Tensor | None) -> Array | None:
        return None if value is None else value.detach().cpu().numpy()

    p1, p2 = numbers(model.p1), numbers(model.p2)
    assert p1 is not None
    assert p2 is not None
    skip = np.ones(model.num_layers) if model.skip is None else numbers(model.skip)
    profiles = numbers(model.clock.profile), numbers(model.clock.read_profile)
    first, second, out = (literal_qunn.SIGMA[sigma.name] for sigma in model.activations)
    unitary = model.mode == "unitary"
    return Network(p1, p2, skip, *profiles, model.history == "block", unitary, model.step, (first, second, out))


def compiles(model: QUNN) -> str | None:
    """Why the compiled kernels do not serve a model, or None where they do."""
    if model.mode == "unitary":
        return "the compiled kernels hold Eq. (32), not the exponentials of a unitary model"
    if model.skip is not None and model.skip.is_complex():
        return "the compiled kernels take real numbers"
    if model.skip_kind != "scalar":
        return f"the compiled kernels take S_k as a number, not as a {model.skip_kind}"
    others = [sigma.name for sigma in model.activations if not sigma.named or sigma.name not in fused.CODES]
    return f"the compiled kernels have no {others[0]}" if others else None


@contextmanager
def setting(holder: Any, name: str, value: Any) -> Iterator[None]:
    """`holder.name` is `value` meanwhile: so that parameters stay the ones that gradients are asked for."""
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


# --- one line around each implementation ---


def require_literal(net: Network, Y: Array) -> None:
    """Ask for the memory of the literal evaluator's matrices.

    Raises
    ------
    MemoryEstimateError : they do not fit.
    """
    rows = Y.shape[1] * net.N
    needed = (2 * net.L + 8) * rows**2 * 16
    require_memory(needed, f"the literal matrices of {rows} rows", "validate a smaller d or N")


def _literal(net: Network, Y: Array) -> Array:
    require_literal(net, Y)
    return literal_qunn.outputs(net, Y)


def _literal_states(net: Network, Y: Array) -> Array:
    require_literal(net, Y)
    return literal_qunn.states(net, Y)[:, -1]


def _dense(model: QUNN, Y: Tensor) -> Tensor:
    with setting(model, "backend", "dense"):
        output: Tensor = model(Y)[0]
    return output


def _dense_states(model: QUNN, Y: Tensor) -> Array:
    """K^L [T, dN] of a unitary model by the exponentials of its dense generators."""
    found = []
    for l in range(1, len(Y) + 1):  # noqa: E741
        K = torch.kron(Y[l - 1], model.clock.vector(l).to(Y.dtype))
        for G in model.generators(Y[:l], l).anti_hermitian:
            K = dense_formula.evolve(K, G, model.step)
        found.append(K.detach().numpy())
    return np.array(found)


def _structured(model: QUNN, Y: Tensor) -> Tensor:
    with fused.disabled():
        output: Tensor = model(Y)[0]
    return output


def _structured_norms(model: QUNN, Y: Tensor) -> tuple[Array, Array]:
    first, last = model.norms(Y[None])
    return first.detach().numpy(), last.detach().numpy()


def _compiled(model: QUNN, Y: Tensor) -> Tensor:
    output: Tensor = model(Y)[0]
    return output


def _circuit(model: QUNN, Y: Tensor, backend: Backend) -> Tensor:
    return QUNNCircuit(model, "subspace", backend=backend).run(Y)


def _circuit_state(model: QUNN, at: Element, backend: Backend) -> Array:
    return QUNNCircuit(model, "subspace", backend=backend).states([at], Runs(backend))[0]


def _trotter(model: QUNN, Y: Tensor, formula: str, reps: int, backend: Backend) -> Tensor:
    return QUNNCircuit(model, formula, terms="natural", reps=reps, backend=backend).run(Y)


def _trotter_state(model: QUNN, at: Element, formula: str, reps: int, backend: Backend) -> Array:
    circuit = QUNNCircuit(model, formula, terms="natural", reps=reps, backend=backend)
    return circuit.states([at], Runs(backend))[0]


def _trotter_bound(model: QUNN, at: Element, formula: str, reps: int) -> float:
    return sum(trotter_bound(layer, model.step, formula, terms="natural", reps=reps) for layer in at.layers)


def _sampled(model: QUNN, Y: Tensor, shots: int, backend: Backend) -> Tensor:
    return QUNNCircuit(model, "subspace", backend=backend).run(Y, shots)


def _sampled_state(model: QUNN, at: Element, shots: int, backend: Backend) -> Array:
    return hidden_states(model, [at], Runs(backend), shots, by_matrix=False)[0][0]


def _single(model: QUNN) -> QUNN:
    narrow = {torch.float64: torch.float32, torch.complex128: torch.complex64}
    made = copy.deepcopy(model)
    made._apply(lambda t: t.to(narrow.get(t.dtype, t.dtype)))  # type: ignore[no-untyped-call]
    return made


def _single_backend(backend: Backend) -> Backend:
    return replace(backend, precision="single")


def _gpu() -> torch.device | str:
    return torch.device("cuda") if torch.cuda.is_available() else "torch sees no GPU here"


def _gpu_backend(backend: Backend) -> Backend | str:
    fault = gpu_fault()
    return replace(backend, device="GPU") if fault is None else f"no GPU answers to Aer ({fault})"


def _moved(model: QUNN, device: torch.device) -> QUNN:
    return copy.deepcopy(model).to(device)


@final
@dataclass(frozen=True)
class ModelTools:
    """What the columns call; a broken backend is `dataclasses.replace(GENUINE, …)`.

    Y is [T, d] throughout, Y_1 … Y_T; outputs are [T, d], states K^L [T, dN].

    Attributes
    ----------
    literal, literal_states : (network, Y) -> outputs, K^L.
    dense, structured, compiled : (model, Y) -> outputs, with gradients. dense_states : K^L of a unitary model.
    structured_norms : (model, Y) -> ‖K^0‖, ‖K^L‖ [T].
    circuit : (model, Y, backend) -> outputs, of a unitary model with gradients in p1 and p2. circuit_state :
    (model, element, backend) -> K^L [dN] of a unitary model.
    trotter : (model, Y, formula, reps, backend) -> outputs. trotter_state : (model, element, formula, reps, backend)
    -> K^L [dN]. trotter_bound : (model, element, formula, reps) -> bound on the operator norm of all layers' error.
    sampled : (model, Y, shots, backend) -> outputs. sampled_state : (model, element, shots, backend) -> K^L [dN] of a
    literal model.
    single, single_backend : a model, a backend in single precision.
    gpu, gpu_backend : a device of torch, of Aer, or why there is none. moved : (model, device) -> model there.
    with_circuits : a model with circuits in place of its QUNNs (see `circuits.substitution`).
    """

    literal: Callable[[Network, Array], Array] = _literal
    literal_states: Callable[[Network, Array], Array] = _literal_states
    dense: Forward = _dense
    dense_states: Callable[[QUNN, Tensor], Array] = _dense_states
    structured: Forward = _structured
    structured_norms: Callable[[QUNN, Tensor], tuple[Array, Array]] = _structured_norms
    compiled: Forward = _compiled
    circuit: Callable[[QUNN, Tensor, Backend], Tensor] = _circuit
    circuit_state: Callable[[QUNN, Element, Backend], Array] = _circuit_state
    trotter: Callable[[QUNN, Tensor, str, int, Backend], Tensor] = _trotter
    trotter_state: Callable[[QUNN, Element, str, int, Backend], Array] = _trotter_state
    trotter_bound: Callable[[QUNN, Element, str, int], float] = _trotter_bound
    sampled: Callable[[QUNN, Tensor, int, Backend], Tensor] = _sampled
    sampled_state: Callable[[QUNN, Element, int, Backend], Array] = _sampled_state
    single: Callable[[QUNN], QUNN] = _single
    single_backend: Callable[[Backend], Backend] = _single_backend
    gpu: Callable[[], torch.device | str] = _gpu
    gpu_backend: Callable[[Backend], Backend | str] = _gpu_backend
    moved: Callable[[QUNN, torch.device], QUNN] = _moved
    with_circuits: Callable[..., tuple[nn.Module, Any]] = with_circuits


GENUINE: Final = ModelTools()
