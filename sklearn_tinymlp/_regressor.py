"""`TinyMLPRegressor`: its parameters and what they mean."""

from functools import partial

from sklearn.base import RegressorMixin, clone

from ._network_estimator import NetworkEstimator
from ._training.heteroscedastic_noise import UNITS_OF_VARIANCE, fit_varying_noise
from ._training.settings import CONSTRAINTS


class TinyMLPRegressor(RegressorMixin, NetworkEstimator):
    """Small multi-layer perceptron regressor.

    A drop-in for :class:`sklearn.neural_network.MLPRegressor`, with the same weights up to rounding
    (``TinyMLPRegressor(**MLPRegressor(...).get_params())``) and more losses, activations and
    solvers. By default the penalty maximises the evidence, and `predict` has a `return_std`.

    Parameters
    ----------
    loss : str, default='squared_error'
        Loss to minimise, averaged over the samples (docs: Losses). r is the residual y - f.

        - 'squared_error', 'absolute_error': r^2 / 2, abs(r)
        - 'huber': r^2 / 2 up to 1.35 scales, linear beyond; HuberRegressor's scale (Huber 1981)
        - 'student_t': negative log density of Student's t, 4 degrees of freedom (Lange et al. 1989)
        - 'quantile': `quantile` times r for r > 0, else (`quantile` - 1) r
        - 'poisson', 'gamma': half the deviance, for y >= 0 and y > 0

    hidden_layer_sizes : int or array-like of int, default=(16, 16)
        Number of units of each hidden layer. Empty for a network without hidden layers.

    activation : str, Activation, or list of them, default='tanh'
        Activation of the hidden layers, or a list with one for each layer. :class:`Activation`
        defines others; some are in `sklearn_tinymlp.activations`.

        - 'identity', 'tanh', 'sin': z, tanh(z), sin(z)
        - 'logistic': 1 / (1 + exp(-z))
        - 'relu', 'leaky_relu': z for z > 0, else 0 or 0.01 z
        - 'elu': z for z > 0, else exp(z) - 1
        - 'softplus': log(1 + exp(z))
        - 'silu': z / (1 + exp(-z))
        - 'gelu': z Phi(z), with the standard normal distribution function Phi

    bias : bool, default=True
        Whether the layers have intercepts. With False `intercepts_` are exactly zero.

    output_activation : str or Activation, default='auto'
        Activation of the output layer: as for `activation`, or 'exp'. 'auto' is 'identity', or
        'exp' for the losses 'poisson' and 'gamma', which need positive outputs.

    solver : {'auto', 'lm', 'lbfgs', 'adam', 'sgd'}, default='auto'
        The optimiser. `solver_` is the solver used.

        - 'auto': 'lm' by the evidence, unless X is very large, a sample weight is negative or
          ``alpha=0``; else the cheapest of 'lm', 'lbfgs' and 'adam' (docs: Which solver). A warning
          names parameters that the solver does not use, each one once per process
        - 'lm': Levenberg-Marquardt, for any loss; with a number as `alpha` for squared error only
        - 'lbfgs', 'adam', 'sgd': as in MLPRegressor; compiled on their first use on a machine

    alpha : float or {'auto', 'one', 'layer', 'input'}, default='auto'
        Strength of the L2 penalty: alpha / 2 times the sum of squared coefs, divided by the
        number (or total weight) of samples, is added to the loss. A string lets 'lm' maximise the
        evidence (MacKay 1992), with a separate penalty for the output layer's intercepts. The other
        solvers then use 1e-4. With ``solver="auto"`` a number is the least penalty, which the
        evidence raises where the data need more, and 0 is none; with a named solver it is fixed.

        - 'one': one penalty for all weights
        - 'layer': one for the coefs of each layer
        - 'input': one for each input (automatic relevance determination)
        - 'auto': 'one' or 'input', as pilot networks decide; irrelevant inputs are dropped

    noise : {'constant', 'varying'}, default='constant'
        Whether the noise level is constant or varies with X. 'varying' fits a second network to the
        variance of the residuals, and `noise_std_` is then a function of X. This takes three times
        as long, and requires the evidence of the squared error, without early stopping.

    standardize : bool or 'auto', default='auto'
        Whether to train on X and y of mean 0 and standard deviation 1; `coefs_`, `intercepts_` and
        predictions always refer to raw X and y. 'auto' is True with the solvers 'auto' and 'lm'. y
        is scaled only with an identity output; nothing is centred without bias or for a sparse X.
        `loss_` and `loss_tol` are in the units of y with 'lm', else in those of the standardised y.
        `warm_start` and `partial_fit` keep the first scaling.

    inputs : {'raw', 'clipped', 'ramps'}, default='raw'
        What the network is trained on. 'clipped': 3 tanh(z / 3), where z is an input minus its
        median in robust standard deviations. 'ramps': each input as five ramps between its
        quantiles, see `PiecewiseLinearEncoder`, which suits steps and thresholds of single inputs.
        Both are a first layer of tanh or ReLU units whose weights are not trained: `coefs_` and
        `intercepts_` begin with it. Needs a dense X and ``bias=True``.

    init : str, default='glorot_uniform'
        Distribution of the initial weights.

        - 'glorot_uniform': MLPRegressor's rule, Glorot and Bengio (2010)
        - 'he_uniform': He et al. (2015), for relu and similar activations
        - 'lecun_uniform': LeCun et al. (1998)
        - 'nguyen_widrow': Nguyen and Widrow (1990), for inputs within [-1, 1]
        - 'uniform': coefs and intercepts from [0, 1)

    n_init : int, default=1
        Number of random starts. The one with the largest evidence, the best validation score with
        `early_stopping`, or else the lowest loss is kept. The starts are trained in threads; the
        result does not depend on the number of threads. With 1 the draws are the same as in
        MLPRegressor.

    loss_tol : float, default=None
        Target for the training loss: training stops as soon as `loss_` is at most this.

    batch_size : int or 'auto', default='auto'
        Number of samples in a minibatch of 'sgd' and 'adam'. 'auto' is ``min(200, n_samples)``.

    learning_rate : {'constant', 'invscaling', 'adaptive'} or float, default='constant'
        Schedule of 'sgd', or a constant learning rate for 'sgd' and 'adam'.

        - 'constant': `learning_rate_init` throughout
        - 'invscaling': ``learning_rate_init / (t + 1) ** power_t`` after t samples
        - 'adaptive': divided by 5 after `n_iter_no_change` epochs without improvement by `tol`

    learning_rate_init : float, default=None
        Initial learning rate. None means 0.001. Cannot be combined with a number as
        `learning_rate`.

    power_t : float, default=0.5
        Exponent of 'invscaling'.

    max_iter : int, default=200
        Maximum number of epochs ('sgd', 'adam') or iterations ('lbfgs', 'lm').

    shuffle : bool, default=True
        Whether 'sgd' and 'adam' shuffle the samples in each epoch.

    random_state : int, RandomState instance or None, default=None
        Draws initial weights, the split of early stopping and the order of samples, exactly as
        MLPRegressor does. Pass an int for reproducible results.

    tol : float, default=1e-4
        Tolerance of the solver's stopping rule (docs: Tolerance and stopping).

        - 'sgd', 'adam': minimum improvement of the loss, or of the validation score
        - 'lbfgs': maximum absolute entry of the gradient
        - 'lm' by the evidence: stop when the log evidence rose by less than 1e4 * tol nats (1 nat
          by default) over 20 iterations; on large data, by a rule for the objective
        - 'lm' with a number as `alpha`: stop when the relative fall of the loss is less than
          1e-4 * tol

    verbose : bool or int, default=False
        Whether to print progress.

    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last `fit`.

    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.

    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.

    early_stopping : bool, default=False
        Whether to stop when the validation score does not improve by `tol` for `n_iter_no_change`
        consecutive epochs. 'sgd', 'adam' and 'lm' hold out a `validation_fraction` of the data;
        if `X_val` and `y_val` are passed to `fit`, these are used, also by 'lbfgs'. The score is
        R², or D² with losses that MLPRegressor does not have (explained share of the best
        constant's loss).

    validation_fraction : float, default=0.1
        Fraction of the data that is held out.

    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's first and second moment, in [0, 1).

    epsilon : float, default=1e-8
        Adam's term against division by zero.

    n_iter_no_change : int or inf, default=10
        Maximum number of epochs without improvement by `tol`.

    max_fun : int, default=15000
        Maximum number of loss evaluations of 'lbfgs'.

    quantile : float, default=0.5
        Share of targets below the predictions, for ``loss="quantile"``.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (units before, units after)
        Weights of each layer.

    intercepts_ : list of ndarray of shape (units after,)
        Intercepts of each layer; zeros with ``bias=False``.

    loss_ : float
        Training loss with the penalty: of the last epoch for 'sgd' and 'adam', else of the weights
        that are kept (with the largest evidence, if it is maximised).

    best_loss_ : float or None
        Lowest training loss; None with `early_stopping`.

    loss_curve_ : list of float
        Loss after each epoch or iteration.

    validation_scores_ : list of float or None
        R² or D² on the validation set after each epoch; None without `early_stopping`.

    best_validation_score_ : float or None
        The best of `validation_scores_`.

    best_epoch_ : int
        Row of `history_`, counted from 1, after which the weights were kept: the row with the best
        validation score if `early_stopping`, with the largest evidence if it is maximised, or else
        the last row.

    history_ : dict of ndarray
        One row for each epoch or iteration: loss; with 'sgd' and 'adam' learning_rate (for Adam
        with bias corrections, as at the end of section 2 of Kingma and Ba); with 'lm' gradient_norm
        and damping; with the evidence alpha (of all weights but the output layer's intercepts),
        log_evidence (of standardised y) and n_effective_parameters; with a validation set
        validation_loss and validation_score. ``pandas.DataFrame(est.history_)`` is a table.

    starts_ : dict of ndarray
        One row for each of the `n_init` random starts: loss, n_iter and stop_reason; with the
        evidence log_evidence (of standardised y); with `early_stopping` validation_score.

    n_iter_ : int
        Number of epochs or iterations of the last call.

    t_ : int
        Number of training samples seen by 'sgd' and 'adam'.

    solver_ : str
        The solver used.

    alpha_ : float or ndarray of shape (n_groups,)
        Strength of the penalty used. With the evidence it is the precision of the weights, on
        standardised data, of each group in `alpha_groups_`; infinite for a dropped input.

    alpha_groups_ : list of str
        Name of the group of weights for each entry of `alpha_`. None where `alpha_` is a number.

    noise_std_ : float, ndarray of shape (n_outputs,) or callable
        Standard deviation of the noise in the units of y; with robust losses 68% of the residuals
        are smaller. With ``noise='varying'`` a function that returns it for each row of X. This and
        the next two attributes are None without the evidence.

    n_effective_parameters_ : float
        Number of parameters determined by the data, of `n_parameters_`.

    log_evidence_ : float
        Logarithm of the probability of y, in its own units, given the hyperparameters, in nats.

    feature_importances_ : ndarray of shape (`n_features_in_`,)
        Permutation importance: mean squared change of predictions when an input takes the values of
        other rows, on up to 200 rows of the last `fit`, or of the last rows of `partial_fit`. Not
        negative, with sum 1, or all 0 where the network predicts a constant.

    converged_ : bool
        Whether training met the criterion on loss, gradient, evidence or validation score, and
        reached `loss_tol`, if given. If not, a ConvergenceWarning contains the first finding of
        `diagnose`. The warning also appears when 'sgd', 'adam' or 'lbfgs' predict no better than
        the mean of y.

    stop_reason_ : str
        Reason for the end of training: 'loss_tol', 'tol', 'validation', 'evidence', 'distilled',
        'at_rest', 'exact', 'gradient', 'line_search', 'max_iter', 'max_fun', 'callback' (without a
        warning), 'interrupted' or 'partial_fit' (docs: Tolerance and stopping).

    n_parameters_ : int
        Number of trainable weights.

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
    sklearn.neural_network.MLPRegressor : Has the same 'sgd', 'adam' and 'lbfgs'.

    Notes
    -----
    The user guide lists the deliberate differences from MLPRegressor. The main one: with several
    outputs and the squared error the gradient that MLPRegressor passes to 'lbfgs' is not the
    gradient of its loss (scikit-learn issue 8349); here the correct gradient is used.

    With scikit-learn 1.9 or later `set_callbacks` accepts its callbacks and the user's own. Each
    epoch or iteration is a task, after which a callback may stop training. With `n_init` above 1
    the tasks are grouped by start, and the starts are trained one after the other.

    References
    ----------
    Glorot, X. and Bengio, Y. "Understanding the difficulty of training deep feedforward neural
    networks." AISTATS 2010.

    Kingma, D. and Ba, J. "Adam: A method for stochastic optimization." :arxiv:`1412.6980`.

    Huber, P. "Robust statistics." 1981. Lange, K. et al. "Robust statistical modeling using the t
    distribution." JASA 84 (1989), 881-896.

    MacKay, D. "A practical Bayesian framework for backpropagation networks." Neural Computation 4
    (1992), 448-472.

    Nguyen, D. and Widrow, B. "Improving the learning speed of 2-layer neural networks by choosing
    initial values of the adaptive weights." IJCNN 1990.

    Examples
    --------
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

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(16, 16),
        activation="tanh",
        *,
        bias=True,
        output_activation="auto",
        solver="auto",
        alpha="auto",
        noise="constant",
        standardize="auto",
        inputs="raw",
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
        quantile=0.5,
    ):
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.bias = bias
        self.output_activation = output_activation
        self.solver = solver
        self.alpha = alpha
        self.noise = noise
        self.standardize = standardize
        self.inputs = inputs
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
        self.quantile = quantile

    def _fit_all(self, X, y, sample_weight, **options):
        """Fit the noise first if it varies with X, then the network."""
        if self.noise == "constant":
            return self._fit(X, y, sample_weight, **options)
        of_variance = partial(TinyMLPRegressor, "gamma", UNITS_OF_VARIANCE)
        noise, interrupted = fit_varying_noise(
            partial(clone, self), of_variance, X, y, sample_weight, **options
        )
        if interrupted is not None:
            return self._adopt(interrupted, X)
        return self._fit(X, y, sample_weight, noise=noise, **options)
