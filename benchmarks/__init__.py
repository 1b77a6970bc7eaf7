"""Benchmarks: `python -m benchmarks`, and the measurements behind rules of the package."""
