"""`MLPRegressor`: scikit-learn's class name, signature and defaults, on this engine."""

import sklearn.neural_network
from sklearn.base import RegressorMixin

from ._network_estimator import NetworkEstimator


class MLPRegressor(RegressorMixin, NetworkEstimator):
    """Drop-in replacement for scikit-learn's MLPRegressor.

    It has the parameters, defaults and attributes of :class:`sklearn.neural_network.MLPRegressor`,
    and trains the same weights up to rounding in less time. :class:`TinyMLPRegressor` has more
    parameters, and other defaults that need no scaler and no grid search.

    Parameters
    ----------
    loss : {'squared_error', 'poisson'}, default='squared_error'
        Loss to minimise, averaged over the samples.

    hidden_layer_sizes : array-like of int, default=(100,)
        Number of units in each hidden layer.

    activation : {'identity', 'logistic', 'tanh', 'relu'}, default='relu'
        Activation of the hidden layers.

    solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
        L-BFGS, stochastic gradient descent, or Adam (Kingma and Ba, 2014).

    alpha : float, default=0.0001
        Strength of the L2 penalty.

    batch_size : int or 'auto', default='auto'
        Number of samples in a minibatch of 'sgd' and 'adam'. 'auto' is ``min(200, n_samples)``.

    learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
        Schedule of the learning rate of 'sgd'.

    learning_rate_init : float, default=0.001
        Initial learning rate of 'sgd' and 'adam'.

    power_t : float, default=0.5
        Exponent of the schedule 'invscaling'.

    max_iter : int, default=200
        Maximum number of epochs ('sgd', 'adam') or iterations ('lbfgs').

    shuffle : bool, default=True
        Whether 'sgd' and 'adam' shuffle the samples in each epoch.

    random_state : int, RandomState instance or None, default=None
        Draws initial weights, the split of early stopping and the order of samples, exactly as in
        scikit-learn. Pass an int for reproducible results.

    tol : float, default=1e-4
        Minimum improvement of the loss or of the validation score ('sgd', 'adam'), or maximum
        absolute entry of the gradient ('lbfgs').

    verbose : bool, default=False
        Whether to print progress.

    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last `fit`.

    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.

    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.

    early_stopping : bool, default=False
        Whether 'sgd' and 'adam' hold out rows, and stop when the score on them does not improve by
        `tol` for `n_iter_no_change` consecutive epochs.

    validation_fraction : float, default=0.1
        Fraction of the rows that is held out.

    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's first and second moment, in [0, 1).

    epsilon : float, default=1e-8
        Adam's term against division by zero.

    n_iter_no_change : int, default=10
        Maximum number of epochs without improvement by `tol`.

    max_fun : int, default=15000
        Maximum number of loss evaluations of 'lbfgs'.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (units before, units after)
        Weights of each layer.

    intercepts_ : list of ndarray of shape (units after,)
        Intercepts of each layer.

    loss_ : float
        Training loss with the penalty.

    best_loss_ : float or None
        Lowest training loss; None with `early_stopping`.

    loss_curve_ : list of float
        Loss after each epoch or iteration.

    validation_scores_ : list of float or None
        R² on the held-out rows after each epoch; None without `early_stopping`.

    best_validation_score_ : float or None
        The best of `validation_scores_`.

    n_iter_ : int
        Number of epochs or iterations of the last call.

    t_ : int
        Number of training samples seen by 'sgd' and 'adam'.

    n_layers_ : int
        Number of layers, including inputs and outputs.

    n_outputs_ : int
        Number of outputs.

    out_activation_ : str
        Activation of the output layer.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` has string column names.

    See Also
    --------
    TinyMLPRegressor : Standardises, finds the penalty, and returns standard deviations.
    sklearn.neural_network.MLPRegressor : The original.

    Notes
    -----
    What differs from scikit-learn is listed in docs: Coming from MLPRegressor.

    References
    ----------
    Kingma, D. and Ba, J. "Adam: A method for stochastic optimization." :arxiv:`1412.6980`.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn_tinymlp import MLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> mlp = MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(X, y)
    >>> mlp.predict(X[:2]).shape
    (2,)
    """

    _parameter_constraints: dict = sklearn.neural_network.MLPRegressor._parameter_constraints

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
    ):
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
