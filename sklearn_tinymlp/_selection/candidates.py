"""`Candidate`: a shape and an activation that the members of an ensemble may have."""

from typing import NamedTuple

# From few parameters to many. Those up to (16, 16) are tried on any data, the larger ones while
# each is better than the one before: of 7,200 rows without noise (32, 32) has half the error of
# (16, 16), of some hundred noisy ones three times its time and nothing more.
SHAPES = ((5,), (10,), (20,), (10, 10), (16, 16))
LARGER_SHAPES = ((24, 24), (32, 32))

# Tried with the two best shapes. Networks of other activations err elsewhere.
OTHER_ACTIVATIONS = ("silu", "sin")


class Candidate(NamedTuple):
    """What distinguishes members; all else is that of the template."""

    hidden_layer_sizes: tuple[int, ...]
    activation: str

    @property
    def params(self) -> dict:
        """The parameters that make a member of the template."""
        return self._asdict()

    def __str__(self):
        return f"{self.hidden_layer_sizes} {self.activation}"
