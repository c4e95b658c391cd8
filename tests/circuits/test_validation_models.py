"""The cross-validation of QUNNs: it passes on sound backends of every shape, and every row of it can fail."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from circuits import QUNNCircuit, backend
from circuits.backends import Backend
from circuits.validation import literal_qunn
from circuits.validation.claim import Subject
from circuits.validation.literal_qunn import Network
from circuits.validation.model_forms import Form, forms, random_units
from circuits.validation.model_gradients import Gradients
from circuits.validation.model_mutations import MODEL, MODEL_FAILS
from circuits.validation.model_rows import ROWS, validate_model
from circuits.validation.model_shots import noisy_outputs
from circuits.validation.model_tools import COLUMNS, GENUINE, ModelTools, variant
from circuits.validation.model_trotter import fitted_order
from hamiltonians import InputError
from hamiltonians.memory import memory_limit
from qunn import ARNN, QUNN, CausallyNormalised, QUNNForecaster
from qunn.activations import activation
from qunn.quantum import dense, fused, structured

F64, C128 = torch.float64, torch.complex128
ON = backend("CPU")


def moved(model: Any, seed: int = 7) -> Any:
    """Every parameter away from its first value."""
    return moved_by(model, 0.2, seed)


def moved_by(model: Any, far: float, seed: int = 7) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += far * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


def built(d: int, N: int, L: int | None = None, **options: Any) -> QUNN:
    torch.manual_seed(1)
    return moved(QUNN(d, N, L, **{"p1": 0.3, "p2": 0.6, "dtype": F64, "step": 0.7} | options))


def forecaster() -> CausallyNormalised:
    torch.manual_seed(1)
    return moved(CausallyNormalised(QUNNForecaster(1, 3, heads=2, step=0.7, dtype=F64), 4))


SHAPES: dict[str, Callable[[], nn.Module]] = {
    "one dimension": lambda: built(1, 3, mode="unitary", clock="learned"),
    "complex": lambda: built(2, 4, skip="diagonal", dtype=C128),
    "odd sizes": lambda: built(3, 5, 4),
    "everything": lambda: built(2, 3, 4, clock="learned-read", skip="matrix", history="block", dtype=torch.float32),
    "fixed": lambda: built(3, 2, p1=0.0, p2=0.5, share=True, step=1.0, activations=("relu", "softplus", "sin")),
    "larger model": forecaster,
}


def validated(model: nn.Module, tools: ModelTools = GENUINE, **options: Any) -> Subject:
    return validate_model("model", model, tools=tools, backend=ON, **{"shots": 1024, "seed": 3} | options)


@cache
def genuine(shape: str) -> Subject:
    return validated(SHAPES[shape]())


def failed(subject: Subject) -> dict[str, tuple[str, ...]]:
    found = {row.key: tuple(c for c, cell in row.cells.items() if cell.passed is False) for row in subject.rows}
    return {key: columns for key, columns in found.items() if columns}


# --- sound backends ---


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_passes(shape: str) -> None:
    subject = genuine(shape)
    assert failed(subject) == {}
    assert subject.verified
    for row in subject.rows:
        assert list(row.cells) == list(COLUMNS)
        assert row.passed or row.key == "GPU" or all(cell.note for cell in row.cells.values())
        for cell in row.cells.values():  # nothing is left out in silence, and every tolerance has a reason
            assert cell.note or cell.why or cell.value is not None
            assert (cell.tolerance is None) == (cell.why is None)
    json.dumps(subject.as_dict(), allow_nan=False)


def test_tolerances_leave_little_room() -> None:
    """Where rounding is all, an error of 1e-9 would be seen; and what is measured lies well below."""
    for key in ("literal", "linear", "unitary", "literal-step", "unitary-step", "norm"):
        for name, cell in genuine("odd sizes").row(key).cells.items():
            if cell.passed is not None and name not in ("Trotter", "shots"):
                assert cell.tolerance is not None
                assert cell.difference is not None
                assert cell.difference < cell.tolerance / 3 < 1e-9, (key, name)


def test_orders_are_those_of_the_formulas() -> None:
    for formula, order in (("lie", 1), ("suzuki2", 2), ("suzuki4", 4)):
        cell = genuine("odd sizes").row(f"trotter-{formula}").cells["Trotter"]
        assert cell.value == pytest.approx(order, abs=0.15)
        assert cell.detail is not None
        assert cell.detail[0] > cell.detail[1] > cell.detail[2] > 1e-12
    assert fitted_order((2, 4, 8), [1.0, 0.125, 0.125**2]) == pytest.approx(3)
    assert np.isnan(fitted_order((1, 2, 4), [1.0, 0.0, 0.0]))


def test_a_short_step_is_made_longer_for_the_order() -> None:
    """At h = 0.05 suzuki4 is exact to rounding."""
    row = validated(built(1, 3, mode="unitary", step=0.05), only=["trotter-suzuki4"]).row("trotter-suzuki4")
    cell = row.cells["Trotter"]
    assert cell.passed
    assert ", h = 0." in str(cell.note)
    assert cell.value == pytest.approx(4, abs=0.15)


def test_what_has_nothing_to_say_says_why() -> None:
    """Commuting terms, parameters that are fixed, kernels and devices that there are not."""
    fixed = genuine("fixed")
    for formula in ("lie", "suzuki2", "suzuki4"):
        cell = fixed.row(f"trotter-{formula}").cells["Trotter"]
        assert cell.passed is None
        assert cell.note is not None
        assert "commute" in cell.note
    assert fixed.row("trotter-bound").passed
    assert "real numbers" in str(genuine("complex").row("literal").cells["torch compiled"].note)
    assert "not as a matrix" in str(genuine("everything").row("literal").cells["torch compiled"].note)
    assert "softplus" in str(fixed.row("literal").cells["torch compiled"].note)
    assert "GPU" in str(genuine("odd sizes").row("GPU").cells["torch dense"].note) or torch.cuda.is_available()
    left_out = validated(built(1, 2), only=["GPU"], device="CPU").row("GPU")
    assert left_out.passed is None
    assert "CPU" in str(left_out.cells["circuit"].note)
    frozen = validated(built(2, 2, p1=1.0, p2=0.0, mode="unitary"), only=["unitary-gradients"])
    assert "no parameter" in str(frozen.rows[0].cells["circuit"].note)


def test_what_does_not_fit_is_left_out() -> None:
    token = memory_limit.set(10_000)
    try:
        subject = validated(QUNNForecaster(1, 8, size=4, dtype=F64))
    finally:
        memory_limit.reset(token)
    assert subject.verified
    for key in ("literal", "unitary-gradients", "norm", "shots", "float32", "whole-model"):
        assert subject.row(key).passed is None
    assert "literal matrices of 32 rows" in str(subject.row("literal").cells["torch dense"].note)
    assert subject.pictures == []


def test_activations_of_the_output_alone_are_kept() -> None:
    """The literal form is then the model itself, whose other rows have no σ_out."""
    model = built(2, 2, activations=("identity", "identity", "tanh"))
    (literal, *_), Y = forms(model, random_units(5, 2, False, 0), GENUINE), random_units(5, 2, False, 0)
    assert np.abs(literal.expected - model(Y)[0].detach().numpy()).max() < 1e-14


@pytest.mark.parametrize("name", literal_qunn.SIGMA)
def test_the_functions_are_those_of_torch_at_large_numbers_too(name: str) -> None:
    v = np.concatenate([np.linspace(-1000, 1000, 401), np.linspace(-30, 30, 601)])
    expected = activation(name)(torch.from_numpy(v)).numpy()
    with np.errstate(over="ignore"):  # what is discarded
        assert (np.abs(literal_qunn.SIGMA[name](v) - expected) <= 4e-16 * np.maximum(1, np.abs(expected))).all()


def test_numbers_that_overflow_are_not_compared() -> None:
    """No backend is at fault; of double precision, and of single precision alone."""
    for size in (1e200, 1e25):
        model = QUNN(2, 3, activations=("identity", "identity", "identity"), dtype=F64)
        with torch.no_grad():
            assert model.skip is not None
            model.skip[0] = model.skip[1] = size
        subject = validated(model, only=["linear", "gradients", "float32", "norm"])
        assert failed(subject) == {}
        assert "overflow" in str(subject.row("float32").cells["torch dense"].note)
        assert subject.row("linear").cells["circuit"].passed is (None if size == 1e200 else True)


def test_shots_that_do_not_fit_are_left_out() -> None:
    token = memory_limit.set(2**20)
    try:
        subject = validated(built(1, 2), only=["literal", "shots", "unitary"], shots=10**30)
    finally:
        memory_limit.reset(token)
    assert failed(subject) == {}
    for key in ("literal", "shots", "unitary"):
        assert "shots" in str(subject.row(key).cells["shots"].note)
        assert subject.row(key).cells["shots"].passed is None
    assert subject.row("literal").cells["torch dense"].passed


SAMPLED: dict[str, Callable[[], QUNN]] = {
    "nonlinear": lambda: built(2, 3),
    "linear": lambda: built(2, 3, activations=("identity",) * 3),
    "complex, with matrices": lambda: built(1, 3, skip="matrix", activations=("sin", "tanh", "sigmoid"), dtype=C128),
}


@pytest.mark.parametrize("shape", SAMPLED)
def test_noise_of_layers_that_are_read_from_shots(shape: str) -> None:
    """The circuits' own is at most what is simulated, and not much less."""
    model, shots = SAMPLED[shape](), 1024
    Y = random_units(6, model.input_size, model.skip is not None and model.skip.is_complex(), 0)
    form = Form("", model, Y, GENUINE)
    at = QUNNCircuit(model, backend=ON).elements(Y[None])[-1]
    errors = [
        form.net.sigma[2](at.read_from(GENUINE.sampled_state(model, at, shots, replace(ON, seed=100 * seed))))
        - form.expected[-1]
        for seed in range(20)
    ]
    simulated = noisy_outputs(form, shots, 0) - form.expected[-1]
    found, most = (float(np.sqrt(np.mean(np.abs(e) ** 2))) for e in (errors, simulated))
    assert 0.6 * most < found < 1.15 * most  # twenty seeds know it to a tenth; layers of one seed give 1.2 to 1.5


def test_literal_outputs_from_shots() -> None:
    """Sixteen times the shots allow a quarter of the error; few allow anything, which is no comparison."""
    cells = [
        validated(built(2, 3), only=["literal"], shots=n).row("literal").cells["shots"] for n in (10, 2**12, 2**16)
    ]
    assert [cell.passed for cell in cells] == [None, True, True]
    assert cells[1].tolerance == pytest.approx(4 * (cells[2].tolerance or 0), rel=0.2)


@pytest.mark.parametrize("seed", [7, 27])
def test_shots_that_would_agree_with_nothing_at_all(seed: int) -> None:
    """The output that is read may be far below the largest one."""
    nothing = replace(GENUINE, sampled_state=lambda _model, at, *_: np.zeros_like(at.K))
    subject = validated(built(1, 5, clock="learned-read"), nothing, seed=seed, shots=4096, only=["literal", "linear"])
    assert subject.row("literal").cells["shots"].passed is False
    cell = subject.row("linear").cells["shots"]
    assert cell.passed is None
    assert "times the outputs" in str(cell.note)


def test_facts_and_pictures() -> None:
    subject = genuine("larger model")
    assert subject.facts["class"] == "CausallyNormalised"
    assert (subject.facts["QUNNs"], subject.facts["d"], subject.facts["N"]) == (2, 2, 3)
    assert subject.row("whole-model").passed
    trotter, shots = subject.pictures
    assert [curve.style for curve in trotter.curves] == ["dots", "line"] * 3
    for measured, bound in zip(trotter.curves[::2], trotter.curves[1::2], strict=True):
        assert all(a <= b for a, b in zip(measured.y, bound.y, strict=True))
    assert shots.curves[0].y[0] > shots.curves[0].y[-1]
    assert [picture.title for picture in genuine("fixed").pictures] == ["Error of shots"]


def test_models_that_are_refused() -> None:
    for model in (ARNN(2, 3), nn.Linear(2, 2)):
        with pytest.raises(InputError, match="`model` must be a QUNN") as caught:
            validated(model)
        assert "\n" not in str(caught.value)
    lost = built(2, 2)
    with torch.no_grad():
        lost.p1_logit[0] = torch.nan
    with pytest.raises(InputError, match="`p1_logit` must be finite, but is nan"):
        validated(lost)
    with pytest.raises(InputError, match="`shots` must be at least 1"):
        validated(built(1, 2), shots=0)
    with pytest.raises(InputError, match="`activations` must be names"):
        validated(built(1, 2, activations=(torch.square, "tanh", "identity")))


@pytest.mark.parametrize(("step", "seed"), [(10.0, 84), (30.0, 0), (100.0, 11)])
def test_long_steps_round_as_the_condition_allows(step: float, seed: int) -> None:
    """What the literal loses by Padé approximants, and the structured path by terms that cancel, is no disagreement."""
    torch.manual_seed(seed)
    model = QUNN(1, 2, 2, clock="learned-read", p2=1.0, share=True, step=step, dtype=C128)
    assert failed(validated(model, seed=seed, only=["unitary", "norm"])) == {}


def test_a_tolerance_that_allows_anything_compares_nothing() -> None:
    """Outputs of a model whose layers multiply rounding to their own size, gradients that oscillate, and one shot."""
    torch.manual_seed(2)
    rough = QUNN(2, 4, 7, clock="learned-read", skip="matrix", activations=("identity", "elu", "sin"), dtype=F64)
    subject = validated(moved_by(rough, 3.0), only=["float32", "gradients"])
    for key, column in (("float32", "torch structured"), ("gradients", "torch dense")):
        cell = subject.row(key).cells[column]
        assert cell.passed is None, (key, cell)
        assert cell.note
    assert validated(built(1, 2), shots=1, only=["unitary"]).row("unitary").cells["shots"].passed is None


# --- broken backends ---


@pytest.mark.parametrize("name", MODEL)
def test_each_mutation_fails_its_rows_in_its_columns(name: str) -> None:
    subject = validated(forecaster(), MODEL[name](GENUINE), only=MODEL_FAILS[name])
    assert {row.key for row in subject.rows} == set(MODEL_FAILS[name])
    found = failed(subject)
    for key, columns in MODEL_FAILS[name].items():
        served = {c for c in columns if genuine("larger model").row(key).cells[c].passed is not None or key == "GPU"}
        assert served
        assert set(found[key]) == served


def test_every_row_is_failed_by_a_mutation() -> None:
    assert [row.key for row in genuine("larger model").rows] == list(ROWS)
    assert set(ROWS) == {key for fails in MODEL_FAILS.values() for key in fails}
    assert set(MODEL) == set(MODEL_FAILS)


@pytest.mark.parametrize("name", ["wrong-sign", "swapped-registers", "missing-h", "acyclic-clock"])
def test_the_named_mutations_are_seen_on_other_shapes(name: str) -> None:
    """A saved step of 1 among them, at which a missing h shows at the other step only."""
    keys = ("unitary", "unitary-step")
    for model in (built(2, 2, mode="unitary", step=1.0), built(2, 3, 2, skip="diagonal", dtype=C128)):
        found = failed(validated(model, MODEL[name](GENUINE), only=keys))
        expected = {key for key in MODEL_FAILS[name] if key in keys}
        assert expected <= set(found)
        for key in expected:
            assert found[key] == MODEL_FAILS[name][key]


def test_half_precision_is_seen_where_numbers_are_complex() -> None:
    """What rounds by 2^-11 is thousands of times what single precision may be off by, and less than a per cent."""
    model = built(2, 3, skip="diagonal", history="block", dtype=C128)
    found = failed(validated(model, MODEL["half-precision"](GENUINE), only=["float32"]))
    assert set(found["float32"]) >= {"torch dense", "torch structured"}


def test_an_implementation_that_raises_fails_its_cell() -> None:
    def raises(*_: Any) -> Any:
        raise ValueError("two\nlines")

    def lost(*_: Any) -> Any:
        raise IndexError("no such row")

    def misshapen(model: QUNN, Y: Tensor) -> Tensor:
        return GENUINE.structured(model, Y)[:-1]

    tools = replace(GENUINE, dense=raises, structured=misshapen, trotter_state=raises, sampled=raises, circuit=lost)
    subject = validated(built(2, 2), tools)
    found = failed(subject)
    assert found["literal"] == ("torch dense", "torch structured", "circuit")
    assert subject.row("literal").cells["torch dense"].note == "ValueError: two lines"
    assert found["shots"] == ("shots",)
    assert found["trotter-bound"] == ("Trotter",)
    assert subject.pictures == []


def test_a_gpu_is_compared_with_the_cpu() -> None:
    """The CPU stands in for it."""
    tools = replace(GENUINE, gpu=lambda: torch.device("cpu"), gpu_backend=lambda on: on)
    cells = validated(built(2, 3), tools, only=["GPU"]).row("GPU").cells
    assert [cells[name].passed for name in ("torch dense", "torch structured", "circuit")] == [True] * 3


# --- each column calls its own implementation ---


def counted(calls: Counter[str]) -> ModelTools:
    def wrapped(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*args, **options)

        return call

    return ModelTools(**{f.name: wrapped(f.name, getattr(GENUINE, f.name)) for f in fields(ModelTools)})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("literal", {"literal": 1, "dense": 1, "structured": 1, "compiled": 1, "circuit": 1, "sampled_state": 1}),
        ("linear", {"literal": 1, "dense": 1, "structured": 1, "compiled": 1, "circuit": 1, "sampled_state": 1}),
        (
            "unitary",
            {"literal": 1, "dense": 1, "structured": 1, "circuit": 1, "sampled": 1} | {"trotter_state": 1},
        ),
        ("unitary-step", {"literal": 1, "dense": 1, "structured": 1, "circuit": 1, "trotter": 1}),
        ("shots", {"literal": 1, "sampled": 2}),
        ("trotter-bound", {"literal_states": 1, "trotter_state": 9, "trotter_bound": 9}),
        (
            "norm",
            {"literal_states": 1, "dense_states": 1, "structured_norms": 1, "circuit_state": 1, "trotter_state": 1},
        ),
        ("float32", {"dense": 2, "structured": 2, "compiled": 2, "circuit": 2, "single": 3, "single_backend": 1}),
        ("causality", {"literal": 2, "dense": 2, "structured": 2, "compiled": 2, "circuit": 2}),
        ("whole-model", {"literal": 2, "dense": 2, "structured": 2, "compiled": 2, "with_circuits": 1}),
    ],
)
def test_the_fields_that_a_row_calls(key: str, expected: dict[str, int]) -> None:
    calls: Counter[str] = Counter()
    validated(forecaster(), counted(calls), only=[key], shots=2**16)
    ignored = {"literal", "trotter_bound"} if key == "float32" else {"trotter_bound"} - set(expected)
    assert {name: n for name, n in calls.items() if name not in ignored} == expected


def test_every_field_is_called_somewhere() -> None:
    calls: Counter[str] = Counter()
    tools = replace(counted(calls), gpu=lambda: torch.device("cpu"))
    validated(QUNNForecaster(1, 2, step=0.7, dtype=F64), tools)
    assert set(calls) == {f.name for f in fields(ModelTools)} - {"gpu"}


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the packages' own functions are entered, and how many circuits Aer runs."""
    calls: Counter[str] = Counter()

    def watch(holder: Any, attribute: str, name: str, size: Callable[..., int] = lambda *_, **__: 1) -> None:
        genuine = getattr(holder, attribute)

        def call(*args: Any, **options: Any) -> Any:
            calls[name] += size(*args, **options)
            return genuine(*args, **options)

        monkeypatch.setattr(holder, attribute, call)

    watch(QUNN, "forward", "torch")
    watch(fused, "outputs", "kernels")
    watch(structured, "outputs", "structured")
    watch(dense, "layer", "dense layers")
    watch(dense, "evolve", "dense exponentials")
    watch(Backend, "states", "circuits", lambda _, circuits: len(circuits))
    watch(Backend, "counts", "sampled circuits", lambda _, circuits, __, **___: len(circuits))
    return calls


def test_each_implementation_is_its_own(reached: Counter[str]) -> None:
    T, L = 4, 3
    Y = random_units(T, 2, False, 0)
    literal, unitary = built(2, 3, L), built(2, 3, L, mode="unitary")

    def of(call: Callable[[], Any]) -> dict[str, int]:
        reached.clear()
        with torch.no_grad():
            call()
        return dict(reached)

    for model in (literal, unitary):
        form = Form("", model, Y, GENUINE)
        assert of(lambda form=form: (form.expected, form.states, form.condition)) == {}  # type: ignore[misc]
        assert of(lambda model=model: GENUINE.structured(model, Y)) == {"torch": 1, "structured": 1}  # type: ignore[misc]
    assert of(lambda: GENUINE.dense(literal, Y)) == {"torch": 1, "dense layers": T * L}
    assert of(lambda: GENUINE.dense(unitary, Y)) == {"torch": 1, "dense exponentials": T * L}
    assert of(lambda: GENUINE.dense_states(unitary, Y)) == {"dense exponentials": T * L}
    assert of(lambda: GENUINE.compiled(literal, Y)) == {"torch": 1, "kernels": 1}
    assert of(lambda: GENUINE.circuit(unitary, Y, ON)) == {"circuits": T}
    assert of(lambda: GENUINE.circuit(literal, Y, ON)) == {"circuits": L * (T - 1)}  # Y_1 has no past: no layer acts
    assert of(lambda: GENUINE.trotter(unitary, Y, "lie", 2, ON)) == {"circuits": T}
    assert of(lambda: GENUINE.sampled(unitary, Y, 64, ON)) == {"sampled circuits": T}


def test_the_literal_evaluator_imports_nothing_of_the_project() -> None:
    assert literal_qunn.__file__ is not None
    with open(literal_qunn.__file__) as file:
        tree = ast.parse(file.read())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= {
        "__future__",
        "collections",
        "dataclasses",
        "numpy",
        "scipy",
        "typing",
    }


# --- the forms, and how far rounding may go ---


def test_the_forms_keep_the_parameters() -> None:
    saved = built(
        2, 3, 4, clock="learned-read", skip="diagonal", history="block", share=True, activations=("sin", "relu", "tanh")
    )
    literal, linear, unitary = forms(saved, random_units(5, 2, False, 0), GENUINE)
    assert (literal.model(literal.Y)[0] - saved(literal.Y)[0]).abs().max() == 0
    assert [a.name for a in linear.model.activations] == ["identity"] * 3
    assert (unitary.model.mode, unitary.model.skip) == ("unitary", None)
    for form in (literal, linear, unitary):
        assert form.model.p1_logit is not saved.p1_logit
        given = saved.state_dict()
        assert all(torch.equal(value, given[name]) for name, value in form.model.state_dict().items())
    literal, linear, _ = forms(unitary.model, unitary.Y, GENUINE)
    assert [a.name for a in literal.model.activations] == ["tanh", "tanh", "identity"]
    assert literal.model.skip is not None
    assert (literal.model.skip == 1).all()
    single = variant(built(1, 2).float(), "literal", ("tanh", "tanh", "identity"))
    assert single.p1_logit.dtype == F64


def disturbed_output(net: Network, Y: dict[int, np.ndarray], l: int, off: Callable[[Any], Any]) -> np.ndarray:  # noqa: E741
    """Eqs. (31)-(36) with `off` applied to K^0 and to what every layer gives."""
    K = off(net.sigma[0](np.kron(Y[l], net.c(l))))
    for (D, W), S in zip(literal_qunn.matrices(net, Y, l), net.skip, strict=True):
        H = D @ W
        if net.unitary:
            K = off(scipy.linalg.expm(net.h * (H - H.conj().T) / 2) @ K)
        else:
            K = off(S * K + net.h * net.sigma[1](H @ K))
    return net.sigma[2](np.kron(np.eye(len(Y[l])), net.c_read(l + 1)[None]) @ K)


@pytest.mark.parametrize("seed", range(6))
def test_the_condition_bounds_what_errors_in_every_layer_become(seed: int) -> None:
    """A relative error of δ in K^0 and in every layer, in random directions, to first order in δ."""
    rng, delta = np.random.default_rng(seed), 1e-7

    def off(K: np.ndarray) -> np.ndarray:
        v = rng.normal(size=K.shape)
        return K + delta * np.linalg.norm(K) / np.linalg.norm(v) * v

    step = float(rng.uniform(0.3, 2))
    model = built(2, 3, 4, clock="learned-read", step=step, activations=("tanh", "tanh", "sigmoid"))
    for form in forms(model, random_units(6, 2, False, seed), GENUINE):
        Y, net = literal_qunn.by_time(form.Y.numpy()), form.net
        exact = {l: disturbed_output(net, Y, l, lambda K: K) for l in Y}  # noqa: E741
        np.testing.assert_allclose(np.array(list(exact.values())), form.expected, atol=1e-15)
        changes = [np.linalg.norm(disturbed_output(net, Y, l, off) - exact[l]) for l in Y]  # noqa: E741
        assert 0.01 * delta * form.condition < max(changes) <= delta * form.condition


def test_the_condition_reaches_every_layer() -> None:
    """More layers, more steps: more room."""
    Y = random_units(6, 2, False, 0)
    small, deep = (Form("", built(2, 3, L), Y, GENUINE).condition for L in (3, 6))
    assert small < Form("", built(2, 3, 3, step=2.0), Y, GENUINE).condition
    assert small < deep


def test_slopes_against_torch_in_every_entry() -> None:
    """The directions of a large parameter are random, those of a small one are its entries."""
    form = Form("", built(2, 3, skip="matrix", dtype=C128), random_units(4, 2, True, 0), GENUINE)
    gradients = Gradients(form, 0)
    names = Counter(name for name, _ in gradients.directions)
    assert names == {"p1_logit": 3, "p2_logit": 3, "skip": 4}
    assert np.abs(gradients.of(GENUINE.dense(form.model, form.Y)) - gradients.expected).max() < gradients.tolerance
    assert np.abs(gradients.expected).min() > 10 * gradients.tolerance
