"""The pinball loss of a quantile, and the absolute error.

With r = y - f the loss is up r for r > 0 and -down r for r < 0, or

    a |r| + b r,    a = (up + down) / 2,    b = (up - down) / 2.

It is minimised by a quantile (Koenker and Bassett, "Regression quantiles", 1978), as in
scikit-learn's QuantileRegressor, and the absolute error by the median. Its slope jumps at r = 0.
For solvers that need a smooth loss |r| is replaced within `width` of zero by the parabola
(r^2 / width + width) / 2 that touches it there from above, as in Hunter and Lange, "Quantile
regression via an MM algorithm", JCGS 9 (2000). `width` tends to zero to reach the minimum itself.
"""

from functools import lru_cache, partial

import numpy as np

from .loss import Loss, any_target, least_scale, mean_of, n_observations, quantiles

# The parabola spans half as many residuals as lie on the rarer side of the quantile, at least 10:
# enough to estimate the density of residuals at zero, and few enough for a small bias.
SHARE_OF_RARER_SIDE, MIN_ROWS_IN_WIDTH = 0.5, 10


def value(y, f, *, up, down, width):
    """Return a |r| + b r."""
    r = y - f
    size = np.abs(r)
    if width > 0.0:
        size = np.where(size < width, 0.5 * (r * r / width + width), size)
    return 0.5 * (up + down) * size + 0.5 * (up - down) * r


def slope(y, f, *, up, down, width):
    """Return -(a r / max(|r|, width) + b)."""
    r = y - f
    steepness = np.clip(r / width, -1.0, 1.0) if width > 0.0 else np.sign(r)
    return -(0.5 * (up + down) * steepness + 0.5 * (up - down))


def curvature(y, f, *, up, down, width):
    """Return a / max(|r|, width), of the parabola that touches the loss from above at r.

    If `width` is zero, the width that `with_scale` starts from is used.
    """
    size = np.abs(y - f)
    if width == 0.0:
        width = bandwidth(y, f, None, up=up, down=down)
    return 0.5 * (up + down) / np.maximum(size, width)


def bandwidth(y, f, sample_weight, *, up, down) -> float:
    """Return the width of the parabola, which spans the share of residuals described above."""
    least_share = min(0.5, MIN_ROWS_IN_WIDTH / n_observations(y, sample_weight))
    share = max(SHARE_OF_RARER_SIDE * min(up, down) / (up + down), least_share)
    widths = quantiles(np.abs(y - f), share, sample_weight)
    return max(float(widths.mean()), least_scale(y))


@lru_cache(maxsize=64)
def pinball(name, up, down, width=0.0, configured=None, location_family=False) -> Loss:
    """Return the loss `name` with these slopes and this width of smoothing."""
    constants = {"up": up, "down": down, "width": width}

    def with_scale(y, f, sample_weight, narrowing):
        widest = bandwidth(y, f, sample_weight, up=up, down=down)
        return pinball(name, up, down, narrowing * widest, configured, location_family)

    def expected_curvature(y, f, sample_weight):
        # 2 a times the density of residuals at zero. The width is the size of some residual, which
        # must be counted despite rounding.
        close = np.abs(y - f) <= width * (1.0 + 1e-9)
        within = np.average(close, axis=0, weights=sample_weight)
        density = np.maximum(within, 1.0 / n_observations(y, sample_weight)) / width
        return np.broadcast_to(0.5 * (up + down) * density, y.shape)

    values = partial(value, **constants)
    return Loss(
        name=name,
        value=values,
        slope=partial(slope, **constants),
        curvature=partial(curvature, **constants),
        kernel="pinball",
        mean=mean_of(values),
        best_constant=lambda y, weight: quantiles(y, up / (up + down), weight),
        check_y=any_target,
        parameters=(up, down, width),
        degree=1,
        uses_d2=True,
        nonsmooth=True,
        location_family=location_family,
        expected_curvature=expected_curvature,
        with_scale=with_scale,
        with_parameters=lambda *constants: pinball(name, *constants, configured, location_family),
        configured=configured,
    )


ABSOLUTE_ERROR = pinball("absolute_error", 1.0, 1.0, location_family=True)


def quantile_loss(params) -> Loss:
    """Return the loss of the estimator's parameter `quantile`."""
    share = float(params["quantile"])
    return pinball("quantile", share, 1.0 - share, configured=quantile_loss)


QUANTILE = quantile_loss({"quantile": 0.5})
