"""The ODERNN family and the QUNN in torch, and the command lines; importing this loads no torch."""

from __future__ import annotations

__all__: list[str] = []
