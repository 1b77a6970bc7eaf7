"""`TinyMLPRegressor`: its parameters and what they mean."""

from functools import partial

from sklearn.base import RegressorMixin, clone

from ._network_estimator import NetworkEstimator
from ._training.heteroscedastic_noise import UNITS_OF_VARIANCE, fit_varying_noise
from ._training.settings import CONSTRAINTS


class TinyMLPRegressor(RegressorMixin, NetworkEstimator):
    """Small multi-layer perceptron regressor.

    A drop-in for :class:`sklearn.neural_network.MLPRegressor` that follows it step by step
    (``TinyMLPRegressor(**MLPRegressor(...).get_params())`` gives the same weights, to rounding)
    and allows what that one refuses: networks without bias, other activations, one for each
    layer and for the output, start weights, a target loss, a validation set of one's own.

    Parameters
    ----------
    loss : str, default='squared_error'
        What is minimised, as mean over the samples (docs: Losses). r is the residual y - f.

        - 'squared_error', 'absolute_error': r^2 / 2, abs(r)
        - 'huber': r^2 / 2 up to 1.35 scales, straight beyond; HuberRegressor's scale (Huber 1981)
        - 'student_t': negative log density of Student's t, 4 degrees of freedom (Lange et al. 1989)
        - 'quantile': `quantile` times r for r > 0, else (`quantile` - 1) r
        - 'poisson', 'gamma': half the deviance, for y >= 0 and y > 0

    hidden_layer_sizes : int or array-like of int, default=(16, 16)
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
        Activation of the output layer: any that `activation` takes, or 'exp'. 'auto' is 'identity',
        or 'exp' with the deviances, which need one that is always positive, as is 'softplus'.

    solver : {'auto', 'lm', 'lbfgs', 'adam', 'sgd'}, default='auto'
        'lm' is Levenberg-Marquardt: with ``alpha="auto"`` for each loss, any number of parameters,
        outputs and rows, with a number as `alpha` for the squared error. 'auto' takes it wherever
        it finds the penalty itself (``alpha="auto"``), with an X of up to 100 million values and
        no negative sample weights. Where an iteration costs much its curvature serves several
        steps, or comes from a sample of rows (docs: Which solver). With a number as `alpha` 'auto'
        takes 'lm' where an iteration costs at most 1.5 billion multiply-adds, else 'lbfgs' where
        samples times parameters are at most 3 million, else 'adam'; `solver_` says which. 'sgd',
        'adam' and 'lbfgs' are compiled at their first fit on a machine.

    alpha : float or {'auto', 'one', 'layer', 'input'}, default='auto'
        Strength of the L2 penalty: alpha / 2 times the sum of squared coefs, divided by the
        number (or total weight) of samples, is added to the loss. With 'auto' the solver 'lm'
        finds it by the evidence (MacKay 1992); others take 1e-4. The evidence sets one penalty for
        all weights, or one for those of each input: pilot networks of five units say whether that
        pays, and inputs that tell nothing are then left out. 'one', 'layer' (one for the coefs of
        each layer) and 'input' ask for a grouping of the weights; the output layer's intercepts
        always have a penalty of their own.

    noise : {'constant', 'varying'}, default='constant'
        Whether the width of the noise depends on X. With 'varying' a second network is fitted to
        the variance of the residuals, and the first one again with rows weighed by it: `noise_std_`
        is then a function of X. It takes three times as long, and needs the evidence.

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
        of the log evidence in 20 iterations, in units of 10,000 nats, where a curvature serves
        several steps the least fall of the objective, in units of 30 nats a sample and output, or
        with a fixed alpha 10,000 times the least relative fall of the loss.

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
        its R² (D² with losses that MLPRegressor has not: the share of the best constant's loss
        that is explained) does not improve by `tol` for `n_iter_no_change` epochs in a row. With
        `X_val` and `y_val` in `fit` these are used instead, and 'lbfgs' stops early too.

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

    quantile : float, default=0.5
        Share of targets that is to lie below the predictions, with ``loss="quantile"``.

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
        R² or D² on the validation set after each epoch; None without `early_stopping`.

    best_validation_score_ : float or None
        The best of them.

    best_epoch_ : int
        The row of `history_`, counted from 1, at whose end the weights were those that are kept:
        with `early_stopping` that of the best validation score, by the evidence that of its
        greatest value, else the last.

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
        standardised data, of each group in `alpha_groups_`. It is infinite for an input that is
        left out.

    alpha_groups_ : list of str
        What each entry of `alpha_` holds for. None where `alpha_` is a number.

    noise_std_ : float, ndarray of shape (n_outputs,) or callable
        Standard deviation of the noise in the units of y; with robust losses 68% of the residuals
        lie within. With ``noise='varying'`` it is a function of X that gives it for each row. This
        and the next three are None where the evidence was not asked.

    n_effective_parameters_ : float
        How many parameters the data determine, of `n_parameters_`.

    log_evidence_ : float
        Logarithm of the probability of y, in its own units, given the hyperparameters, in nats.

    feature_importances_ : ndarray of shape (`n_features_in_`,)
        How much predictions change where an input takes the values of other rows: the mean square,
        on up to 200 of the rows of the last `fit`, or of the last rows of `partial_fit`. As those
        of scikit-learn's trees they are not negative and sum to 1, or are all 0 where the network
        predicts a constant.

    converged_ : bool
        Whether training ended because the loss, the gradient or the validation score said so, and
        reached `loss_tol` if one was asked for. Where it is False a ConvergenceWarning says
        what `diagnose` finds first, and so it does where 'sgd', 'adam' or 'lbfgs' ended no better
        than the mean of y.

    stop_reason_ : str
        What ended training: 'loss_tol', 'tol', 'validation', 'evidence', 'at_rest', 'exact',
        'gradient', 'line_search', 'max_iter', 'max_fun', 'callback' or 'interrupted'; after
        `partial_fit` 'partial_fit'. 'callback' is a callback's wish: `converged_` is then False,
        but the user knows, and there is no ConvergenceWarning.

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

    Huber, P. "Robust statistics." 1981. Lange, K. et al. "Robust statistical modeling using the t
    distribution." JASA 84 (1989), 881-896.

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
        """Fit the noise first where it varies with X, then the network."""
        if self.noise == "constant":
            return self._fit(X, y, sample_weight, **options)
        of_variance = partial(TinyMLPRegressor, "gamma", UNITS_OF_VARIANCE)
        noise, interrupted = fit_varying_noise(
            partial(clone, self), of_variance, X, y, sample_weight, **options
        )
        if interrupted is not None:
            return self._adopt(interrupted, X)
        return self._fit(X, y, sample_weight, noise=noise, **options)
