"""Selection of an ensemble's members: folds, successive halving, stacking, refits on all rows."""
