"""Benchmarks: `python -m benchmarks.speed` and its neighbours."""
