"""See inside a network: what every layer does to an image, what it costs, and how these numbers come about."""

from .plan import Plan, plan
from .rows import Row
from .summary import summary

__all__ = ["Plan", "Row", "plan", "summary"]
