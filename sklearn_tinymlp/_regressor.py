"""`TinyMLPRegressor`: parameters, validation, the choice of a solver, prediction."""

import re
import warnings
from contextlib import contextmanager, nullcontext
from functools import cache
from numbers import Integral, Real

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_is_fitted,
)

from ._activations.built_in import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS, POSITIVE_ACTIVATIONS
from ._activations.derivative_check import check_derivative
from ._activations.lookup import is_positive, name_of, value_and_slope
from ._activations.users_own import Activation, raise_caught
from ._bayes.evidence import cholesky_factor
from ._bayes.groups import weight_groups
from ._bayes.posterior import Posterior
from ._diagnosis import diagnose, examination, feasibility
from ._diagnosis.fitted_network import FittedNetwork
from ._displays import html
from ._displays.diagram import diagram_of
from ._engine import kernels
from ._engine.architecture import Architecture
from ._engine.objective import Objective, Samples, kernel_network, kernel_rows, predict
from ._engine.second_order import gauss_newton
from ._export import persistence
from ._fit.callbacks import CallbackSupportMixin, FitTasks, managed
from ._fit.initial_weights import INITIALIZERS, initial_parameters
from ._fit.restarts import summary, train_all
from ._fit.scaling import Scaling
from ._fit.validation import validate_inputs, validate_training_data
from ._losses.table import LOSSES
from ._machine.interruption import Interruption
from ._machine.threads import single_threaded_blas
from ._solvers import lbfgs, levenberg_marquardt, stochastic
from ._solvers.monitor import Monitor, Record, Solution, StopReason

STOCHASTIC_SOLVERS = ("sgd", "adam")

# The range of z, over which a user's derivative is checked, is as good as known after these.
CHECKED_ROWS = 1000

# solver="auto", by `python -m benchmarks.solver_choice` (docs/solvers.md): to the loss that lbfgs
# has after 200 iterations lm is the fastest up to this many multiply-adds an iteration, whether
# the parameters are few or the residuals. Its matrices, outputs + 3 of them with the number of
# parameters squared, take at most 64 MB.
LM_WORK = 300_000_000
LM_PARAMETERS = 1000
LM_NUMBERS = 8_000_000

# ... then lbfgs, up to this many samples x parameters; beyond, a pass over the data takes so long
# that adam's many steps in each are worth more.
LBFGS_LIMIT = 3_000_000

# Networks of at most this many parameters train on one BLAS thread, see `_threads`. The products of
# a batch of 200 rows with a layer of 300 x 300 take a millisecond; below that a second thread
# costs as much as it does.
ONE_THREAD = 100_000

# The posterior of this many parameters takes 200 MB, and its Cholesky factor some seconds.
POSTERIOR_PARAMETERS = 5000

# After Ctrl-C the posterior is left out where it takes longer than a tenth of a second: rows times
# parameters squared.
POSTERIOR_WORK_AFTER_CTRL_C = 5e8

# Types and values of all parameters of estimators whose parameters were right.
VALID_PARAMETERS: set[tuple] = set()
MOST_VALID_PARAMETERS = 1000


@contextmanager
def unchanged_on_error(estimator):
    """Give an estimator its attributes, and its RandomState its state, back on an error."""
    before, random_state = vars(estimator).copy(), estimator.random_state
    own_state = isinstance(random_state, np.random.RandomState)
    state = random_state.get_state(legacy=False) if own_state else None
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # in one step: another thread may be predicting
        if own_state:
            random_state.set_state(state)
        raise


class TinyMLPRegressor(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Small multi-layer perceptron regressor, compiled.

    A drop-in for :class:`sklearn.neural_network.MLPRegressor` that follows it step by step
    (``TinyMLPRegressor(**MLPRegressor(...).get_params())`` gives the same weights, to rounding)
    and allows what that one refuses: networks without bias, other activations, one for each
    layer and for the output, start weights, a target loss, a validation set of one's own.

    Parameters
    ----------
    loss : {'squared_error', 'poisson'}, default='squared_error'
        Half the mean squared error, or half the mean Poisson deviance.

    hidden_layer_sizes : int or array-like of int, default=(20,)
        Units of each hidden layer. Empty for a network without hidden layers.

    activation : str, Activation, or list of them, default='tanh'
        Activation of the hidden layers: one for all, or a list with one a layer. An
        :class:`Activation` is one of your own; `sklearn_tinymlp.activations` has some ready.

        - 'identity': z
        - 'logistic': 1 / (1 + exp(-z))
        - 'tanh': tanh(z)
        - 'relu': max(0, z)
        - 'leaky_relu': z for z > 0, else 0.01 z
        - 'elu': z for z > 0, else exp(z) - 1
        - 'softplus': log(1 + exp(z))
        - 'silu': z / (1 + exp(-z))
        - 'gelu': z Phi(z), with the standard normal distribution function Phi
        - 'sin': sin(z)

    bias : bool, default=True
        Whether the layers have intercepts. With False `intercepts_` stay exactly zero.

    output_activation : str or Activation, default='auto'
        Activation of the output layer: 'auto' for 'identity', or 'exp' with the Poisson
        deviance; or any that `activation` takes, or 'exp'. The Poisson deviance needs one
        that is always positive: 'exp', 'softplus', 'logistic' or such a one of your own.

    solver : {'auto', 'lm', 'lbfgs', 'adam', 'sgd'}, default='auto'
        'lm' is Levenberg-Marquardt, for the squared error. With P parameters, K outputs and
        R = samples times K, 'auto' takes 'lm' where P <= 1000, (K + 3) P^2 <= 8 million (64 MB)
        and R P min(R, P) <= 300 million, else 'lbfgs' where samples times P are at most 3
        million, else 'adam'; `solver_` says which. The others are those of MLPRegressor.

    alpha : float or 'auto', default='auto'
        Strength of the L2 penalty: alpha / 2 times the sum of squared coefs, divided by the
        number (or total weight) of samples, is added to the loss. With 'auto' the solver 'lm'
        finds the penalty of all weights, and that of the output layer's intercepts, by the
        evidence (MacKay 1992), and the others take 1e-4.

    standardize : bool or 'auto', default='auto'
        Whether to train on X and y of mean 0 and standard deviation 1, and fold the scaling back
        into `coefs_` and `intercepts_`: they and all predictions belong to raw X and y. 'auto' is
        True with the solvers 'auto' and 'lm'. y is scaled with the identity as output activation
        only; without bias, and for a sparse X, nothing is centred. `loss_` and `loss_tol` are in
        the units of y with 'lm', and in those of the standardised y with the other solvers.
        `warm_start` and `partial_fit` keep the first scaling.

    init : str, default='glorot_uniform'
        How start weights are drawn.

        - 'glorot_uniform': MLPRegressor's rule, Glorot and Bengio (2010)
        - 'he_uniform': He et al. (2015), for relu and its kin
        - 'lecun_uniform': LeCun et al. (1998)
        - 'nguyen_widrow': Nguyen and Widrow (1990), for inputs within [-1, 1]
        - 'uniform': coefs and intercepts from [0, 1)

    n_init : int, default=1
        Number of random starts; the one with the greatest evidence, the best validation score with
        `early_stopping`, or else the least loss is kept. They are trained in threads, and the
        outcome does not depend on how many. With 1 the draws are those of MLPRegressor.

    loss_tol : float, default=None
        Target for the training loss: training ends as soon as `loss_` is at most this.

    batch_size : int or 'auto', default='auto'
        Rows of a minibatch in 'sgd' and 'adam'. 'auto' is ``min(200, n_samples)``.

    learning_rate : {'constant', 'invscaling', 'adaptive'} or float, default='constant'
        The schedule of 'sgd', or a number: a constant rate of that size, for 'sgd' and 'adam'.

        - 'constant': `learning_rate_init` throughout
        - 'invscaling': ``learning_rate_init / (t + 1) ** power_t`` after t samples
        - 'adaptive': `learning_rate_init`, divided by 5 each time that `n_iter_no_change` epochs
          in a row brought no improvement by `tol`

    learning_rate_init : float, default=None
        Initial learning rate. None means 0.001. Not together with a number as `learning_rate`.

    power_t : float, default=0.5
        Exponent of 'invscaling'.

    max_iter : int, default=200
        Most epochs ('sgd', 'adam') or iterations ('lbfgs', 'lm').

    shuffle : bool, default=True
        Whether 'sgd' and 'adam' draw a new order of the samples each epoch.

    random_state : int, RandomState instance or None, default=None
        Draws start weights, the split of early stopping and the order of samples, exactly as
        MLPRegressor draws them. Pass an int for reproducible results.

    tol : float, default=1e-4
        Least improvement of the loss, or of the validation score, that counts ('sgd', 'adam');
        for 'lbfgs' the largest entry of the gradient at which it is done; for 'lm' the least rise
        of the log evidence in 20 iterations, in units of 10,000 nats, or with a fixed alpha 10,000
        times the least relative fall of the loss.

    verbose : bool or int, default=False
        Whether to print progress.

    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last `fit`.

    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.

    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.

    early_stopping : bool, default=False
        Whether 'sgd', 'adam' and 'lm' hold out a `validation_fraction` of the data and stop when
        its R² does not improve by `tol` for `n_iter_no_change` epochs in a row. With `X_val` and
        `y_val` in `fit` these are used instead, and 'lbfgs' stops early too.

    validation_fraction : float, default=0.1
        Share of the data that is held out.

    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's first and second moment, in [0, 1).

    epsilon : float, default=1e-8
        Adam's guard against division by zero.

    n_iter_no_change : int or inf, default=10
        Epochs without improvement that are put up with.

    max_fun : int, default=15000
        Most evaluations of the loss by 'lbfgs'.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (units before, units after)
        Weights of each layer.

    intercepts_ : list of ndarray of shape (units after,)
        Intercepts of each layer; zeros with ``bias=False``.

    loss_ : float
        Training loss, penalty included: of sgd and adam that of the last epoch, else that of
        the weights that are kept; with the evidence these are those of its greatest value.

    best_loss_ : float or None
        Least training loss; None with `early_stopping`.

    loss_curve_ : list of float
        Loss after each epoch or iteration.

    validation_scores_ : list of float or None
        R² on the validation set after each epoch; None without `early_stopping`.

    best_validation_score_ : float or None
        The best of them.

    history_ : dict of ndarray
        One row an epoch or iteration: loss; with 'sgd' and 'adam' learning_rate (of Adam with its
        bias corrections, as in the update: that of Kingma and Ba, end of section 2); with 'lm'
        gradient_norm and damping, and by the evidence alpha (that of all but the output layer's
        intercepts), log_evidence (of standardised y) and n_effective_parameters; with a validation
        set validation_loss and validation_score. ``pandas.DataFrame(est.history_)`` is a table.

    starts_ : dict of ndarray
        One row a random start, `n_init` of them: loss, n_iter and stop_reason; by the evidence
        log_evidence (of standardised y), with `early_stopping` validation_score.

    n_iter_ : int
        Epochs or iterations of the last call.

    t_ : int
        Training samples seen by 'sgd' and 'adam'.

    solver_ : str
        The solver used.

    alpha_ : float or ndarray of shape (n_groups,)
        The strength of the penalty used. By the evidence the precision of the weights, on
        standardised data: that of all but the output layer's intercepts, and that of these.

    noise_std_ : float or ndarray of shape (n_outputs,)
        Standard deviation of the noise in the units of y. This and the next three are None where
        the evidence was not asked.

    n_effective_parameters_ : float
        How many parameters the data determine, of `n_parameters_`.

    log_evidence_ : float
        Logarithm of the probability of y, in its own units, given the hyperparameters, in nats.

    feature_relevance_ : ndarray of shape (`n_features_in_`,)
        Root mean square of the first layer's coefs of each standardised input, summing to 1.

    converged_ : bool
        Whether training ended because the loss, the gradient or the validation score said so, and
        reached `loss_tol` if one was asked for. Where it is False a ConvergenceWarning says
        what `diagnose` finds first, and so it does where 'sgd', 'adam' or 'lbfgs' ended no better
        than the mean of y.

    stop_reason_ : str
        What ended training: 'loss_tol', 'tol', 'validation', 'evidence', 'exact', 'gradient',
        'line_search', 'max_iter', 'max_fun', 'callback' or 'interrupted'; after `partial_fit`
        'partial_fit'. 'callback' is a callback's wish: `converged_` is then False, but the user
        knows, and there is no ConvergenceWarning.

    n_parameters_ : int
        Number of weights that training may change.

    n_layers_ : int
        Number of layers, inputs and outputs included.

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
    sklearn.neural_network.MLPRegressor : The estimator whose path 'sgd', 'adam' and 'lbfgs' follow.

    Notes
    -----
    One difference from MLPRegressor is deliberate: with several outputs and the squared error
    its 'lbfgs' is given a gradient that is not that of its loss (scikit-learn issue 8349). Here
    it is.

    With scikit-learn 1.9 or later `set_callbacks` takes its callbacks and the user's own: each
    epoch or iteration is a task, after which a callback may stop the training; with `n_init` above
    1 each start is a task that holds them, and the starts are trained one after the other.

    References
    ----------
    Glorot, X. and Bengio, Y. "Understanding the difficulty of training deep feedforward neural
    networks." AISTATS 2010.

    Kingma, D. and Ba, J. "Adam: A method for stochastic optimization." :arxiv:`1412.6980`.

    MacKay, D. "A practical Bayesian framework for backpropagation networks." Neural Computation 4
    (1992), 448-472.

    Nguyen, D. and Widrow, B. "Improving the learning speed of 2-layer neural networks by choosing
    initial values of the adaptive weights." IJCNN 1990.

    Examples
    --------
    Three points, and a network that finds them:

    >>> from sklearn_tinymlp import TinyMLPRegressor
    >>> X, y = [[1], [2], [3]], [5, 4, 3]
    >>> net = TinyMLPRegressor(
    ...     hidden_layer_sizes=(3,), activation="leaky_relu", solver="sgd", learning_rate=0.01,
    ...     batch_size=1, loss_tol=1e-6, max_iter=100_000, tol=0, n_iter_no_change=100_000,
    ...     alpha=0.0, random_state=0,
    ... )
    >>> net.fit(X, y).predict(X).round(2)
    array([5., 4., 3.])
    >>> net.stop_reason_
    'loss_tol'
    """

    _parameter_constraints: dict = {
        "loss": [StrOptions({"squared_error", "poisson"})],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "activation": [StrOptions(set(HIDDEN_ACTIVATIONS)), Activation, list, tuple],
        "bias": ["boolean"],
        "output_activation": [StrOptions({"auto", *OUTPUT_ACTIVATIONS}), Activation],
        "solver": [StrOptions({"auto", "lm", "lbfgs", "sgd", "adam"})],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "standardize": [StrOptions({"auto"}), "boolean"],
        "init": [StrOptions(set(INITIALIZERS))],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "loss_tol": [None, Interval(Real, 0, None, closed="left")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate": [
            StrOptions({"constant", "invscaling", "adaptive"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "learning_rate_init": [None, Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(20,),
        activation="tanh",
        *,
        bias=True,
        output_activation="auto",
        solver="auto",
        alpha="auto",
        standardize="auto",
        init="glorot_uniform",
        n_init=1,
        loss_tol=None,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=None,
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
        self.bias = bias
        self.output_activation = output_activation
        self.solver = solver
        self.alpha = alpha
        self.standardize = standardize
        self.init = init
        self.n_init = n_init
        self.loss_tol = loss_tol
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

    @classmethod
    @cache
    def _get_param_names(cls):
        """Read the signature once a class; scikit-learn reads it in each `fit`, for 0.1 ms."""
        return super()._get_param_names()

    def _validate_params(self):
        """Check parameters; those that were found right before are not checked again.

        A check takes a quarter of the time that a small fit takes beside its training.
        """
        values = self.get_params(deep=False).values()
        try:
            key = tuple((type(value), value) for value in values)
            known = key in VALID_PARAMETERS
        except TypeError:  # a list, say, cannot be looked up
            return super()._validate_params()
        if not known:
            super()._validate_params()
            if len(VALID_PARAMETERS) >= MOST_VALID_PARAMETERS:
                VALID_PARAMETERS.clear()
            if not isinstance(self.random_state, np.random.RandomState):  # it would be kept alive
                VALID_PARAMETERS.add(key)

    # ------------------------------------------------------------------ what the user calls

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        coefs_init=None,
        intercepts_init=None,
    ):
        """Train the network on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. float32 stays float32; a sparse matrix is worked on as CSR, never densified.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        X_val, y_val, sample_weight_val : array-likes, default=None
            A validation set. Its loss and R² are kept in `history_`; with `early_stopping` it
            takes the place of the held-out fraction.

        coefs_init : list of array-like of shape (units before, units after), default=None
            Start weights of each layer, instead of drawn ones.

        intercepts_init : list of array-like of shape (units after,), default=None
            Start intercepts of each layer, instead of drawn ones.

        Returns
        -------
        self : TinyMLPRegressor

        Raises
        ------
        ValueError
            When data or parameters are not of the kind asked for or contradict each other, when the
            derivative of an `Activation` is not that of its value, and when training ended in
            weights that are not finite. The estimator then stays as it was before the call.

        Warns
        -----
        ConvergenceWarning
            Before training, when no weights can reach the targets: they lie outside the range of
            the output activation, or need an intercept that ``bias=False`` forbids. After
            training, when it did not converge: with the reason, the loss reached, and what
            `diagnose` finds first.
        """
        with unchanged_on_error(self), managed(self):
            validation = (X_val, y_val, sample_weight_val)
            start = (coefs_init, intercepts_init)
            return self._fit(X, y, sample_weight, validation, start)

    def _check_solver(self):
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic. Set solver='adam' or solver='sgd'."
            )
        return True

    @available_if(lambda est: est._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Do one epoch over the given data, with the solvers 'sgd' and 'adam'.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        self : TinyMLPRegressor

        Raises
        ------
        ValueError
            As `fit` does, and with ``early_stopping=True``.
        """
        self._validate_params()  # scikit-learn's decorator leaves it out once fitted
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.n_init > 1:
            raise ValueError(
                f"partial_fit continues from one start, but n_init={self.n_init}. Set n_init=1."
            )
        with unchanged_on_error(self), managed(self):
            return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X, return_std=False):
        """Predict the targets of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        return_std : bool, default=False
            Whether to give the standard deviation of each prediction too: what the data leave open
            about the function, and the noise, widened where leaving out training rows shows them
            too small. Needs solver 'lm' with ``alpha="auto"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions: float32 when both X and the network are, else float64.

        y_std : ndarray of the shape of y
            Their standard deviations, in the units of y; only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when the network was not fitted by the evidence.
        """
        net = self._as_it_is()
        check_is_fitted(net)
        X = validate_inputs(net, X)
        both_single = X.dtype == net.coefs_[0].dtype == np.float32
        dtype = np.dtype(np.float32 if both_single else np.float64)
        X = X.astype(dtype, copy=False, order="C") if isinstance(X, np.ndarray) else X.astype(dtype)
        architecture = net._architecture()
        network = kernel_network(
            architecture, net._layer_activations, net._loss, dtype.name, gradients=False
        )
        theta = architecture.pack(net.coefs_, net.intercepts_, dtype)
        y = predict(network, kernel_rows(X), X.shape[0], theta)
        raise_caught()
        y = y.ravel() if y.shape[1] == 1 else y
        if not return_std:
            return y
        network, inputs = net._posterior_inputs(X)
        std = net._posterior.std(network, inputs)
        raise_caught()
        return y, std.ravel() if std.shape[1] == 1 else std

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from the posterior, noise included.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.

        n_samples : int, default=1
            Number of draws. Within a draw the values at all X belong to one network.

        random_state : int, RandomState instance or None, default=0
            Draws weights and noise.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)

        Raises
        ------
        ValueError
            When the network was not fitted by the evidence.
        """
        net = self._as_it_is()
        y = net.predict(X).astype(np.float64)
        X = validate_inputs(net, X).astype(np.float64, copy=False)
        network, inputs = net._posterior_inputs(X)
        random_state = check_random_state(random_state)
        deviations = net._posterior.draw(network, inputs, n_samples, random_state)
        raise_caught()
        if y.ndim == 1:
            deviations = deviations[:, 0]
        return y[..., None] + deviations

    def diagnose(self, X, y, sample_weight=None) -> diagnose.Diagnosis:
        """Say why the fitted network does not learn, or not well, and which parameter mends it.

        The estimator is not changed. It costs a few dozen passes of the data through the network,
        and of large data an evenly spread part is looked at.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs the network was trained on.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        diagnosis : Diagnosis
            A sequence of findings, those that explain most first. Each has `code`, `severity`,
            `sentence`, `remedy` and `parameters` (for `set_params`). It prints as text and shows
            as a table in a notebook.

        Raises
        ------
        ValueError
            When X and y are not of the kind that the network was trained on.

        See Also
        --------
        sklearn_tinymlp.diagnose : The same for an MLPRegressor, and for a pipeline.

        Examples
        --------
        >>> from sklearn_tinymlp import TinyMLPRegressor
        >>> X, y = [[1], [2], [3]], [5, 4, 3]
        >>> net = TinyMLPRegressor(
        ...     hidden_layer_sizes=(3,), activation="relu", bias=False, solver="lbfgs",
        ...     alpha=0.0, random_state=0,
        ... )
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     diagnosis = net.fit(X, y).diagnose(X, y)
        >>> diagnosis[0].code, diagnosis[0].remedy
        ('no_bias', 'bias=True')
        """
        net = self._as_it_is()
        check_is_fitted(net)
        X, y, sample_weight = net._validate(X, y, sample_weight, reset=False)
        if y.shape[1] != net.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} outputs, but the network has {net.n_outputs_}.")
        architecture = net._architecture()
        theta = architecture.pack(net.coefs_, net.intercepts_, np.float64)
        if net._scaling is not None:
            theta = net._scaling.unfold(architecture, theta)
        data = _standardized((X, y, sample_weight), net._scaling)
        return diagnose.diagnose(net._describe(architecture, theta, data))

    def _describe(self, architecture, theta, data) -> FittedNetwork:
        """Describe the fitted network to the diagnosis; theta and data in the units of training."""
        loss_unit = 1.0
        if self.solver_ == "lm" and self._scaling is not None:
            with np.errstate(over="ignore"):  # y of 1e200
                loss_unit = float(np.mean(self._scaling.y_scale**2))
        return FittedNetwork(
            architecture,
            theta,
            self._layer_activations,
            LOSSES[self._loss],
            data,
            params=self.get_params(deep=False),
            solver=self.solver_,
            standardized=self._scaling is not None,
            penalty=0.0 if self.log_evidence_ is not None else float(self.alpha_),
            by_evidence=self.log_evidence_ is not None,
            rate=self._first_rate(),
            stop_reason=self.stop_reason_,
            n_iter=self.n_iter_,
            reached=float(self.loss_),
            loss_unit=loss_unit,
            history=self._record.columns,
            restart_losses=self.starts_["loss"],
        )

    def _architecture(self) -> Architecture:
        units = (self.coefs_[0].shape[0], *(len(b) for b in self.intercepts_))
        return Architecture(units, self.n_parameters_ > sum(coef.size for coef in self.coefs_))

    def _layers(self):
        """Give coefs, intercepts and activation of each layer, for the exports."""
        return zip(self.coefs_, self.intercepts_, self._layer_activations, strict=True)

    def _posterior_inputs(self, X):
        """Give the network and the inputs in the units that the posterior was found in."""
        if self._posterior is None:
            raise ValueError(f"A standard deviation needs the evidence: {self._no_posterior()}")
        X = X.astype(np.float64, copy=False)
        if self._scaling is not None:
            X = self._scaling.transform_X(X)
        activations = self._layer_activations
        architecture = self._architecture()
        return kernel_network(architecture, activations, self._loss, "float64", False), X

    def _no_posterior(self) -> str:
        """Say why there is no distribution of the weights, and what to do."""
        if self._loss == "poisson":
            return "it is that of squared errors. This network was fitted with loss='poisson'."
        if self.solver_ != "lm":
            return (
                "fit with solver='lm' and alpha='auto'. This network was fitted with solver_="
                f"{self.solver_!r}; solver='auto' takes lm where data and network are small enough."
            )
        if self.early_stopping:
            return "set early_stopping=False: with it the validation set chooses the weights."
        if isinstance(self.alpha_, float) and self.alpha != "auto":
            return f"set alpha='auto'. This network was fitted with alpha={self.alpha_!r}."
        if self.n_parameters_ > POSTERIOR_PARAMETERS:
            return (
                f"the network has {self.n_parameters_} parameters, and up to "
                f"{POSTERIOR_PARAMETERS} their distribution is kept. Take fewer units."
            )
        return (
            "Ctrl-C ended the fit before it was computed, or y or sample_weight are so large or so "
            "unlike that the evidence is no number. Fit again, or rescale them."
        )

    _doc_link_module = "sklearn_tinymlp"
    _doc_link_template = html.DOCUMENTATION

    def _get_params_html(self, *args, **kwargs):
        """Show the network below the parameters, wherever a block of scikit-learn shows those.

        That is alone, and as a step of a pipeline or of what a search has found.
        """
        params = super()._get_params_html(*args, **kwargs)
        if hasattr(self, "coefs_"):
            block = params._html_repr() + html.trained_network(self, diagram_of(self))
            params._html_repr = lambda: block
        return params

    @property
    def history_(self):
        """One row an epoch or iteration, as a dict of arrays."""
        return self._record.arrays()

    def __getstate__(self):
        """Give the attributes, the private ones as plain dicts and arrays, for pickle and skops."""
        return persistence.plain(super().__getstate__())

    def __setstate__(self, state):
        """Take what `__getstate__` gave."""
        super().__setstate__(persistence.restored(state))

    def __sklearn_tags__(self):
        """Accept sparse inputs and several outputs."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags

    def _as_it_is(self):
        """Copy the attributes in one step: another thread's `fit` may be about to change them."""
        copy = object.__new__(type(self))
        copy.__dict__ = vars(self).copy()
        return copy

    def _become(self, fitted, before):
        """Take what a fit has set on a copy, in one step: another thread may be predicting.

        `before` holds the attributes of the copy when the fit began. What a callback has changed
        meanwhile on the estimator itself stays.
        """
        new = {
            name: value
            for name, value in vars(fitted).items()
            if name not in before or before[name] is not value
        }
        attributes = vars(self) | new
        for name in before.keys() - vars(fitted).keys():
            attributes.pop(name, None)
        self.__dict__ = attributes

    # ---------------------------------------------------------------------------- training

    def _fit(
        self,
        X,
        y,
        sample_weight,
        validation=(None,) * 3,
        start=(None, None),
        incremental=False,
    ):
        given, fitted = (X, y, sample_weight), self._as_it_is()
        before = vars(fitted).copy()
        hidden = self._hidden_layer_sizes()
        activations = self._activations(hidden)
        self._check_consistency(start)
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y, sample_weight = fitted._validate(X, y, sample_weight, reset=first_pass)
        validation = fitted._validate_validation(validation, X, y)

        architecture = Architecture((X.shape[1], *hidden, y.shape[1]), bool(self.bias))
        solver = self._choose_solver(y, sample_weight, architecture.n_parameters)
        scaling = self._measure(X, y, sample_weight, activations[-1], first_pass)
        random_state = _random_state(self.random_state)
        starts = self._starts(architecture, activations, start, first_pass, scaling, random_state)

        data = _standardized((X, y, sample_weight), scaling)
        if any(isinstance(activation, Activation) for activation in activations):
            _check_derivatives(architecture, activations, starts[0][0], data[0])
        units = (X, y, sample_weight) if solver == "lm" else data  # those of `loss_`
        for sentence in feasibility.impossible(
            *units,
            activations,
            loss=LOSSES[self.loss],
            bias=self.bias,
            loss_tol=self.loss_tol,
        ):
            warnings.warn(sentence, ConvergenceWarning, stacklevel=4)
        given_validation = _standardized(validation, scaling) if validation else None
        interrupted = Interruption()
        tasks = self._tasks(given, solver, len(starts), incremental)

        def predictor(theta) -> dict:
            return fitted._predictor(theta, architecture, activations, scaling, X.dtype)

        def train(theta, random_state) -> Solution:
            watcher = None if tasks is None else tasks.begin_start(predictor)
            training, held_out = data, given_validation
            if self.early_stopping and held_out is None and solver != "lbfgs":
                training, held_out = self._hold_out(training, random_state)
            # Second-order steps need float64; scikit-learn's lbfgs too computes in it.
            dtype = X.dtype if solver in STOCHASTIC_SOLVERS else np.dtype(np.float64)
            objective = Objective(
                kernel_network(
                    architecture, activations, self.loss, dtype.name, gradients=solver != "lm"
                ),
                _samples(training, dtype),
                self._alpha(solver),
                None if held_out is None else _samples(held_out, dtype),
                np.ones(1) if scaling is None else scaling.y_scale,
            )
            solution = self._solve(
                solver,
                objective,
                architecture,
                theta.astype(X.dtype).astype(dtype),
                random_state,
                interrupted,
                watcher,
                first_pass,
                incremental,
            )
            raise_caught()
            if watcher is not None and watcher.end_start(solution.theta):
                interrupted.set()  # the starts to come are left out
            return solution

        small = architecture.n_parameters <= ONE_THREAD
        one_thread = single_threaded_blas if small else nullcontext
        with interrupted.hears_ctrl_c(), one_thread():
            # Neither lines of text nor callbacks are to come from several threads.
            in_threads = not self.verbose and tasks is None
            solutions = train_all(train, starts, interrupted, in_threads)
        best = max(solutions, key=self._rank)

        theta = best.theta
        if scaling is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                theta = scaling.fold(architecture, theta)
        with np.errstate(over="ignore"):
            theta = theta.astype(X.dtype)
        # y of 1e200 has a loss that no number holds, in the units of y.
        lost = np.isnan(best.loss) or (scaling is None and not np.isfinite(best.loss))
        if not np.isfinite(theta).all() or (solver == "lm" and lost and best.n_iter > 0):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
                + self._rate_advice(solver, architecture, starts[0][0], activations, data)
            )
        kept = (architecture, activations, scaling, X.dtype, first_pass, summary(solutions))
        by_user = interrupted.by_ctrl_c or any(
            solution.reason is StopReason.INTERRUPTED for solution in solutions
        )
        if by_user:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        else:
            self._warn(best, solver, kept, data)

        posterior = None
        quick = len(y) * architecture.n_parameters**2 <= POSTERIOR_WORK_AFTER_CTRL_C
        if not self.early_stopping and (quick or not by_user):  # else theta is not the evidence's
            try:
                stopped = Interruption()  # not by a Ctrl-C that has ended the training
                with stopped.hears_ctrl_c(), one_thread():
                    posterior = self._calibrated_posterior(
                        best, architecture, activations, scaling, data, stopped.heed
                    )
                    stopped.heed()  # a Ctrl-C after the last block is heard too
                raise_caught()
            except KeyboardInterrupt:  # of large data it takes as long as some iterations
                warnings.warn(
                    "Interrupted by user: the standard deviations of predictions are left out.",
                    stacklevel=4,
                )
        record = best.record
        if not first_pass:
            record = self._record.joined(record)
        fitted._keep(best, solver, record, *kept)
        fitted._posterior = posterior
        self._become(fitted, before)
        if tasks is not None:
            tasks.end()
        return self

    def _warn(self, solution, solver, kept, data):
        """Warn of a fit that did not converge: why it ended, how far it came, what mends it.

        The estimator is not touched before the warning is out, since it may be made an error.
        """
        reason, message = solution.reason, solution.warning
        expected = (None, StopReason.VALIDATION, StopReason.CALLBACK)
        if message is None and reason not in expected:
            if not self._reached(solution):
                message = f"loss_tol={self.loss_tol:g} was not reached. {reason.sentence}"
            elif solver != "lm" and self._learned_nothing(solution, data):
                message = f"{reason.sentence} But the predictions are no better than the mean of y."
        if message is None:
            return
        lines = [" ".join(message.split())]
        if not _is_ignored(ConvergenceWarning, lines[0]):
            fitted = self._as_it_is()
            fitted._keep(solution, solver, solution.record, *kept)
            fit = fitted._describe(kept[0], solution.theta.astype(np.float64), data)
            found = diagnose.diagnose(fit, examination.MOST_VALUES_IN_WARNING)
            asked = "no loss_tol" if self.loss_tol is None else f"loss_tol={self.loss_tol:g}"
            lines.append(
                f"stop_reason_={reason.code!r}: loss_ is {solution.loss:.4g}, {asked} was asked."
            )
            lines.extend(f"{first.sentence} Try {first.remedy}." for first in found[:1])
        warnings.warn("\n".join(lines), ConvergenceWarning, stacklevel=5)

    def _learned_nothing(self, solution, data) -> bool:
        """Whether sgd, adam or lbfgs ended, by their own account well, at the loss of a constant.

        lm is believed: the evidence may find that the data are noise.
        """
        if self.loss != "squared_error" or solution.reason is StopReason.LOSS_TOL:
            return False
        _, y, sample_weight = data
        y = y.astype(np.float64, copy=False)
        if sample_weight is None:
            deviations = y - y.mean(axis=0)
            half_variance = 0.5 * np.vdot(deviations, deviations) / y.size
        else:
            deviations = (y - np.average(y, axis=0, weights=sample_weight)) ** 2
            half_variance = 0.5 * np.average(deviations, axis=0, weights=sample_weight).mean()
        rounding = 1e-12 * np.abs(y).max() ** 2
        return bool(solution.loss > 0.99 * half_variance > rounding)

    def _reached(self, solution) -> bool:
        return self.loss_tol is None or bool(solution.loss <= self.loss_tol)

    def _rate_advice(self, solver, architecture, theta, activations, data) -> str:
        """Name the stable learning rate at the start weights, after sgd has diverged."""
        if solver != "sgd":
            return ""
        rate = self._first_rate()
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                limit = examination.stable_rate_of(
                    architecture,
                    theta,
                    activations,
                    LOSSES[self.loss],
                    data,
                    params=self.get_params(deep=False),
                    alpha=self._alpha(solver),
                )
        except (ValueError, np.linalg.LinAlgError):  # data so large that there is none
            return ""
        if not rate > limit:
            return ""
        by_name = self.learning_rate_init is not None
        name = "learning_rate_init" if by_name else "learning_rate"
        return (
            f" The learning rate of {rate:.3g} is above {limit:.3g}, where sgd becomes unstable at "
            f"the start weights. Try {name}={float(f'{0.5 * limit:.0e}')!r}."
        )

    def _tasks(self, given, solver, n_starts, incremental) -> FitTasks | None:
        """Tell the callbacks, if there are any, that the fit begins."""
        if not getattr(self, "_skl_callbacks", None):
            return None
        # By the evidence a start may have two beginnings, see `solve_by_evidence`.
        beginnings = 2 if solver == "lm" and self.alpha == "auto" else 1
        return FitTasks(
            self,
            *given,
            name="partial_fit" if incremental else "fit",
            step="epoch" if solver in STOCHASTIC_SOLVERS else "iteration",
            n_starts=n_starts,
            n_steps=1 if incremental else beginnings * int(self.max_iter),
        )

    def _predictor(self, theta, architecture, activations, scaling, dtype) -> dict:
        """Give the attributes that `predict` reads, for parameters in the units of training."""
        theta = theta.copy() if scaling is None else scaling.fold(architecture, theta)
        coefs, intercepts = architecture.unpack(theta.astype(dtype, copy=False))
        return {
            "coefs_": coefs,
            "intercepts_": intercepts,
            "n_parameters_": architecture.n_parameters,
            "n_outputs_": architecture.units[-1],
            "_layer_activations": activations,
            "_loss": self.loss,
            "_scaling": scaling,
            "_posterior": None,
            "n_features_in_": self.n_features_in_,
            "feature_names_in_": getattr(self, "feature_names_in_", None),
        }

    def _solve(
        self,
        solver,
        objective,
        architecture,
        theta,
        random_state,
        interrupted,
        watcher,
        first_pass,
        incremental,
    ) -> Solution:
        early_stopping = self.early_stopping and objective.validation is not None
        monitor = Monitor(
            self.max_iter,
            Record(),
            loss_tol=-np.inf if self.loss_tol is None else self.loss_tol,
            verbose=bool(self.verbose),
            validate=objective.validation_scores if objective.validation is not None else None,
            early_stopping=early_stopping,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            interrupted=interrupted,
            watcher=watcher,
        )
        earlier = None if first_pass else self._stochastic_state
        if early_stopping and first_pass:
            monitor.best_theta = theta
        elif early_stopping and earlier is not None and self.best_validation_score_ is not None:
            monitor.best_score = self.best_validation_score_
            monitor.no_improvement = int(earlier.progress["no_improvement"][0])
        if solver == "lbfgs":
            return lbfgs.solve(objective, theta, monitor, tol=self.tol, max_fun=self.max_fun)
        if solver == "lm" and self.alpha == "auto":
            groups = weight_groups(architecture)
            return levenberg_marquardt.solve_by_evidence(
                objective, theta, monitor, groups=groups, tol=float(self.tol)
            )
        if solver == "lm":
            tol = float(self.tol)
            return levenberg_marquardt.solve_penalised(objective, theta, monitor, tol=tol)
        options = self._stochastic_options(solver, objective.alpha)
        if earlier is None:
            state = stochastic.StochasticState.fresh(solver, options, theta)
        elif incremental:
            state = earlier.resumed(options)
        else:
            state = earlier.restarted(solver, options, theta)
        return stochastic.solve(
            objective,
            theta,
            monitor,
            state=state,
            random_state=random_state,
            batch_size=self._batch_size(objective.training.n_samples),
            shuffle=bool(self.shuffle),
            single_epoch=incremental,
        )

    def _keep(
        self,
        solution,
        solver,
        record,
        architecture,
        activations,
        scaling,
        dtype,
        first_pass,
        starts,
    ):
        """Set the fitted attributes; nothing here can fail halfway."""
        theta = solution.theta
        if scaling is not None:
            theta = scaling.fold(architecture, theta)
        self.coefs_, self.intercepts_ = architecture.unpack(theta.astype(dtype, copy=False))
        self.loss_ = solution.loss
        self.n_iter_ = solution.n_iter
        self.n_layers_ = len(architecture.units)
        self.n_outputs_ = architecture.units[-1]
        self.n_parameters_ = architecture.n_parameters
        self.out_activation_ = name_of(activations[-1])
        self.solver_ = solver
        self.alpha_ = self._alpha(solver)
        self.stop_reason_ = "partial_fit" if solution.reason is None else solution.reason.code
        by_validation = solution.reason is StopReason.VALIDATION
        converged = solution.reason is not None and solution.reason.converged
        self.converged_ = converged and (by_validation or self._reached(solution))
        self.loss_curve_ = record.columns.get("loss", [])
        self.validation_scores_ = self.best_validation_score_ = None
        if solver in STOCHASTIC_SOLVERS:
            self._stochastic_state = solution.state
            self.t_ = int(solution.state.progress["samples"][0])
            self.best_loss_ = float(solution.state.progress["best_loss"][0])
        else:
            if first_pass:  # else a later warm start goes on from what sgd or adam had seen
                self._stochastic_state, self.t_ = None, 0
            self.best_loss_ = min(self.loss_curve_, default=None)
        if self.early_stopping and "validation_score" in record.columns:
            self.best_loss_ = None
            self.validation_scores_ = record.columns["validation_score"]
            self.best_validation_score_ = solution.score
        self._record = record
        self._layer_activations = activations
        self._loss = self.loss
        self._scaling = scaling
        self.starts_ = starts
        self._posterior = None  # set by the caller where there is one
        self.noise_std_ = self.n_effective_parameters_ = self.log_evidence_ = None
        self.feature_relevance_ = None
        if solver == "lm" and solution.state is not None:
            self._keep_posterior(solution, architecture, scaling)

    def _keep_posterior(self, solution, architecture, scaling):
        """Set what the evidence has to say."""
        state = solution.state
        hyper = state.hyper
        self.alpha_ = hyper.alpha
        scaling = scaling or Scaling.identity(architecture.units[0], architecture.units[-1])
        noise = scaling.y_scale / np.sqrt(hyper.beta)
        self.noise_std_ = float(noise[0]) if len(noise) == 1 else noise
        self.n_effective_parameters_ = float(state.gamma.sum())
        self.log_evidence_ = solution.log_evidence - float(
            state.n_samples * np.log(scaling.y_scale).sum()
        )
        relevance = np.sqrt(np.mean(architecture.unpack(solution.theta)[0][0] ** 2, axis=1))
        self.feature_relevance_ = relevance / max(relevance.sum(), np.finfo(float).tiny)

    def _calibrated_posterior(self, solution, architecture, activations, scaling, data, between):
        """Give the distribution of the weights; None without the evidence, or with very many.

        `between` is called with each block of rows.
        """
        state = solution.state
        if solution.log_evidence == -np.inf or not isinstance(state, levenberg_marquardt.State):
            return None
        if architecture.n_parameters > POSTERIOR_PARAMETERS:
            return None
        scaling = scaling or Scaling.identity(architecture.units[0], architecture.units[-1])
        objective = Objective(
            kernel_network(architecture, activations, self.loss, "float64", False),
            _samples(data, np.dtype(np.float64)),
            0.0,
        )
        picture = gauss_newton(objective, solution.theta, between)
        factor = cholesky_factor(picture, state.hyper, state.groups)
        noise = scaling.y_scale / np.sqrt(state.hyper.beta)
        posterior = Posterior(solution.theta, factor, noise, scaling.y_scale)
        X, y, sample_weight = data
        X = X.astype(np.float64, copy=False)
        return posterior.calibrated(objective.network, X, y, sample_weight, between)

    def _rank(self, solution) -> tuple:
        """Larger is better: finite weights, the target met, then score, evidence and loss."""
        values = solution.score, solution.log_evidence, -solution.loss
        return (
            bool(np.isfinite(solution.theta).all()),
            self.loss_tol is not None and self._reached(solution),
            *(value if np.isfinite(value) else -np.inf for value in values),
        )

    # -------------------------------------------------------------- reading the parameters

    def _hidden_layer_sizes(self) -> tuple[int, ...]:
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, np.ndarray):  # of no dimension it has no iterator
            sizes = sizes.tolist()
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(not isinstance(size, Integral) for size in sizes):
            raise InvalidParameterError(
                f"The 'hidden_layer_sizes' parameter must hold ints, got {sizes!r}."
            )
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return tuple(int(size) for size in sizes)

    def _activations(self, hidden) -> tuple[str | Activation, ...]:
        """One a layer, the output's last."""
        names = self.activation
        one = isinstance(names, (str, Activation))
        names = [names] * len(hidden) if one else list(names)
        for name in names:
            if not isinstance(name, Activation) and name not in HIDDEN_ACTIVATIONS:
                raise InvalidParameterError(
                    f"The 'activation' parameter must be one of {sorted(HIDDEN_ACTIVATIONS)}, an "
                    "Activation, or a list of them with one for each hidden layer. Got "
                    f"{self.activation!r}."
                )
        if len(names) != len(hidden):
            raise ValueError(
                f"activation has {len(names)} entries, {names}, but hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} asks for {len(hidden)}, one for each hidden layer."
            )
        output = self.output_activation
        if output == "auto":
            output = "exp" if self.loss == "poisson" else "identity"
        if self.loss == "poisson" and not is_positive(output):
            raise ValueError(
                f"loss='poisson' needs predictions above zero, which output_activation={output!r} "
                f"does not give. Use 'auto' or one of {list(POSITIVE_ACTIVATIONS)}."
            )
        return (*names, output)

    def _check_consistency(self, start):
        """Refuse parameters that contradict each other."""
        if not isinstance(self.learning_rate, str) and self.learning_rate_init is not None:
            raise ValueError(
                f"learning_rate={self.learning_rate!r} is a constant rate and "
                f"learning_rate_init={self.learning_rate_init!r} is another. Give one of the two: "
                "a number as learning_rate, or a schedule's name and learning_rate_init."
            )
        if self.n_init > 1 and self.warm_start:
            raise ValueError(
                f"n_init={self.n_init} asks for several random starts, warm_start=True for the "
                "weights of the last fit. Set n_init=1 or warm_start=False."
            )
        given = [
            name
            for name, part in zip(("coefs_init", "intercepts_init"), start, strict=True)
            if part is not None
        ]
        if given and self.n_init > 1:
            raise ValueError(
                f"n_init={self.n_init} asks for several random starts, but {given[0]} fixes the "
                f"start. Set n_init=1 or leave out {given[0]}."
            )
        if given and self.warm_start and hasattr(self, "coefs_"):
            raise ValueError(
                f"warm_start=True continues from the weights of the last fit, but {given[0]} asks "
                f"for another start. Set warm_start=False or leave out {given[0]}."
            )

    def _choose_solver(self, y, sample_weight, n_parameters) -> str:
        n_samples, n_outputs = y.shape
        negative = sample_weight is not None and sample_weight.min() < 0
        if self.solver == "lm" and negative:
            raise ValueError(
                "solver='lm' minimises squared residuals and needs sample_weight >= 0, got a least "
                f"value of {sample_weight.min()}. Use solver='lbfgs' with it."
            )
        if self.solver == "lm" and self.loss == "poisson":
            raise ValueError(
                "solver='lm' minimises squared residuals and cannot take loss='poisson'. "
                "Use solver='lbfgs' with it."
            )
        if self.solver != "auto":
            return self.solver
        n_residuals = n_samples * n_outputs
        work = n_residuals * n_parameters * min(n_residuals, n_parameters)
        numbers = (n_outputs + 3) * n_parameters**2
        small = n_parameters <= LM_PARAMETERS and numbers <= LM_NUMBERS and work <= LM_WORK
        if self.loss != "poisson" and small and not negative:
            return "lm"
        return "lbfgs" if n_samples * n_parameters <= LBFGS_LIMIT else "adam"

    def _alpha(self, solver) -> float:
        if self.alpha == "auto":
            return 0.0 if solver == "lm" else 1e-4
        return float(self.alpha)

    def _measure(self, X, y, sample_weight, out_activation, first_pass) -> Scaling | None:
        """Decide on standardisation; training that continues keeps its first scaling."""
        if not first_pass:
            self._check_scaling(out_activation)
            return self._scaling
        wanted = self.solver in ("auto", "lm") if self.standardize == "auto" else self.standardize
        if not wanted:
            return None
        scale_y = out_activation == "identity"
        with np.errstate(over="ignore", invalid="ignore"):
            scaling = Scaling.of(X, y, sample_weight, bias=bool(self.bias), scale_y=scale_y)
        if not all(np.isfinite(part).all() for part in scaling):
            raise ValueError(
                "X, y or sample_weight hold values so large that their mean or spread is not "
                "finite. Rescale them, or set standardize=False."
            )
        return scaling

    def _check_scaling(self, out_activation):
        """Refuse to go on where the scaling of the first fit cannot be folded in any more."""
        scaling = self._scaling
        if scaling is None:
            return
        if not self.bias and (scaling.x_mean.any() or scaling.y_mean.any()):
            raise ValueError(
                "Training continues on data centred as in the first fit, which bias=False cannot "
                "undo. Set warm_start=False or bias=True."
            )
        if out_activation != "identity" and (scaling.y_mean.any() or (scaling.y_scale != 1).any()):
            raise ValueError(
                "Training continues on y scaled as in the first fit, which output_activation="
                f"{self.output_activation!r} and loss={self.loss!r} cannot undo. Set "
                "warm_start=False or output_activation='identity'."
            )

    def _batch_size(self, n_samples) -> int:
        if self.batch_size == "auto":
            return min(200, n_samples)
        if self.batch_size > n_samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than "
                "sample size. It is going to be clipped",
                stacklevel=6,
            )
        return int(min(self.batch_size, n_samples))

    def _first_rate(self) -> float:
        by_name = isinstance(self.learning_rate, str)
        rate = self.learning_rate_init if by_name else self.learning_rate
        return 0.001 if rate is None else float(rate)

    def _stochastic_options(self, solver, alpha):
        by_name = isinstance(self.learning_rate, str)
        schedule = self.learning_rate if by_name and solver == "sgd" else "constant"
        return kernels.StochasticOptions(
            schedule=kernels.SCHEDULE_CODES[schedule],
            learning_rate_init=self._first_rate(),
            power_t=float(self.power_t),
            momentum=float(self.momentum),
            nesterovs_momentum=bool(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            alpha=alpha,
            tol=float(self.tol),
            n_iter_no_change=float(self.n_iter_no_change),
            loss_tol=-np.inf if self.loss_tol is None else float(self.loss_tol),
        )

    # --------------------------------------------------------------------- reading the data

    def _validate(self, X, y, sample_weight, reset, sides=("sample_weight", "y")):
        """Give validated X, y of shape (n_samples, n_outputs) in the dtype of X, and weights."""
        weight_name, y_name = sides
        X, y = validate_training_data(self, X, y, reset, "X" if y_name == "y" else "X_val")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if sample_weight is not None:
            given = np.asarray(sample_weight)
            if given.dtype.kind in "biuf" and not given.any():
                raise ValueError(f"{weight_name} must not sum to zero, got zeros only.")
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
            with np.errstate(over="ignore"):
                total = sample_weight.sum()
            if total == 0:
                raise ValueError(f"{weight_name} must not sum to zero, got {sample_weight!r}.")
            if not np.isfinite(total):
                raise ValueError(f"{weight_name} must have a finite sum, got {sample_weight!r}.")
        y = y.reshape(len(y), -1)
        if y.dtype != X.dtype:  # float32 X takes y along, if it can
            with np.errstate(over="ignore"):
                y = y.astype(X.dtype)
        if not np.isfinite(y).all():  # None in an array of objects has become NaN
            assert_all_finite(y, input_name=y_name)
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"loss='poisson' needs {y_name} >= 0, got a least value of {y.min()}.")
        return X, np.ascontiguousarray(y), sample_weight

    def _validate_validation(self, validation, X, y):
        X_val, y_val, sample_weight_val = validation
        if X_val is None and y_val is None and sample_weight_val is None:
            return None
        if X_val is None or y_val is None:
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(f"A validation set needs both X_val and y_val; {missing} is missing.")
        X_val, y_val, sample_weight_val = self._validate(
            X_val,
            y_val,
            sample_weight_val,
            reset=False,
            sides=("sample_weight_val", "y_val"),
        )
        if y_val.shape[1] != y.shape[1]:
            raise ValueError(f"y_val has {y_val.shape[1]} outputs, but y has {y.shape[1]}.")
        return X_val.astype(X.dtype, copy=False), y_val, sample_weight_val

    def _hold_out(self, training, random_state):
        """Split off the validation fraction, with the draws of MLPRegressor."""
        arrays = [array for array in training if array is not None]
        parts = train_test_split(
            *arrays, random_state=random_state, test_size=self.validation_fraction
        )
        if len(training) > len(arrays):
            parts += [None, None]
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' "
                "or the size of your dataset."
            )
        if parts[5] is not None and not parts[5].sum():
            raise ValueError(
                "The validation set that early_stopping holds out has no weight: sample_weight is "
                "zero there. Give X_val and y_val, or another random_state."
            )
        return parts[0::2], parts[1::2]

    def _starts(self, architecture, activations, start, first_pass, scaling, random_state):
        """Pairs of start parameters and the RandomState that the training from there draws from."""
        if not first_pass:
            theta = self._earlier_parameters(architecture)
            if scaling is not None:
                theta = scaling.unfold(architecture, theta)
            return [(theta, random_state)]
        if self.n_init == 1:
            states = [random_state]
        else:
            seeds = random_state.randint(np.iinfo(np.int32).max, size=self.n_init)
            states = [np.random.RandomState(seed) for seed in seeds]
        coefs_init, intercepts_init = start
        shapes = architecture.coef_shapes
        coefs_init = _given_start("coefs_init", coefs_init, shapes, self.hidden_layer_sizes)
        intercepts_init = _given_start(
            "intercepts_init",
            intercepts_init,
            [s[1:] for s in shapes],
            self.hidden_layer_sizes,
        )
        if not self.bias and intercepts_init is not None and any(map(np.any, intercepts_init)):
            raise ValueError(
                "bias=False keeps intercepts at zero, but intercepts_init is not zero. "
                "Set bias=True or leave out intercepts_init."
            )
        # Without hidden layers MLPRegressor draws by the activation that it then does not use.
        unused = self.activation if isinstance(self.activation, str) else "identity"
        hidden = activations[:-1] or (unused,)
        pairs = []
        for state in states:
            coefs, intercepts = initial_parameters(architecture, self.init, hidden, state)
            theta = architecture.pack(coefs, intercepts, np.float64)
            if coefs_init is not None or intercepts_init is not None:  # for raw data
                if scaling is not None:
                    theta = scaling.fold(architecture, theta)
                coefs, intercepts = architecture.unpack(theta)
                theta = architecture.pack(
                    coefs if coefs_init is None else coefs_init,
                    intercepts if intercepts_init is None else intercepts_init,
                    np.float64,
                )
                if scaling is not None:
                    theta = scaling.unfold(architecture, theta)
            pairs.append((theta, state))
        return pairs

    def _earlier_parameters(self, architecture):
        shapes = [coef.shape for coef in self.coefs_]
        if shapes != architecture.coef_shapes:
            raise ValueError(
                f"Training continues from coefs_ of the shapes {shapes}, but hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} and the data need {architecture.coef_shapes}. "
                "Set warm_start=False or fit a new estimator."
            )
        return architecture.pack(self.coefs_, self.intercepts_, np.float64)


class _NoSeeds(ISeedSequence):
    """Stands for the operating system's random numbers where a seed overwrites them at once."""

    def generate_state(self, n_words, dtype=np.uint32):
        """Give as many zeros."""
        return np.zeros(n_words, dtype)


def _random_state(random_state) -> np.random.RandomState:
    """Do as `check_random_state`, for an int in a third of the time: 0.05 ms."""
    if not isinstance(random_state, Integral):
        return check_random_state(random_state)
    state = np.random.RandomState(np.random.MT19937(_NoSeeds()))
    state.seed(random_state)
    return state


def _standardized(arrays, scaling):
    """Apply a scaling to X and y of (X, y, sample_weight)."""
    if scaling is None:
        return arrays
    X, y, sample_weight = arrays
    return scaling.transform_X(X), scaling.transform_y(y), sample_weight


def _is_ignored(category, text) -> bool:
    """Whether a filter for all modules ignores a warning, whose diagnosis can then be spared."""
    for action, message, kind, module, line in warnings.filters:
        if issubclass(category, kind) and (message is None or re.match(message, text)):
            if module is None and line == 0:
                return action == "ignore"
            return False
    return False


def _check_derivatives(architecture, activations, theta, X):
    """Check the user's activations over the range of z that the data give at the start weights."""
    value = X[:CHECKED_ROWS]
    coefs, intercepts = architecture.unpack(theta)
    for coef, intercept, activation in zip(coefs, intercepts, activations, strict=True):
        z = value @ coef + intercept
        if isinstance(activation, Activation):
            check_derivative(activation, float(z.min()), float(z.max()))
        value, _ = value_and_slope(activation, z)


def _samples(arrays, dtype) -> Samples:
    X, y, sample_weight = arrays
    return Samples.of(X.astype(dtype, copy=False), y.astype(dtype, copy=False), sample_weight)


def _given_start(name, arrays, shapes, hidden_layer_sizes):
    """Check start weights of the user's own; None stays None."""
    if arrays is None:
        return None
    arrays = [np.asarray(array, dtype=np.float64) for array in arrays]
    if [array.shape for array in arrays] != shapes:
        raise ValueError(
            f"{name} has the shapes {[array.shape for array in arrays]}, but hidden_layer_sizes="
            f"{hidden_layer_sizes!r} and the data need {shapes}."
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{name} holds values that are not finite.")
    return arrays
