"""Activation functions. Files of trained networks store `Activation` under this package's name."""

from .users_own import Activation as Activation
