"""PyTorch's second names for things that are defined elsewhere, so that a script needs only its imports changed."""

from . import checkpoint

__all__ = ["checkpoint"]
