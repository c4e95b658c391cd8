"""Anti-Hermitian weights: the invariant, assigning one, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hamiltonians import InputError
from qunn.arnn.parametrizations import Antisymmetric, ImaginarySymmetric, anti_hermitian_error

DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def normal(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Holder(nn.Module):
    def __init__(self, d: int, form: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d, d, dtype=dtype))
        parametrize.register_parametrization(self, "weight", form)


def forms(dtype: torch.dtype) -> list[nn.Module]:
    return [Antisymmetric(), ImaginarySymmetric(embedded=not dtype.is_complex)]


@given(st.integers(1, 9), st.integers(0, 10**6), st.sampled_from(DTYPES))
def test_weights_are_anti_hermitian(d: int, seed: int, dtype: torch.dtype) -> None:
    A = normal(d, d, seed=seed, dtype=dtype)
    W = Antisymmetric()(A)
    assert anti_hermitian_error(W) == 0.0
    assert torch.equal(W, A - A.conj().T)
    R = normal(d, d, seed=seed, dtype=dtype.to_real())
    S = (R + R.T) / 2
    iS, embedded = ImaginarySymmetric(False)(R), ImaginarySymmetric(True)(R)
    assert torch.equal(iS, 1j * S)
    assert torch.equal(embedded, torch.cat([torch.cat([0 * S, -S], 1), torch.cat([S, 0 * S], 1)]))
    assert anti_hermitian_error(iS) == 0.0
    assert anti_hermitian_error(embedded) == 0.0
    for W in (iS, embedded):
        assert float(torch.linalg.eigvals(W).real.abs().max()) < 1e-4


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("which", [0, 1])
def test_an_assigned_weight_is_kept(which: int, dtype: torch.dtype) -> None:
    form = forms(dtype)[which]
    holder = Holder(6, form, dtype)
    assert not bool(holder.weight.any())
    d = 3 if isinstance(form, ImaginarySymmetric) and form.embedded else 6
    raw = normal(d, d, seed=1, dtype=dtype if which == 0 else dtype.to_real())
    W = form(raw)
    holder.weight = W
    torch.testing.assert_close(holder.weight, W, rtol=0, atol=0)
    again = Holder(6, forms(dtype)[which], dtype)
    again.load_state_dict(holder.state_dict())
    assert torch.equal(again.weight, W)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("which", [0, 1])
def test_the_optimiser_keeps_it(which: int, dtype: torch.dtype) -> None:
    holder = Holder(4, forms(dtype)[which], dtype)
    target = normal(4, 4, seed=2, dtype=dtype)
    optimiser = torch.optim.SGD(holder.parameters(), lr=0.3, momentum=0.5)
    for _ in range(5):
        optimiser.zero_grad()
        (holder.weight - target).abs().square().sum().backward()
        optimiser.step()
        assert anti_hermitian_error(holder.weight) == 0.0
    assert bool(holder.weight.any())


@pytest.mark.parametrize(
    ("form", "weight", "message"),
    [
        (Antisymmetric(), torch.eye(3), r"`weight` must be anti-Hermitian \(W = -Wᴴ\), but misses it by 2"),
        (Antisymmetric(), torch.zeros(2, 3), r"`weight` must be a square matrix, but is \(2, 3\)"),
        (Antisymmetric(), torch.full((2, 2), float("nan")), "`weight` must be finite"),
        (Antisymmetric(), 1j * torch.ones(2, 2).triu(), "`weight` must be anti-Hermitian"),
        (ImaginarySymmetric(False), torch.zeros(2, 2), "`weight` must be complex, or `embedded` true"),
        (ImaginarySymmetric(False), torch.tensor([[0, 1], [-1, 0j]]), "`weight` must be purely imaginary"),
        (ImaginarySymmetric(True), torch.zeros(3, 3), "`weight` must be real and of an even size"),
        (ImaginarySymmetric(True), torch.tensor([[0, 1.0], [-1, 0]]).kron(torch.eye(2)).T.roll(1, 0), "`weight` must"),
    ],
)
def test_what_cannot_be_assigned(form: Any, weight: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        form.right_inverse(weight)


def test_antisymmetric_but_not_of_the_embedded_form() -> None:
    A = normal(4, 4, seed=3, dtype=torch.float64)
    with pytest.raises(InputError, match=r"`weight` must be of the form \[\[0, -S\], \[S, 0\]\], but misses it by"):
        ImaginarySymmetric(True).right_inverse(A - A.T)
