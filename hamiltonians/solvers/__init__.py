"""One method a file; `hamiltonians.solve` chooses."""
