"""Why a network does not learn three points: from a failing program to a working one.

Usage: python examples/three_points.py

A network of 1 input, 3 hidden units and 1 output is to learn 1 -> 5, 2 -> 4, 3 -> 3, one point at a
time. A user asked why it succeeds with tanh and fails with leaky ReLU. The user's programs are run
here in turn, and the fault in each is shown.
"""

import warnings

import numpy as np

from sklearn_tinymlp import Activation, TinyMLPRegressor

X = np.array([[1.0], [2.0], [3.0]])
y = np.array([5.0, 4.0, 3.0])

# The user's settings: single rows in order, plain gradient descent, start by numpy.random.rand.
LOOP = {
    "hidden_layer_sizes": (3,),
    "solver": "sgd",
    "batch_size": 1,
    "shuffle": False,
    "momentum": 0.0,
    "alpha": 0.0,
    "tol": 0.0,
    "n_iter_no_change": np.inf,
    "init": "uniform",
    "random_state": 0,
}


def f(x):
    """Compute the leaky ReLU."""
    return np.where(x > 0, x, x * 0.01)


def first_df(x):
    """Compute a wrong derivative of f: after the first assignment all entries are positive."""
    x = np.array(x)
    x[x <= 0] = 0.01
    x[x > 0] = 1
    return x


def second_df(x):
    """Compute the derivative of f."""
    return np.where(x <= 0, 0.01, 1)


def fit(title, activation, target, **params):
    """Train and print the result."""
    print(f"\n{title}\n{'-' * len(title)}")
    net = TinyMLPRegressor(
        **{**LOOP, "activation": activation, "output_activation": activation, **params}
    )
    try:
        net.fit(X, target)
    except ValueError as error:
        print(f"ValueError: {error}")
        return None
    print(net.diagnose(X, target))
    print(f"summed loss {3 * net.loss_:.5f}, predictions {net.predict(X).round(2)}")
    return net


def step_by_hand(wrong_order):
    """Do the first update of the user's program, with w2 updated before delta_1 or after."""
    rand = np.random.RandomState(0).rand
    w1, w2 = rand(3, 1), rand(1, 3)
    i1 = w1 @ X[:1].T
    y1 = f(i1)
    delta_2 = (y[0] - f(w2 @ y1)) * second_df(w2 @ y1)
    new_w2 = w2 + 1e-3 * delta_2 @ y1.T
    delta_1 = ((new_w2 if wrong_order else w2).T @ delta_2) * second_df(i1)
    return w1 + 1e-3 * delta_1 @ X[:1], new_w2


def compare_first_step():
    """Compare the hand-written update with that of an epoch on one point."""
    title = "4. The order of the updates, seen in the first step"
    print(f"\n{title}\n{'-' * len(title)}")
    rand = np.random.RandomState(0).rand
    start = [rand(3, 1).T, rand(1, 3).T]
    net = TinyMLPRegressor(
        **LOOP,
        activation="leaky_relu",
        output_activation="leaky_relu",
        bias=False,
        learning_rate=1e-3,
        max_iter=1,
    ).fit(X[:1], y[:1], coefs_init=start)
    for wrong_order in (True, False):
        w1, w2 = step_by_hand(wrong_order)
        off_1, off_2 = np.abs(net.coefs_[0] - w1.T).max(), np.abs(net.coefs_[1] - w2.T).max()
        order = "w2 before delta_1" if wrong_order else "w2 after delta_1 "
        print(f"{order}: w1 is off by {off_1:.1e}, w2 by {off_2:.1e}")


def main():
    """Run the user's programs in order."""
    warnings.simplefilter("ignore")  # the findings are printed instead
    scaled = y / (1.05 * y.max())
    fit("1. tanh, targets scaled below 1: it works", "tanh", scaled, bias=False, learning_rate=0.1,
        loss_tol=1e-5, max_iter=100_000)  # fmt: skip
    wrong = Activation(f, first_df, name="leaky ReLU of the question")
    fit("2. Leaky ReLU with the first df", wrong, y, bias=False, learning_rate=1e-4, max_iter=4000)
    right = Activation(f, second_df, name="leaky ReLU of the question")
    net = fit("3. Leaky ReLU with the second df", right, y, bias=False, learning_rate=1e-3,
              loss_tol=1e-4 / 3, max_iter=4000)  # fmt: skip
    compare_first_step()
    remedy = net.diagnose(X, y)[0]
    fit(f"5. The remedy of 3: {remedy.remedy}", right, y, learning_rate=1e-3,
        loss_tol=1e-4 / 3, max_iter=4000, **remedy.parameters)  # fmt: skip


if __name__ == "__main__":
    main()
