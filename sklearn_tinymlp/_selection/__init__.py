"""Selection of an ensemble's members: folds, stacking, members on all rows."""
