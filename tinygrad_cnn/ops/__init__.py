"""Differentiable operations by family.  Importing this package gives Tensor its methods."""

from ..autograd import Tensor
from .methods import ConversionMethods, TensorMethods


def _install_methods() -> None:
    for methods in (ConversionMethods, TensorMethods):
        for name, member in vars(methods).items():
            if callable(member) or isinstance(member, property):
                setattr(Tensor, name, member)


_install_methods()
