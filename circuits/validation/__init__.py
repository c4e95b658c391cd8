"""Do the eigensolvers, torch and the circuits agree on the same object?

A row a claim, a column a backend: `python -m circuits.cross_validate`.

The flow, a file each: `machine_tools`, `model_tools` (every implementation that is compared, as a field that can be
broken on purpose: `machine_mutations`, `model_mutations` -> `mutations`); `literal_machine`, `literal_clock`,
`literal_qunn` (rules and formulas written out) -> `machine_states` -> `machine_rows`, `machine_output`,
`machine_motion` -> `machine`, and `model_forms` -> `model_claims`, `model_trotter`, `model_shots`, `model_gradients`,
`model_whole` -> `model_rows`, all made of `claim` (rows, cells, the verdict) -> `wording`, `page`, `html`, `pictures`;
`catalogue` lists rows and mutations.
"""
