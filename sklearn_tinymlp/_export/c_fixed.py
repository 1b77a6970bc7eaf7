"""The C source of a network, or an ensemble, in fixed point."""

from .c_float import framed, sum_of_parts
from .c_words import c_double, c_integer, flash_words, table
from .fixed_point import SHARE_BITS, FixedPart, FixedPoint

READERS = {
    8: ("int8_t", "pgm_read_byte"),
    16: ("int16_t", "pgm_read_word"),
    32: ("int32_t", "pgm_read_dword"),
    "real": ("double", "pgm_read_float"),  # a double of AVR has 32 bits
}

# Reads the line between two nodes; the sum counts from the beginning of the table. Nothing is
# shifted to the right that could be negative, for C leaves open what that gives.
LOOK_UP = """
static {small} {name}_look_up(const {small} *table, int32_t cells, int32_t sum, int shift)
{{
    int32_t end = cells * ((int32_t)1 << shift), node, share, one, value;

    if (sum < 0)
        sum = 0;
    if (sum >= end)
        sum = end - 1;
    node = sum >> shift;
    share = sum - node * ((int32_t)1 << shift);
    if (shift > {share_bits}) {{
        share >>= shift - {share_bits};
        shift = {share_bits};
    }}
    one = (int32_t)1 << shift;
    value = {left};
    value = value * one + ({right} - value) * share;
    value = value < 0 ? value - one / 2 : value + one / 2;
    return ({small})(value / one);
}}
"""

TO_FIXED = """
{small} {name}_to_fixed(int i, double value)
{{
    static const double centres[{n_in}]{flash} =
        {centres};
    static const double steps[{n_in}]{flash} =
        {steps};
    double q = (value - {centre}) / {step};

    if (!(q > -{most}.0))
        q = -{most}.0; /* what is not a number, too */
    if (q > {most}.0)
        q = {most}.0;
    return ({small})(q < 0.0 ? q - 0.5 : q + 0.5);
}}

double {name}_to_real(int j, int32_t value)
{{
    static const double offsets[{n_out}]{flash} =
        {offsets};
    static const double steps[{n_out}]{flash} =
        {output_steps};

    return {offset} + {output_step} * value;
}}
"""


class FixedSource:
    """Writes the parts of a file that computes in integers of 8 or 16 bits, sums in 32."""

    result = "int32_t"

    def __init__(self, numbers: FixedPoint, bits, name, progmem):
        self.numbers, self.bits, self.name = numbers, bits, name
        self.kind = f"int{bits}_t"
        self.flash = f" {name}_flash" if progmem else ""

    def includes(self) -> str:
        """Give the headers that it needs."""
        return "#include <stdint.h>\n"

    def prototypes(self) -> str:
        """Declare what others call, beside the function itself."""
        return (
            f"{self.kind} {self.name}_to_fixed(int i, double value);\n"
            f"double {self.name}_to_real(int j, int32_t value);\n"
        )

    def body(self, arguments, signature) -> str:
        """Write tables and functions."""
        out = []
        if self.flash:
            readers = {f"read_{width}": reader for width, reader in READERS.items()}
            out.append(flash_words(self.name, readers))
        for part in self.numbers.parts:
            out += self._tables(part)
        if any(layer.table is not None for part in self.numbers.parts for layer in part.layers):
            out.append(
                LOOK_UP.format(
                    small=self.kind,
                    name=self.name,
                    share_bits=SHARE_BITS,
                    left=self._read(self.bits, "table[node]"),
                    right=self._read(self.bits, "table[node + 1]"),
                )
            )
        for fixed in self.numbers.parts:
            static = "" if fixed.part.weights is None else "static "
            out.append(f"\n{static}void {self.name}{fixed.part.suffix}{arguments}\n")
            out += self._steps(fixed)
        parts = [fixed.part for fixed in self.numbers.parts]
        if parts[0].weights is not None:
            out.append(sum_of_parts(parts, self.name, signature))
        out.append(self._conversions())
        return "".join(out)

    def _tables(self, fixed: FixedPart) -> list[str]:
        prefix, part = f"{self.name}{fixed.part.suffix}", fixed.part
        out, tables = [], []
        for number, layer in enumerate(fixed.layers, 1):
            tables += [
                (self.kind, f"coefs_{number}", layer.coefs),
                ("int32_t", f"intercepts_{number}", layer.intercepts),
            ]
            if layer.table is not None:
                tables += [
                    ("int8_t", f"shifts_{number}", layer.shifts),
                    (self.kind, f"table_{number}", layer.table),
                ]
        if part.weights is not None:
            out.append(f"\n/* {len(part.weights)} of them: a {part.title} each. */\n")
        if fixed.weights is not None:
            tables.append(("int16_t", "weights", fixed.weights))
        for kind, name, values in tables:
            # An axis of one network is none.
            values = values[0] if part.weights is None and values.ndim > 1 else values
            out.append(table(kind, f"{prefix}_{name}", values, c_integer, self.flash))
        return out

    def _steps(self, fixed: FixedPart) -> list[str]:
        part = fixed.part
        prefix = f"{self.name}{part.suffix}"
        member = "" if part.weights is None else "[m]"
        loops = []
        for number, layer in enumerate(fixed.layers, 1):
            _, n_after, n_before = layer.coefs.shape
            before = "x" if number == 1 else f"a{number - 1}"
            after = f"a{number}[j] ="
            if number == len(fixed.layers):
                after = "y[j] =" if part.weights is None else "y[j] +="
                if fixed.weights is not None:
                    after += f" (int32_t){self._read(16, f'{prefix}_weights[m]')} *"
            if layer.table is None:
                value = "sum"
            else:
                shift = self._read(8, f"{prefix}_shifts_{number}{member}[j]")
                value = (
                    f"{self.name}_look_up({prefix}_table_{number}, {len(layer.table) - 1}, sum,\n"
                    f"            {shift})"
                )
            coef = self._read(self.bits, f"{prefix}_coefs_{number}{member}[j][i]")
            loops.append(
                f"    for (j = 0; j < {n_after}; j++) {{\n"
                f"        int32_t sum = "
                f"{self._read(32, f'{prefix}_intercepts_{number}{member}[j]')};\n"
                f"        for (i = 0; i < {n_before}; i++)\n"
                f"            sum += (int32_t){coef} * {before}[i];\n"
                f"        {after} {value};\n"
                "    }\n"
            )
        return framed(part, loops, self.kind)

    def _conversions(self) -> str:
        numbers = self.numbers

        def literal(values):
            rows = [", ".join(map(c_double, values[i : i + 3])) for i in range(0, len(values), 3)]
            return "{" + ",\n         ".join(rows) + "}"

        return TO_FIXED.format(
            small=self.kind,
            name=self.name,
            flash=self.flash,
            centre=self._read("real", "centres[i]"),
            step=self._read("real", "steps[i]"),
            offset=self._read("real", "offsets[j]"),
            output_step=self._read("real", "steps[j]"),
            most=2 ** (self.bits - 1) - 1,
            n_in=len(numbers.centres),
            n_out=len(numbers.offsets),
            centres=literal(numbers.centres),
            steps=literal(numbers.steps),
            offsets=literal(numbers.offsets),
            output_steps=literal(numbers.output_steps),
        )

    def _read(self, width, constant) -> str:
        return f"{self.name}_read_{width}(&{constant})" if self.flash else constant
