"""Scikit-learn's handwritten digits (8 by 8 pixels of 0 to 16) as sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamiltonians.errors import must_be
from qunn.sequence import check_size
from qunn.tasks.definition import Task, parts, shares

SOURCE = (
    "scikit-learn's load_digits: the test part of UCI's Optical Recognition of Handwritten Digits, "
    "Alpaydin & Kaynak 1998"
)


def digits(*, seed: int = 0, samples: int = 1797) -> Task:
    """A row of 8 pixels a step, 8 steps; the target after the last is the digit."""
    return _task("digits", "8 rows of 8 pixels, from the top", seed, samples, np.arange(64).reshape(8, 8))


def permuted_digits(*, seed: int = 0, samples: int = 1797) -> Task:
    """A pixel a step, 64 steps, in one random order that the seed fixes (Le, Jaitly & Hinton 2015, on MNIST)."""
    order = np.random.default_rng([seed, 64]).permutation(64)
    return _task("permuted-digits", "64 pixels in one fixed random order", seed, samples, order[:, None])


def _task(name: str, description: str, seed: int, samples: int, pixels: NDArray[np.int64]) -> Task:
    """`pixels` [T, m]: which of the 64 pixels are the features of a step."""
    from sklearn.datasets import load_digits

    check_size("samples", samples, 3)
    data = load_digits()
    if samples > len(data.target):
        raise must_be("samples", f"at most {len(data.target)}, all there are", samples)
    chosen = np.random.default_rng(seed).permutation(len(data.target))[:samples]
    inputs, targets = data.data[chosen][:, pixels] / 16, data.target[chosen].astype(np.int64)
    commonest = int(np.bincount(targets[: shares(samples)[0]]).argmax())

    def baselines(y: NDArray[Any]) -> dict[str, float | None]:
        return {"always the commonest digit": float((y == commonest).mean())}

    train, validation, test = parts(inputs, targets, baselines)
    shape = (pixels.shape[1], 10, "classification", False, ("accuracy", "cross_entropy"))
    return Task(name, description, SOURCE, *shape, train, validation, test)
