"""The C source of a network, or an ensemble, in floating point and in fixed point."""

import re
from typing import NamedTuple

import numpy as np

from .._activations.table import ROW_OF
from .c_words import c_double, c_float, c_integer, flash_words, table
from .fixed_point import SHARE_BITS, FixedPoint
from .layers import Part, filled, functions_of, indented
from .self_test import rounded_outputs

C_FUNCTIONS = ("exp", "expm1", "log1p", "fabs", "tanh", "erf", "sin")

# By type: the macro that reads it from the flash memory of AVR, and avr-libc's function.
FLOAT_READERS = {"float": ("read", "pgm_read_float")}
FIXED_READERS = {
    "int8_t": ("read_8", "pgm_read_byte"),
    "int16_t": ("read_16", "pgm_read_word"),
    "int32_t": ("read_32", "pgm_read_dword"),
    "double": ("read_real", "pgm_read_float"),  # a double of AVR has 32 bits
}


class Layer(NamedTuple):
    """The tables of a layer, coefs and intercepts first, and a unit's value as C expression."""

    tables: list[tuple[str, str, np.ndarray]]  # type, name, values
    value: str


class CSource:
    """Writes the tables and functions of a file, in the arithmetic of a subclass."""

    readers: dict
    kind: str  # type of x, and of the hidden layers
    result: str  # type of y
    sum_type: str
    sum_name: str
    cast = ""  # of a factor

    def __init__(self, parts: list[Part], name, progmem):
        self.parts, self.name = parts, name
        self.flash = f" {name}_flash" if progmem else ""

    def body(self, arguments, signature) -> str:
        """Write tables and functions."""
        ensemble = self.parts[0].weights is not None
        out = [flash_words(self.name, self.readers)] if self.flash else []
        for part in self.parts:
            prefix = f"{self.name}{part.suffix}"
            tables = [entry for layer in self.layers(part) for entry in layer.tables]
            if ensemble:
                out.append(f"\n/* {len(part.weights)} of them: a {part.title} each. */\n")
                tables += self.weights(part)
            for kind, name, values in tables:
                out.append(table(kind, f"{prefix}_{name}", values, self.number_of, self.flash))
        out.append(self.helpers())
        for part in self.parts:
            static = "static " if ensemble else ""
            out.append(f"\n{static}void {self.name}{part.suffix}{arguments}\n{self._steps(part)}")
        if ensemble:
            n_outputs = self.parts[0].n_outputs
            out.append(f"\n{signature}\n{{\n    int j;\n\n")
            out.append(f"    for (j = 0; j < {n_outputs}; j++)\n        y[j] = 0;\n")
            out += [f"    {self.name}{part.suffix}(x, y);\n" for part in self.parts]
            out.append("}\n")
        return "".join([*out, self.conversions()])

    def _steps(self, part: Part) -> str:
        """Write the steps from x to y; a part of an ensemble adds the outputs of its networks."""
        prefix, layers = f"{self.name}{part.suffix}", self.layers(part)
        member, output, counter = "", "y[j] =", ""
        if part.weights is not None:
            member, output, counter = "[m]", "y[j] +=", ", m"
            for kind, name, _ in self.weights(part):
                output += f" {self.cast}{self.read(kind, f'{prefix}_{name}[m]')} *"
        arrays, loops = [], []
        for number, layer in enumerate(layers, 1):
            (coef_kind, _, coefs), (intercept_kind, _, _) = layer.tables[:2]
            n_after, n_before = coefs.shape[-2:]
            coef = self.read(coef_kind, f"{prefix}_coefs_{number}{member}[j][i]")
            intercept = self.read(intercept_kind, f"{prefix}_intercepts_{number}{member}[j]")
            before = "x" if number == 1 else f"a{number - 1}"
            after = f"a{number}[j] =" if number < len(layers) else output
            if number < len(layers):
                arrays.append(f"    {self.kind} a{number}[{n_after}];\n")
            loops.append(
                f"    for (j = 0; j < {n_after}; j++) {{\n"
                f"        {self.sum_type} {self.sum_name} = {intercept};\n"
                f"        for (i = 0; i < {n_before}; i++)\n"
                f"            {self.sum_name} += {self.cast}{coef} * {before}[i];\n"
                f"        {after} {layer.value};\n"
                "    }\n"
            )
        steps = "\n".join(loops)
        if member:
            steps = f"    for (m = 0; m < {len(part.weights)}; m++) {{\n{indented(steps)}    }}\n"
        return f"{{\n{''.join(arrays)}    int i, j{counter};\n\n{steps}}}\n"

    def read(self, kind, constant) -> str:
        """Write a read access to a constant; for flash memory, by a macro."""
        return f"{self.name}_{self.readers[kind][0]}(&{constant})" if self.flash else constant

    def prototypes(self) -> str:
        """Declare the functions beside the network itself."""
        return ""

    def conversions(self) -> str:
        """Write the functions between integers and real numbers."""
        return ""


class FloatSource(CSource):
    """A file that computes in `float` or in `double`."""

    readers = FLOAT_READERS
    sum_name = "z"

    def __init__(self, parts, name, progmem, dtype):
        super().__init__(parts, name, progmem)
        self.dtype, self.single = dtype, dtype == np.float32
        self.kind = self.result = self.sum_type = "float" if self.single else "double"
        write = c_float if self.single else c_double
        self.number_of = lambda value: write(dtype.type(value))
        self.functions = functions_of(parts)

    def includes(self) -> str:
        """Write the include of math.h if an activation needs it."""
        sources = [ROW_OF[formula.name].c for formula in self.functions]
        needed = any(word in source for source in sources for word in C_FUNCTIONS)
        return "#include <math.h>\n" if needed else ""

    def expected(self, estimator, X, rows):
        """Return what `predict` returns, and a bound of the rounding error of it and the C code."""
        _, bound = rounded_outputs(estimator, self.parts, rows, self.dtype)
        return np.asarray(estimator.predict(X), dtype=float).reshape(len(rows), -1), bound

    def layers(self, part) -> list[Layer]:
        """Return the tables of a part and the calls of its activations."""
        layers = []
        for number, (coefs, intercepts, formula) in enumerate(part.layers, 1):
            rows = np.swapaxes(coefs, -1, -2)  # one per unit: read in order
            tables = [
                (self.kind, f"coefs_{number}", rows),
                (self.kind, f"intercepts_{number}", intercepts),
            ]
            function = self.functions.get(formula)
            layers.append(Layer(tables, f"{self.name}_{function}(z)" if function else "z"))
        return layers

    def weights(self, part):
        """Return the table of the weights of an ensemble's networks."""
        return [(self.kind, "weights", np.array(part.weights))]

    def helpers(self) -> str:
        """Write the activations."""
        suffix, out = "f" if self.single else "", []
        for formula, function in self.functions.items():
            body = ROW_OF[formula.name].c.replace("real", self.kind)
            body = re.sub(rf"\b({'|'.join(C_FUNCTIONS)})\(", rf"\1{suffix}(", body)
            body = re.sub(r"\(float\)(\d+\.\d+)", r"\1f", body).replace("(double)", "")
            body = filled(body, formula, self.number_of)
            out.append(
                f"\nstatic {self.kind} {self.name}_{function}({self.kind} z)\n{{\n{body}}}\n"
            )
        return "".join(out)


class FixedSource(CSource):
    """A file that computes in integers of 8 or 16 bits, with sums of 32 bits."""

    readers = FIXED_READERS
    result = sum_type = "int32_t"
    sum_name, cast = "sum", "(int32_t)"
    dtype = np.dtype(float)  # of what is converted to integers and back
    number_of = staticmethod(c_integer)

    def __init__(self, parts, name, progmem, numbers: FixedPoint, bits):
        super().__init__(parts, name, progmem)
        self.numbers, self.most, self.kind = numbers, 2 ** (bits - 1) - 1, f"int{bits}_t"
        self.fixed = {p.suffix: fixed for p, fixed in zip(parts, numbers.parts, strict=True)}

    def includes(self) -> str:
        """Write the include of the integer types."""
        return "#include <stdint.h>\n"

    def prototypes(self) -> str:
        """Declare the conversions."""
        return (
            f"{self.kind} {self.name}_to_fixed(int i, double value);\n"
            f"double {self.name}_to_real(int j, int32_t value);\n"
        )

    def expected(self, estimator, X, rows):
        """Return the outputs without rounding, which `predict` adds in float32, and the bound."""
        outputs, _ = rounded_outputs(estimator, self.parts, rows, self.dtype)
        return outputs, self.numbers.error_bound

    def layers(self, part) -> list[Layer]:
        """Return the tables of a part and the look-ups of its activations."""
        layers, alone = [], part.weights is None
        for number, layer in enumerate(self.fixed[part.suffix][0], 1):
            tables = [
                (self.kind, f"coefs_{number}", layer.coefs),
                ("int32_t", f"intercepts_{number}", layer.intercepts),
            ]
            value = "sum"
            if layer.table is not None:
                tables.append(("int8_t", f"shifts_{number}", layer.shifts))
                prefix, member = f"{self.name}{part.suffix}", "" if alone else "[m]"
                shift = self.read("int8_t", f"{prefix}_shifts_{number}{member}[j]")
                value = (
                    f"{self.name}_look_up({prefix}_table_{number}, {len(layer.table) - 1}, sum,\n"
                    f"            {shift})"
                )
            if alone:  # the axis of networks has length 1
                tables = [(kind, name, values[0]) for kind, name, values in tables]
            if layer.table is not None:
                tables.append((self.kind, f"table_{number}", layer.table))
            layers.append(Layer(tables, value))
        return layers

    def weights(self, part):
        """Return the table of the weights; without a table they are included in the coefs."""
        _, weights = self.fixed[part.suffix]
        return [] if weights is None else [("int16_t", "weights", weights)]

    def helpers(self) -> str:
        """Write the look-up of activations."""
        if all(layer.table is None for layers, _ in self.fixed.values() for layer in layers):
            return ""
        kind = self.kind
        # No number that could be negative is shifted to the right: in C the result depends on the
        # compiler.
        return f"""
static {kind} {self.name}_look_up(const {kind} *table, int32_t cells, int32_t sum, int shift)
{{
    int32_t end = cells * ((int32_t)1 << shift), node, share, one, value;

    if (sum < 0)
        sum = 0;
    if (sum >= end)
        sum = end - 1;
    node = sum >> shift;
    share = sum - node * ((int32_t)1 << shift);
    if (shift > {SHARE_BITS}) {{
        share >>= shift - {SHARE_BITS};
        shift = {SHARE_BITS};
    }}
    one = (int32_t)1 << shift;
    value = {self.read(kind, "table[node]")};
    value = value * one + ({self.read(kind, "table[node + 1]")} - value) * share;
    value = value < 0 ? value - one / 2 : value + one / 2;
    return ({kind})(value / one);
}}
"""

    def conversions(self) -> str:
        """Write the functions between integers and real numbers."""

        def declared(name, values):
            rows = [", ".join(map(c_double, values[i : i + 3])) for i in range(0, len(values), 3)]
            literal = ",\n         ".join(rows)
            return (
                f"static const double {name}[{len(values)}]{self.flash} =\n        {{{literal}}};"
            )

        def read(constant):
            return self.read("double", constant)

        numbers, kind, most = self.numbers, self.kind, self.most
        return f"""
{kind} {self.name}_to_fixed(int i, double value)
{{
    {declared("centres", numbers.centres)}
    {declared("steps", numbers.steps)}
    double q = (value - {read("centres[i]")}) / {read("steps[i]")};

    if (!(q > -{most}.0))
        q = -{most}.0; /* what is not a number, too */
    if (q > {most}.0)
        q = {most}.0;
    return ({kind})(q < 0.0 ? q - 0.5 : q + 0.5);
}}

double {self.name}_to_real(int j, int32_t value)
{{
    {declared("offsets", numbers.offsets)}
    {declared("steps", numbers.output_steps)}

    return {read("offsets[j]")} + {read("steps[j]")} * value;
}}
"""
