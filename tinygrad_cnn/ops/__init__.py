"""Differentiable operations by family.  Importing this package gives Tensor its methods."""

from ..autograd import Tensor
from .methods import TensorMethods


def _install_methods() -> None:
    for name, member in vars(TensorMethods).items():
        if name not in ("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__"):
            setattr(Tensor, name, member)


_install_methods()
