"""Whether a member trained on all rows can be trusted: nobody has seen it err.

Leave-one-out errors are blind to what the choice of the minimum has learned, so a member on all
rows is compared with the members of the folds: between rows, where nothing holds it, it must not go
where they do not go.
"""

import numpy as np

# Points halfway between two rows that are looked at.
N_POINTS = 1000

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
    n_points = min(N_POINTS, 2 * X.shape[0])
    one, other = random_state.randint(X.shape[0], size=(2, n_points))
    points = (0.5 * (X[one] + X[other])).astype(X.dtype)
    known = np.array([m.predict(points).reshape(n_points, -1) for m in others])
    off = member.predict(points).reshape(n_points, -1) - known.mean(axis=0)
    usual = np.maximum(known.std(axis=0), error)
    far = np.sqrt(np.mean(off**2)) > FAR * np.sqrt(np.mean(usual**2))
    return bool((np.abs(off) <= FARTHEST * usual).all() and not far)
