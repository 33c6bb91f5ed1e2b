"""The error classes, each also the class that PyTorch users already catch.

PyTorch raises plain ``RuntimeError`` for most mismatches.  Ours are the more precise built-in class *and* a
``RuntimeError``, so that ``except RuntimeError`` in a script written for PyTorch goes on working.
"""


class ShapeError(ValueError, RuntimeError):
    """Shapes, sizes or counts that do not fit together; the message names the argument and both values."""


class DTypeError(TypeError, RuntimeError):
    """A dtype that an operation does not take, or two dtypes that it does not mix."""


class DimError(IndexError, RuntimeError):
    """A dimension or an index outside its range."""


class GraphError(RuntimeError):
    """A use of the computation graph that would give no gradient or a wrong one."""


class DataError(ValueError):
    """A data file that is missing, cut, corrupt or not what it says it is."""


class GradcheckError(RuntimeError, AssertionError):
    """A gradient that differences contradict; names input, index, both numbers and the likely kind of fault."""
