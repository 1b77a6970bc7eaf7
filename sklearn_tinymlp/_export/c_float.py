"""The C source of a network, or an ensemble, in floating point."""

import re

import numpy as np

from .._activations.table import ROW_OF
from .c_words import c_double, c_float, flash_words, table
from .layers import Part, filled, functions_of, indented

C_FUNCTIONS = ("exp", "expm1", "log1p", "fabs", "tanh", "erf", "sin")


class FloatSource:
    """Writes the parts of a file that computes in `float` or in `double`."""

    def __init__(self, parts: list[Part], dtype, name, progmem):
        self.parts, self.name = parts, name
        self.single = dtype == np.float32
        self.real = self.kind = self.result = "float" if self.single else "double"
        write = c_float if self.single else c_double
        self.number_of = lambda value: write(dtype.type(value))
        self.functions = functions_of(parts)
        self.flash = f" {name}_flash" if progmem else ""

    def includes(self) -> str:
        """Give the headers that it needs."""
        sources = [ROW_OF[formula.name].c for formula in self.functions]
        needed = any(word in source for source in sources for word in C_FUNCTIONS)
        return "#include <math.h>\n" if needed else ""

    def prototypes(self) -> str:
        """Declare what others call, beside the function itself."""
        return ""

    def body(self, arguments, signature) -> str:
        """Write tables and functions."""
        out = []
        if self.flash:
            out.append(flash_words(self.name, {"read": ("float", "pgm_read_float")}))
        for part in self.parts:
            out += self._tables(part)
        for formula, function in self.functions.items():
            out.append(self._activation(formula, function))
        for part in self.parts:
            static = "" if part.weights is None else "static "
            out.append(f"\n{static}void {self.name}{part.suffix}{arguments}\n")
            out += self._steps(part)
        if self.parts[0].weights is not None:
            out.append(sum_of_parts(self.parts, self.name, signature))
        return "".join(out)

    def _activation(self, formula, function) -> str:
        suffix = "f" if self.single else ""
        body = ROW_OF[formula.name].c.replace("real", self.real)
        body = re.sub(rf"\b({'|'.join(C_FUNCTIONS)})\(", rf"\1{suffix}(", body)
        body = re.sub(r"\(float\)(\d+\.\d+)", r"\1f", body).replace("(double)", "")
        body = filled(body, formula, self.number_of)
        return f"\nstatic {self.real} {self.name}_{function}({self.real} z)\n{{\n{body}}}\n"

    def _tables(self, part: Part) -> list[str]:
        """Write the weights of a part's networks as constants."""
        prefix, out = f"{self.name}{part.suffix}", []
        tables = []
        for number, (coefs, intercepts, _) in enumerate(part.layers, 1):
            rows = np.swapaxes(coefs, -1, -2)  # a row a unit: read in order
            tables += [(f"coefs_{number}", rows), (f"intercepts_{number}", intercepts)]
        if part.weights is not None:
            out.append(f"\n/* {len(part.weights)} of them: a {part.title} each. */\n")
            tables.append(("weights", np.array(part.weights)))
        for kind, values in tables:
            out.append(table(self.real, f"{prefix}_{kind}", values, self.number_of, self.flash))
        return out

    def _steps(self, part: Part) -> list[str]:
        """Write how y follows from x; an ensemble's part adds to y what its networks give."""
        prefix = f"{self.name}{part.suffix}"
        alone = part.weights is None
        member = "" if alone else "[m]"
        n_layers = len(part.layers)
        loops = []
        for number, (coefs, _, formula) in enumerate(part.layers, 1):
            n_before, n_after = coefs.shape[-2:]
            before = "x" if number == 1 else f"a{number - 1}"
            after = "y[j] =" if number == n_layers else f"a{number}[j] ="
            if number == n_layers and not alone:
                after = f"y[j] += {self._read(f'{prefix}_weights[m]')} *"
            intercept = self._read(f"{prefix}_intercepts_{number}{member}[j]")
            coef = self._read(f"{prefix}_coefs_{number}{member}[j][i]")
            loops.append(
                f"    for (j = 0; j < {n_after}; j++) {{\n"
                f"        {self.real} z = {intercept};\n"
                f"        for (i = 0; i < {n_before}; i++)\n"
                f"            z += {coef} * {before}[i];\n"
                f"        {after} {self._called(formula)};\n"
                "    }\n"
            )
        return framed(part, loops, self.real)

    def _called(self, formula) -> str:
        return f"{self.name}_{self.functions[formula]}(z)" if formula in self.functions else "z"

    def _read(self, constant) -> str:
        return f"{self.name}_read(&{constant})" if self.flash else constant


def framed(part: Part, loops, kind) -> list[str]:
    """Put the loops over layers into a function's body, of an ensemble into one over networks."""
    alone = part.weights is None
    out = ["{\n"]
    for number, (coefs, _, _) in enumerate(part.layers[:-1], 1):
        out.append(f"    {kind} a{number}[{coefs.shape[-1]}];\n")
    out.append(f"    int i, j{'' if alone else ', m'};\n\n")
    steps = "\n".join(loops)
    if not alone:
        steps = f"    for (m = 0; m < {len(part.weights)}; m++) {{\n{indented(steps)}    }}\n"
    return [*out, steps, "}\n"]


def sum_of_parts(parts: list[Part], name, signature) -> str:
    """Write the function that adds up what an ensemble's parts give."""
    n_outputs = parts[0].layers[-1][0].shape[-1]
    out = [f"\n{signature}\n{{\n    int j;\n\n"]
    out.append(f"    for (j = 0; j < {n_outputs}; j++)\n        y[j] = 0;\n")
    out += [f"    {name}{part.suffix}(x, y);\n" for part in parts]
    return "".join([*out, "}\n"])
