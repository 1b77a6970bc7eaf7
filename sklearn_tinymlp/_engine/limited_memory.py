"""L-BFGS from one evaluation of the loss to the next: directions, line search, rules to stop.

It follows scipy's L-BFGS-B without bounds, to rounding: the same pairs, line search, restarts and
rules to stop (Byrd, Lu, Nocedal & Zhu, "A limited memory algorithm for bound constrained
optimization", 1995; Moré & Thuente, "Line search algorithms with guaranteed sufficient decrease",
1994). scipy is the oracle of the tests; its Python costs several times what the gradient of a small
network does.

The direction comes from the two loops of Nocedal ("Updating quasi-Newton matrices with limited
storage", 1980). L-BFGS-B's compact form gives the same but for rounding; three Cholesky factors
belong to it, and it begins anew should one fail. Written out here it took 3 us an iteration, with
25 parameters, in place of 1.8, and 3 s more to compile (AMD EPYC, 2026-11-26).
"""

import math

import numpy as np

from .._machine.compilation import c_function, literal, once, unsigned
from .._machine.memory import aligned_vectors
from .sums import dot

MEMORY = unsigned(10)  # pairs that are remembered, as scipy's default
MOST_TRIALS = 20.0  # evaluations of one line search, likewise

# The line search ends where the loss has fallen by DECREASE times what the slope promised, and the
# slope to CURVATURE of what it was; or where its interval is shorter than RELATIVE_WIDTH.
DECREASE, CURVATURE, RELATIVE_WIDTH = 1e-3, 0.9, 0.1
LONGEST_STEP = 1e10
EPSILON = 2.0**-52

# What `state` holds, beside how far the evaluation under way is: what x is, why the search ended,
# the loss at x, the counts and bounds of the rules to stop, ...
ROW, SUM, PHASE, EVENT, LOSS, N_ITER, N_EVALUATIONS, MAX_EVALUATIONS = map(unsigned, range(8))
# ... the memory, and whether x has moved since the last evaluation, ...
GTOL, FTOL, N_PAIRS, NEWEST, THETA, MOVED = map(unsigned, range(8, 14))
# ... and the line search: where it set out from, its trial, ...
LOSS_BEFORE, SLOPE_BEFORE, LENGTH, STEP, SLOPE, N_TRIALS, STAGE = map(unsigned, range(14, 21))
# ... and its interval: the best trial, the other end, and between what the next one must lie.
BEST_STEP, BEST_LOSS, BEST_SLOPE, OTHER_STEP, OTHER_LOSS, OTHER_SLOPE = map(unsigned, range(21, 27))
BRACKETED, LEAST, MOST, WIDTH, WIDTH_BEFORE, N_STATE = map(unsigned, range(27, 33))

# What x is: the start, a trial of the line search, or an iterate, which needs no evaluation.
START, TRIAL, ITERATE = 0.0, 1.0, 2.0

# Why the search ended; whether the loss is low enough is for the caller to say.
RUNNING, SMALL_GRADIENT, STANDSTILL, MANY_EVALUATIONS, NO_LOWER_LOSS, LOW_ENOUGH = map(
    float, range(6)
)


def advance(x, gradient, state, direction, x_before, gradient_before, s, y, curvatures, n):
    """Go on from the loss, in `state`, and the gradient at x; change x to what comes next.

    Where a line search has ended x stays, as an iterate; the next call goes on from there.

    Parameters
    ----------
    x, gradient : pointers to n numbers
    state : pointer to N_STATE numbers
        Zeros at the start, but for the bounds.
    direction, x_before, gradient_before : pointers to n numbers
    s, y : pointers to MEMORY n numbers
        Steps and changes of the gradient, a row a pair.
    curvatures : pointer to 2 MEMORY numbers
        s^T y of each pair, and scratch space.
    n : int
    """
    g, d, g_before, zero = gradient, direction, gradient_before, unsigned(0)
    if state[PHASE] == ITERATE:
        remember(g, state, d, g_before, s, y, curvatures, n)
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
        searching = state[N_TRIALS] < MOST_TRIALS
        if not searching:
            for k in range(n):
                x[k], g[k] = x_before[k], g_before[k]
            state[LOSS] = state[LOSS_BEFORE]
            give_up(state)
    while state[EVENT] == RUNNING and not searching:
        find_direction(x, g, state, d, s, y, curvatures, n)
        slope = dot(g, zero, d, n)
        searching = not slope >= 0.0
        if searching:
            for k in range(n):
                x_before[k], g_before[k] = x[k], g[k]
            begin_search(state, slope, dot(d, zero, d, n))
        else:
            give_up(state)
    if searching:
        try_step(x, state, d, x_before, n)


@literal
def add(factor, rows, begin, vector, n):
    """Add to a vector a multiple of what begins in `rows` there."""
    for k in range(n):
        vector[k] += factor * rows[begin + k]


@literal
def largest(g, n):
    """Give the largest absolute value; NaN where there is one."""
    most = 0.0
    for k in range(n):
        a = abs(g[k])
        if not a <= most:
            most = a
        if a != a:
            break
    return most


# ----------------------------------------------------------------------------------- the memory


@literal
def give_up(state):
    """Without a lower loss try again with an empty memory, or end where the search set out."""
    state[PHASE] = ITERATE
    if state[N_PAIRS] == 0.0:
        state[EVENT] = NO_LOWER_LOSS
    state[N_PAIRS] = 0.0


@literal
def remember(g, state, d, g_before, s, y, curvatures, n):
    """Add the pair of the iteration that has ended, unless its curvature is none to rounding."""
    step = state[STEP]
    curvature = (state[SLOPE] - state[SLOPE_BEFORE]) * step
    if curvature <= -EPSILON * state[SLOPE_BEFORE] * step:
        return
    newest = (unsigned(state[NEWEST]) + unsigned(1)) % MEMORY
    begin, squares = newest * n, 0.0
    for k in range(n):
        change = g[k] - g_before[k]
        s[begin + k] = step * d[k]
        y[begin + k] = change
        squares += change * change
    curvatures[newest] = curvature
    state[NEWEST] = newest
    state[N_PAIRS] = min(state[N_PAIRS] + 1.0, 1.0 * MEMORY)
    state[THETA] = squares / curvature


@literal
def find_direction(x, g, state, d, s, y, curvatures, n):
    """Write the quasi-Newton step, as it is when added to x.

    With q = g, from the newest pair to the oldest q -= a y for a = s^T q / s^T y; then with
    r = q / theta, from the oldest to the newest r += (a - y^T r / s^T y) s; the step is -r.
    """
    one, m = unsigned(1), unsigned(state[N_PAIRS])
    newest = unsigned(state[NEWEST])
    for k in range(n):
        d[k] = -g[k]
    for i in range(m):
        j = (newest + MEMORY - i) % MEMORY
        a = dot(s, j * n, d, n) / curvatures[j]
        curvatures[MEMORY + j] = a
        add(-a, y, j * n, d, n)
    if m > 0:
        theta = state[THETA]
        for k in range(n):
            d[k] /= theta
    for i in range(m):
        j = (newest + one + i + MEMORY - m) % MEMORY
        add(curvatures[MEMORY + j] - dot(y, j * n, d, n) / curvatures[j], s, j * n, d, n)
    for k in range(n):
        d[k] = (x[k] + d[k]) - x[k]


# ------------------------------------------------------------------------------- the line search


@literal
def begin_search(state, slope, squares):
    """Set out; the first step of all has length 1."""
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


@literal
def try_step(x, state, d, x_before, n):
    """Set x to the next trial; where it does not move scipy counts no evaluation."""
    step, moved = state[STEP], 0.0
    for k in range(n):
        trial = step * d[k] + x_before[k]
        if trial != x[k]:
            moved = 1.0
        x[k] = trial
    state[MOVED] = moved


@literal
def end_iteration(g, state, n):
    """Take x as the iterate, and say whether it is the last."""
    state[PHASE] = ITERATE
    state[N_ITER] += 1.0
    loss, before = state[LOSS], state[LOSS_BEFORE]
    if state[N_EVALUATIONS] > state[MAX_EVALUATIONS]:
        state[EVENT] = MANY_EVALUATIONS
    elif largest(g, n) <= state[GTOL]:
        state[EVENT] = SMALL_GRADIENT
    elif before - loss <= state[FTOL] * max(abs(before), abs(loss), 1.0):
        state[EVENT] = STANDSTILL


@literal
def is_found(state):
    """Whether the search ends at its trial; else choose the next step (MINPACK-2's dcsrch)."""
    step, loss, slope = state[STEP], state[LOSS], state[SLOPE]
    loss_before, slope_before = state[LOSS_BEFORE], state[SLOPE_BEFORE]
    least, most, bracketed = state[LEAST], state[MOST], state[BRACKETED] == 1.0
    promised = DECREASE * slope_before
    bound = loss_before + step * promised
    if loss <= bound and slope >= 0.0:
        state[STAGE] = 2.0
    stuck = step <= least or step >= most or most - least <= RELATIVE_WIDTH * most
    if (
        (bracketed and stuck)
        or (step == LONGEST_STEP and loss <= bound and slope <= promised)
        or (step == 0.0 and (loss > bound or slope >= promised))
        or (loss <= bound and abs(slope) <= -CURVATURE * slope_before)
    ):
        return True
    best, best_loss, best_slope = state[BEST_STEP], state[BEST_LOSS], state[BEST_SLOPE]
    other, other_loss, other_slope = state[OTHER_STEP], state[OTHER_LOSS], state[OTHER_SLOPE]
    # In the first stage, where the loss is lower and not low enough, a minimum is looked for of the
    # loss less what was promised.
    tilt = promised if state[STAGE] == 1.0 and bound < loss <= best_loss else 0.0
    tilted, best_tilted = loss - step * tilt, best_loss - best * tilt
    other_tilted = other_loss - other * tilt
    turned = (slope - tilt) * ((best_slope - tilt) / abs(best_slope - tilt)) < 0.0
    higher = tilted > best_tilted
    chosen = next_step(
        step,
        tilted,
        slope - tilt,
        best,
        best_tilted,
        best_slope - tilt,
        other,
        other_tilted,
        other_slope - tilt,
        least,
        most,
        bracketed,
        turned,
    )
    if higher or turned:
        bracketed = True
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
    chosen = min(chosen, LONGEST_STEP) if chosen > 0.0 else 0.0  # also where it is no number
    stuck = chosen <= least or chosen >= most or most - least <= RELATIVE_WIDTH * most
    state[STEP] = best if bracketed and stuck else chosen
    state[LEAST], state[MOST], state[BRACKETED] = least, most, 1.0 if bracketed else 0.0
    state[BEST_STEP], state[BEST_SLOPE] = best, best_slope
    state[BEST_LOSS] = best_tilted + best * tilt
    state[OTHER_STEP], state[OTHER_SLOPE] = other, other_slope
    state[OTHER_LOSS] = other_tilted + other * tilt
    return False


@literal
def next_step(
    step,
    loss,
    slope,
    best,
    best_loss,
    best_slope,
    other,
    other_loss,
    other_slope,
    least,
    most,
    bracketed,
    turned,
):
    """Choose a step by a cubic or a secant (MINPACK-2's dcstep).

    The cubic goes through the trial and the best one, or where that bends away the other end, and
    has their slopes (Moré & Thuente, section 4).
    """
    case_1, case_2 = loss > best_loss, turned
    case_3 = abs(slope) < abs(best_slope)
    if not (case_1 or case_2 or case_3):  # lower, and as steep
        if not bracketed:
            return most if step > best else least
        best, best_loss, best_slope = other, other_loss, other_slope
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
        by_cubic = best + ratio * (step - best)
        fall = (best_loss - loss) / (step - best) + best_slope
        by_secant = best + ((best_slope / fall) / 2.0) * (step - best)
        if abs(by_cubic - best) < abs(by_secant - best):
            return by_cubic
        return by_cubic + (by_secant - by_cubic) / 2.0
    if step > best:
        gamma = -gamma
    ratio = ((gamma - slope) + theta) / ((gamma + (best_slope - slope)) + gamma)
    by_cubic = step + ratio * (best - step)
    by_secant = step + (slope / (slope - best_slope)) * (best - step)
    if not case_2:
        if not case_3:
            return by_cubic
        if not (ratio < 0.0 and gamma != 0.0):  # the cubic does not rise beyond the trial
            by_cubic = most if step > best else least
    further = abs(by_cubic - step) > abs(by_secant - step)
    if case_2:  # lower, and the slope has changed its sign: bracketed
        return by_cubic if further else by_secant
    if not bracketed:  # lower, and less steep
        return max(least, min(most, by_cubic if further else by_secant))
    nearer = by_cubic if abs(by_cubic - step) < abs(by_secant - step) else by_secant
    bound = step + 0.66 * (other - step)
    return min(bound, nearer) if step > best else max(bound, nearer)


@once
def compiled_advance():
    """Compile `advance`."""
    return c_function(advance, 9, 1, "float64", literal=True)


def limited_memory_arrays(n_parameters, gtol, ftol, max_evaluations) -> dict:
    """Allocate for `kernels.LimitedMemory`, as it is at the start."""
    state = np.zeros(N_STATE)
    state[LOSS] = np.nan
    state[GTOL], state[FTOL], state[MAX_EVALUATIONS] = gtol, ftol, max_evaluations
    n_pairs = int(MEMORY)
    sizes = dict.fromkeys(("direction", "x_before", "gradient_before"), n_parameters)
    sizes |= dict.fromkeys(("s", "y"), n_pairs * n_parameters)
    vectors = aligned_vectors(sizes | {"curvatures": 2 * n_pairs})
    return {"state": state, **vectors, "advance": unsigned(compiled_advance().address)}
