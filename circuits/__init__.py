"""QUNN layers and clock Hamiltonians as Trotterised circuits (not built yet)."""

from __future__ import annotations

__all__: list[str] = []
