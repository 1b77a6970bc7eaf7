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

# The functions, types and macros of C's headers, some of them with the extensions of POSIX: other
# code expects these names to be those of C. The functions of math.h end in f or l for other types.
_MATH = (
    r"acosh? asinh? atanh? atan2 cbrt ceil copysign cosh? drem erfc? exp2? expm1 fabs fdim finite "
    r"floor fma fmax fmin fmod frexp gamma hypot ilogb isinf isnan j[01n] ldexp lgamma([fl]?_r)? "
    r"ll?rint ll?round log log10 log1p log2 logb modf nan nearbyint nextafter nexttoward pow "
    r"remainder remquo rint round scalb(l?n)? significand sinh? sqrt tanh? tgamma trunc y[01n]"
)
_OTHER = (
    r"fpclassify signbit signgam math_errhandling is(finite|normal|unordered) "
    r"is(greater|less)(equal)? islessgreater NAN INFINITY HUGE_VAL[FL]? (FP|M|MATH|SEEK)_\w+ "
    r"\w+_t (U?INT\w*|SIZE|PTRDIFF|SIG_ATOMIC|W?CHAR|WINT|FILENAME|FOPEN|TMP)_(MAX|MIN|C) "
    r"NULL FILE EOF BUFSIZ [LP]_tmp\w+ L_ctermid stdin stdout stderr va_list linux unix "
    r"(v?[fs]?|v?sn|v?d)(printf|scanf) f(close|dopen|flush|open|read|seeko?|setpos|tello?|write) "
    r"feof ferror fileno fgetc fgetpos fgets fputc fputs fmemopen freopen \w+_unlocked "
    r"f(un|try)?lockfile getc(har)? getdelim getline getw putc(har)? puts putw ungetc clearerr "
    r"ctermid open_memstream p(close|error|open) remove rename(at)? rewind setv?buf setbuffer "
    r"setlinebuf tempnam tmpfile tmpnam(_r)? (ll?|imax)?(abs|div) abort at(exit|of|oi|oll?) "
    r"bsearch [cm]alloc realloc free exit getenv system s?rand qsort mem(chr|cmp|cpy|move|set) "
    r"str(n?cat|r?chr|n?cmp|coll|n?cpy|c?spn|n?dup|error|len|pbrk|str|tok|xfrm|to[a-z]+) "
    r"is(alnum|alpha|blank|cntrl|x?digit|graph|lower|print|punct|space|upper) to(lower|upper) "
    r"time clock read write open close link"
)
_RESERVED = re.compile(f"(({_MATH.replace(' ', '|')})[fl]?|{_OTHER.replace(' ', '|')})")


def is_taken(name, source, keywords) -> bool:
    """Return whether a function of this name clashes with C or with a name in its source.

    The function's own name precedes a parenthesis; a variable, a type or a macro does not. Names
    of features begin with the name in capitals.
    """
    code = re.sub(r'/\*.*?\*/|"[^"]*"|<[a-z/]+\.h>', "", source, flags=re.DOTALL)
    used = re.search(rf"\b{name}\b(?!\()", code)
    names = [name, *re.findall(rf"\b{name.upper()}_\w+", code)]
    return name in keywords or bool(used) or any(map(_RESERVED.fullmatch, names))


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

    `readers` has, by type, the last part of the macro's name and the function of avr-libc.
    """
    lines = ["\n#ifdef __AVR__\n#include <avr/pgmspace.h>\n", f"#define {prefix}_flash PROGMEM\n"]
    for kind, (name, function) in readers.items():
        lines.append(f"#define {prefix}_{name}(place) (({kind}){function}(place))\n")
    lines.append(f"#else\n#define {prefix}_flash\n")
    lines += [f"#define {prefix}_{name}(place) (*(place))\n" for name, _ in readers.values()]
    return "".join([*lines, "#endif\n"])
