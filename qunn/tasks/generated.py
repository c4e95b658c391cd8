"""The adding problem and copy memory: long-range dependencies with known scores of a network without memory."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qunn.sequence import check_size
from qunn.tasks.definition import Task, mean_or_none, parts, require_data

SYMBOLS = 8  # of copy memory; class 0 is the blank, input 9 the delimiter
WORD = 10  # symbols to remember


def adding(*, seed: int = 0, length: int = 100, samples: int = 10_000) -> Task:
    """The adding problem (Hochreiter & Schmidhuber 1997), as Arjovsky, Shah & Bengio 2016, Sec. 4.2 pose it.

    x_t = (u_t, marker_t) with u uniform on [0, 1); one marker falls in the first half, one in the second. The target
    after the last step is the sum of the two marked numbers. Always answering 1 scores the variance of that sum,
    1/12 + 1/12 = 1/6 = 0.1667; the literature prints 0.1767 (Le, Jaitly & Hinton 2015, Sec. 4.1).
    """
    check_size("length", length, 2)
    check_size("samples", samples, 3)
    require_data(samples, length, 2)
    rng = np.random.default_rng(seed)
    u, rows, half = rng.random((samples, length)), np.arange(samples), length // 2
    first, second = rng.integers(0, half, samples), rng.integers(half, length, samples)
    marker = np.zeros_like(u)
    marker[rows, first] = marker[rows, second] = 1
    targets = (u[rows, first] + u[rows, second])[:, None]

    def baselines(y: NDArray[Any]) -> Mapping[str, float | None]:
        return {"always 1": mean_or_none((y[:, 0] - 1) ** 2), "closed form 1/6": 1 / 6, "as printed": 0.1767}

    train, validation, test = parts(np.stack([u, marker], -1), targets, baselines)
    return Task(
        "adding",
        f"sum of the two marked numbers among {length}",
        "Hochreiter & Schmidhuber, Neural Computation 9 (1997) 1735; Arjovsky, Shah & Bengio, ICML 2016",
        *(2, 1, "regression", False, ("mse",), train, validation, test),
    )


def copy(*, seed: int = 0, delay: int = 100, samples: int = 5_000) -> Task:
    """Copy memory (Hochreiter & Schmidhuber 1997), as Arjovsky, Shah & Bengio 2016, Sec. 4.1 pose it.

    Ten symbols of eight, delay - 1 blanks, a delimiter, ten blanks, one-hot; the target is blank for delay + 10 steps,
    then the ten symbols. A network without memory that knows the blanks scores 10 ln 8 / (delay + 20).
    """
    check_size("delay", delay)
    check_size("samples", samples, 3)
    length = delay + 2 * WORD
    require_data(samples, length, SYMBOLS + 2)
    words = np.random.default_rng(seed).integers(1, SYMBOLS + 1, (samples, WORD))
    x = np.zeros((samples, length), np.int64)
    x[:, :WORD], x[:, WORD + delay - 1] = words, SYMBOLS + 1
    y = np.zeros_like(x)
    y[:, -WORD:] = words
    baseline = {"no memory, 10 ln 8/(T+20)": WORD * log(SYMBOLS) / length}
    train, validation, test = parts(np.eye(SYMBOLS + 2)[x], y, lambda _: baseline)
    return Task(
        "copy",
        f"{WORD} symbols, repeated after {delay} steps",
        "Hochreiter & Schmidhuber, Neural Computation 9 (1997) 1735; Arjovsky, Shah & Bengio, ICML 2016",
        *(SYMBOLS + 2, SYMBOLS + 1, "classification", True, ("cross_entropy", "recall"), train, validation, test),
    )
