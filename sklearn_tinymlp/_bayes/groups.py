"""Which weights share a penalty."""

import numpy as np


def weight_groups(architecture) -> np.ndarray:
    """Give each parameter the number of the group it shares a penalty with.

    0: all weights; 1: the output layer's intercepts, which stand for the mean of y. Groups for
    each layer's coefs and intercepts let the intercepts vanish on symmetric data, and with them
    the width of the band in a gap; groups for each input cost accuracy (docs/evidence.md).
    """
    groups = np.zeros(architecture.n_parameters, dtype=np.intp)
    architecture.unpack(groups)[1][-1][:] = 1
    return groups
