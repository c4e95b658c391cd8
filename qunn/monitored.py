"""Modules that keep a promise while they are trained, and say with numbers that they do."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Monitored(ABC):
    """A module with invariants: the training loop logs their numbers every epoch."""

    @abstractmethod
    def invariants(self) -> dict[str, float]:
        """Name -> number, of the parameters as they are now; cheap, without data."""
