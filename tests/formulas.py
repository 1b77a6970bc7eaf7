"""The built-in activations, written out in NumPy."""

from sklearn_tinymlp._activations.table import BUILT_IN

FORMULAS = {name: row.numpy for name, row in BUILT_IN.items()}
