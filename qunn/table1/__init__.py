"""The paper's Tables 1 (`orders`) and 3 (`comparison`): as printed, as proved, as measured; `python -m qunn.table1`."""
