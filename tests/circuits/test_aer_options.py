"""Options whose type is right and whose value Aer cannot hold."""

from __future__ import annotations

import pytest

from circuits.aer_options import checked_options, read_options
from hamiltonians.errors import InputError


@pytest.mark.parametrize("word", ["blocking_qubits=-3", "mps_omp_threads=-2", f"max_parallel_shots={10**30}"])
def test_numbers_beyond_those_of_aer(word: str) -> None:
    with pytest.raises(InputError, match=r"`aer: [a-z_]*` must be a whole number that Aer takes, but is -?[0-9]*$"):
        read_options([word])


def test_options_are_a_table() -> None:
    with pytest.raises(InputError, match="`aer` must be a table of names and values, but is 'blocking_qubits=2'"):
        checked_options("blocking_qubits=2")  # type: ignore[arg-type]
