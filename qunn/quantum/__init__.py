"""The QUNN of Definition 5: clock, history, the printed formula and the fast one, the module, the forecaster."""
