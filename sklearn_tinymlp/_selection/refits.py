"""Whether a member trained on all rows can be trusted: nobody has seen it err.

Leave-one-out errors are blind to what the choice of the minimum has learned, so a member on all
rows is compared with the members of the folds: between rows and their nearest neighbours, where
nothing holds it and new rows may lie, it must not go where they do not go. (Halfway between any two
rows no data may ever lie, and members differ there as they like.)
"""

import numpy as np
from sklearn.preprocessing import StandardScaler

# Rows that are looked at.
N_ROWS = 1000

# A member may part from the mean of the others by so many times their spread, or the error of rows
# left out, whichever is larger: at one point, and in the root mean square.
FARTHEST, FAR = 8.0, 2.0


def agrees(member, others, X, error, random_state) -> bool:
    """Say whether a member's predictions are within the reach of the others'.

    Parameters
    ----------
    member : TinyMLPRegressor
    others : list of TinyMLPRegressor
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    error : ndarray of shape (n_outputs,)
        Root mean squared error of rows left out.
    random_state : RandomState
    """
    points = between_neighbours(X, random_state)
    n_points = points.shape[0]
    known = np.array([m.predict(points).reshape(n_points, -1) for m in others])
    off = member.predict(points).reshape(n_points, -1) - known.mean(axis=0)
    usual = np.maximum(known.std(axis=0), error)
    far = np.sqrt(np.mean(off**2)) > FAR * np.sqrt(np.mean(usual**2))
    return bool((np.abs(off) <= FARTHEST * usual).all() and not far)


def between_neighbours(X, random_state):
    """Give points halfway between rows and their nearest neighbours among the rows drawn."""
    from sklearn.neighbors import NearestNeighbors  # a seventh of the import of this package

    rows = X[np.sort(random_state.permutation(X.shape[0])[:N_ROWS])]
    if rows.shape[0] < 2:
        return rows
    scaled = StandardScaler(with_mean=False).fit_transform(rows)
    _, nearest = NearestNeighbors(n_neighbors=2).fit(scaled).kneighbors(scaled)
    return (0.5 * (rows + rows[nearest[:, 1]])).astype(X.dtype)
