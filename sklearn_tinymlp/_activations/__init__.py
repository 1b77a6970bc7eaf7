"""Activations; in files of trained networks `Activation` has the name of this folder."""

from .users_own import Activation as Activation
