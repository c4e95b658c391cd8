"""Every test here runs on all ranks, with the libraries loaded before it."""

import pytest


@pytest.fixture(autouse=True)
def on_all_ranks(together: None) -> None:
    """They meet after each test."""
