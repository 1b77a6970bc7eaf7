"""Causes: parameters that have no effect with the solver."""

import numpy as np

from .finding import INFO, Finding

OF_STOCHASTIC = ("learning_rate", "learning_rate_init", "batch_size", "shuffle")
OF_SGD = ("power_t", "momentum", "nesterovs_momentum")
OF_ADAM = ("beta_1", "beta_2", "epsilon")


def idle_parameters(exam):
    """Find parameters that were set but that the solver does not use."""
    network = exam.network
    validated = "validation_score" in network.history
    names = unused_parameters(network.params, network.defaults, network.solver, validated)
    idle = [f"{name}={network.params[name]!r}" for name in names]
    if idle:
        have, them = ("has", "it") if len(idle) == 1 else ("have", "them")
        sentence = f"{', '.join(idle)} {have} no effect with solver={network.solver.name!r}."
        yield Finding("idle_parameters", INFO, sentence, {}, f"removing {them}")


def unused_parameters(params, defaults, solver, validated) -> list[str]:
    """Return the names of parameters with other values than the defaults that have no effect.

    `validated` means that rows are held out or a validation set is given, if it is used.
    """
    early_stopping = params.get("early_stopping")
    stops_early = early_stopping and (solver.stochastic or validated)
    by_name = isinstance(params.get("learning_rate"), str)
    unread = {
        OF_STOCHASTIC: not solver.stochastic,
        OF_SGD: not solver.has_schedule,
        OF_ADAM: not solver.stochastic or solver.has_schedule,
        ("early_stopping",): not solver.stochastic and not stops_early,
        ("n_iter_no_change",): not solver.stochastic and not stops_early,
        ("power_t",): params.get("learning_rate") != "invscaling",
        ("nesterovs_momentum",): not params.get("momentum"),
        ("learning_rate",): not solver.has_schedule and by_name,  # adam ignores schedules
        ("max_fun",): solver.name != "lbfgs",
        ("validation_fraction",): not stops_early,
    }
    names = dict.fromkeys(name for names, idle in unread.items() if idle for name in names)
    return [name for name in names if name in params and not _is_default(params, defaults, name)]


def _is_default(params, defaults, name) -> bool:
    value, default = params[name], defaults.get(name, params[name])
    if name == "learning_rate_init" and value in (None, 0.001):
        return True
    return value is default or np.array_equal(value, default)
