"""Ready-made activations with parameters, for `activation` or `output_activation`.

Each function returns an `Activation`. Activations without parameters have names ("tanh", "relu",
...).

>>> from sklearn_tinymlp import TinyMLPRegressor, activations
>>> net = TinyMLPRegressor(activation=activations.leaky_relu(0.2))
"""

import math
from functools import partial
from math import inf

from ._activations.users_own import Activation

__all__ = ["Activation", "elu", "leaky_relu", "scaled_tanh", "softplus", "swish"]


def _named(value, slope, least, greatest, **constants):
    values = ", ".join(f"{constant:g}" for constant in constants.values())
    return Activation(
        partial(value, **constants),
        partial(slope, **constants),
        name=f"{value.__name__.strip('_')}({values})",
        output_range=(least, greatest),
    )


def _positive(name, number):
    if not 0.0 < number < inf:
        raise ValueError(f"{name} must be a number above 0, got {number!r}.")
    return float(number)


def _leaky_relu(z, negative_slope):
    return z if z > 0.0 else negative_slope * z


def _leaky_relu_slope(z, negative_slope):
    return 1.0 if z > 0.0 else negative_slope


def leaky_relu(negative_slope=0.01) -> Activation:
    """Leaky rectifier: z for z > 0, else negative_slope z.

    Parameters
    ----------
    negative_slope : float, default=0.01
        At least 0, and finite.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        When `negative_slope` is negative or not finite.

    References
    ----------
    Maas, A., Hannun, A. and Ng, A. "Rectifier nonlinearities improve neural network acoustic
    models." ICML 2013.

    Examples
    --------
    >>> from sklearn_tinymlp.activations import leaky_relu
    >>> leaky_relu(0.2)
    Activation('leaky_relu(0.2)')
    """
    if not 0.0 <= negative_slope < inf:
        raise ValueError(f"negative_slope must be a number of at least 0, got {negative_slope!r}.")
    least = 0.0 if negative_slope == 0.0 else -inf
    slope = float(negative_slope)
    return _named(_leaky_relu, _leaky_relu_slope, least, inf, negative_slope=slope)


def _elu(z, alpha):
    return z if z > 0.0 else alpha * math.expm1(z)


def _elu_slope(z, alpha):
    return 1.0 if z > 0.0 else alpha * math.exp(z)


def elu(alpha=1.0) -> Activation:
    """Exponential linear unit: z for z > 0, else alpha (exp(z) - 1).

    Parameters
    ----------
    alpha : float, default=1.0
        Above 0; the least value is -alpha.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        When `alpha` is not above 0.

    References
    ----------
    Clevert, D., Unterthiner, T. and Hochreiter, S. "Fast and accurate deep network learning by
    exponential linear units (ELUs)." :arxiv:`1511.07289`.

    Examples
    --------
    >>> from sklearn_tinymlp.activations import elu
    >>> elu(0.5).output_range
    (-0.5, inf)
    """
    alpha = _positive("alpha", alpha)
    return _named(_elu, _elu_slope, -alpha, inf, alpha=alpha)


def _softplus(z, beta):
    return max(z, 0.0) + math.log1p(math.exp(-abs(beta * z))) / beta


def _softplus_slope(z, beta):
    # exp of negative numbers only, because math.exp raises an error on overflow
    e = math.exp(-abs(beta * z))
    return 1.0 / (1.0 + e) if z > 0.0 else e / (1.0 + e)


def softplus(beta=1.0) -> Activation:
    """Smooth relu: log(1 + exp(beta z)) / beta, which tends to relu as `beta` grows.

    Parameters
    ----------
    beta : float, default=1.0
        Above 0.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        When `beta` is not above 0.

    Examples
    --------
    >>> from sklearn_tinymlp.activations import softplus
    >>> softplus(2)
    Activation('softplus(2)')
    """
    return _named(_softplus, _softplus_slope, 0.0, inf, beta=_positive("beta", beta))


def _swish(z, beta):
    return z * 0.5 * (1.0 + math.tanh(0.5 * beta * z))


def _swish_slope(z, beta):
    s = 0.5 * (1.0 + math.tanh(0.5 * beta * z))
    return s + beta * z * s * (1.0 - s)


def swish(beta=1.0) -> Activation:
    """Swish: z / (1 + exp(-beta z)); with beta 1 it is "silu".

    Parameters
    ----------
    beta : float, default=1.0
        Above 0.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        When `beta` is not above 0.

    References
    ----------
    Ramachandran, P., Zoph, B. and Le, Q. "Searching for activation functions."
    :arxiv:`1710.05941`.

    Examples
    --------
    >>> from sklearn_tinymlp.activations import swish
    >>> swish(1.5)
    Activation('swish(1.5)')
    """
    beta = _positive("beta", beta)
    least = -0.2784645427610738 / beta  # the minimum of silu, at beta z = -1.2784645427610738
    return _named(_swish, _swish_slope, least, inf, beta=beta)


def _scaled_tanh(z, scale, rate):
    return scale * math.tanh(rate * z)


def _scaled_tanh_slope(z, scale, rate):
    t = math.tanh(rate * z)
    return scale * rate * (1.0 - t * t)


def scaled_tanh(scale=1.7159, rate=2.0 / 3.0) -> Activation:
    """Scaled tanh: scale tanh(rate z); by default f(1) = 1, as "Efficient BackProp" recommends.

    Parameters
    ----------
    scale : float, default=1.7159
        Above 0; values lie between -scale and scale.

    rate : float, default=2/3
        Above 0.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        When `scale` or `rate` is not above 0.

    References
    ----------
    LeCun, Y., Bottou, L., Orr, G. and Müller, K.-R. "Efficient BackProp." Neural Networks: Tricks
    of the Trade, 1998.

    Examples
    --------
    >>> from sklearn_tinymlp.activations import scaled_tanh
    >>> scaled_tanh().output_range
    (-1.7159, 1.7159)
    """
    scale, rate = _positive("scale", scale), _positive("rate", rate)
    return _named(_scaled_tanh, _scaled_tanh_slope, -scale, scale, scale=scale, rate=rate)
