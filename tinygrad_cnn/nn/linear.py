"""The dense layer, and the layer that does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, get_default_dtype, wrap
from ..autograd.dtype import as_numpy_dtype
from . import functional as F
from .arguments import count
from .init import fan_in_defaults_
from .module import Module
from .parameter import Parameter


class Linear(Module):
    """``x @ weight.T + bias``: every output feature is connected with every input feature, as ``torch.nn.Linear``.

    Input: (..., in_features).  Output: (..., out_features).

    Args:
        in_features: size of the input's last dimension.
        out_features: size of the output's last dimension.
        bias: whether a bias is added.
        device: ``None`` or ``"cpu"``.
        dtype: float32 or float64; the default dtype if None.

    Attributes:
        weight: (out_features, in_features), uniform on ±1/√in_features.
        bias: (out_features,), drawn likewise, or None.

    Raises:
        ShapeError: a negative number of features.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = count("Linear", "in_features", in_features)
        self.out_features = count("Linear", "out_features", out_features)
        numpy_dtype = parameter_dtype(dtype, device)
        self.weight = Parameter(wrap(np.empty((self.out_features, self.in_features), numpy_dtype)))
        self.register_parameter("bias", Parameter(wrap(np.empty(self.out_features, numpy_dtype))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight and the bias anew."""
        fan_in_defaults_(self.weight, self.bias)

    def forward(self, input: Tensor, activation: str | None = None) -> Tensor:
        """(..., in_features) -> (..., out_features); ``activation`` as in ``linear``."""
        return F.linear(input, self.weight, self.bias, activation=activation)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """Gives its input back; any arguments are accepted, so that it can replace any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input."""
        return input


def parameter_dtype(dtype: Any, device: Any) -> np.dtype:
    """The NumPy dtype of a layer's new parameters, from its ``dtype`` and ``device`` arguments.

    Raises:
        ValueError: another device than ``"cpu"``.
    """
    if device is not None and str(device) != "cpu":
        raise ValueError(f"device must be None or 'cpu', the only one there is, got {device!r}")
    return get_default_dtype().numpy_dtype if dtype is None else as_numpy_dtype(dtype)
