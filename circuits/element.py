"""One time of one sequence of a QUNN as numbers: its layers, what is encoded, and what is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from circuits.layer import Layer, as_numpy, layers
from circuits.registers import Registers
from hamiltonians.errors import must_be

if TYPE_CHECKING:
    from torch import Tensor

    from qunn import QUNN

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Element:
    """Time l of a sequence.

    layers : k = 1 … L. K : K^0 = σ_1(Y_l ⊗ c_l) [dN]. read : c̃_{l+1} [N].
    """

    layers: list[Layer]
    K: Array
    read: Array

    @property
    def registers(self) -> Registers:
        """The qubits for d and N."""
        return self.layers[0].registers

    @property
    def empty(self) -> bool:
        """Whether K^0 is zero: no state encodes it, and the read-out is σ_out(0)."""
        return not self.K.any()

    @property
    def complex(self) -> bool:
        """Whether amplitudes have imaginary parts."""
        return np.iscomplexobj(self.K) or any(np.iscomplexobj(layer.A) for layer in self.layers)

    def read_from(self, K: Array) -> Array:
        """(I ⊗ c̃_{l+1}ᵀ) K [d] of K [dN] (Eq. 36)."""
        return K.reshape(-1, len(self.read)) @ self.read


def element(model: QUNN, Y: Tensor, l: int) -> Element:  # noqa: E741
    """Time l of the sequence Y_1, Y_2, … [T, d], T ≥ l.

    Raises
    ------
    InputError : numbers so large that the products in a layer, or K^0, are not finite.
    """
    found = layers(model, Y[:l], l)
    first = found[0]
    K = np.outer(first.Y, first.c).reshape(-1)
    if model.mode == "literal":  # the unitary mode has no activations
        K = as_numpy(model.activations[0](torch.from_numpy(K)))
    with np.errstate(over="ignore", invalid="ignore"):  # a norm overflows where a product of two entries does
        norms = [np.linalg.norm(v) for v in (K, *(layer.spanning for layer in found))]
    if not np.isfinite(norms).all():
        raise must_be("input", f"so small that all layers are finite at l = {l}", float(np.abs(first.Y).max()))
    return Element(found, K, as_numpy(model.clock.vector(l + 1, read=True)))
