"""Losses: `loss` has the contract, `table` the names."""
