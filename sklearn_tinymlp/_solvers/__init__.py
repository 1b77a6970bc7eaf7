"""The solvers and their common parts."""
