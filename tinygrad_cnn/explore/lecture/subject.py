"""What the chapters talk about: a trained network, its data, and what is found out about them once for all."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ... import nn
from ...autograd import Generator, Tensor, no_grad, wrap
from ..inputs import scores
from ..plan import Plan, plan
from ..predictions import probabilities
from ..rows import Row
from ..training import Data, cnn, fit, mlp, seeded
from ..values import Result, Values

SAMPLE, TEST_SAMPLE = 1000, 500
"""So many images are used where a measurement trains several networks."""

CHANGED = 2000
"""So many test images are moved and resized."""


@dataclass(eq=False)
class Subject:
    """The network of a report, with what several chapters need.

    Attributes:
        model: the network, trained.
        data: images (N, C, H, W) and labels, for training and for testing.
        history: losses and accuracies of its training by name; empty if unknown.
        classes: names of the classes, as they are.
        batch_size: of its training.
    """

    model: nn.Module
    data: Data
    history: dict[str, np.ndarray]
    classes: list[str]
    batch_size: int

    # ------------------------------------------------------------ the network

    @cached_property
    def plan(self) -> Plan:
        """Its plan for one image."""
        return plan(self.model, self.image_shape)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return tuple(self.data.images.shape[1:])

    def layers(self, *kinds: type[nn.Module]) -> list[tuple[Row, nn.Module]]:
        """The called layers of some classes with their rows, in the order of the computation, each once."""
        found: dict[str, tuple[Row, nn.Module]] = {}
        for row in self.plan.rows:
            if not row.is_function and row.output_shape is not None:
                module = self.model.get_submodule(row.path)
                if isinstance(module, kinds):
                    found.setdefault(row.path, (row, module))
        return list(found.values())

    @cached_property
    def convolutions(self) -> list[tuple[Row, nn.Conv2d]]:
        """Its convolutions."""
        return [(row, module) for row, module in self.layers(nn.Conv2d) if isinstance(module, nn.Conv2d)]

    @cached_property
    def dense(self) -> list[tuple[Row, nn.Linear]]:
        """Its fully connected layers that get one vector per image."""
        found = [(row, module) for row, module in self.layers(nn.Linear) if isinstance(module, nn.Linear)]
        return [(row, module) for row, module in found if row.output_shape is not None and len(row.output_shape) == 2]

    @cached_property
    def blank(self) -> nn.Module | None:
        """A copy as it was before training, with new initial values; None if a layer cannot make them."""
        model = copy.deepcopy(self.thawed)
        with seeded(0), no_grad():
            for module in model.modules():
                if next(module.parameters(recurse=False), None) is not None:
                    reset = getattr(module, "reset_parameters", None)
                    if reset is None:
                        return None
                    reset()
        return model

    @cached_property
    def beginner(self) -> nn.Module:
        """What trainings start from: the network as it was before training, or else a small CNN."""
        return self.small(cnn) if self.blank is None else self.blank

    def small(self, make: Callable[[Data], nn.Module]) -> nn.Module:
        """A small network for this data, with its dtype."""
        with seeded(0):
            return make(self.data).to(self.data.images.dtype)

    @cached_property
    def thawed(self) -> nn.Module:
        """A copy whose parameters all require a gradient."""
        return copy.deepcopy(self.model).requires_grad_(True)

    # ------------------------------------------------------------ the images

    @cached_property
    def outputs(self) -> np.ndarray:
        """The network's outputs for all test images, (N, classes), float64."""
        images = self.data.test_images._array
        with no_grad():
            found = [scores("report", self.model, wrap(images[i : i + 256]))._array for i in range(0, len(images), 256)]
        outputs = np.concatenate(found).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise ValueError("report: model must give finite scores, for some test images they are nan or inf")
        return outputs

    @cached_property
    def shares(self) -> np.ndarray:
        """The probabilities of every class for all test images, (N, classes)."""
        return probabilities(self.outputs)

    @property
    def truth(self) -> np.ndarray:
        """The labels of the test images."""
        return self.data.test_labels._array

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class of the highest score of every test image."""
        return self.outputs.argmax(1)

    @property
    def accuracy(self) -> float:
        """The share of test images that are classified rightly."""
        return float((self.predicted == self.truth).mean())

    @cached_property
    def true_shares(self) -> np.ndarray:
        """The probability of the true class of every test image."""
        return self.shares[np.arange(len(self.truth)), self.truth]

    @cached_property
    def typical(self) -> int:
        """A test image whose true class has a probability that half of the rightly classified images surpass."""
        right = np.flatnonzero(self.predicted == self.truth)
        if not len(right):
            return 0
        return int(right[np.argsort(self.true_shares[right], kind="stable")[len(right) // 2]])

    @cached_property
    def doubtful(self) -> int:
        """The rightly classified test image whose class has the lowest probability."""
        right = np.flatnonzero(self.predicted == self.truth)
        return int(right[self.true_shares[right].argmin()]) if len(right) else 0

    @cached_property
    def wrong(self) -> int | None:
        """The test image that the network is most wrong about; None if it makes no mistake."""
        mistakes = np.flatnonzero(self.predicted != self.truth)
        return int(mistakes[self.true_shares[mistakes].argmin()]) if len(mistakes) else None

    def image(self, which: int) -> Tensor:
        """A test image, (C, H, W)."""
        return wrap(self.data.test_images._array[which])

    def said(self, which: int) -> str:
        """The name of a class, quoted, in Markdown."""
        return f"“{self.cell(which)}”".replace("*", r"\*")

    def cell(self, which: int) -> str:
        """The name of a class in a cell of a table, which takes care of ``*`` and ``|`` itself."""
        return re.sub(r"([\\`_\[\]<>&#!])", r"\\\1", self.classes[which])

    @cached_property
    def results(self) -> list[Result]:
        """What every step of the network makes of the typical image."""
        return Values(self.thawed, self.image(self.typical)[None]).results()

    # ------------------------------------------------------------ measurements

    @cached_property
    def sample(self) -> Data:
        """Some of the images for what takes several trainings."""
        return Data(*drawn(*self.data[:2], SAMPLE), *drawn(*self.data[2:], TEST_SAMPLE))

    @cached_property
    def changed(self) -> Data:
        """All training images, and some test images that can be changed in several ways."""
        return Data(*self.data[:2], *drawn(*self.data[2:], CHANGED))

    @cached_property
    def rivals(self) -> dict[str, nn.Module]:
        """The network, and one of the other kind trained on the same images: an MLP, or a small CNN."""
        if self.convolutions:
            name, other = "MLP", self.small(lambda data: mlp(data, 128))
        else:
            name, other = "small CNN", self.small(cnn)
        with seeded(0):
            return {"this network": self.model, name: fit(other, self.data, self.rival_epochs, batch_size=64).model}

    @property
    def rival_epochs(self) -> int:
        """How long the other network is trained: longer if there are few images."""
        return max(3, min(8, math.ceil(20_000 / len(self.data.images))))


def drawn(images: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """So many of the images with their labels, at random but always the same."""
    chosen = Generator().manual_seed(0).randperm(len(images))[:most]
    return wrap(images._array[chosen]), wrap(labels._array[chosen])


def sentence_list(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def size(shape: Sequence[int]) -> str:
    """``32×26×26``."""
    return "×".join(map(str, shape))


def called(row: Row) -> str:
    """A layer in a sentence: convolution `conv1`."""
    kind = {"Conv2d": "convolution", "Linear": "dense layer"}.get(row.kind, row.kind)
    return f"{kind} `{row.path}`" if row.path else f"the {kind}"


def number(value: float, form: str = ".3f") -> str:
    """A number with a proper minus, and none before zero."""
    text = format(value, form)
    return text.replace("-", "−") if value < 0 and float(text) else text.replace("e-", "e−").removeprefix("-")


def plain(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, without a power of ten: ``0.0000211``."""
    if not math.isfinite(value):
        return number(value)
    text = np.format_float_positional(abs(value), digits, unique=False, fractional=False).removesuffix(".")
    return f"−{text}" if value < 0 else text


def probability(p: float) -> str:
    """A probability with so many digits that one near 1 differs from 1."""
    if p > 1 - 1e-12:
        return "1"
    return plain(p) if p < 0.99 else f"{p:.{2 - math.floor(math.log10(1 - p))}f}"


def sure(share: float) -> str:
    """A share as a percentage with so many digits that one near 100 % differs from it: ``99.99997 %``."""
    if share > 1 - 1e-9:
        return "99.9999999 %"  # nobody needs more digits
    return percent(share) if share < 0.99 else percent(share, len(probability(share)) - 4)


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage: ``98.6 %``."""
    return f"{100 * share:.{digits}f} %"
