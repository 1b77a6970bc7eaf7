"""Benchmarks: `python -m benchmarks`, and what rules in the package were set by."""
