"""The ground space of H as the null space of B, found by sweeps along the clock.

Bψ = 0 means ψ_{j+1} = U_jψ_j with no norm lost in any step, so the ground space is {V(x⊗u0) : x in F}, u0 the uniform
clock state and F the data vectors whose norm all steps keep (and that H_in does not punish). Its dimension is that of
F.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hamiltonians import kernels
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import require_memory

_ROUNDING = 16  # a product of T steps keeps norms to this many epsilons per step and data dimension


@final
@dataclass(frozen=True)
class GroundSpace:
    """F, and the projection on the ground space.

    Attributes
    ----------
    degeneracy : dimension of F.
    basis : F as None (all of the data space), a boolean mask over basis states, or orthonormal columns (d, degeneracy).
    """

    H: ClockHamiltonian
    degeneracy: int
    basis: NDArray[Any] | None

    def project_data(self, x: NDArray[Any]) -> NDArray[Any]:
        """The part of a data vector that lies in F."""
        if self.basis is None:
            return x
        if self.basis.dtype == bool:
            return np.where(self.basis, x, 0)
        return self.basis @ (self.basis.conj().T @ x)

    def project(self, X: NDArray[Any]) -> NDArray[Any]:
        """The projection of X, shape (T+1, d) clock-major, on the ground space."""
        steps = self.H.steps.data().cast(X.dtype)
        carried = np.empty_like(X[0])
        kernels.sweep_back(steps, X, carried)
        Y = np.empty_like(X)
        Y[0] = self.project_data(carried) / self.H.clock_states
        kernels.sweep_history(steps, Y)
        return Y

    def remove(self, psi: NDArray[Any]) -> NDArray[Any]:
        """ψ less its projection on the ground space, shape (dimension,)."""
        return psi - self.H.data_major(self.project(self.H.clock_major(psi)))


def ground_space(H: ClockHamiltonian) -> GroundSpace:
    """Find F.

    Raises
    ------
    MemoryEstimateError : for steps that are neither unitary nor partial permutations d×d matrices do not fit.
    """
    if H.initial is not None:
        kept = H.steps.unitary or _keep_norm(H, H.initial)
        column = H.initial[:, None]
        return GroundSpace(H, int(kept), column if kept else column[:, :0])
    if H.steps.unitary:
        return GroundSpace(H, H.d, None)
    if H.steps.monomial:
        mask = _whole_paths(H.steps.data(), H.d, H.T)
        return GroundSpace(H, int(mask.sum()), mask)
    require_memory(5 * H.d**2 * H.dtype.itemsize, "a dense product of all steps", "choose a smaller data space")
    product: NDArray[Any] = np.eye(H.d, dtype=H.dtype)
    for j in range(H.T):
        product = H.steps.matrix(j) @ product
    _, kept_norm, right = np.linalg.svd(product)
    basis = right[1 - kept_norm <= _tolerance(H)].conj().T
    return GroundSpace(H, basis.shape[1], basis)


def _keep_norm(H: ClockHamiltonian, x: NDArray[Any]) -> bool:
    image, steps = x.astype(H.dtype), H.steps.data().cast(H.dtype)
    for j in range(H.T):
        before, image = image, np.empty_like(image)
        kernels.apply_step(steps, j, before, image)
    return bool(1 - np.linalg.norm(image) <= _tolerance(H))


def _tolerance(H: ClockHamiltonian) -> float:
    return float(_ROUNDING * H.T * np.sqrt(H.d) * H.steps.epsilon)


@njit(cache=True)
def _whole_paths(steps, d, T):  # type: ignore[no-untyped-def]
    mask = np.empty(d, np.bool_)
    for x in range(d):
        y = np.int64(x)
        for j in range(T):
            y = kernels.image(steps, j, y)
            if y < 0:
                break
        mask[x] = y >= 0
    return mask
