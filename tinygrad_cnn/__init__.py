"""tinygrad_cnn: automatic differentiation for convolutional networks, small enough to read, fast on a CPU."""

from . import ops as _ops  # gives Tensor its methods
from ._version import __version__ as __version__
from .autograd import Tensor as Tensor
