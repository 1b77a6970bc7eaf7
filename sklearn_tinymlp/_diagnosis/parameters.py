"""Causes: parameters that have no effect with the solver."""

import numpy as np

from .finding import INFO, Finding

OF_STOCHASTIC = ("learning_rate", "learning_rate_init", "batch_size", "shuffle")
OF_SGD = ("power_t", "momentum", "nesterovs_momentum")
OF_ADAM = ("beta_1", "beta_2", "epsilon")


def idle_parameters(exam):
    """Find parameters that were set but that the solver does not use."""
    network = exam.network
    idle = [
        f"{name}={network.params[name]!r}"
        for name in _without_effect(network)
        if name in network.params and not _is_default(network, name)
    ]
    if idle:
        have, them = ("has", "it") if len(idle) == 1 else ("have", "them")
        sentence = f"{', '.join(idle)} {have} no effect with solver={network.solver.name!r}."
        yield Finding("idle_parameters", INFO, sentence, {}, f"removing {them}")


def _without_effect(network) -> list[str]:
    solver, params = network.solver, network.params
    early_stopping = params.get("early_stopping")
    validated = early_stopping and "validation_score" in network.history
    unread = {
        OF_STOCHASTIC: not solver.stochastic,
        OF_SGD: not solver.has_schedule,
        OF_ADAM: not solver.stochastic or solver.has_schedule,
        ("early_stopping",): not solver.stochastic and not validated,
        ("n_iter_no_change",): not solver.stochastic and not validated,
        ("power_t",): params.get("learning_rate") != "invscaling",
        ("nesterovs_momentum",): not params.get("momentum"),
        # The name of a schedule, which adam ignores.
        ("learning_rate",): not solver.has_schedule
        and isinstance(params.get("learning_rate"), str),
        ("max_fun",): solver.name != "lbfgs",
        ("validation_fraction",): not early_stopping or not (solver.stochastic or validated),
    }
    return list(dict.fromkeys(name for names, idle in unread.items() if idle for name in names))


def _is_default(network, name) -> bool:
    value, default = network.params[name], network.defaults.get(name, network.params[name])
    if name == "learning_rate_init" and value in (None, 0.001):
        return True
    return value is default or np.array_equal(value, default)
