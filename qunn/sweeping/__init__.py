"""Sweeps: many calls of the project's own commands, and one table of what they reported.

The data flow: `commands` (what can be called, with which flags) -> `description` (the YAML) -> `points` (one call each)
-> `local` or `cluster` (who calls), both through `call` -> `table` (a line a point) -> `columns`, `fit`, `picture`,
`page`. `python -m qunn.sweep` joins them.
"""
