"""Batch normalisation as layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, wrap
from ..errors import ShapeError
from ..ops.norm import count_batch
from . import functional as F
from .arguments import count
from .init import ones_, zeros_
from .linear import parameter_dtype
from .module import Module
from .parameter import Parameter


class _BatchNorm(Module):
    """What the layers share; documented at ``BatchNorm2d``."""

    dimensions: tuple[int, ...]  # that an input may have
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = count(type(self).__name__, "num_features", num_features)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats

        def vector() -> Tensor:
            return wrap(np.empty(self.num_features, parameter_dtype(dtype, device)))

        self.register_parameter("weight", Parameter(vector()) if affine else None)
        self.register_parameter("bias", Parameter(vector()) if affine and bias else None)
        self.register_buffer("running_mean", vector() if track_running_stats else None)
        self.register_buffer("running_var", vector() if track_running_stats else None)
        self.register_buffer("num_batches_tracked", wrap(np.array(0)) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what has been averaged so far."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            zeros_(self.running_mean)
            ones_(self.running_var)
            zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Go back to ones, zeros, and no running averages."""
        self.reset_running_stats()
        if self.weight is not None:
            ones_(self.weight)
        if self.bias is not None:
            zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        if input._array.ndim not in self.dimensions:
            wanted = " or ".join(map(str, self.dimensions))
            raise ShapeError(
                f"{type(self).__name__}: expected an input of {wanted} dimensions, got shape {tuple(input.shape)}"
            )
        share, tracked, mean = 0.0 if self.momentum is None else self.momentum, None, self.running_mean
        if self.training:
            tracked = self.num_batches_tracked
        if tracked is not None:
            count_batch(tracked)
            if self.momentum is None:
                share = 1.0 / tracked.item()
        training = self.training or mean is None
        return F.batch_norm(input, mean, self.running_var, self.weight, self.bias, training, share, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm2d(_BatchNorm):
    """(x − mean) / √(variance + eps) · weight + bias, with the statistics of each channel, as ``torch.nn.BatchNorm2d``.

    Input and output: (N, num_features, H, W).

    In training the statistics are the batch's, and running averages are kept for evaluation.

    Args:
        num_features: the number of channels, the input's dimension 1.
        eps: added to the variance.
        momentum: share of a batch in the running averages; None averages over all batches evenly.
        affine: whether a weight and a bias are learned.
        track_running_stats: whether running averages are kept; without them, evaluation uses the batch's too.
        device: ``None`` or ``"cpu"``.
        dtype: float32 or float64; the default dtype if None.
        bias: with affine, whether a bias is learned.

    Attributes:
        weight, bias: (num_features,), ones and zeros at the start, or None.
        running_mean, running_var: (num_features,), zeros and ones at the start, or None.
        num_batches_tracked: () int64, how many batches they contain, or None.

    Raises:
        ShapeError: negative num_features; an input of another number of dimensions.

    Reference:
        Ioffe, Szegedy: Batch normalization.  ICML 2015.
    """

    dimensions = (4,)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), as ``torch.nn.BatchNorm1d``; arguments as ``BatchNorm2d``."""

    dimensions = (2, 3)
