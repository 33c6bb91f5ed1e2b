"""See inside a network: what every layer does to an image, what it costs, and how these numbers come about."""

from .explain import explain, explain_grad
from .explanations import Explanation, GradientExplanation
from .findings import Finding
from .lint import lint
from .plan import Plan, plan
from .rows import Row
from .summary import summary

__all__ = [
    "Explanation",
    "Finding",
    "GradientExplanation",
    "Plan",
    "Row",
    "explain",
    "explain_grad",
    "lint",
    "plan",
    "summary",
]
