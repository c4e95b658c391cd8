"""QUNN = circuits: outputs, hidden states with their phase, gradients, shots."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from circuits import QUNNCircuit, backend
from circuits.layer import layers
from hamiltonians import InputError, MemoryEstimateError
from qunn import QUNN, CausallyNormalised, QUNNForecaster

EXACT = 1e-10  # complex128: some 10^4 gates of 2^-53 each stay far below


def sequence(T: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(T, d, generator=generator, dtype=dtype)


def built(d: int, N: int, seed: int = 0, **options) -> QUNN:
    torch.manual_seed(seed)
    given = {"mode": "unitary", "p1": 0.3, "p2": 0.6, "dtype": torch.float64, "step": 0.7} | options
    model = QUNN(d, N, **given)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, dtype=torch.float64))
    return model


def all_sizes() -> list[tuple[int, int]]:
    return [(d, N) for N in range(2, 65) for d in range(1, 65) if d * N <= 64]


def seeded_twenty() -> list[tuple[int, int]]:
    """d = 1, odd d and odd N among them, and not too many layers."""
    small = [(d, N) for d, N in all_sizes() if N <= 12]
    chosen = np.random.default_rng(5).permutation(len(small))[:14]
    return [(1, 2), (1, 7), (3, 5), (5, 3), (7, 7), (21, 3)] + [small[i] for i in chosen]


def assert_equal_to_torch(model: QUNN, Y: torch.Tensor, **options) -> None:
    """The output of torch, and K^L from the dense generators, amplitude by amplitude, at every time."""
    with torch.no_grad():
        found = QUNNCircuit(model, **options).evaluate(Y)
        assert (found.output - model(Y)[0]).abs().max() <= EXACT
        assert np.abs(found.hidden[0, -1] - hidden(model, Y)).max() <= EXACT


def assert_last_equal_to_torch(model: QUNN, Y: torch.Tensor) -> None:
    """The same at the last time, where there is a whole period of past."""
    circuit = QUNNCircuit(model)
    with torch.no_grad():
        (state,) = backend(device="CPU").states([circuit.circuit(len(Y), Y)])
        K = Y[-1].norm().item() * circuit.registers.extracted(state)
        assert np.abs(K - hidden(model, Y)).max() <= EXACT
        output = K.reshape(model.input_size, -1)[:, (len(Y) + 1) % model.period]
        assert np.abs(output - model(Y)[0][-1].numpy()).max() <= EXACT
        assert circuit.registers.padded(np.abs(K)).sum() == pytest.approx(np.abs(state).sum() * Y[-1].norm().item())


def hidden(model: QUNN, Y: torch.Tensor) -> np.ndarray:
    """K^L at the last time, by the matrix exponentials of the printed matrices."""
    l = len(Y)  # noqa: E741
    K = np.kron(Y[-1].numpy(), model.clock.vector(l).numpy())
    for G in model.generators(Y, l).anti_hermitian:
        K = scipy.linalg.expm(model.step * G.numpy()) @ K
    return K


def unit(Y: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1 to 2: of longer ones the angles grow as the square."""
    lengths = 1 + torch.arange(len(Y), dtype=torch.float64)[:, None] / len(Y)
    return lengths * torch.nn.functional.normalize(Y, dim=-1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("d", "N"), seeded_twenty())
def test_circuit_is_torch(d, N, dtype):
    assert_last_equal_to_torch(built(d, N), unit(sequence(N + 2, d, d * 100 + N, dtype)))


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("d", "N"), all_sizes())
def test_circuit_is_torch_for_every_size(d, N, dtype):
    assert_last_equal_to_torch(built(d, N), unit(sequence(N + 2, d, d * 100 + N, dtype)))


@pytest.mark.parametrize("synthesis", ["subspace", "unitary"])
@pytest.mark.parametrize("clock", ["one-hot", "learned", "learned-read"])
@pytest.mark.parametrize("history", ["sliding", "block"])
def test_every_clock_and_history(clock, history, synthesis):
    model = built(3, 3, num_layers=5, clock=clock, history=history)
    assert_equal_to_torch(model, unit(sequence(6, 3, 1)), synthesis=synthesis)


@pytest.mark.parametrize("synthesis", ["subspace", "unitary"])
@pytest.mark.parametrize("skip", ["scalar", "diagonal", "matrix"])
@pytest.mark.parametrize("activations", [("tanh", "tanh", "sigmoid"), ("identity", "identity", "identity")])
def test_every_literal_model_has_circuits(skip, activations, synthesis):
    for dtype, clock in ((torch.float64, "one-hot"), (torch.complex128, "learned-read")):
        model = built(3, 3, mode="literal", skip=skip, activations=activations, clock=clock)
        Y = unit(sequence(5, 3, 2, dtype))
        Y[2] = 0  # nothing to encode
        with torch.no_grad():
            found = QUNNCircuit(model, synthesis).evaluate(Y)
            assert (found.output - model(Y)[0]).abs().max() <= EXACT
        assert ((found.success >= 0) & (found.success <= 1 + 1e-12)).all()


def test_shapes_and_dtypes_are_those_of_torch():
    model = built(2, 3, batch_first=False)
    Y = sequence(8, 2, 3).reshape(4, 2, 2)
    assert (QUNNCircuit(model).run(Y) - model(Y)[0]).abs().max() <= EXACT
    single = QUNN(2, 3, mode="unitary", dtype=torch.float32)
    found = QUNNCircuit(single).run(Y[:, 0].float())
    assert found.dtype == torch.float32
    assert (found - single(Y[:, 0].float())[0]).abs().max() <= 1e-5


@pytest.mark.parametrize("terms", ["pauli", "natural"])
def test_product_formulas_tend_to_torch(terms):
    model = built(2, 3)
    Y = unit(sequence(4, 2, 4))
    with torch.no_grad():
        errors = [
            (QUNNCircuit(model, "suzuki2", terms=terms, reps=r).run(Y) - model(Y)[0]).abs().max().item() for r in (2, 8)
        ]
    assert errors[1] < errors[0] / 12  # 16 at the second order
    assert errors[1] > 1e-12  # it is no exact exponential in disguise


@pytest.mark.parametrize("clock", ["one-hot", "learned-read"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("share", [False, True])
def test_gradients_through_the_circuit(clock, dtype, share):
    model = built(3, 3, clock=clock, share=share)
    Y = unit(sequence(5, 3, 6, dtype))
    weight = sequence(5, 3, 7, dtype)

    def by(run):
        model.zero_grad()
        output = run(Y)
        ((output - weight).abs() ** 2 * weight.real).sum().backward()
        return [p.grad.clone() for p in (model.p1_logit, model.p2_logit)]

    found, truth = by(QUNNCircuit(model).run), by(lambda x: model(x)[0])
    for a, b in zip(found, truth, strict=True):
        assert b.abs().max() > 1e-3
        assert (a - b).abs().max() <= 1e-8


@pytest.mark.parametrize("batch_first", [True, False])
def test_gradients_of_a_batch(batch_first):
    """Each sequence at its own times, whichever dimension is which."""
    model = built(2, 3, batch_first=batch_first)
    Y, weight = sequence(8, 2, 6).reshape(4, 2, 2), sequence(8, 2, 7).reshape(4, 2, 2)
    found, truth = (
        torch.autograd.grad((run(Y) * weight).sum(), [model.p1_logit, model.p2_logit])
        for run in (QUNNCircuit(model).run, lambda x: model(x)[0])
    )
    for a, b in zip(found, truth, strict=True):
        assert b.abs().max() > 1e-3
        assert (a - b).abs().max() <= 1e-8


def test_a_model_without_parameters_has_no_gradient():
    model, Y = QUNN(2, 3, mode="unitary", p1=1.0, p2=1.0, dtype=torch.float64), sequence(4, 2, 8)
    found = QUNNCircuit(model).run(Y)
    assert not found.requires_grad
    assert (found - model(Y)[0]).abs().max() <= EXACT


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("clock", ["one-hot", "learned-read"])
def test_shots_recover_signs(dtype, clock):
    """Within five standard deviations, and the promised number of shots is what an error takes."""
    model = built(3, 3, clock=clock)
    Y = unit(sequence(4, 3, 8, dtype))
    circuit = QUNNCircuit(model)
    shots = circuit.shots_needed(0.05, Y, sigmas=5.0)
    with torch.no_grad():
        found, truth = circuit.run(Y, shots=shots), model(Y)[0]
    difference = torch.view_as_real((found - truth).to(torch.complex128)).abs()
    assert truth.abs().max() > 0.3  # else a sign could hide in the error
    assert difference.max() <= 0.05


def test_shots_of_a_hybrid_layer():
    model = built(2, 2, mode="literal")
    Y = unit(sequence(3, 2, 9))
    with torch.no_grad():
        found, truth = QUNNCircuit(model).run(Y, shots=40_000), model(Y)[0]
    assert (found - truth).abs().max() <= 0.1  # each layer's error of some 0.005·σ passes through two more


def test_larger_models_hold_circuits():
    from circuits.substitution import with_circuits

    torch.manual_seed(1)
    forecaster = QUNNForecaster(1, 3, heads=2, dtype=torch.float64)
    model = CausallyNormalised(forecaster, 4)
    x = sequence(6, 1, 11)[None]
    changed, parts = with_circuits(model)
    with torch.no_grad():
        assert (changed(x)[0] - model(x)[0]).abs().max() <= EXACT * 10
    assert len(parts) == 2
    assert sum(e.circuits for part in parts for e in part.evaluations) > 0
    with pytest.raises(InputError, match="`state` must be left out"):
        parts[0](x, model(x)[1])
    with pytest.raises(InputError, match="`model` must be a QUNN, or a model that holds one"):
        with_circuits(torch.nn.Linear(2, 2))


def test_a_circuit_of_one_time():
    model = built(3, 5)
    Y = sequence(7, 3, 12)
    circuit = QUNNCircuit(model)
    assert circuit.circuit(6, Y).num_qubits == 5
    with pytest.raises(InputError, match=r"^`input` must be given"):
        circuit.circuit(6)
    circuit.run(Y)
    (state,) = backend(device="CPU").states([circuit.circuit(6)])
    K = circuit.evaluate(Y).hidden[0, 5]
    assert np.abs(np.linalg.norm(Y[5]) * circuit.registers.extracted(state) - K).max() <= EXACT
    assert len(layers(model, Y[:6], 6)) == 5
    Y[5] = 0
    with pytest.raises(InputError, match="`input` must not be zero at l: no state encodes it"):
        circuit.circuit(6, Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthesis": "magic"}, "`synthesis` must be one of"),
        ({"terms": "magic"}, "`terms` must be one of"),
        ({"reps": 0}, "`reps` must be an integer of at least 1"),
        ({"reps": 1.5}, "`reps` must be an integer of at least 1"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(InputError, match=message):
        QUNNCircuit(built(2, 2), **change)


def test_bad_models():
    literal = built(2, 2, mode="literal")
    with pytest.raises(InputError, match=r"`synthesis` must be .*literal"):
        QUNNCircuit(literal, "lie")
    with pytest.raises(InputError, match="`model` must be a QUNN"):
        QUNNCircuit(torch.nn.Linear(2, 2))
    broken = built(2, 2)
    with torch.no_grad():
        broken.p1_logit[0] = float("nan")
    with pytest.raises(InputError, match="`p1_logit` must be finite"):
        QUNNCircuit(broken)
    with pytest.raises(InputError, match="`shots` must be"):
        QUNNCircuit(built(2, 2)).run(sequence(3, 2, 1), shots=0)
    with pytest.raises(InputError, match="`l` must be at most 3"):
        QUNNCircuit(built(2, 2)).circuit(4, sequence(3, 2, 1))


def test_the_gradient_is_that_of_the_parameters_that_ran():
    """As torch has it: changing them before `backward` changes nothing; and no second derivative is made up."""
    Y, found = sequence(5, 2, 0), []
    for changed in (False, True):
        model = built(2, 3)
        output = QUNNCircuit(model, backend=backend(device="CPU")).run(Y)
        if changed:
            with torch.no_grad():
                model.p1_logit.add_(1.0)
        found.append(torch.autograd.grad(output.pow(2).sum(), model.p2_logit, create_graph=True)[0])
    assert torch.equal(*found)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        found[0].sum().backward()


def test_what_cannot_be_run(monkeypatch):
    Y, on = sequence(5, 2, 0), backend(device="CPU")
    with pytest.raises(InputError, match="at least one sequence"):
        QUNNCircuit(built(2, 3), backend=on).run(Y[None][:0])
    for mode in ("unitary", "literal"):
        with pytest.raises(InputError, match="all layers are finite"):
            QUNNCircuit(built(2, 3, mode=mode, activations=("identity",) * 3), "unitary", backend=on).run(1e160 * Y)
    with pytest.raises(InputError, match='mode="unitary"'):
        QUNNCircuit(built(2, 3, mode="literal"), backend=on).shots_needed(0.1, Y)
    monkeypatch.setattr("hamiltonians.memory.available_memory", lambda: 1000)
    with pytest.raises(MemoryEstimateError, match="vectors of 6 rows"):
        QUNNCircuit(built(2, 3), backend=on).run(Y)
