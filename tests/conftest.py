"""Shared set-up: fixed seeds, and the repository's root on the path so that `tests.systems` can be imported."""

import random
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

_HERE = Path(__file__).parent
_LARGE = 100  # cases of a package's test, above which `make test` runs a seeded half: systems times sizes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Half of a large set of cases is exhaustive, and coverage is that of few cases.

    What is told one by one, such as the examples of docstrings beside this file, always runs whole. Coverage is that of
    the tests that are not slow, and of parametrised ones of the cases 0, 1, 2, 4, 8, …: measuring makes Python half as
    slow again, and a line needs to be seen once.
    """
    sets: dict[tuple[Path, str], list[pytest.Item]] = {}
    for item in items:
        sets.setdefault((item.path, item.nodeid.partition("[")[0]), []).append(item)
    measured = config.pluginmanager.hasplugin("pytest_cov")  # not in the environment of `make mpi`
    for (path, name), cases in sets.items():
        large = len(cases) > _LARGE and path.parent != _HERE
        left_out = random.Random(name).sample(cases, len(cases) // 2) if large else []
        for item in left_out:
            item.add_marker("exhaustive")
        kept = [item for item in cases if item not in left_out]
        for case, item in enumerate(kept):
            if measured and (item.get_closest_marker("slow") or case & (case - 1)):
                item.add_marker("no_cover")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190613)
