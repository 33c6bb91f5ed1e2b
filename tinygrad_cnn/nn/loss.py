"""Loss functions as layers."""

from __future__ import annotations

from ..autograd import Tensor
from . import functional as F
from .arguments import probability
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"{type(self).__name__}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """How badly scores (logits) predict the right classes; contains the softmax.  See ``cross_entropy``.

    Input: logits (N, C) or (N, C, ...), target (N,) or (N, ...) int64 classes, or probabilities of the input's shape.

    Args:
        weight: a factor per class, (C,), or None.
        ignore_index: targets of this class count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: share of the target that is spread evenly over all classes, 0 to 1.

    Raises:
        ValueError: another reduction, or a label_smoothing outside 0..1.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = probability("CrossEntropyLoss", "label_smoothing", label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N,) -> (), or (N,) with reduction "none"."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """The negative log probability of the right classes; takes the output of ``LogSoftmax``.  See ``nll_loss``.

    Input: log probabilities (N, C) or (N, C, ...), target (N,) or (N, ...) int64 classes.

    Args:
        weight: a factor per class, (C,), or None.
        ignore_index: targets of this class count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ValueError: another reduction.
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N,) -> (), or (N,) with reduction "none"."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """The mean squared difference.  See ``mse_loss``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ValueError: another reduction.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> (), or that shape with reduction "none"."""
        return F.mse_loss(input, target, reduction=self.reduction)
