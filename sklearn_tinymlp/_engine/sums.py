"""Sums in one order, whatever the compiler does: four at a time, which one register holds."""

from .._machine.compilation import literal, unsigned


@literal
def sum_of(numbers, n):
    """Add up n numbers."""
    four, one, k = unsigned(4), unsigned(1), unsigned(0)
    a = b = c = d = 0.0
    while k + four <= n:
        a += numbers[k]
        b += numbers[k + one]
        c += numbers[k + unsigned(2)]
        d += numbers[k + unsigned(3)]
        k += four
    while k < n:
        a += numbers[k]
        k += one
    return (a + b) + (c + d)


@literal
def dot(rows, begin, vector, n):
    """Multiply a vector with what begins in `rows` there."""
    four, one, k = unsigned(4), unsigned(1), unsigned(0)
    a = b = c = d = 0.0
    while k + four <= n:
        a += rows[begin + k] * vector[k]
        b += rows[begin + k + one] * vector[k + one]
        c += rows[begin + k + unsigned(2)] * vector[k + unsigned(2)]
        d += rows[begin + k + unsigned(3)] * vector[k + unsigned(3)]
        k += four
    while k < n:
        a += rows[begin + k] * vector[k]
        k += one
    return (a + b) + (c + d)
