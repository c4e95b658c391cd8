"""The slepc engine: H and its eigenproblem distributed over MPI ranks, on PETSc and SLEPc."""
