"""Losses, a file each; `loss` has the contract, `table` their names."""
