"""Noise models, and where they act: the gates, and the pairs of qubits, that a circuit must be written in.

An error belongs to a gate's name, and in a device's model to certain qubits too: another gate, or the same gate
elsewhere, runs without any noise and nobody is told. So a circuit is transpiled to `gates(noise)` on `pairs(noise)`
before it runs.
"""

from __future__ import annotations

import importlib

from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.providers import BackendV2
from qiskit.transpiler import CouplingMap
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from hamiltonians.errors import InputError, must_be

#: what `depolarising` acts on; neighbouring one-qubit gates are one `u`
_GATES = ("cx", "u")
_NO_GATES = ("measure", "reset", "delay")
_FAKES = "qiskit_ibm_runtime.fake_provider"


def depolarising(one_qubit: float = 0.0, two_qubit: float = 0.0, readout: float = 0.0) -> NoiseModel:
    """Depolarising gates and a symmetric readout error, the same on all qubits.

    After every gate on n qubits ρ becomes (1-λ) ρ + λ I/2^n on them (traced over the rest of ρ); a measured bit is
    wrong with the probability `readout`.

    Parameters
    ----------
    one_qubit, two_qubit : λ of a `u` and of a `cx`, the gates that circuits are transpiled to under this model.
    readout : in [0, 1]; it acts on counts, not on density matrices.

    Raises
    ------
    InputError : a rate outside [0, 1].

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from circuits import backend
    >>> from circuits.noise import depolarising
    >>> flips = QuantumCircuit(2)
    >>> _ = flips.cx(0, 1)
    >>> noisy = backend("CPU", method="density_matrix", noise=depolarising(two_qubit=0.4))
    >>> (rho,) = noisy.densities([flips])
    >>> rho.diagonal().real.round(12).tolist()  # 0.6 of |00>, and 0.4 over all four
    [0.7, 0.1, 0.1, 0.1]
    """
    for name, rate in (("one_qubit", one_qubit), ("two_qubit", two_qubit), ("readout", readout)):
        if not 0 <= rate <= 1:
            raise must_be(name, "in [0, 1]", rate)
    noise = NoiseModel(basis_gates=list(_GATES))
    noise.add_all_qubit_quantum_error(depolarizing_error(one_qubit, 1), ["u"])
    noise.add_all_qubit_quantum_error(depolarizing_error(two_qubit, 2), ["cx"])
    if readout:
        noise.add_all_qubit_readout_error(ReadoutError([[1 - readout, readout], [readout, 1 - readout]]))
    return noise


def from_fake(name_or_backend: str | BackendV2) -> NoiseModel:
    """The noise of a device as its properties tell: depolarising and thermal relaxation of gates, and readout errors.

    Relaxation of idle qubits is not in it: that would need a schedule.

    Parameters
    ----------
    name_or_backend : a `BackendV2` (Qiskit's own `GenericBackendV2`, a `Fake…V2` of qiskit-ibm-runtime), or the name of
        one of the latter.

    Raises
    ------
    InputError : no such backend, or a name where qiskit-ibm-runtime is not installed.

    Examples
    --------
    >>> from qiskit.providers.fake_provider import GenericBackendV2
    >>> from circuits.noise import from_fake
    >>> sorted(from_fake(GenericBackendV2(2, seed=0)).noise_qubits)
    [0, 1]
    """
    device = _fake(name_or_backend) if isinstance(name_or_backend, str) else name_or_backend
    if not isinstance(device, BackendV2):
        raise must_be("noise", "a BackendV2 or the name of a fake one", device)
    return NoiseModel.from_backend(device)


def _fake(name: str) -> BackendV2:
    try:
        provider = importlib.import_module(_FAKES)
    except ModuleNotFoundError as error:
        raise InputError(
            f"`noise` is the name {name!r}, and fake backends by name need qiskit-ibm-runtime: "
            "pip install qiskit-ibm-runtime",
            "noise",
        ) from error
    fake = vars(provider).get(name)
    if not isinstance(fake, type) or not issubclass(fake, BackendV2):
        raise must_be("noise", f"the name of a BackendV2 in {_FAKES}, such as FakeManilaV2", name)
    return fake()


def noise_of(text: str) -> NoiseModel:
    """The model that a command line names: the rate of a CX, a tenth of it for `u` and readout; or a fake backend.

    Raises
    ------
    InputError : a rate outside [0, 1], or as `from_fake`.

    Examples
    --------
    >>> from circuits.noise import noise_of
    >>> sorted(noise_of("0.01").noise_instructions)
    ['cx', 'measure', 'u']
    """
    try:
        rate = float(text)
    except ValueError:
        return from_fake(text)
    if not 0 <= rate <= 1:
        raise must_be("noise", "a rate in [0, 1] or the name of a fake backend", text)
    return depolarising(rate / 10, rate, rate / 10)


def gates(noise: NoiseModel) -> list[str]:
    """The gates that circuits must be written in for the errors to be where they belong."""
    known = get_standard_gate_name_mapping()  # a device's list has control flow too
    return [name for name in noise.basis_gates if name in known and name not in _NO_GATES]


def pairs(noise: NoiseModel) -> CouplingMap | None:
    """The pairs (control, target) that two-qubit errors are known for; None where they are the same for all."""
    local = [
        tuple(qubits)
        for error in noise.to_dict()["errors"]
        for qubits in error.get("gate_qubits") or []
        if error["type"] == "qerror"
    ]
    coupled = {qubits for qubits in local if len(qubits) == 2}
    if not coupled:
        return None
    found = CouplingMap(sorted(coupled))
    for (qubit,) in (qubits for qubits in local if len(qubits) == 1):
        if qubit not in found.physical_qubits:
            found.add_physical_qubit(qubit)
    return found
