"""How an ensemble finds its members: folds, a race of candidates, weights, members on all rows."""
