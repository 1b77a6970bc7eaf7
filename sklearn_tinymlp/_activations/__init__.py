"""Activations; files of trained networks know `Activation` by the name of this folder."""

from .users_own import Activation as Activation
