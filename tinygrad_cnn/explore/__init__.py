"""See inside a network: what every layer does to an image, what it costs, and how these numbers come about."""

from .advantages import parameter_sharing, pooling_savings, scale_accuracy, shift_accuracy, shift_equivariance
from .costs import batch_throughput, epoch_gains, learning_rates, optimizers
from .explain import explain, explain_grad
from .explanations import Explanation, GradientExplanation
from .findings import Finding
from .lint import lint
from .measurement import Measurement
from .plan import Plan, plan
from .rows import Row
from .summary import summary

__all__ = [
    "Explanation",
    "Finding",
    "GradientExplanation",
    "Measurement",
    "Plan",
    "Row",
    "batch_throughput",
    "epoch_gains",
    "explain",
    "explain_grad",
    "learning_rates",
    "lint",
    "optimizers",
    "parameter_sharing",
    "plan",
    "pooling_savings",
    "scale_accuracy",
    "shift_accuracy",
    "shift_equivariance",
    "summary",
]
