"""Circuits run on Aer: exact states, counts, density matrices and expectations, on a CPU or a GPU.

Little-endian throughout: qubit 0 is the least significant bit of every index and of every key.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit, generate_preset_pass_manager
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.result import Result
from qiskit.transpiler import CouplingMap, PassManager
from qiskit_aer import AerError, AerSimulator
from qiskit_aer.noise import NoiseModel

from circuits import noise as noise_models
from circuits.aer_options import AT_RUN, checked_options
from circuits.lowering import lowered
from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.memory import require_memory
from qunn.ranks import place

Array = NDArray[Any]

DEVICES = ("auto", "CPU", "GPU")
METHODS = ("statevector", "matrix_product_state", "density_matrix", "stabilizer", "automatic")
PRECISIONS = ("double", "single")

_PURE = ("statevector", "matrix_product_state", "automatic")  # what holds a state vector
_DENSE = ("statevector", "density_matrix")  # what takes the whole space's memory for every circuit
_BYTES = {"double": 16, "single": 8}
_BYTES_A_SHOT = 120  # while Aer samples a state vector, as measured
_SMALLER = "fewer qubits or circuits at once, or matrix_product_state for counts and expectations"


class SimulationError(RuntimeError):
    """Aer did not do what was asked: it failed, or ran elsewhere or by another method; one line."""


def backend(
    device: str = "auto",
    method: str = "statevector",
    precision: str = "double",
    noise: NoiseModel | None = None,
    seed: int = 0,
    threads: int | None = None,
    *,
    aer: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Backend:
    """Where and how circuits run.

    Parameters
    ----------
    device : CPU; GPU; or auto, which is the GPU where one runs a one-qubit circuit and else the CPU, with one line on
        stderr the first time.
    method : one of `METHODS`. matrix_product_state is exact here (nothing is truncated); automatic is Aer's choice.
    precision : double, or single (errors near 1e-6; half the memory).
    noise : see `circuits.noise`. Circuits are then written in its gates, on its pairs of qubits.
    seed : of shots, trajectories and routing; the same seed gives the same counts.
    threads : at most so many on a CPU; None leaves it to Aer.
    aer : other options of AerSimulator by their names there, such as {"blocking_enable": True, "blocking_qubits": 24}
        for a state over several cards or MPI processes.
    quiet : say nothing on stderr.

    Raises
    ------
    InputError : a name that is not known, an option of Aer that it has not or of another type, noise together with
        stabilizer, or GPU where none answers: the message holds what the probe said.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from circuits import backend
    >>> ghz = QuantumCircuit(60)
    >>> _ = ghz.h(0), [ghz.cx(0, i) for i in range(1, 60)]
    >>> (counts,) = backend("CPU", method="stabilizer", seed=7).counts([ghz], shots=50)
    >>> sorted(counts) == [0, 2**60 - 1]
    True
    """
    for field, allowed, value in (
        ("device", DEVICES, device),
        ("method", METHODS, method),
        ("precision", PRECISIONS, precision),
    ):
        if value not in allowed:
            raise must_be(field, one_of(allowed), value)
    if noise is not None and not isinstance(noise, NoiseModel):
        raise must_be("noise", "a NoiseModel or None", noise)
    if noise is not None and method == "stabilizer":
        raise InputError("`noise` must be None with stabilizer: noisy gates are not all Clifford", "noise")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise must_be("seed", "a whole number from 0 to 2^31 - 1", seed)
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise must_be("threads", "a whole number from 1", threads)
    # a failed run is logged by Aer and raised here: without a handler the log would be a second message on stderr
    logging.getLogger("qiskit_aer").addHandler(logging.NullHandler())
    options = checked_options(aer)
    return Backend(_resolved(device, quiet), method, precision, noise, int(seed), threads, options)


def gpu_fault() -> str | None:
    """Why no GPU runs circuits here, or None where one does; found by running one qubit, once a process.

    `AerSimulator().available_devices()` would not do: it tells what Aer was compiled for.
    """
    return _probed()


@cache
def _probed() -> str | None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.save_statevector()
    try:
        result = AerSimulator(device="GPU", method="statevector").run(circuit).result()
    except (RuntimeError, QiskitError) as error:  # AerError is a QiskitError
        return _line(error)
    if not result.success:
        return " ".join(str(result.status).split())
    ran_on = result.results[0].metadata.get("device")
    return None if ran_on == "GPU" else f"it ran on {ran_on}"


def _resolved(device: str, quiet: bool) -> str:
    if device == "CPU":
        return device
    fault = gpu_fault()
    if fault is None:
        return "GPU"
    if device == "GPU":
        raise InputError(f"`device` must be CPU or auto where no GPU answers, but is 'GPU': {fault}", "device")
    if not quiet:
        _tell(fault)
    return "CPU"


@cache  # once a process
def _tell(fault: str) -> None:
    print(f"circuits run on the CPU: no GPU answers ({fault})", file=sys.stderr)


@final
@dataclass(frozen=True)
class Backend:
    """A device, a method and a seed; made by `backend`.

    Every method takes a sequence of circuits of one width n, runs them as one job, and raises

    - InputError : no circuit, several widths, parameters without values, or a method that cannot give the quantity.
    - MemoryEstimateError : before anything is allocated. On a GPU only what comes back to the host is estimated: how
      much the card has free is not known beforehand; too little of it is a SimulationError.
    - SimulationError : Aer reports failure, or its metadata name another device or method than were asked for.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from circuits import backend
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> cpu = backend("CPU", seed=1)
    >>> (abs(cpu.states([bell])[0]) ** 2).round(12).tolist()
    [0.5, 0.0, 0.0, 0.5]
    >>> (counts,) = cpu.counts([bell], shots=100)
    >>> sorted(counts), sum(counts.values())
    ([0, 3], 100)
    """

    device: str
    method: str
    precision: str
    noise: NoiseModel | None
    seed: int
    threads: int | None
    aer: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def describe(self) -> dict[str, Any]:
        """The attributes as plain values; `noise` is the list of instructions that are noisy."""
        noisy = None if self.noise is None else sorted(self.noise.noise_instructions)
        return {
            "device": self.device,
            "method": self.method,
            "precision": self.precision,
            "noise": noisy,
            "seed": self.seed,
            "threads": self.threads,
            "aer": dict(self.aer),
            "memory": "estimated before a run" if self.device == "CPU" else "of the card is not known before a run",
        }

    # --- what comes back ---

    def states(self, circuits: Sequence[QuantumCircuit]) -> Array:
        """The final states from |0…0>, with their global phase: complex128 [m, 2^n], in either precision.

        Raises
        ------
        InputError : also with noise, a method without a state vector, or a circuit that measures or resets: its state
            is random.
        """
        self._needs(_PURE, "states")
        if self.noise is not None:
            raise InputError("`noise` must be None for states: a noisy state is a density matrix", "noise")
        n = _width(circuits)
        for circuit in circuits:
            _check_unitary(circuit)
        self._require(n, len(circuits), len(circuits) * 2**n)
        if n == 0:  # Aer saves no state of no qubits
            return np.stack([Statevector(circuit).data for circuit in circuits])
        result = self._run(circuits, lambda circuit, _: circuit.save_statevector())
        return np.stack([np.asarray(result.data(i)["statevector"]) for i in range(len(circuits))])

    def densities(self, circuits: Sequence[QuantumCircuit]) -> Array:
        """The final density matrices, exact with noise too: complex128 [m, 2^n, 2^n].

        A readout error is not in them: nothing is read.

        Raises
        ------
        InputError : also with noise by another method than density_matrix, and with stabilizer.
        """
        self._needs(("density_matrix",) if self.noise else (*_PURE, "density_matrix"), "densities")
        n = _width(circuits)
        if not self._mixes:
            for circuit in circuits:
                _check_unitary(circuit)
        self._require(n, len(circuits), len(circuits) * 4**n)
        if n == 0:
            return np.ones((len(circuits), 1, 1), complex)
        result = self._run(circuits, lambda circuit, qubits: circuit.save_density_matrix(qubits))
        return np.stack([np.asarray(result.data(i)["density_matrix"]) for i in range(len(circuits))])

    def counts(
        self, circuits: Sequence[QuantumCircuit], shots: int, *, seed: int | None = None
    ) -> list[dict[int, int]]:
        """How often all qubits were read as each number, qubit 0 its lowest bit.

        `seed` is that of these shots, the backend's unless it is given: two jobs of one seed are not independent. With
        noise, density_matrix samples the exact distribution and the other methods run one trajectory a shot.

        Raises
        ------
        InputError : also shots below 1.
        """
        if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
            raise must_be("shots", "a whole number from 1", shots)
        n = _width(circuits)
        require_memory(_BYTES_A_SHOT * int(shots), f"{shots:,} shots", "fewer shots")
        self._require(n, len(circuits), 0)
        if n == 0:
            return [{0: int(shots)} for _ in circuits]
        result = self._run([_measured(circuit) for circuit in circuits], _nothing_saved, int(shots), seed)
        return [_numbered(result.get_counts(i)) for i in range(len(circuits))]

    def expectations(self, circuits: Sequence[QuantumCircuit], operator: SparsePauliOp) -> Array:
        """<operator> in the final states, exact: float64 [m].

        Raises
        ------
        InputError : also an operator of another width or one that is not Hermitian (Aer would drop what is imaginary),
            and with noise by another method than density_matrix.
        """
        self._needs(("density_matrix",) if self.noise else METHODS, "expectations")
        n = _width(circuits)
        if operator.num_qubits != n:
            raise must_be("operator", f"on {n} qubits like the circuits", f"one on {operator.num_qubits}")
        simple = operator.simplify()
        if np.abs(simple.coeffs.imag).max(initial=0) > 1e-12 * np.abs(simple.coeffs).max(initial=1):
            raise InputError("`operator` must be Hermitian, but has Pauli coefficients that are not real", "operator")
        if not self._mixes:
            for circuit in circuits:
                _check_unitary(circuit)
        self._require(n, len(circuits), 0)
        if n == 0:
            return np.full(len(circuits), simple.coeffs.real.sum())
        real = SparsePauliOp(simple.paulis, simple.coeffs.real)
        result = self._run(circuits, lambda circuit, qubits: circuit.save_expectation_value(real, qubits))
        return np.array([result.data(i)["expectation_value"] for i in range(len(circuits))])

    # --- how ---

    @property
    def _mixes(self) -> bool:
        """Whether measurements and resets on the way lead to the average state and not to a random one."""
        return self.method == "density_matrix"

    @cached_property
    def _simulator(self) -> AerSimulator:
        return AerSimulator(
            device=self.device,
            method=self.method,
            precision=self.precision,
            noise_model=self.noise,
            max_parallel_threads=self.threads or 0,
            **{name: value for name, value in self.aer.items() if name not in AT_RUN},
        )

    def _needs(self, methods: Sequence[str], what: str) -> None:
        if self.method not in methods:
            noisy = " with noise" if self.noise is not None else ""
            raise must_be("method", f"{one_of(methods)} for {what}{noisy}", self.method)

    def _require(self, n: int, m: int, saved: int) -> None:
        """Memory of one state while it runs (circuits of a job follow each other) and twice of all that is saved.

        Bytes: 16 (single: 8) 2^n of a state vector, 4^n of a density matrix; `saved` numbers of 16 bytes, which Aer
        hands over and which are stacked then. Matrix-product states, stabilizer and automatic find out while they run.
        """
        running = 0
        if self.device == "CPU" and self.method in _DENSE:
            running = _BYTES[self.precision] * (4**n if self.method == "density_matrix" else 2**n)
            if self.aer.get("blocking_enable"):  # Aer built with MPI: each process holds its part
                running //= place()[1]
        what = f"{m} circuit{'s' * (m > 1)} of {n} qubits by {self.method}, {self.precision} precision"
        require_memory(running + 2 * 16 * saved, what, _SMALLER)

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        finish: Callable[[QuantumCircuit, list[int]], Any],
        shots: int = 1,
        seed: int | None = None,
    ) -> Result:
        """All circuits as one job; `finish` appends what is saved, given the places of the circuit's qubits."""
        prepared = []
        for circuit in circuits:
            ready, places = self._prepared(circuit)
            finish(ready, places)
            prepared.append(ready)
        try:
            late = {name: value for name, value in self.aer.items() if name in AT_RUN}
            seed = self.seed if seed is None else seed
            result = self._simulator.run(prepared, shots=shots, seed_simulator=seed, **late).result()
        except (AerError, RuntimeError) as error:
            raise SimulationError(f"Aer failed: {_line(error)}") from error
        self._check(result)
        return result

    def _check(self, result: Result) -> None:
        if not result.success:
            statuses = [str(one.status) for one in result.results if not one.success] or [str(result.status)]
            card = "; a card with too little memory looks like this too" if self.device == "GPU" else ""
            raise SimulationError(f"Aer failed: {' '.join(statuses[0].split())}{card}")
        for one in result.results:
            used = one.metadata.get("device"), one.metadata.get("method")
            asked = self.device, used[1] if self.method == "automatic" else self.method
            if used != asked:
                raise SimulationError(f"Aer was asked for {asked[1]} on {asked[0]}, but ran {used[1]} on {used[0]}")

    def _prepared(self, circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
        """In gates that Aer runs, or that the noise is on, and where its qubits end up.

        Never above optimisation level 1: levels 2 and 3 approximate and leave permutations out.
        """
        if self.noise is None:
            return lowered(circuit, self.method), list(range(circuit.num_qubits))
        return self._on_noisy_gates(circuit)

    @cached_property
    def _coupled(self) -> CouplingMap | None:
        return None if self.noise is None else noise_models.pairs(self.noise)

    @cached_property
    def _to_noisy_gates(self) -> PassManager:
        assert self.noise is not None
        return generate_preset_pass_manager(
            optimization_level=1,
            basis_gates=noise_models.gates(self.noise),
            coupling_map=self._coupled,
            seed_transpiler=self.seed,
        )

    def _on_noisy_gates(self, circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
        n = circuit.num_qubits
        if self._coupled is not None and self._coupled.size() < n:
            raise must_be("circuits", f"on at most the {self._coupled.size()} qubits of the device", n)
        ready = self._to_noisy_gates.run(circuit)
        places = list(range(n)) if ready.layout is None else ready.layout.final_index_layout()
        active = {*places} | {ready.find_bit(q).index for one in ready.data for q in one.qubits}
        self._require(len(active), 1, 0)  # routing may pass through qubits that the circuit does not have
        return ready, places


# --- circuits ---


def _width(circuits: Sequence[QuantumCircuit]) -> int:
    """The number of qubits that all have."""
    widths = sorted({circuit.num_qubits for circuit in circuits})
    if len(widths) != 1:
        raise must_be("circuits", "one or more circuits of one width", f"of {widths} qubits" if widths else "none")
    for circuit in circuits:
        if circuit.parameters:
            names = ", ".join(sorted(p.name for p in circuit.parameters))
            raise InputError(f"`circuits` must have values for all parameters, but lack those of {names}", "circuits")
    return int(widths[0])


def _check_unitary(circuit: QuantumCircuit) -> None:
    """Refuse what leads to a random state."""
    for instruction in circuit.data:
        name = instruction.operation.name
        if name in ("measure", "reset", "initialize") or instruction.clbits:
            raise must_be("circuits", "without measurements, resets and classical bits for an exact state", name)


def _nothing_saved(_circuit: QuantumCircuit, _qubits: list[int]) -> None:
    """Counts come by themselves."""


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    """With a last register that all qubits are read into, whatever else is measured before."""
    read = ClassicalRegister(circuit.num_qubits)
    measured = circuit.copy()
    measured.add_register(read)
    measured.measure(range(circuit.num_qubits), read)
    return measured


def _numbered(counts: dict[str, int]) -> dict[int, int]:
    """Keys as numbers: the register added last stands first, apart by a blank; earlier ones are summed over."""
    found: dict[int, int] = {}
    for bits, count in counts.items():
        key = int(bits.split()[0], 2)
        found[key] = found.get(key, 0) + int(count)
    return dict(sorted(found.items()))


def _line(error: BaseException) -> str:
    text = error.message if isinstance(error, QiskitError) else str(error)
    return " ".join(text.split())
