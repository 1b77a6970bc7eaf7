"""L-BFGS from one evaluation of the loss to the next: directions, line search, stopping rules.

It follows scipy's L-BFGS-B without bounds, up to rounding: the same pairs, line search, restarts
and stopping rules (Byrd, Lu, Nocedal & Zhu, "A limited memory algorithm for bound constrained
optimization", 1995; Moré & Thuente, "Line search algorithms with guaranteed sufficient decrease",
1994). scipy is the oracle of the tests; its Python costs several times the gradient of a small
network.

The direction is the two-loop recursion of Nocedal ("Updating quasi-Newton matrices with limited
storage", 1980). L-BFGS-B's compact form is equal up to rounding, and needs three Cholesky factors,
with a restart if one fails. Implemented here it took 3 us per iteration, with 25 parameters,
instead of 1.8, and 3 s more to compile (AMD EPYC, 2026-11-26).
"""

import math
from typing import NamedTuple

import numpy as np

from .._machine.compilation import c_function, jit_ieee, once_per_process, unsigned
from .._machine.memory import aligned
from .linear_algebra import dot

N_PAIRS_KEPT = unsigned(10)  # scipy's default
MAX_TRIALS = 20.0  # maximum evaluations in one line search

# The line search ends where the loss fell by DECREASE times the decrease that the slope predicts,
# and the slope fell to CURVATURE times its first value; or where its interval is shorter than
# RELATIVE_WIDTH.
DECREASE, CURVATURE, RELATIVE_WIDTH = 1e-3, 0.9, 0.1
LONGEST_STEP = 1e10
EPSILON = 2.0**-52

# Entries of `state`. The evaluation in progress, the role of x, why the search ended, the loss at
# x, counts and bounds of the stopping rules:
ROW, SUM, PHASE, EVENT, LOSS, N_ITER, N_EVALUATIONS, MAX_EVALUATIONS = map(unsigned, range(8))
# The memory, and whether x has moved since the last evaluation:
GTOL, FTOL, N_PAIRS, NEWEST, THETA, MOVED = map(unsigned, range(8, 14))
# The line search, its origin and its trial:
LOSS_BEFORE, SLOPE_BEFORE, STEP, SLOPE, N_TRIALS, STAGE = map(unsigned, range(14, 20))
# Its interval, the best trial and the other end, and the bounds of the next trial:
BEST_STEP, BEST_LOSS, BEST_SLOPE, OTHER_STEP, OTHER_LOSS, OTHER_SLOPE = map(unsigned, range(20, 26))
BRACKETED, LEAST, MOST, WIDTH, WIDTH_BEFORE, N_STATE = map(unsigned, range(26, 32))

# The role of x: the start, a trial of the line search, or an iterate, which needs no evaluation.
START, TRIAL, ITERATE = 0.0, 1.0, 2.0

# Why the search ended; the caller compares the loss with its target.
EVENTS = map(float, range(6))
RUNNING, SMALL_GRADIENT, STANDSTILL, MANY_EVALUATIONS, NO_LOWER_LOSS, LOW_ENOUGH = EVENTS


class LimitedMemory(NamedTuple):
    """The arrays of L-BFGS, all float64."""

    state: np.ndarray  # N_STATE numbers, see above
    direction: np.ndarray  # of the length of x, like the next two
    x_before: np.ndarray
    gradient_before: np.ndarray
    s: np.ndarray  # steps, one row per pair
    y: np.ndarray  # changes of the gradient, likewise
    curvatures: np.ndarray  # s^T y of each pair, and scratch space of the same size
    advance: int  # address of the compiled function below

    @classmethod
    def initial(cls, n_parameters, gtol, ftol, max_evaluations) -> "LimitedMemory":
        """Allocate the arrays as they are before the first evaluation."""
        n, m, state = n_parameters, int(N_PAIRS_KEPT), np.zeros(N_STATE)
        state[LOSS] = np.nan
        state[GTOL], state[FTOL], state[MAX_EVALUATIONS] = gtol, ftol, max_evaluations
        vectors = map(aligned, (n, n, n, m * n, m * n, 2 * m))
        return cls(state, *vectors, unsigned(compiled_advance().address))


def advance(x, g, state, d, x_before, g_before, s, y, curvatures, n):
    """Continue from the loss, in `state`, and the gradient g at x; move x to the next point.

    At the end of a line search x stays, as an iterate; the next call continues from it. All
    arguments but n are pointers, to n numbers or to the arrays of `LimitedMemory`.
    """
    memory, zero = (state, d, g_before, s, y, curvatures), unsigned(0)
    if state[PHASE] == ITERATE:
        remember(g, memory, n)
    elif state[PHASE] == START or state[MOVED] == 1.0:
        state[N_EVALUATIONS] += 1.0
    if state[PHASE] == START and largest(g, n) <= state[GTOL]:
        state[EVENT] = SMALL_GRADIENT
        return
    searching = False
    if state[PHASE] == TRIAL:
        state[N_TRIALS] += 1.0
        state[SLOPE] = dot(g, zero, d, n)
        if is_found(state):
            end_iteration(g, state, n)
            return
        searching = state[N_TRIALS] < MAX_TRIALS
        if not searching:
            for k in range(n):
                x[k], g[k] = x_before[k], g_before[k]
            state[LOSS] = state[LOSS_BEFORE]
            discard_pairs(state)
    while state[EVENT] == RUNNING and not searching:
        find_direction(x, g, memory, n)
        slope = dot(g, zero, d, n)
        searching = not slope >= 0.0
        if searching:
            for k in range(n):
                x_before[k], g_before[k] = x[k], g[k]
            begin_search(state, slope, dot(d, zero, d, n))
        else:
            discard_pairs(state)
    if searching:
        try_step(x, state, d, x_before, n)


@jit_ieee
def add(factor, rows, begin, vector, n):
    """Add a multiple of rows[begin:begin + n] to a vector."""
    for k in range(n):
        vector[k] += factor * rows[begin + k]


@jit_ieee
def largest(g, n):
    """Return the largest absolute value, or NaN if there is one."""
    most = 0.0
    for k in range(n):
        a = abs(g[k])
        if not a <= most:
            most = a
        if a != a:
            break
    return most


# ----------------------------------------------------------------------------------- the memory


@jit_ieee
def discard_pairs(state):
    """After a failed line search clear the memory, or stop if it is empty."""
    state[PHASE] = ITERATE
    if state[N_PAIRS] == 0.0:
        state[EVENT] = NO_LOWER_LOSS
    state[N_PAIRS] = 0.0


@jit_ieee
def remember(g, memory, n):
    """Store the pair of the last iteration, unless its curvature is zero to rounding."""
    state, d, g_before, s, y, curvatures = memory
    step = state[STEP]
    curvature = (state[SLOPE] - state[SLOPE_BEFORE]) * step
    if curvature <= -EPSILON * state[SLOPE_BEFORE] * step:
        return
    newest = (unsigned(state[NEWEST]) + unsigned(1)) % N_PAIRS_KEPT
    begin, squares = newest * n, 0.0
    for k in range(n):
        change = g[k] - g_before[k]
        s[begin + k] = step * d[k]
        y[begin + k] = change
        squares += change * change
    curvatures[newest] = curvature
    state[NEWEST] = newest
    state[N_PAIRS] = min(state[N_PAIRS] + 1.0, 1.0 * N_PAIRS_KEPT)
    state[THETA] = squares / curvature


@jit_ieee
def find_direction(x, g, memory, n):
    """Write the quasi-Newton step, rounded as in its sum with x.

    With q = g, from the newest pair to the oldest q -= a y for a = s^T q / s^T y; then with
    r = q / theta, from the oldest to the newest r += (a - y^T r / s^T y) s; the step is -r.
    """
    state, d, _, s, y, curvatures = memory
    m, newest = unsigned(state[N_PAIRS]), unsigned(state[NEWEST])
    for k in range(n):
        d[k] = -g[k]
    for i in range(m):
        j = (newest + N_PAIRS_KEPT - i) % N_PAIRS_KEPT
        a = dot(s, j * n, d, n) / curvatures[j]
        curvatures[N_PAIRS_KEPT + j] = a
        add(-a, y, j * n, d, n)
    if m > 0:
        theta = state[THETA]
        for k in range(n):
            d[k] /= theta
    for i in range(m):
        j = (newest + unsigned(1) + i + N_PAIRS_KEPT - m) % N_PAIRS_KEPT
        add(curvatures[N_PAIRS_KEPT + j] - dot(y, j * n, d, n) / curvatures[j], s, j * n, d, n)
    for k in range(n):
        d[k] = (x[k] + d[k]) - x[k]


# ------------------------------------------------------------------------------- the line search


@jit_ieee
def begin_search(state, slope, squares):
    """Start a line search; the very first step has length 1."""
    state[STEP] = 1.0
    if state[N_ITER] == 0.0:
        state[STEP] = min(1.0 / math.sqrt(squares), LONGEST_STEP)
    state[LOSS_BEFORE] = state[BEST_LOSS] = state[OTHER_LOSS] = state[LOSS]
    state[SLOPE_BEFORE] = state[BEST_SLOPE] = state[OTHER_SLOPE] = slope
    state[BEST_STEP] = state[OTHER_STEP] = state[BRACKETED] = state[N_TRIALS] = 0.0
    state[STAGE] = 1.0
    state[WIDTH], state[WIDTH_BEFORE] = LONGEST_STEP, 2.0 * LONGEST_STEP
    state[LEAST], state[MOST] = 0.0, 5.0 * state[STEP]
    state[PHASE] = TRIAL


@jit_ieee
def try_step(x, state, d, x_before, n):
    """Set x to the next trial; scipy does not count an evaluation if x is unchanged."""
    step, moved = state[STEP], 0.0
    for k in range(n):
        trial = step * d[k] + x_before[k]
        if trial != x[k]:
            moved = 1.0
        x[k] = trial
    state[MOVED] = moved


@jit_ieee
def end_iteration(g, state, n):
    """Accept x as an iterate, and apply the stopping rules."""
    state[PHASE] = ITERATE
    state[N_ITER] += 1.0
    loss, before = state[LOSS], state[LOSS_BEFORE]
    if state[N_EVALUATIONS] > state[MAX_EVALUATIONS]:
        state[EVENT] = MANY_EVALUATIONS
    elif largest(g, n) <= state[GTOL]:
        state[EVENT] = SMALL_GRADIENT
    elif before - loss <= state[FTOL] * max(abs(before), abs(loss), 1.0):
        state[EVENT] = STANDSTILL


@jit_ieee
def is_found(state):
    """Return whether the line search ends, else choose the next step (MINPACK-2's dcsrch)."""
    step, loss, slope = state[STEP], state[LOSS], state[SLOPE]
    loss_before, slope_before = state[LOSS_BEFORE], state[SLOPE_BEFORE]
    least, most, bracketed = state[LEAST], state[MOST], state[BRACKETED] == 1.0
    predicted = DECREASE * slope_before
    bound = loss_before + step * predicted
    if loss <= bound and slope >= 0.0:
        state[STAGE] = 2.0
    stuck = step <= least or step >= most or most - least <= RELATIVE_WIDTH * most
    if (
        (bracketed and stuck)
        or (step == LONGEST_STEP and loss <= bound and slope <= predicted)
        or (step == 0.0 and (loss > bound or slope >= predicted))
        or (loss <= bound and abs(slope) <= -CURVATURE * slope_before)
    ):
        return True
    best, best_loss, best_slope = state[BEST_STEP], state[BEST_LOSS], state[BEST_SLOPE]
    other, other_loss, other_slope = state[OTHER_STEP], state[OTHER_LOSS], state[OTHER_SLOPE]
    # In the first stage, where the loss is lower but not low enough, minimise the loss minus the
    # predicted decrease.
    tilt = predicted if state[STAGE] == 1.0 and bound < loss <= best_loss else 0.0
    tilted, best_tilted = loss - step * tilt, best_loss - best * tilt
    other_tilted = other_loss - other * tilt
    turned = (slope - tilt) * ((best_slope - tilt) / abs(best_slope - tilt)) < 0.0
    higher = tilted > best_tilted
    trial = step, tilted, slope - tilt
    nearest = best, best_tilted, best_slope - tilt
    farthest = other, other_tilted, other_slope - tilt
    chosen = next_step(trial, nearest, farthest, least, most, bracketed, turned)
    bracketed = bracketed or higher or turned
    if higher:
        other, other_tilted, other_slope = step, tilted, slope
    else:
        if turned:
            other, other_tilted, other_slope = best, best_tilted, best_slope
        best, best_tilted, best_slope = step, tilted, slope
    if bracketed:
        width = abs(other - best)
        if width >= 0.66 * state[WIDTH_BEFORE]:
            chosen = best + 0.5 * (other - best)
        state[WIDTH_BEFORE], state[WIDTH] = state[WIDTH], width
        least, most = min(best, other), max(best, other)
    else:
        least, most = chosen + 1.1 * (chosen - best), chosen + 4.0 * (chosen - best)
    chosen = min(chosen, LONGEST_STEP) if chosen > 0.0 else 0.0  # NaN becomes 0
    stuck = chosen <= least or chosen >= most or most - least <= RELATIVE_WIDTH * most
    state[STEP] = best if bracketed and stuck else chosen
    state[LEAST], state[MOST], state[BRACKETED] = least, most, 1.0 if bracketed else 0.0
    state[BEST_STEP], state[BEST_SLOPE] = best, best_slope
    state[BEST_LOSS] = best_tilted + best * tilt
    state[OTHER_STEP], state[OTHER_SLOPE] = other, other_slope
    state[OTHER_LOSS] = other_tilted + other * tilt
    return False


@jit_ieee
def next_step(trial, best_one, other_end, least, most, bracketed, turned):
    """Choose a step by a cubic or a secant (MINPACK-2's dcstep).

    The cubic interpolates values and slopes (a step, its loss and its slope each) of the trial and
    the best one, or of the other end where that cubic has no minimum (Moré & Thuente, section 4).
    """
    step, loss, slope = trial
    best, best_loss, best_slope = best_one
    other = other_end[0]
    case_1, case_2 = loss > best_loss, turned
    case_3 = abs(slope) < abs(best_slope)
    if not (case_1 or case_2 or case_3):  # lower, and as steep
        if not bracketed:
            return most if step > best else least
        best, best_loss, best_slope = other_end
    theta = 3.0 * (best_loss - loss) / (step - best) + best_slope + slope
    scale = max(abs(theta), abs(best_slope), abs(slope))
    square = (theta / scale) * (theta / scale) - (best_slope / scale) * (slope / scale)
    if case_3 and not (case_1 or case_2):
        square = max(square, 0.0)
    gamma = scale * math.sqrt(square)
    if case_1:  # higher: the minimum is bracketed
        if step < best:
            gamma = -gamma
        ratio = ((gamma - best_slope) + theta) / (((gamma - best_slope) + gamma) + slope)
        cubic = best + ratio * (step - best)
        fall = (best_loss - loss) / (step - best) + best_slope
        secant = best + ((best_slope / fall) / 2.0) * (step - best)
        if abs(cubic - best) < abs(secant - best):
            return cubic
        return cubic + (secant - cubic) / 2.0
    if step > best:
        gamma = -gamma
    ratio = ((gamma - slope) + theta) / ((gamma + (best_slope - slope)) + gamma)
    cubic = step + ratio * (best - step)
    secant = step + (slope / (slope - best_slope)) * (best - step)
    if not case_2:
        if not case_3:
            return cubic
        if not (ratio < 0.0 and gamma != 0.0):  # the cubic does not rise beyond the trial
            cubic = most if step > best else least
    further = abs(cubic - step) > abs(secant - step)
    if case_2:  # lower, and the slope has changed its sign: bracketed
        return cubic if further else secant
    if not bracketed:  # lower, and less steep
        return max(least, min(most, cubic if further else secant))
    nearer = cubic if abs(cubic - step) < abs(secant - step) else secant
    bound = step + 0.66 * (other - step)
    return min(bound, nearer) if step > best else max(bound, nearer)


@once_per_process
def compiled_advance():
    """Compile `advance` by itself: compiled within the kernels it took 1 s more for each."""
    return c_function(advance, 9, 1, "float64", ieee=True)
