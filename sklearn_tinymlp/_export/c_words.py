"""Elements of C source: names, numbers, comments, tables, macros for flash memory."""

import re
from collections import Counter

import numpy as np

from .layers import indented, nested

CPP_KEYWORDS = frozenset(
    "alignas alignof and and_eq asm bitand bitor bool catch class compl concept const_cast "
    "consteval constexpr constinit decltype delete dynamic_cast explicit export false friend "
    "mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public "
    "reinterpret_cast requires static_assert static_cast template this thread_local throw true try "
    "typeid typename using virtual wchar_t xor xor_eq".split()
)

C_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main _Bool _Complex _Imaginary".split()
)


def c_double(value) -> str:
    return repr(float(value))


def c_float(value) -> str:
    """Write the shortest decimal that rounds to the value, which C reads as a float directly."""
    return f"{value!s}f"


def c_integer(value) -> str:
    """Write an integer; the minimum of 32 bits, which has no literal in C, does not occur."""
    return str(int(value))


def rounded_up(bound) -> str:
    """Write a bound with three digits, the last of which may be one too large."""
    return f"{1.005 * bound:.3g}"


def table(kind, name, values, number_of, flash="") -> str:
    """Write an array as a constant."""
    values = np.asarray(values)
    size = "".join(f"[{length}]" for length in values.shape)
    literal = nested(values, "{", "}", number_of)
    return f"\nstatic const {kind} {name}{size}{flash} =\n{indented(literal)};\n"


def enumerators(prefix, names) -> list[str]:
    """Return a distinct name in C for each feature, from the letters and digits of its name."""
    words = []
    for number, name in enumerate(names):
        word = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper() or str(number)
        words.append(f"X{word}" if word[0].isdigit() else word)
    taken = Counter(words)
    # Equal words are numbered, and so are words that end like a numbered word.
    ends = tuple(f"_{number}" for number in range(len(names)))
    return [
        f"{prefix}_{word}_{number}"
        if taken[word] > 1 or word.endswith(ends)
        else f"{prefix}_{word}"
        for number, word in enumerate(words)
    ]


def comment(text) -> str:
    """Replace the characters of a name that could end a comment or a line."""
    return re.sub(r"[^A-Za-z0-9 _.,:;+=()%<>\[\]^&|!#'-]", "_", text)


def flash_words(prefix, readers) -> str:
    """Write macros that read constants from the flash memory of AVR, elsewhere from memory.

    Parameters
    ----------
    prefix : str
    readers : dict
        By type: the last part of the macro's name, and the function of avr-libc.
    """
    lines = ["\n#ifdef __AVR__\n#include <avr/pgmspace.h>\n", f"#define {prefix}_flash PROGMEM\n"]
    for kind, (name, function) in readers.items():
        lines.append(f"#define {prefix}_{name}(place) (({kind}){function}(place))\n")
    lines.append(f"#else\n#define {prefix}_flash\n")
    lines += [f"#define {prefix}_{name}(place) (*(place))\n" for name, _ in readers.values()]
    return "".join([*lines, "#endif\n"])
