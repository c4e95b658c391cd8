"""Shared set-up: fixed seeds, and the repository's root on the path so that `tests.systems` can be imported."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

settings.register_profile(
    "repeatable",
    derandomize=True,  # the same examples in every run
    deadline=None,  # the first call compiles
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Coverage is that of the tests that are not slow, and of parametrised ones of the cases 0, 1, 2, 4, 8, …

    Measuring makes Python half as slow again, and a line needs to be seen once.
    """
    if not config.pluginmanager.hasplugin("pytest_cov"):  # not in the environment of `make mpi`
        return
    cases: Counter[tuple[Path, str]] = Counter()
    for item in items:
        function = item.path, item.nodeid.partition("[")[0]
        case = cases[function]
        cases[function] += 1
        if item.get_closest_marker("slow") or case & (case - 1):
            item.add_marker("no_cover")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190613)
