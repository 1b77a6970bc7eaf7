"""Converts fitted estimators to ONNX: importing this module registers them with skl2onnx.

The graph computes `predict` in the precision of the estimator, without the standard deviations of
``return_std=True``.

Examples
--------
>>> import numpy as np
>>> import onnxruntime
>>> from skl2onnx import to_onnx
>>> import sklearn_tinymlp.onnx
>>> from sklearn_tinymlp import TinyMLPRegressor
>>> X = np.array([[1.0], [2.0], [3.0]])
>>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, [5.0, 4.0, 3.0])
>>> model = to_onnx(net, X[:1]).SerializeToString()
>>> session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
>>> session.run(None, {"X": X})[0].ravel().round(2)
array([5., 4., 3.])
"""

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.common.utils import check_input_and_output_numbers

from ._activations.formulas import WHICH_CAN, formula_of
from ._activations.lookup import name_of
from ._activations.table import ROW_OF
from ._ensemble import TinyMLPEnsembleRegressor
from ._mlp_regressor import MLPRegressor
from ._regressor import TinyMLPRegressor

__all__ = ["calculate_output_shapes", "convert"]

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


class Graph:
    """Adds nodes and constants to a skl2onnx container, with unique names."""

    def __init__(self, scope, container, dtype):
        self.scope = scope
        self.container = container
        self.dtype = np.dtype(dtype)

    def node(self, operation, *inputs, output=None, **attributes) -> str:
        """Add a node with one output, and return the name of the output."""
        output = output or self.scope.get_unique_variable_name(operation.lower())
        name = self.scope.get_unique_operator_name(operation)
        self.container.add_node(operation, list(inputs), [output], name=name, **attributes)
        return output

    def constant(self, values) -> str:
        """Add a number or an array in the dtype of the graph, and return its name."""
        values = np.asarray(values, dtype=self.dtype)
        name = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(
            name, TYPES[self.dtype.name], list(values.shape), values.ravel().tolist()
        )
        return name

    def times(self, factor, name) -> str:
        """Multiply by a number; a factor of 1 adds no node."""
        return name if factor == 1.0 else self.node("Mul", name, self.constant(factor))

    def cast(self, name, dtype, output=None) -> str:
        """Convert to another dtype."""
        return self.node("Cast", name, output=output, to=TYPES[np.dtype(dtype).name])


def calculate_output_shapes(operator):
    """Set the type and the shape of the output, (n_samples, n_outputs).

    Parameters
    ----------
    operator : skl2onnx.common._topology.Operator
        The fitted estimator with its input and output variables.

    See Also
    --------
    convert : Adds the nodes; its example uses both functions.
    """
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=1)
    variable = operator.inputs[0]
    shape = [variable.get_first_dimension(), operator.raw_operator.n_outputs_]
    # float64 for float64 and float32 otherwise, as the regressors of skl2onnx do.
    double = isinstance(variable.type, DoubleTensorType)
    operator.outputs[0].type = (DoubleTensorType if double else FloatTensorType)(shape)


def convert(scope, operator, container):
    """Add the nodes of a fitted network, or of an ensemble, to a skl2onnx container.

    skl2onnx calls this function. A subclass of `TinyMLPRegressor` or `TinyMLPEnsembleRegressor` is
    registered with the same two functions.

    Parameters
    ----------
    scope : skl2onnx.common._topology.Scope
        Generates unique names.

    operator : skl2onnx.common._topology.Operator
        The fitted estimator with its input and output variables.

    container : skl2onnx.common._container.ModelComponentContainer
        Receives the nodes and the constants.

    Raises
    ------
    NotImplementedError
        If an activation is a user's own function.

    ValueError
        If a constant of an activation does not fit into the dtype of the graph.

    See Also
    --------
    calculate_output_shapes : Called by skl2onnx before this function.

    Examples
    --------
    >>> from skl2onnx import update_registered_converter
    >>> from sklearn_tinymlp import TinyMLPRegressor
    >>> from sklearn_tinymlp.onnx import calculate_output_shapes, convert
    >>> class Tank(TinyMLPRegressor):
    ...     pass
    >>> update_registered_converter(Tank, "Tank", calculate_output_shapes, convert)
    """
    estimator = operator.raw_operator
    ensemble = isinstance(estimator, TinyMLPEnsembleRegressor)
    members = estimator._members() if ensemble else [(1.0, estimator)]
    variable, output = operator.inputs[0], operator.outputs[0]
    dtypes = {FloatTensorType: "float32", DoubleTensorType: "float64"}
    given = dtypes.get(type(variable.type))  # None for integers
    dtype = np.result_type(*(net.coefs_[0].dtype for _, net in members), given or np.float64)
    graph = Graph(scope, container, dtype)
    inputs = variable.full_name
    if given != dtype.name:
        inputs = graph.cast(inputs, dtype)
    total = None
    for weight, net in members:
        values = graph.times(weight, network_nodes(graph, net, inputs))
        total = values if total is None else graph.node("Add", total, values)
    out_dtype = "float64" if isinstance(output.type, DoubleTensorType) else "float32"
    graph.cast(total, out_dtype, output=output.full_name)


def network_nodes(graph: Graph, net: TinyMLPRegressor, values: str) -> str:
    """Add the nodes of a network, and return the name of its outputs."""
    for coefs, intercepts, activation in net._layers():
        values = graph.node("MatMul", values, graph.constant(coefs))
        values = graph.node("Add", values, graph.constant(intercepts))
        formula = formula_of(activation, graph.dtype)
        if formula is None:
            raise NotImplementedError(
                f"The activation {name_of(activation)!r} is a function of your own, which the "
                f"converter cannot export. {WHICH_CAN}"
            )
        values = ROW_OF[formula.name].onnx(graph, values, **dict(formula.constants))
    return values


for kind in (TinyMLPRegressor, MLPRegressor, TinyMLPEnsembleRegressor):
    # skl2onnx itself has a SklearnMLPRegressor.
    alias = f"SklearnTinyMLP{kind.__name__.removeprefix('TinyMLP')}"
    update_registered_converter(kind, alias, calculate_output_shapes, convert)
