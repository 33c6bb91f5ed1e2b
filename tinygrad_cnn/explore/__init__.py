"""See inside a network: what every layer does to an image, what it costs, and how these numbers come about."""

from .advantages import parameter_sharing, pooling_savings, scale_accuracy, shift_accuracy, shift_equivariance
from .architecture import draw_architecture
from .attribution import (
    Patches,
    exciting_patches,
    grad_cam,
    plot_exciting_patches,
    plot_grad_cam,
    plot_saliency,
    saliency,
)
from .costs import batch_throughput, epoch_gains, learning_rates, optimizers
from .curves import diminishing_returns, plot_curves
from .document import Document
from .drawing import Drawing
from .explain import explain, explain_grad
from .explanations import Explanation, GradientExplanation
from .filters import activation_maximization, plot_activation_maximization, plot_feature_maps, plot_filters
from .findings import Finding
from .graph import dot, draw_graph, mermaid
from .lint import lint
from .measurement import Measurement
from .plan import Plan, plan
from .predictions import confusion_matrix, plot_confusion, plot_probabilities
from .report import report
from .rows import Row
from .summary import summary

__all__ = [
    "Document",
    "Drawing",
    "Explanation",
    "Finding",
    "GradientExplanation",
    "Measurement",
    "Patches",
    "Plan",
    "Row",
    "activation_maximization",
    "batch_throughput",
    "confusion_matrix",
    "diminishing_returns",
    "dot",
    "draw_architecture",
    "draw_graph",
    "epoch_gains",
    "exciting_patches",
    "explain",
    "explain_grad",
    "grad_cam",
    "learning_rates",
    "lint",
    "mermaid",
    "optimizers",
    "parameter_sharing",
    "plan",
    "plot_activation_maximization",
    "plot_confusion",
    "plot_curves",
    "plot_exciting_patches",
    "plot_feature_maps",
    "plot_filters",
    "plot_grad_cam",
    "plot_probabilities",
    "plot_saliency",
    "pooling_savings",
    "report",
    "saliency",
    "scale_accuracy",
    "shift_accuracy",
    "shift_equivariance",
    "summary",
]
