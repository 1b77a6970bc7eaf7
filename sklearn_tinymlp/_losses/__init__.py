"""Losses: `loss` defines the interface, `table` the names."""
