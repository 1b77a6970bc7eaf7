"""What the machine gives: compiled code, BLAS and LAPACK, memory, threads, Ctrl-C."""
