"""Causes: parameters that have no effect with the solver."""

import numpy as np

from .finding import INFO, Finding

OF_STOCHASTIC = ("learning_rate", "learning_rate_init", "batch_size", "shuffle")
OF_SGD = ("power_t", "momentum", "nesterovs_momentum")
OF_ADAM = ("beta_1", "beta_2", "epsilon")


def idle_parameters(exam):
    """List parameters that were set and that the solver does not read."""
    network = exam.network
    idle = [
        f"{name}={network.params[name]!r}"
        for name in _without_effect(network)
        if name in network.params and not _is_default(network, name)
    ]
    if not idle:
        return
    have = "has" if len(idle) == 1 else "have"
    yield Finding(
        "idle_parameters",
        INFO,
        f"{', '.join(idle)} {have} no effect with solver={network.solver.name!r}.",
        {},
        "leaving them out" if len(idle) > 1 else "leaving it out",
    )


def _without_effect(network) -> tuple[str, ...]:
    solver, params = network.solver, network.params
    names = []
    if not solver.stochastic:
        names += [*OF_STOCHASTIC, *OF_SGD, *OF_ADAM]
        validated = "validation_score" in network.history
        if params.get("early_stopping") and not validated:
            names += ["early_stopping", "validation_fraction"]
        if not (params.get("early_stopping") and validated):
            names.append("n_iter_no_change")
    elif solver.has_schedule:
        names += OF_ADAM
        if params.get("learning_rate") != "invscaling":
            names.append("power_t")
        if not params.get("momentum"):
            names.append("nesterovs_momentum")
    else:
        names += OF_SGD
        if isinstance(params.get("learning_rate"), str):  # a schedule
            names.append("learning_rate")
    if solver.name != "lbfgs":
        names.append("max_fun")
    if not params.get("early_stopping"):
        names.append("validation_fraction")
    return tuple(dict.fromkeys(names))


def _is_default(network, name) -> bool:
    value = network.params[name]
    if name not in network.defaults:
        return True
    usual = {"learning_rate_init": (None, 0.001)}.get(name, (network.defaults[name],))
    return any(value is one or np.array_equal(value, one) for one in usual)
