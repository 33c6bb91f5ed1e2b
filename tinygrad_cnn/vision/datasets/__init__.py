"""Image datasets, in the form of ``torchvision.datasets``."""

from .digits import Digits
from .download import DownloadError
from .images import ImageDataset
from .mnist import MNIST, find_mnist

__all__ = ["MNIST", "Digits", "DownloadError", "ImageDataset", "find_mnist"]
