"""Losses, a file each; `loss` has the contract and the table."""
