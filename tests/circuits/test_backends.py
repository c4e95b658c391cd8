"""Backends against dense linear algebra: every quantity, device, method and refusal."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import PauliEvolutionGate, StatePreparation, UCGate
from qiskit.quantum_info import SparsePauliOp, random_clifford, random_unitary
from qiskit.synthesis import LieTrotter

from circuits import backends
from circuits.aer_options import AT_RUN, aer_options, read_options
from circuits.backends import METHODS, SimulationError, backend, gpu_fault
from circuits.runs import Runs
from hamiltonians import InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit

Array = NDArray[np.complex128]
PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def embedded(U: Array, qubits: list[int], n: int) -> Array:
    """U on qubits [lowest first] of n, literally: entry by entry."""
    M = np.zeros((2**n, 2**n), complex)
    for column in range(2**n):
        inner = sum((column >> q & 1) << k for k, q in enumerate(qubits))
        for value in range(2 ** len(qubits)):
            row = column
            for k, q in enumerate(qubits):
                row = row & ~(1 << q) | (value >> k & 1) << q
            M[row, column] += U[value, inner]
    return M


def dense_pauli(label: str) -> Array:
    """Qiskit's labels: the last letter acts on qubit 0, the lowest; numpy.kron's last factor is the lowest too."""
    M = np.eye(1, dtype=complex)
    for letter in label:
        M = np.kron(M, PAULIS[letter])
    return M


def random_circuit(n: int, seed: int) -> tuple[QuantumCircuit, Array]:
    """Random unitaries on random qubits in random order, with a global phase, and the state from |0…0>."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi)
    circuit, state = QuantumCircuit(n, global_phase=phase), np.zeros(2**n, complex)
    state[0] = np.exp(1j * phase)
    for _ in range(6):
        k = min(n, int(rng.integers(1, 4)))
        qubits = [int(q) for q in rng.permutation(n)[:k]]
        U = random_unitary(2**k, seed=int(rng.integers(1 << 30))).data
        circuit.unitary(U, qubits)
        state = embedded(U, qubits, n) @ state
    return circuit, state


def device_of(request: pytest.FixtureRequest) -> str:
    if request.param == "GPU" and (fault := gpu_fault()) is not None:
        pytest.skip(f"no GPU runs circuits here: {fault}")
    return str(request.param)


@pytest.fixture(params=["CPU", pytest.param("GPU", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    return device_of(request)


# --- states ---


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("method", ["statevector", "matrix_product_state", "automatic"])
def test_states_are_those_of_dense_matrices_with_global_phase(device: str, method: str, n: int) -> None:
    pairs = [random_circuit(n, seed) for seed in range(4)]
    found = backend(device, method, quiet=True).states([circuit for circuit, _ in pairs])
    assert found.dtype == np.complex128
    np.testing.assert_allclose(found, np.stack([state for _, state in pairs]), atol=1e-10, rtol=0)


def test_single_precision_is_within_1e_5_and_no_double(device: str) -> None:
    circuit, state = random_circuit(6, 1)
    error = np.abs(backend(device, precision="single").states([circuit])[0] - state).max()
    assert 1e-12 < error < 1e-5


def test_index_is_little_endian() -> None:
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.swap(0, 1)  # elided above level 1
    np.testing.assert_array_equal(backend("CPU").states([circuit])[0], np.eye(8)[2])
    assert backend("CPU").counts([circuit], 5) == [{2: 5}]


def test_a_trotter_formula_stays_one() -> None:
    """Trap: an undecomposed evolution gate must not become the exact exponential."""
    terms = {"XXI": 0.7, "IZY": -0.4, "YIZ": 0.3}
    gate = PauliEvolutionGate(SparsePauliOp(list(terms), list(terms.values())), 0.9, synthesis=LieTrotter(reps=2))
    circuit = QuantumCircuit(3)
    circuit.h([0, 1])
    circuit.append(gate, range(3))
    start = backend("CPU").states([circuit.copy_empty_like().compose(QuantumCircuit(3))])[0]
    for qubit in (0, 1):
        start = embedded((PAULIS["X"] + PAULIS["Z"]) / np.sqrt(2), [qubit], 3) @ start
    lie = np.eye(8, dtype=complex)
    for label, c in terms.items():
        lie = scipy.linalg.expm(-0.45j * c * dense_pauli(label)) @ lie
    exact = scipy.linalg.expm(-0.9j * sum(c * dense_pauli(label) for label, c in terms.items()))
    found = backend("CPU").states([circuit])[0]
    np.testing.assert_allclose(found, lie @ lie @ start, atol=1e-10)
    assert np.abs(found - exact @ start).max() > 1e-3


def test_no_qubits_leave_a_phase() -> None:
    circuit = QuantumCircuit(0, global_phase=0.3)
    mixed = backend("CPU", "density_matrix")
    np.testing.assert_allclose(backend("CPU").states([circuit, circuit]), np.full((2, 1), np.exp(0.3j)))
    assert backend("CPU").counts([circuit], 7) == [{0: 7}]
    np.testing.assert_allclose(mixed.densities([circuit]), [[[1]]])
    assert mixed.expectations([circuit], SparsePauliOp([""], [0.25])).tolist() == [0.25]


def test_prepared_state_of_many_amplitudes(rng: np.random.Generator) -> None:
    v = rng.normal(size=32) + 1j * rng.normal(size=32)
    v /= np.linalg.norm(v)
    circuit = QuantumCircuit(5)
    circuit.append(StatePreparation(v), range(5))
    np.testing.assert_allclose(backend("CPU").states([circuit])[0], v, atol=1e-10)


@pytest.mark.parametrize("angles", [[0.1, 0.2], [0.1, 0.2, 0.3, -0.7]])
def test_multiplexed_real_rotations(angles: list[float]) -> None:
    """Aer's own multiplexer is not used: it has crashed the process on real matrices."""
    turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    k = len(angles).bit_length() - 1
    circuit = QuantumCircuit(k + 1)
    circuit.h(range(1, k + 1))
    circuit.append(UCGate(turns), range(k + 1))
    expected = np.concatenate([turn[:, 0] for turn in turns]) / np.sqrt(len(angles))
    np.testing.assert_allclose(backend("CPU").states([circuit])[0], expected, atol=1e-10)


# --- densities and expectations ---


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state", "density_matrix", "automatic"])
def test_densities_are_projectors_of_pure_states(device: str, method: str) -> None:
    pairs = [random_circuit(3, seed) for seed in (7, 8)]
    found = backend(device, method).densities([circuit for circuit, _ in pairs])
    np.testing.assert_allclose(found, [np.outer(v, v.conj()) for _, v in pairs], atol=1e-10)


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state", "density_matrix", "automatic"])
def test_expectations_are_those_of_dense_operators(device: str, method: str) -> None:
    pairs = [random_circuit(3, seed) for seed in (17, 18)]
    operator = SparsePauliOp(["XYZ", "IIZ", "ZXI", "III"], [0.7, -1.2, 0.4, 0.1])
    M = sum(c.real * dense_pauli(label) for label, c in operator.to_list())
    found = backend(device, method).expectations([circuit for circuit, _ in pairs], operator)
    np.testing.assert_allclose(found, [(v.conj() @ M @ v).real for _, v in pairs], atol=1e-10)


def test_density_matrix_averages_over_a_reset() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.8, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    found = backend("CPU", "density_matrix").densities([circuit])[0]
    np.testing.assert_allclose(found, np.diag([np.cos(0.4) ** 2, 0, np.sin(0.4) ** 2, 0]), atol=1e-12)


# --- counts ---


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state", "density_matrix", "automatic"])
def test_counts_are_binomial_around_the_state(device: str, method: str) -> None:
    circuit, state = random_circuit(3, 5)
    shots = 20_000
    (found,) = backend(device, method, seed=3).counts([circuit], shots)
    p = np.abs(state) ** 2
    counts = np.array([found.get(key, 0) for key in range(8)])
    assert counts.sum() == shots
    assert (np.abs(counts - shots * p) <= 5 * np.sqrt(shots * p * (1 - p)) + 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_counts(method: str) -> None:
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    circuit.cx(0, 3)
    first, again, other = (backend("CPU", method, seed=s).counts([circuit] * 2, 300) for s in (4, 4, 5))
    assert first == again != other
    assert backend("CPU", method, seed=4, threads=1).counts([circuit] * 2, 300) == first


def test_counts_read_all_qubits_whatever_else_is_measured() -> None:
    circuit = QuantumCircuit(3)
    circuit.add_register(ClassicalRegister(2, "mid"))
    circuit.h(0)
    circuit.measure(0, 1)
    circuit.x(2)
    (found,) = backend("CPU").counts([circuit], 400)
    assert set(found) == {0b100, 0b101}
    assert sum(found.values()) == 400


# --- stabilizer ---


@pytest.mark.parametrize("seed", range(3))
def test_stabilizer_on_clifford_circuits(seed: int) -> None:
    circuit = QuantumCircuit(4, global_phase=0.3)
    circuit.append(random_clifford(4, seed=seed).to_circuit().to_gate(), range(4))
    circuit.rz(-np.pi / 2, 1)  # Clifford at this angle; Aer's stabilizer knows no rz
    circuit.rx(np.pi / 2, 2)
    circuit.cp(np.pi, 0, 3)
    state = backend("CPU").states([circuit])[0]
    tableau = backend("CPU", "stabilizer", seed=1)
    (found,) = tableau.counts([circuit], 4_000)
    p = np.abs(state) ** 2
    counts = np.array([found.get(key, 0) for key in range(16)])
    assert (np.abs(counts - 4_000 * p) <= 5 * np.sqrt(4_000 * p * (1 - p)) + 1e-6).all()
    operator = SparsePauliOp(["XYZI", "ZZII", "IXIY", "YIII", "IZZX"], [1, 2, 3, 4, 5])
    M = sum(c.real * dense_pauli(label) for label, c in operator.to_list())
    np.testing.assert_allclose(tableau.expectations([circuit], operator), [(state.conj() @ M @ state).real], atol=1e-10)


def test_stabilizer_and_mps_go_where_no_state_vector_fits() -> None:
    circuit = QuantumCircuit(60)
    circuit.h(0)
    for q in range(59):
        circuit.cx(q, q + 1)
    for method in ("stabilizer", "matrix_product_state"):
        (found,) = backend("CPU", method).counts([circuit], 200)
        assert set(found) == {0, 2**60 - 1}


def test_stabilizer_names_the_gate_that_is_not_clifford() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rz(0.3, 2)
    with pytest.raises(InputError, match=r"Clifford gates for stabilizer, but is 'rz\(0\.3\) on qubit 2'"):
        backend("CPU", "stabilizer").counts([circuit], 10)


# --- refusals ---


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "cpu"}, "`device` must be one of auto, CPU, GPU, but is 'cpu'"),
        ({"device": "CPU", "method": "tensor"}, "`method` must be one of statevector"),
        ({"device": "CPU", "precision": "half"}, "`precision` must be one of double, single"),
        ({"device": "CPU", "noise": 0.1}, "`noise` must be a NoiseModel"),
        ({"device": "CPU", "seed": -1}, "`seed` must be"),
        ({"device": "CPU", "threads": 0}, "`threads` must be"),
    ],
)
def test_unknown_options(options: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        backend(**options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["statevector", "density_matrix"])
def test_too_many_qubits_are_refused_before_anything_runs(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "lowered", None)
    with pytest.raises(MemoryEstimateError, match="1 circuit of 40 qubits"):
        backend("CPU", method).counts([QuantumCircuit(40)], 1)


def test_saved_states_count_too() -> None:
    circuits = [QuantumCircuit(10)] * 100
    token = memory_limit.set(2 * 2**20)  # one state is 16 KiB, a hundred twice are 3.1 MiB
    try:
        backend("CPU").counts(circuits, 1)
        for method in ("statevector", "matrix_product_state"):
            with pytest.raises(MemoryEstimateError, match="100 circuits of 10 qubits"):
                backend("CPU", method).states(circuits)
        with pytest.raises(MemoryEstimateError):
            backend("CPU", "density_matrix").densities(circuits[:1])
    finally:
        memory_limit.reset(token)


def test_wrong_circuits_are_one_line_errors() -> None:
    run = backend("CPU")
    measured = QuantumCircuit(1, 1)
    measured.measure(0, 0)
    free = QuantumCircuit(1)
    free.rx(Parameter("a"), 0)
    for circuits, match in (
        ([], "one or more circuits"),
        ([QuantumCircuit(1), QuantumCircuit(2)], "one width"),
        ([free], "lack those of a"),
        ([measured], "without measurements"),
    ):
        with pytest.raises(InputError, match=match):
            run.states(circuits)
    with pytest.raises(InputError, match="`shots` must be"):
        run.counts([QuantumCircuit(1)], 0)
    with pytest.raises(InputError, match="`method` must be one of"):
        backend("CPU", "density_matrix").states([QuantumCircuit(1)])
    with pytest.raises(InputError, match="`method` must be one of"):
        backend("CPU", "stabilizer").densities([QuantumCircuit(1)])
    with pytest.raises(InputError, match="Hermitian"):
        run.expectations([QuantumCircuit(1)], SparsePauliOp(["X"], [1j]))
    with pytest.raises(InputError, match="on 1 qubits"):
        run.expectations([QuantumCircuit(1)], SparsePauliOp(["XX"]))


def test_a_result_without_success_raises(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Trap: Aer does not raise where memory is short."""
    monkeypatch.setattr(backends, "require_memory", lambda *_: None)
    circuit = QuantumCircuit(50)
    circuit.h(0)
    with pytest.raises(SimulationError, match="Insufficient memory") as caught:
        backend("CPU").states([circuit])
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_running_elsewhere_than_asked_raises() -> None:
    """The device is what the result says, not what was asked for."""
    posing = backends.Backend("GPU", "statevector", "double", None, 0, None)
    vars(posing)["_simulator"] = backend("CPU")._simulator
    circuit = QuantumCircuit(1)
    circuit.h(0)
    with pytest.raises(SimulationError, match="asked for statevector on GPU, but ran statevector on CPU"):
        posing.states([circuit])


# --- the GPU, or its absence ---


def test_auto_falls_back_with_one_line_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(backends, "gpu_fault", lambda: "No CUDA device available!")
    backends._tell.cache_clear()
    assert backend(quiet=True).device == "CPU"
    assert capfd.readouterr().err == ""
    assert [backend().device, backend().device] == ["CPU", "CPU"]
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "circuits run on the CPU: no GPU answers (No CUDA device available!)\n"


def test_gpu_without_a_card_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "gpu_fault", lambda: "No CUDA device available!")
    with pytest.raises(InputError, match="no GPU answers, but is 'GPU': No CUDA device available!"):
        backend("GPU")


def test_the_probe_runs_a_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Aer says before it runs counts for nothing: a simulator that is a CPU's in truth is found out."""
    simulator = backends.AerSimulator
    monkeypatch.setattr(backends, "AerSimulator", lambda **options: simulator(**{**options, "device": "CPU"}))
    assert backends._probed.__wrapped__() == "it ran on CPU"


def test_describe_is_plain() -> None:
    found = backend("CPU", "density_matrix", "single", seed=3, threads=2, aer={"fusion_enable": False}).describe()
    assert found == {
        "device": "CPU",
        "method": "density_matrix",
        "precision": "single",
        "noise": None,
        "seed": 3,
        "threads": 2,
        "aer": {"fusion_enable": False},
        "memory": "estimated before a run",
    }


# --- options of Aer's own ---

SPLIT = {"blocking_enable": True, "blocking_qubits": 3}


def test_options_reach_aer(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        **SPLIT,
        "chunk_swap_buffer_qubits": 2,
        "batched_shots_gpu": True,
        "cuStateVec_enable": True,
        "num_threads_per_device": np.int64(2),
        "zero_threshold": 0,
        "target_gpus": (0, 1),
    }
    made = backend("CPU", aer=given)
    for name, value in made.aer.items():
        if name != "target_gpus":
            assert getattr(made._simulator.options, name) == value, name
    at_run = {}
    run = backends.AerSimulator.run
    monkeypatch.setattr(
        backends.AerSimulator, "run", lambda self, *a, **given: (at_run.update(given), run(self, *a, **given))[1]
    )
    np.testing.assert_allclose(made.states([random_circuit(5, 1)[0]])[0], random_circuit(5, 1)[1], atol=1e-12)
    assert at_run["target_gpus"] == [0, 1]


@pytest.mark.parametrize("method", ["statevector", "density_matrix"])
def test_a_state_in_blocks_is_the_same_state(method: str) -> None:
    """Blocks of 2^3 amplitudes exchange qubits as cards and processes do; Aer's metadata say that it did."""
    circuit, state = random_circuit(6, 4)
    whole, split = backend("CPU", method, seed=5), backend("CPU", method, seed=5, aer=SPLIT)
    seen = []
    check = backends.Backend._check
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            backends.Backend,
            "_check",
            lambda self, result: (seen.append(result.results[0].metadata), check(self, result)),
        )
        density = split.densities([circuit])[0]
    assert seen[0]["cacheblocking"]["enabled"]
    np.testing.assert_allclose(density, np.outer(state, state.conj()), atol=1e-12)
    assert split.counts([circuit], 200) == whole.counts([circuit], 200)
    Z = SparsePauliOp("IIZZXX")
    np.testing.assert_allclose(split.expectations([circuit], Z), whole.expectations([circuit], Z), atol=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"blocking": True},
            r"`aer` must be named as AerSimulator's options are \(blocking_qubits, .*but is 'blocking'",
        ),
        ({"device": "CPU"}, "`aer` must not hold device"),
        ({"noise_model": None}, "`aer` must not hold noise_model"),
        ({"executor": None}, "`aer` must not hold executor"),
        ({"blocking_qubits": "3"}, "`aer: blocking_qubits` must be a whole number, but is '3'"),
        ({"blocking_qubits": True}, "must be a whole number, but is True"),
        ({"blocking_enable": 1}, "`aer: blocking_enable` must be true or false, but is 1"),
        ({"cuStateVec_enable": 1}, "must be true or false, but is 1"),
        ({"zero_threshold": "small"}, "must be a number, but is 'small'"),
        ({"mps_swap_direction": 1}, "must be a word, but is 1"),
        ({"target_gpus": 0}, "must be whole numbers from 0, but is 0"),
        ({"target_gpus": [0, -1]}, "must be whole numbers from 0"),
        ({"target_gpus": []}, "must be whole numbers from 0"),
    ],
)
def test_options_that_aer_has_not(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        backend("CPU", aer=given)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["blocking_enable=true", "blocking_qubits=20"], {"blocking_enable": True, "blocking_qubits": 20}),
        (["target_gpus=0,1", "cuStateVec_enable=False"], {"target_gpus": [0, 1], "cuStateVec_enable": False}),
        (["zero_threshold=1e-12", "mps_swap_direction=mps_swap_right"], None),
    ],
)
def test_options_of_a_command_line(words: list[str], options: dict[str, object] | None) -> None:
    expected = {"zero_threshold": 1e-12, "mps_swap_direction": "mps_swap_right"} if options is None else options
    assert read_options(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["blocking_enable"], "`--aer` must be KEY=VALUE, but is 'blocking_enable'"),
        (["blocking_enable=yes"], "must be true or false, but is 'yes'"),
        (["blocking_qubits=2.5"], "must be a whole number, but is '2.5'"),
        (["target_gpus="], "must be whole numbers from 0, but is ''"),
        (["fusion_enable=true", "fusion_enable=false"], "`aer: fusion_enable` must be given once"),
        (["shots=5"], "`aer` must not hold shots"),
    ],
)
def test_options_of_a_command_line_that_are_wrong(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_options(words)


def test_every_option_is_aers() -> None:
    """A default of each has the type that is asked for, and the simulator takes it, or takes it when it runs."""
    defaults = backends.AerSimulator._default_options()
    for name, kind in aer_options().items():
        assert hasattr(defaults, name) or name in AT_RUN, name
        default = getattr(defaults, name, None)
        assert default is None or isinstance(default, kind), name


def test_ranks_share_a_state_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Aer is built with MPI a process holds its part of the 16 · 2^n bytes."""
    circuit = QuantumCircuit(20)
    token = memory_limit.set(16 * 2**20 // 2)
    try:
        with pytest.raises(MemoryEstimateError):
            backend("CPU", aer=SPLIT)._require(20, 1, 0)
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
        backend("CPU", aer=SPLIT)._require(20, 1, 0)
        with pytest.raises(MemoryEstimateError):
            backend("CPU").counts([circuit], 1)
    finally:
        memory_limit.reset(token)


def test_shots_of_two_seeds_and_of_one() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    (first,), (other,), (again,) = (backend("CPU", seed=5).counts([circuit], 1000, seed=s) for s in (None, 6, 5))
    assert first == again != other


def test_shots_are_asked_for_before_they_are_taken() -> None:
    with pytest.raises(MemoryEstimateError, match="shots"):
        backend("CPU").counts([QuantumCircuit(1)], 10**30)


def test_jobs_that_follow_each_other_are_independent() -> None:
    """Noise of a QUNN's layers that came from one seed would add up."""
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    runs = Runs(backend("CPU", seed=5))
    first, second = runs.counts([circuit], 1000), runs.counts([circuit], 1000)
    assert first != second
    assert runs.circuits == 2
