"""Seeded data sets with a fixed split: generated problems, series that ship inside packages, handwritten digits.

Importing this package loads no torch; `task(name)` does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hamiltonians.errors import must_be, one_of
from qunn.options import checked

if TYPE_CHECKING:
    from qunn.tasks.definition import Part, Task

#: name -> (the module and the function that makes it, what it is in one line)
TASKS = {
    "adding": ("generated:adding", "sum of the two marked numbers of a long sequence"),
    "copy": ("generated:copy", "ten symbols, repeated after a long pause"),
    "mackey-glass": ("dynamics:mackey_glass", "chaotic delay equation, next value"),
    "lorenz96": ("dynamics:lorenz96", "chaotic ring of 40 sites, next state"),
    "fitzhugh-nagumo": ("dynamics:fitzhugh_nagumo", "spiking neuron, next voltage; the other variable is hidden"),
    "sunspots": ("series:sunspots", "yearly sunspot activity 1700-2008, next value"),
    "co2": ("series:co2", "monthly CO2 at Mauna Loa 1958-2001, next value"),
    "elnino": ("series:elnino", "monthly sea surface temperature 1950-2010, next value"),
    "temperatures": ("series:temperatures", "hourly climate normals of a city, next value"),
    "digits": ("digits:digits", "handwritten digits, 8 rows of 8 pixels"),
    "permuted-digits": ("digits:permuted_digits", "handwritten digits, 64 pixels in a fixed random order"),
}

#: of every size that a task can be given; beyond it NumPy's own sizes overflow
MOST = 10**9

__all__ = ["TASKS", "Part", "Task", "task", "task_options"]


def task(name: str, seed: int = 0, **options: Any) -> Task:
    """The task of that name; the same seed and options give the same bytes.

    Raises
    ------
    InputError : an unknown name or option, or a size that makes no data set.
    """
    maker = _maker(name)
    wanted = checked(options, task_options(name), f"option of {name}")
    for key, value in wanted.items():
        if isinstance(value, int) and value > MOST:
            raise must_be(key, f"an integer of at most {MOST}", value)
    made: Task = maker(seed=seed, **wanted)
    return made


def task_options(name: str) -> dict[str, Any]:
    """The options of a task with their defaults."""
    parameters = inspect.signature(_maker(name)).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key != "seed"}


def _maker(name: str) -> Callable[..., Task]:
    if name not in TASKS:
        raise must_be("task", one_of(TASKS), name)
    module, function = TASKS[name][0].split(":")
    maker: Callable[..., Task] = getattr(import_module(f"qunn.tasks.{module}"), function)
    return maker


def __getattr__(name: str) -> Any:
    if name not in ("Part", "Task"):
        raise AttributeError(f"module 'qunn.tasks' has no attribute {name!r}")
    return getattr(import_module("qunn.tasks.definition"), name)
