"""`cached_property` without a lock.

Until Python 3.11 that of functools holds a lock of the class while it computes a value: fits in
several threads wait for each other, and a child that is forked meanwhile waits forever.
"""


class cached_property:
    """A method whose first result becomes an attribute of the instance."""

    def __init__(self, compute):
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner, name):
        """Store the name of the attribute."""
        self.name = name

    def __get__(self, instance, owner=None):
        """Compute the value; it hides this descriptor from then on."""
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.compute(instance)
        return value
