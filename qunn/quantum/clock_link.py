"""A QUNN's weights are the hops of a clock Hamiltonian, and its layers relax to the ground state (Appendix A).

Fed with the run Y_1 … Y_{T+1} of a machine, p2 = 1 and N > T, the first layer's W at time l is one hop of the clock,

    W^1(l) = |Y_{l-1}><Y_l| ⊗ |c_{l-1}><c_l| - h.c.,

so that the run's hops are a sum of QUNN weights, H_TM follows by a gauge, and Eq. (32) with S = 1, σ_2 = identity and
the weight -H_TM is the relaxation K <- K - h H_TM K, the ODE whose fixed point Theorem 5 speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hamiltonians.errors import InputError, must_be
from hamiltonians.memory import require_memory
from qunn.quantum.dense import layer
from qunn.quantum.network import QUNN
from qunn.sequence import check_finite, check_size, check_step


def hops(model: QUNN, Y: Tensor) -> Tensor:
    """G = Σ_{l=2}^{T+1} W^1(l) = Σ_{j=1}^{T} |Y_j><Y_{j+1}| ⊗ |j><j+1| - h.c. [d(T+1), d(T+1)].

    The W are the model's own (`model.layer_matrices`). Its clock label of time j is j mod N, while the Hamiltonian
    keeps time j in row j - 1: the labels are renamed, and those that no time has are left out. Anti-Hermitian.

    Parameters
    ----------
    model : a one-hot clock, p2 = 1 for every l, and a period N of at least T + 1.
    Y [T+1, d] : the run; row `data * (T+1) + j - 1` of G is data ⊗ |j>.

    Raises
    ------
    InputError : a model without those properties; Y not of that shape, or of fewer than two rows.
    MemoryEstimateError : the model's matrices on data ⊗ clock would not fit.

    Examples
    --------
    >>> import torch
    >>> from qunn import QUNN
    >>> from qunn.quantum.clock_link import hops
    >>> Y = torch.eye(3, dtype=torch.float64)  # T = 2: three configurations
    >>> G = hops(QUNN(3, period=3, p2=1.0, dtype=torch.float64), Y)
    >>> G.shape, torch.equal(G, -G.mT), G[0 * 3 + 0, 1 * 3 + 1].item()  # |Y_1><Y_2| on |1><2|
    (torch.Size([9, 9]), True, 1.0)
    """
    if not isinstance(Y, Tensor) or Y.dim() != 2 or len(Y) < 2:
        raise must_be("Y", "of shape (T + 1, d), T at least 1", tuple(Y.shape) if isinstance(Y, Tensor) else Y)
    if not isinstance(model, QUNN):
        raise must_be("model", "a QUNN", type(model).__name__)
    T, N, d = len(Y) - 1, model.period, model.input_size
    if not model.clock.one_hot:
        raise must_be("clock", '"one-hot"', model.clock.kind)
    if N < T + 1:
        raise InputError(
            f"`period` must be at least T + 1 = {T + 1}, so that no two times share a label, but is {N}", "period"
        )
    if not bool((model.p2 == 1).all()):
        raise InputError("`p2` must be 1 for every l (`p2=1.0`): W is one hop then, and no mixture of them", "p2")
    labels = torch.arange(1, T + 2, device=Y.device) % N  # of the times 1 … T+1
    rows = (torch.arange(d, device=Y.device)[:, None] * N + labels).flatten()
    times = range(2, T + 2)
    terms = (model.layer_matrices(Y[:l], l).W[0][rows[:, None], rows] for l in times)  # noqa: E741
    return sum(terms, start=torch.zeros((), dtype=Y.dtype))


def clock_hamiltonian(G: Tensor, T: int, d: int) -> Tensor:
    """H_TM = Diag - Φ (iG) Φ†, Diag = Σ_{j=1}^{T} I⊗(|j><j| + |j+1><j+1|), Φ = I⊗diag(i^j) [d(T+1), d(T+1)], complex.

    The gauge Φ turns the anti-Hermitian hops G (of `hops`) into the Hermitian, real ones of the Hamiltonian.

    Raises
    ------
    InputError : G not of shape (d(T+1), d(T+1)), T or d no positive integer.

    Examples
    --------
    >>> import torch
    >>> from qunn import QUNN
    >>> from qunn.quantum.clock_link import clock_hamiltonian, hops
    >>> model = QUNN(3, period=3, p2=1.0, dtype=torch.float64)
    >>> H = clock_hamiltonian(hops(model, torch.eye(3, dtype=torch.float64)), 2, 3)
    >>> H[::4, ::4].real.tolist()  # on the run: the Laplacian of a path
    [[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    """
    check_size("T", T)
    check_size("d", d)
    n = d * (T + 1)
    if not isinstance(G, Tensor) or tuple(G.shape) != (n, n):
        raise must_be("G", f"of shape {(n, n)}", tuple(G.shape) if isinstance(G, Tensor) else G)
    if not (G.is_floating_point() or G.is_complex()):
        raise must_be("G", "of a floating-point dtype", G.dtype)
    kind = G.dtype.to_complex()
    powers = torch.tensor([1, 1j, -1, -1j], dtype=kind, device=G.device)  # of i, exactly
    j = torch.arange(T + 1, device=G.device)
    phi = powers[j % 4].repeat(d)
    touching = torch.full((T + 1,), 2, dtype=kind, device=G.device)
    touching[0] = touching[-1] = 1
    return torch.diag(touching.repeat(d)) - phi[:, None] * (1j * G) * phi.conj()


@final
@dataclass(frozen=True)
class Relaxation:
    """K_0, K_1 = K_0 - h H K_0, … as `relax` found them.

    Attributes
    ----------
    K [..., n] : the last of them. target [..., n] : P K_0, P the projection on the ground space of H.
    distances [steps + 1] : ‖K_m - P K_0‖ over all elements of K.
    gap, largest : H's smallest energy above 0 and its largest; 0 for H = 0.
    rate : max(|1 - h gap|, |1 - h largest|): every step multiplies the distance by this at most and, from a general
        K_0, in the end by just this; 1 or more: no convergence.

    Examples
    --------
    >>> import torch
    >>> from qunn.quantum.clock_link import relax
    >>> H = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> found = relax(H, torch.tensor([1.0, 0.0], dtype=torch.float64), h=0.4, steps=3)
    >>> round(found.gap, 12), round(found.largest, 12), round(found.rate, 12), found.converges
    (2.0, 2.0, 0.2, True)
    >>> (found.distances[1:] / found.distances[:-1]).round(decimals=12).tolist()
    [0.2, 0.2, 0.2]
    """

    K: Tensor
    target: Tensor
    distances: Tensor
    gap: float
    largest: float
    rate: float

    @property
    def converges(self) -> bool:
        """Whether 0 < h < 2/largest."""
        return self.rate < 1


def relax(H: Tensor, K0: Tensor, h: float, steps: int) -> Relaxation:
    """K <- K - h H K, `steps` times: Eq. (32) with S = 1, σ_2 = identity and the fixed weight -H, by `qunn.layer`.

    For 0 < h < 2/λ_max it converges to the projection of K_0 on the ground space, at the rate max(|1 - h gap|,
    |1 - h λ_max|), which is 1 - h gap where h ≤ 2/(gap + λ_max). A larger h diverges, and the result says so.

    Parameters
    ----------
    H [n, n] : Hermitian, positive semidefinite, with ground energy 0. K0 [..., n].

    Raises
    ------
    InputError : shapes that do not fit, H not Hermitian, or without a ground energy of 0; h not positive.

    Examples
    --------
    >>> import torch
    >>> from qunn.quantum.clock_link import relax
    >>> H = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> relax(H, torch.tensor([1.0, 0.0], dtype=torch.float64), h=0.4, steps=30).K
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    check_step(h)
    check_size("steps", steps)
    if not isinstance(H, Tensor) or H.dim() != 2 or H.shape[0] != H.shape[1] or not len(H):
        raise must_be("H", "a square matrix", tuple(H.shape) if isinstance(H, Tensor) else H)
    if not (H.is_floating_point() or H.is_complex()):
        raise must_be("H", "of a floating-point dtype", H.dtype)
    if not isinstance(K0, Tensor) or K0.dim() < 1 or K0.shape[-1] != len(H):
        raise must_be("K0", f"of shape (..., {len(H)})", tuple(K0.shape) if isinstance(K0, Tensor) else K0)
    require_memory(4 * H.numel() * H.element_size(), f"the eigenvectors of {len(H)} rows", "a shorter run needs less")
    check_finite(H, "H")
    check_finite(K0, "K0")
    energies, states, ground = _spectrum(H)
    kind = torch.promote_types(H.dtype, K0.dtype)
    H, K = H.to(kind), K0.to(kind)
    frame = states[:, ground].to(kind)
    target = (K @ frame.conj()) @ frame.T
    distances = [(K - target).norm()]
    for _ in range(steps):
        K = layer(K, -H, None, 1.0, None, h)
        distances.append((K - target).norm())
    excited = energies[~ground]
    gap, largest = (excited[0].item(), excited[-1].item()) if len(excited) else (0.0, 0.0)
    rate = max(abs(1 - h * gap), abs(1 - h * largest)) if len(excited) else 0.0
    return Relaxation(K, target, torch.stack(distances), gap, largest, rate)


def _spectrum(H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Energies, eigenvectors as columns, and which energies are 0 up to rounding."""
    rounding = len(H) * torch.finfo(H.dtype).eps * max(1.0, H.abs().max().item())
    if (H - H.mH).abs().max() > rounding:
        raise must_be("H", "Hermitian", f"off by {(H - H.mH).abs().max().item():.1e}")
    energies, states = torch.linalg.eigh(H)
    if energies[0].abs() > 4 * rounding:
        raise must_be("H", "of ground energy 0", energies[0].item())
    return energies, states, energies <= 4 * rounding
