"""Shared set-up: fixed seeds, and the repository's root on the path so that `tests.systems` can be imported."""

import sys
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
    """Coverage is that of the tests that are not slow: measuring makes Python half as slow again."""
    measured = config.pluginmanager.hasplugin("pytest_cov")  # not in the environment of `make mpi`
    for item in items:
        if measured and item.get_closest_marker("slow"):
            item.add_marker("no_cover")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190613)
