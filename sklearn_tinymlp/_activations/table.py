"""The built-in activations, one row each, with everything that the package and its exports use.

Five are ready-made activations of `sklearn_tinymlp.activations` with constants: their sources
contain the names of the constants, so that they also serve activations with other constants.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from . import onnx_formulas, vectorised

LEAKY_SLOPE = 0.01  # as in most libraries


@dataclass(frozen=True)
class BuiltIn:
    """An activation with a name.

    A TypeError is raised when a function or a source is missing or a source does not use a
    constant, and a ValueError when the range is empty.
    """

    name: str  # as a value of the parameter `activation`

    # kernel(z) returns f(z) and f'(z) of a scalar in compiled code; a string is the name of a
    # function of `built_in`, which is imported when the engine compiles it.
    kernel: Callable | str

    # in_place(z, slope, **constants) replaces the array z by f(z), and writes f'(z) to slope unless
    # slope is None, see `vectorised`.
    in_place: Callable

    least: float  # lower end of its range
    greatest: float

    # Source of a function {name}(z) of an array, for `to_python`. float32 must stay float32, as it
    # does with Python's numbers.
    python: str

    # Body of a function of a scalar z, for `to_c`. `real` becomes double or float, and in float
    # `exp` becomes `expf`.
    c: str

    onnx: Callable  # onnx(graph, z, **constants) adds nodes, returns the name of the last one

    ready_made: str | None = None  # function of `activations` that returns it
    constants: Mapping[str, float] = field(default_factory=dict)  # by name, as in the sources
    positive: bool = False  # all values are above zero, as the logarithm in a deviance requires
    hidden: bool = True  # hidden layers may use it

    def __post_init__(self):
        """Check that the row is complete."""
        functions = ["in_place", "onnx"]
        if not isinstance(self.kernel, str):
            functions.append("kernel")
        lacks = [part for part in functions if not callable(getattr(self, part))]
        for part in ("python", "c"):
            source = getattr(self, part)
            if not isinstance(source, str) or "return" not in source:
                lacks.append(f"{part} source")
            elif not all(constant in source for constant in self.constants):
                lacks.append(f"{part} source with its constants")
        if lacks:
            raise TypeError(f"The activation {self.name!r} needs its {', '.join(lacks)}.")
        if not self.least < self.greatest:
            raise ValueError(
                f"The activation {self.name!r} needs least < greatest, got {self.least!r} and "
                f"{self.greatest!r}."
            )

    @property
    def formula(self) -> str:
        """Name of the formula in exports, for any constants."""
        return self.ready_made or self.name


ROWS = (
    BuiltIn(
        name="identity",
        kernel="identity",
        least=-inf,
        greatest=inf,
        python="def {name}(z):\n    return z\n",
        c="    return z;\n",
        onnx=lambda graph, z: z,
        in_place=vectorised.identity,
    ),
    BuiltIn(
        name="logistic",
        kernel="logistic",
        least=0.0,
        greatest=1.0,
        python=(
            "def {name}(z):\n"
            "    e = np.exp(-np.abs(z))  # at most 1: never overflows\n"
            "    return np.where(z > 0, 1, e) / (1 + e)\n"
        ),
        c=(
            "    real e = exp(-fabs(z)); /* at most 1: never overflows */\n"
            "    return (z > 0 ? 1 : e) / (1 + e);\n"
        ),
        onnx=lambda graph, z: graph.node("Sigmoid", z),
        in_place=vectorised.logistic,
        positive=True,
    ),
    BuiltIn(
        name="tanh",
        kernel="tanh",
        least=-1.0,
        greatest=1.0,
        python="def {name}(z):\n    return scale * np.tanh(rate * z)\n",
        c="    return scale * tanh(rate * z);\n",
        onnx=onnx_formulas.scaled_tanh,
        in_place=vectorised.scaled_tanh,
        ready_made="scaled_tanh",
        constants={"scale": 1.0, "rate": 1.0},
    ),
    BuiltIn(
        name="relu",
        kernel="relu",
        least=0.0,
        greatest=inf,
        python="def {name}(z):\n    return np.maximum(z, 0)\n",
        c="    return z > 0 ? z : 0;\n",
        onnx=lambda graph, z: graph.node("Relu", z),
        in_place=vectorised.relu,
    ),
    BuiltIn(
        name="leaky_relu",
        kernel="leaky_relu",
        least=-inf,
        greatest=inf,
        python="def {name}(z):\n    return np.where(z > 0, z, negative_slope * z)\n",
        c="    return z > 0 ? z : negative_slope * z;\n",
        onnx=onnx_formulas.leaky_relu,
        in_place=vectorised.leaky_relu,
        ready_made="leaky_relu",
        constants={"negative_slope": LEAKY_SLOPE},
    ),
    BuiltIn(
        name="elu",
        kernel="elu",
        least=-1.0,
        greatest=inf,
        python=(
            "def {name}(z):\n    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))\n"
        ),
        c="    return z > 0 ? z : alpha * expm1(z);\n",
        onnx=onnx_formulas.elu,
        in_place=vectorised.elu,
        ready_made="elu",
        constants={"alpha": 1.0},
    ),
    BuiltIn(
        name="softplus",
        kernel="softplus",
        least=0.0,
        greatest=inf,
        python=(
            "def {name}(z):\n"
            "    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(beta * z))) / beta\n"
        ),
        c="    return (z > 0 ? z : 0) + log1p(exp(-fabs(beta * z))) / beta;\n",
        onnx=onnx_formulas.softplus,
        in_place=vectorised.softplus,
        ready_made="softplus",
        constants={"beta": 1.0},
        positive=True,
    ),
    BuiltIn(
        name="silu",
        kernel="silu",
        least=-0.2784645427610738,  # at z = -1.2784645427610738
        greatest=inf,
        python=(
            "def {name}(z):\n"
            "    e = np.exp(-np.abs(beta * z))  # at most 1: never overflows\n"
            "    return z * np.where(z > 0, 1, e) / (1 + e)\n"
        ),
        c=(
            "    real e = exp(-fabs(beta * z)); /* at most 1: never overflows */\n"
            "    return z * (z > 0 ? 1 : e) / (1 + e);\n"
        ),
        onnx=onnx_formulas.swish,
        in_place=vectorised.swish,
        ready_made="swish",
        constants={"beta": 1.0},
    ),
    BuiltIn(
        name="gelu",
        kernel="gelu",
        least=-0.16997120747990369,  # at z = -0.7517915241106872
        greatest=inf,
        python=(
            "def {name}(z):\n"
            "    erf = [math.erf(number) for number in (z * math.sqrt(0.5)).ravel().tolist()]\n"
            "    return z * (0.5 * (1 + np.array(erf, dtype=z.dtype).reshape(z.shape)))\n"
        ),
        c="    return z * ((real)0.5 * (1 + erf(z * (real)0.70710678118654752)));\n",
        onnx=onnx_formulas.gelu,
        in_place=vectorised.gelu,
    ),
    BuiltIn(
        name="sin",
        kernel="sin",
        least=-1.0,
        greatest=1.0,
        python="def {name}(z):\n    return np.sin(z)\n",
        c="    return sin(z);\n",
        onnx=lambda graph, z: graph.node("Sin", z),
        in_place=vectorised.sin,
    ),
    BuiltIn(
        name="exp",
        kernel="exp",
        least=0.0,
        greatest=inf,
        python="def {name}(z):\n    return np.exp(z)\n",
        c="    return exp(z);\n",
        onnx=lambda graph, z: graph.node("Exp", z),
        in_place=vectorised.exp,
        positive=True,
        hidden=False,  # it overflows after a few layers
    ),
)

# The activations by name, in the order above: for outputs, and for hidden layers.
BUILT_IN = {row.name: row for row in ROWS}
HIDDEN_ACTIVATIONS = {row.name: row for row in ROWS if row.hidden}
OUTPUT_ACTIVATIONS = BUILT_IN
POSITIVE_ACTIVATIONS = ("exp", "softplus", "logistic")  # in their order in messages
ROW_OF = {row.formula: row for row in ROWS}  # by formula, for the exports
