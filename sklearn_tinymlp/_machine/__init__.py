"""The machine: compilation, BLAS and LAPACK, memory, threads, Ctrl-C."""
