"""Image datasets and transforms, in the form of torchvision."""

from . import datasets, transforms

__all__ = ["datasets", "transforms"]
