"""How an ensemble finds its members: folds, successive halving, stacking, refits on all rows."""
