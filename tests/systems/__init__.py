"""Problems that carry their exact answer.

`reference` is the printed formula, dense, literal and slow; `machines` and `step_lists` are what it is applied to.
Nothing here calls the code under test, except to hand over machines.
"""
