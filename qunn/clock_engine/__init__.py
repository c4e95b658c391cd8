"""The engine "torch": clock Hamiltonians on a CPU or a card, by sweeps along the clock.

`steps` (one U_j on a device) -> `operator` (H, its bonds and residuals) -> `sweeps` (H⁺ for unitary steps), `pivots`
(counts of eigenvalues) -> `levels` -> `frame`, `strands`, `pinned` (energies and states for three sorts of steps) ->
`search` (the engine). `memory` and `plan` say what fits: `from qunn.clock_engine.plan import plan`.
"""

__all__: list[str] = []
