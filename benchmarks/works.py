"""The works: tasks, contenders and goals.

A work creates its contenders: "ours", "scikit-learn" if it can do the same, and installed peers.
All start from the same weights and use the same order of rows, so that results can be compared
(`report.sameness`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from scipy.linalg import blas, lapack
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

from . import floor, peers
from .default_fit import make_data
from .timing import in_turn, least_seconds

ENDLESS = {"tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0}


@dataclass
class Job:
    """The contenders of a work, and how their results are compared."""

    contenders: dict[str, Callable]
    result: Callable | None = None  # computed from a result; compared if parameters are not
    result_name: str = "MSE"
    measured: dict = field(default_factory=dict)  # of peers that time themselves
    note: Callable | None = None  # (runs of ours) -> text
    n_rounds: int | None = None  # if the work determines it
    compared: bool = True  # whether all results can be compared
    alike: bool = True  # whether they should be equal


@dataclass
class Work:
    """A line of the table of works.

    `goals` are minimum ratios to a peer's time, `most_ms` is the maximum of our own time.
    """

    name: str
    title: str
    build: Callable[[bool], Job]  # by `quick`
    goals: dict[str, float] = field(default_factory=dict)
    most_ms: float | None = None
    n_rounds: int = 7


def three_points():
    """Return the three points 1 -> 5, 2 -> 4, 3 -> 3."""
    return np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])


def sine():
    """Draw sin(x) with noise of 0.1 at 200 points evenly from -pi to pi, `default_rng(0)`.

    The goals were set on these data: lbfgs of MLPRegressor with alpha=0, run until convergence
    (tol=1e-6, max_iter=2000) with random states 0 to 9, reaches a mean squared error of 0.0090 from
    8 of 10 starts, and 0.0080 from none.
    """
    x = np.linspace(-np.pi, np.pi, 200)
    return x[:, None], np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(200)


def smooth(n_samples, n_features, dtype=np.float64):
    """Draw standard normal inputs and a smooth target with a tenth of noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    y = np.sin(X).sum(axis=1) + 0.1 * rng.standard_normal(n_samples)
    return X.astype(dtype), y.astype(dtype)


def yacht():
    """Read 277 rows of the yacht data, 90% of them."""
    path = Path(__file__).parents[1] / "examples" / "data" / "yacht.csv"
    rows = np.random.default_rng(0).permutation(np.loadtxt(path, delimiter=",", skiprows=1))[:277]
    return rows[:, :-1], rows[:, -1]


def diabetes_columns(standardised):
    """Return the diabetes data, raw or with unit variance."""
    X, y = load_diabetes(return_X_y=True)
    return (X / X.std(axis=0), (y - y.mean()) / y.std()) if standardised else (X, y)


def start(sizes, random_state=0, n_samples=1, n_epochs=0):
    """Draw start weights and the order of rows in each epoch as MLPRegressor does."""
    rng = np.random.RandomState(random_state)
    coefs, intercepts = [], []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        bound = np.sqrt(6.0 / (n_in + n_out))
        coefs.append(rng.uniform(-bound, bound, (n_in, n_out)).ravel())
        intercepts.append(rng.uniform(-bound, bound, n_out))
    order, orders = np.arange(n_samples), []
    for _ in range(n_epochs):
        order = shuffle(order, random_state=rng)
        orders.append(order)
    return np.concatenate(coefs + intercepts), orders


def mean_squared_error(theta, sizes, activation, X, y):
    """Compute the error of flat parameters."""
    act = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}[activation]
    coefs, intercepts = peers.split_layers(theta.astype(np.float64), sizes)
    for layer, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        X = X @ W + b
        X = act(X) if layer < len(coefs) - 1 else X
    return np.mean((X[:, 0] - y) ** 2)


def fits(model, X, y):
    """Return a contender that fits an estimator."""
    return lambda _: model.fit(X, y)


def both(X, y, **params):
    """Return both estimators with the same parameters as contenders."""
    theirs = MLPRegressor(**params)
    ours = TinyMLPRegressor(**theirs.get_params())
    return {"ours": fits(ours, X, y), "scikit-learn": fits(theirs, X, y)}


def present(contenders):
    """Remove contenders that are not installed."""
    return {name: run for name, run in contenders.items() if run is not None}


# ------------------------------------------------------------------------------------ the works


def single_rows(activation, quick):
    """Work A: three points."""
    n_epochs, rate, sizes = 2443, 0.01, (1, 3, 1)
    X, y = three_points()
    params = {
        "hidden_layer_sizes": (3,),
        "activation": activation,
        "solver": "sgd",
        "learning_rate_init": rate,
        "batch_size": 1,
        "shuffle": False,
        "momentum": 0.0,
        "alpha": 0.0,
    }
    theta, _ = start(sizes)
    contenders = both(X, y, max_iter=n_epochs, **params, **ENDLESS)
    if floor.library():
        contenders["C floor"] = floor.three_points(X, y, theta, activation, n_epochs, rate)
    contenders["JAX"] = peers.jax_fit(
        X,
        y,
        theta,
        np.tile(np.arange(3), n_epochs),
        sizes,
        1,
        activation=activation,
        solver="sgd",
        rate=rate,
    )
    if activation == "tanh":
        contenders["FANN"] = peers.fann_three_points(X, y, n_epochs, rate)
    longer = TinyMLPRegressor(max_iter=20 * n_epochs, **params, **ENDLESS)

    def note(runs):
        extra = in_turn({"longer": fits(longer, X, y)}, 3)["longer"].median - runs.median
        return f"{1e9 * extra / (3 * 19 * n_epochs):.0f} ns an update (goal 45)"

    error = partial(mean_squared_error, sizes=sizes, activation=activation, X=X, y=y)
    return Job(present(contenders), error, note=note)


def to_error(data, mse, quick):
    """Work B: 10 tanh units, from ten starts to a mean squared error.

    If `mse` is None the target of each start is the error at which MLPRegressor's lbfgs ends with
    its default stopping rules. Otherwise MLPRegressor may run as long as it needs.
    """
    X, y = data()
    sizes = (X.shape[1], 10, 1)
    starts = [start(sizes, seed)[0] for seed in range(10)]
    params = {"hidden_layer_sizes": (10,), "activation": "tanh", "alpha": 0.0}
    patient = {} if mse is None else {"tol": 1e-6, "max_iter": 2000}
    errors = np.full(10, mse, float)
    if mse is None:
        ends = [MLPRegressor(solver="lbfgs", random_state=k, **params).fit(X, y) for k in range(10)]
        errors = np.array([2 * net.loss_ for net in ends])

    def ours(index):
        net = TinyMLPRegressor(
            solver="lm",
            standardize=False,
            loss_tol=errors[index] / 2,
            max_iter=2000,
            tol=0.0,
            random_state=index,
            **params,
        ).fit(X, y)
        return np.array([2 * net.loss_]) if net.stop_reason_ == "loss_tol" else None

    contenders = {
        "ours": ours,
        "scikit-learn": peers.mlp_time_to_error(X, y, errors, **patient, **params),
        "scipy lm": peers.scipy_time_to_error(X, y, starts, errors),
    }
    if floor.library() and X.shape[1] == 1:
        contenders["C floor"] = floor.time_to_error(X, y, starts, errors)
    n_rounds = 2 if quick and X.shape[1] > 1 else 10
    nnet = peers.nnet_time_to_error(X, y, starts[:n_rounds], errors[:n_rounds])
    measured = {} if nnet is None else {"R nnet": nnet}
    return Job(contenders, measured=measured, n_rounds=n_rounds, compared=False)


def minibatches(hidden, batch, dtype, quick):
    """Works C and D: adam on 20,000 rows."""
    n_samples, n_features, n_epochs, alpha = 20_000, 10, 2 if quick else 10, 1e-4
    X, y = smooth(n_samples, n_features, dtype)
    sizes = (n_features, *hidden, 1)
    theta, orders = start(sizes, 0, n_samples, n_epochs)
    theta = theta.astype(dtype)
    contenders = both(
        X,
        y,
        hidden_layer_sizes=hidden,
        batch_size=batch,
        alpha=alpha,
        max_iter=n_epochs,
        **ENDLESS,
    )
    if floor.library() and hidden == (100,):
        contenders["C floor"] = floor.adam(X, y, theta, orders, batch, alpha)
    contenders["JAX"] = peers.jax_fit(
        X, y, theta, orders, sizes, batch, activation="relu", solver="adam", alpha=alpha
    )
    error = partial(mean_squared_error, sizes=sizes, activation="relu", X=X, y=y)

    def note(runs):
        seconds = flops(sizes, n_samples * n_epochs) / peak_of_gemm(dtype)
        return f"gemm {100 * seconds / runs.median:.0f}%"

    return Job(present(contenders), error, note=note)


def flops(sizes, n_samples):
    """Count operations of forward, gradient and backward products (not back to the inputs)."""
    products = [a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    return 2 * n_samples * (3 * sum(products) - products[0])


def peak_of_gemm(dtype):
    """Measure the rate of a large matrix product, in operations per second."""
    square = np.ones((1024, 1024), dtype)
    return 2 * 1024**3 / least_seconds(np.dot, square, square, n_rounds=10)


def grid(quick):
    """Work E: a grid search for size and penalty on the diabetes data."""
    X, y = load_diabetes(return_X_y=True)
    candidates = {
        "mlp__hidden_layer_sizes": [(3,), (10,)] if quick else [(2,), (3,), (5,), (10,)],
        "mlp__alpha": [0.01, 1.0, 100.0] if quick else [1e-4, 0.01, 0.1, 1.0, 10.0, 100.0],
    }

    def search(model):
        pipeline = make_pipeline(StandardScaler(), model)
        pipeline.steps[1] = ("mlp", model)
        return fits(GridSearchCV(pipeline, candidates, cv=5, n_jobs=1), X, y)

    theirs = MLPRegressor(solver="lbfgs", max_iter=500, random_state=0)
    ours = TinyMLPRegressor(**theirs.get_params()).fit(X, y)  # the search has no warm-up
    return Job({"ours": search(ours), "scikit-learn": search(theirs)}, max, "best mean R²")


def predictions(n_rows, dtype, quick):
    """Work F: predict with a 10-100-1 relu network."""
    X, y = smooth(2000, 10, dtype)
    theirs = MLPRegressor(max_iter=5, random_state=0).fit(X, y)
    ours = TinyMLPRegressor(**theirs.get_params()).fit(X, y)
    ours.coefs_, ours.intercepts_ = theirs.coefs_, theirs.intercepts_
    theta = np.concatenate([np.ravel(part) for part in [*theirs.coefs_, *theirs.intercepts_]])
    X = X[:n_rows]
    contenders = {
        "ours": lambda _: ours.predict(X),
        "scikit-learn": lambda _: theirs.predict(X),
        "torch": peers.torch_predict(X, theta, (10, 100, 1)),
    }
    return Job(present(contenders))


def default_fit(quick):
    """Work I: the defaults on raw data."""
    X, y, _ = make_data(1000, 25)
    new, _, truth = make_data(2000, 25, seed=1)
    models = {
        "ours": TinyMLPRegressor(random_state=0),
        "scikit-learn": MLPRegressor(random_state=0),
    }

    def note(runs):
        ours, theirs = (f"{model.fit(X, y).score(new, truth):.2f}" for model in models.values())
        return f"R² of new rows {theirs}, ours {ours}"

    contenders = {name: fits(model, X, y) for name, model in models.items()}
    return Job(contenders, note=note, compared=False)


def evidence(data, hidden, quick):
    """Work G: lm by the evidence, compared with the bare arithmetic of as many iterations.

    The arithmetic of an iteration is the Gram matrix of the Jacobian (dsyrk by blocks of 256 rows,
    half the multiply-adds of a dgemm), the tanh of each hidden unit, the Cholesky factor of the
    damped matrix, and the factor and inverse of A for the evidence. Forward products, the Jacobian
    and rejected steps are not counted.
    """
    X, y = data()
    net = TinyMLPRegressor(hidden_layer_sizes=hidden, solver="lm", alpha="one", random_state=0)
    n_iter = net.fit(X, y).n_iter_
    n = net.n_parameters_
    rng = np.random.default_rng(0)
    block = np.asfortranarray(rng.standard_normal((n, 256)))
    blocks = [min(256, len(y) - first) for first in range(0, len(y), 256)]
    sums = rng.standard_normal((256, sum(hidden)))
    values = np.empty_like(sums)
    A = np.asfortranarray(np.eye(n))

    def tanh():
        for rows in blocks:
            np.tanh(sums[:rows], out=values[:rows])

    def syrk():
        for rows in blocks:
            blas.dsyrk(1.0, block[:, :rows], 0.5, A, lower=1, overwrite_c=1)

    def cholesky():
        factor, _ = lapack.dpotrf(A, lower=1, clean=0)
        return factor

    def inverse():
        lapack.dpotri(cholesky(), lower=1, overwrite_c=1)

    def arithmetic(_):
        for _ in range(n_iter):
            tanh()
            syrk()
            cholesky()
            inverse()
        return True

    def note(runs):
        return f"P={n}, {n_iter} iterations of {1e6 * runs.median / n_iter:.0f} us"

    contenders = {"ours": fits(net, X, y), "arithmetic": arithmetic}
    return Job(contenders, note=note, compared=False)


F32, F64 = np.float32, np.float64


def whole_fits(data, quick):
    """Work H: ensembles of networks and of trees with their defaults, fit and predict."""
    X, X_new, y, y_new = train_test_split(*data(), random_state=0)

    def predicts(model):
        return lambda _: model.fit(X, y).predict(X_new)

    contenders = {
        "ours": predicts(TinyMLPEnsembleRegressor(random_state=0)),
        "HistGradientBoosting": predicts(HistGradientBoostingRegressor(random_state=0)),
        "CatBoost": peers.catboost_fit(X, y, X_new),
    }

    def test_error(predictions):
        return np.sqrt(np.mean((predictions - y_new) ** 2))

    return Job(present(contenders), test_error, "test RMSE", alike=False)


SINE = "sin(x) + 0.1 noise, n=200, 10 tanh, to training MSE"

WORKS = [
    Work(
        "A",
        "three points, 1-3-1 relu, sgd by single rows, 2,443 epochs",
        partial(single_rows, "relu"),
        {"scikit-learn": 400},
    ),
    Work(
        "A tanh",
        "three points, 1-3-1 tanh, sgd by single rows, 2,443 epochs",
        partial(single_rows, "tanh"),
        {"scikit-learn": 400},
    ),
    Work(
        "B",
        f"{SINE} 0.0090",
        partial(to_error, sine, 0.0090),
        {"scikit-learn": 25, "scipy lm": 3},
        most_ms=0.8,
    ),
    Work("B'", f"{SINE} 0.0080", partial(to_error, sine, 0.0080), most_ms=2.5),
    *(
        Work(
            f"B {name}",
            f"{title}, 10 tanh, to where MLPRegressor's lbfgs ends",
            partial(to_error, data, None),
            {"scikit-learn": goal},
        )
        for name, title, data, goal in (
            ("sine", "sin(x) + 0.1 noise, n=200", sine, 5),
            ("diabetes", "diabetes as it comes", partial(diabetes_columns, False), 5),
            ("diabetes scaled", "diabetes of unit variance", partial(diabetes_columns, True), 2),
        )
    ),
    *(
        Work(
            f"{name} {dtype}".removesuffix(" f64"),
            f"n=20,000, {'-'.join(map(str, (10, *hidden, 1)))}, adam, batch {batch}, {dtype}",
            partial(minibatches, hidden, batch, real),
            {"scikit-learn": goal},
            n_rounds=5,
        )
        for name, hidden, batch, goals in (
            ("C", (100,), 200, (12, 20)),
            ("C'", (100,), 32, (28, 60)),
            ("D", (100, 100), 200, (4, 6)),
            ("D'", (100, 100), 32, (9, 12)),
        )
        for dtype, real, goal in zip(("f64", "f32"), (F64, F32), goals, strict=True)
    ),
    Work(
        "E",
        "diabetes, 5-fold grid of 24 lbfgs networks",
        grid,
        {"scikit-learn": 8},
        n_rounds=3,
    ),
    *(
        Work(
            f"F {n_rows} {dtype}".removesuffix(" f64"),
            f"predict, 10-100-1, {n_rows} row{'s' * (n_rows > 1)}, {dtype}",
            partial(predictions, n_rows, real),
            {"scikit-learn": goal},
            n_rounds=21,
        )
        for n_rows, goal in ((1000, 3), (1, 1.3))
        for dtype, real in (("f64", F64), ("f32", F32))
    ),
    Work("I", "1,000 rows, 25 raw inputs, defaults", default_fit),
    Work(
        "G yacht",
        "lm with the evidence, yacht, n=277, 10 tanh",
        partial(evidence, yacht, (10,)),
        {"arithmetic": 0.5},
    ),
    Work(
        "G diabetes",
        "lm with the evidence, diabetes, n=442, 10 tanh",
        partial(evidence, partial(load_diabetes, return_X_y=True), (10,)),
        {"arithmetic": 0.5},
    ),
    Work(
        "G power-plant",
        "lm with the evidence, the size of power-plant, n=8,600, d=4, 20 tanh",
        partial(evidence, partial(smooth, 8600, 4), (20,)),
        {"arithmetic": 0.5},
        n_rounds=5,
    ),
    Work(
        "G deep",
        "lm with the evidence, n=7,200, d=8, 24-24 tanh",
        partial(evidence, partial(smooth, 7200, 8), (24, 24)),
        {"arithmetic": 0.5},
        n_rounds=3,
    ),
    *(
        Work(
            f"H {name}",
            f"the ensemble, {name}, three quarters of its rows",
            partial(whole_fits, data),
            most_ms=4000.0,  # 2 s on two cores
            n_rounds=3,
        )
        for name, data in (
            ("yacht", yacht),
            ("diabetes", partial(load_diabetes, return_X_y=True)),
        )
    ),
]
