"""Train a neural network to read handwritten digits, and watch it learn.

    python examples/train_mnist.py

takes MNIST (60,000 pictures of 28 x 28 pixels) if it is on this machine or can be downloaded, and else the 1,797 digits
of 8 x 8 pixels that come with the package.  ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import importlib
import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn import explore, kernels, nn, optim
from tinygrad_cnn.data import DataLoader, Dataset, Subset
from tinygrad_cnn.errors import DataError
from tinygrad_cnn.threads import set_num_threads
from tinygrad_cnn.vision import datasets, transforms

CLASSES = 10

# An epoch of MNIST is 938 steps, and five of them suffice for 99 %.  An epoch of the digits is only 23 steps, so it
# takes more of them, which is still a matter of seconds.
EPOCHS = {"mnist": 5, "digits": 20}
LEARNING_RATE = {"adam": 0.002, "sgd": 0.05}
MOMENTUM = 0.9
DOWNLOAD_SECONDS = 10


# ---------------------------------------------------------------- the data


class Data(NamedTuple):
    """What is trained on and what is tested on."""

    name: str
    train: Dataset
    test: Dataset

    @property
    def side(self) -> int:
        """Height and width of an image."""
        image, _ = self.test[0]
        return int(image.shape[-1])


def load_data(options: argparse.Namespace) -> Data:
    """MNIST or the digits, as the options say, with pixels from 0 to 1."""
    folder = None if options.dataset == "digits" else mnist_folder(options)
    if folder is not None:
        print(f"data: MNIST, from {folder}")
        to_tensor = transforms.ToTensor()
        data = Data("mnist", *(datasets.MNIST(folder, train, to_tensor) for train in (True, False)))
        for part, images in (("train", data.train.data), ("t10k", data.test.data)):
            if images.shape[1:] != (28, 28):
                size = " x ".join(map(str, images.shape[1:]))
                raise DataError(f"{folder}: {part}-images must have 28 x 28 pixels, but they have {size}")
    else:
        print("data: the 1,797 handwritten digits of 8 x 8 pixels that come with the package")
        steps = [transforms.ToTensor(datasets.Digits.max_value)]
        if options.model == "lenet5":
            steps.append(Enlarge())
        transform = transforms.Compose(steps)
        data = Data("digits", *(datasets.Digits(train, transform) for train in (True, False)))
    if options.train_images is not None:
        if options.train_images > len(data.train):
            raise DataError(f"--train-images {options.train_images}: there are only {len(data.train):,}")
        data = data._replace(train=Subset(data.train, np.arange(options.train_images)))
    return data


def mnist_folder(options: argparse.Namespace) -> Path | None:
    """Where MNIST is, after a download if need be; None if it cannot be had and need not be."""
    if options.data is not None and not options.data.is_dir():
        raise DataError(f"--data {options.data}: no such folder")
    folder = datasets.find_mnist(options.data)
    if folder is not None:
        return folder
    if options.data is not None:
        for train in (True, False):
            datasets.MNIST(options.data, train)  # raises an error that says which file is missing
    print("MNIST is not on this machine; downloading it ...", flush=True)
    try:
        return datasets.mnist.fetch(budget=None if options.dataset == "mnist" else DOWNLOAD_SECONDS)
    except (DataError, ImportError) as error:
        if options.dataset == "mnist":
            raise
        print(f"MNIST cannot be downloaded now: {error}\ngoing on without it:")
        return None


class Enlarge:
    """8 x 8 pixels become 28 x 28: every pixel 3 x 3 of them, and a border of 2."""

    works_on_batches = True

    def __call__(self, images: tg.Tensor) -> tg.Tensor:
        large = images.repeat_interleave(3, dim=-2).repeat_interleave(3, dim=-1)
        return nn.functional.pad(large, (2, 2, 2, 2))


# ---------------------------------------------------------------- the networks


def cnn(side: int) -> nn.Sequential:
    """The lecture's network: two convolutions find features, two dense layers decide which digit they belong to."""
    after_pool = (side - 2 - 2) // 2  # a 3 x 3 filter fits side - 2 times into a row, and pooling halves that
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=3),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * after_pool * after_pool, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )


def lenet5(side: int) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) for 28 x 28 pixels, with ReLU and max pooling where the paper has older functions."""
    assert side == 28
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, CLASSES),
    )


def mlp(side: int) -> nn.Sequential:
    """No convolution: every pixel is connected with every neuron.  For comparison."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(side * side, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )


MODELS = {"cnn": cnn, "lenet5": lenet5, "mlp": mlp}


# ---------------------------------------------------------------- training


@dataclass
class History:
    """What happened so far: the loss of every batch, and per epoch the mean loss and the test accuracy."""

    batch_losses: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def train(model: nn.Module, data: Data, options: argparse.Namespace, history: History) -> None:
    """Train for some epochs; after each one test, print a line and save."""
    from tqdm import tqdm

    train_batches = DataLoader(data.train, batch_size=options.batch_size, shuffle=True)
    test_batches = DataLoader(data.test, batch_size=500)
    print_terms(len(data.train), options.batch_size, len(train_batches))
    optimizer = make_optimizer(model, options)

    interval = 0.1 if sys.stderr.isatty() else 10  # between two updates: a log file needs fewer than a person
    # One bar for all epochs: tqdm complains of a Ctrl-C that comes while a bar is made.
    with tqdm(total=len(train_batches), unit="batch", leave=False, mininterval=interval) as bar:
        for epoch in range(1, options.epochs + 1):
            bar.reset()
            bar.set_description(f"epoch {epoch}/{options.epochs}", refresh=False)
            start = time.perf_counter()
            losses = train_epoch(model, optimizer, train_batches, epoch, options, bar)
            seconds = time.perf_counter() - start
            history.batch_losses += losses
            history.losses.append(sum(losses) / len(losses))
            history.accuracies.append(accuracy(model, test_batches))
            if options.save:
                tg.save(model.state_dict(), options.save)
            with bar.external_write_mode():
                print(
                    f"epoch {epoch}/{options.epochs}: training loss {history.losses[-1]:.4f}, "
                    f"test accuracy {history.accuracies[-1]:.2f} %, {seconds:.1f} s, "
                    f"{len(data.train) / seconds:,.0f} images/s",
                    flush=True,
                )


def make_optimizer(model: nn.Module, options: argparse.Namespace) -> optim.Optimizer:
    """The rule by which a gradient changes the parameters."""
    if options.optimizer == "adam":
        return optim.Adam(model.parameters(), lr=options.lr)
    return optim.SGD(model.parameters(), lr=options.lr, momentum=MOMENTUM)


def train_epoch(
    model: nn.Module,
    optimizer: optim.Optimizer,
    batches: DataLoader,
    epoch: int,
    options: argparse.Namespace,
    bar: Any,
) -> list[float]:
    """One pass over the training images, one step per batch; returns the loss of every batch."""
    loss_function = nn.CrossEntropyLoss()
    steps = options.epochs * len(batches)
    losses: list[float] = []
    model.train()
    for images, labels in batches:
        # Large steps first, to get near a minimum, small ones at the end, to settle in it.
        done = (epoch - 1) * len(batches) + len(losses)
        optimizer.param_groups[0]["lr"] = options.lr * (1 - done / steps)

        scores = model(images)  # ten numbers per image: how much it looks like each digit
        loss = loss_function(scores, labels)  # how wrong that is
        optimizer.minimize(loss)  # the loss's gradient by every parameter, and a step against it

        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise DataError(f"the loss became {losses[-1]} in epoch {epoch}; try a smaller --lr than {options.lr:g}")
        bar.set_postfix_str(f"loss {losses[-1]:.4f}", refresh=False)
        bar.update()
    return losses


def accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """The percentage of images that the network reads correctly."""
    right = total = 0
    model.eval()
    with tg.no_grad():
        for images, labels in batches:
            right += int((model(images).argmax(dim=1) == labels).sum())
            total += len(labels)
    return 100 * right / total


def print_terms(images: int, batch_size: int, iterations: int) -> None:
    """What the three words mean here, in numbers."""
    print(
        f"\na batch is {batch_size} images; an iteration is one step of learning, from one batch;\n"
        f"an epoch is one pass over all training images:\n"
        f"{images:,} images / batch {batch_size} = {iterations:,} iterations per epoch\n",
        flush=True,
    )


def plot(history: History, path: Path) -> None:
    """Draw the curves: loss on the left, test accuracy on the right."""
    import matplotlib

    matplotlib.use("Agg")  # into a file, without a window
    import matplotlib.pyplot as plt

    epochs = range(1, len(history.losses) + 1)
    per_epoch = len(history.batch_losses) / len(history.losses)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    at = [(i + 1) / per_epoch for i in range(len(history.batch_losses))]
    left.plot(at, history.batch_losses, color="0.75", linewidth=0.8, label="each batch")
    left.plot(epochs, history.losses, "o-", color="C0", label="mean of the epoch")
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    left.legend()
    right.plot(epochs, history.accuracies, "o-", color="C1")
    right.set(xlabel="epoch", ylabel="test accuracy (%)")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


# ---------------------------------------------------------------- the command


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return execute("train_mnist.py", run, parse(arguments))


def execute(program: str, work: Callable[[argparse.Namespace, History], None], options: argparse.Namespace) -> int:
    """Do a program's work; returns its exit code: 0, or 2 for input that cannot be used, or 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console that knows no "⌊" is no reason to stop
    history = History()
    try:
        with kernels.announce(Announcement()):
            work(options, history)
    except KeyboardInterrupt:
        print(f"\ninterrupted; complete epochs: {len(history.losses)}", file=sys.stderr)
        if options.save and history.losses:
            print(f"{options.save} holds the network as it was then", file=sys.stderr)
        return 130
    except (DataError, OSError, ImportError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace, history: History) -> None:
    """Everything, in order."""
    wanted = {"tqdm": "the progress bar"}
    if options.plot:
        wanted["matplotlib"] = "--plot"
    check_environment(options, wanted, {"--save": options.save, "--plot": options.plot})
    tg.manual_seed(options.seed)
    data = load_data(options)
    if options.epochs is None:
        options.epochs = EPOCHS[data.name]
    model = MODELS[options.model](data.side)
    print(f"network: {options.model}, seed {options.seed}\n", flush=True)
    print(explore.plan(model, (1, data.side, data.side)))
    try:
        train(model, data, options, history)
    finally:  # also after Ctrl-C
        if options.plot and history.losses:
            plot(history, options.plot)
    print(f"test accuracy: {history.accuracies[-1]:.2f} %")


class Announcement:
    """Says, once, why nothing seems to happen: a kernel is compiled when it is used for the first time."""

    made = False

    def __call__(self, kernel: str) -> None:
        if not self.made:
            print("(compiling the kernels for this processor; that happens only once and takes a while)", flush=True)
            self.made = True


def check_environment(options: argparse.Namespace, wanted: dict[str, str], files: dict[str, Path | None]) -> None:
    """Raise an error now for what would fail after a long training.

    Args:
        options: those of ``add_options``.
        wanted: libraries, and what needs them.
        files: what will be written, by option.
    """
    for library, user in wanted.items():
        try:
            importlib.import_module(library)
        except ImportError:
            raise ImportError(f"{user} needs {library}: pip install 'tinygrad_cnn[examples]'") from None
    for option, path in files.items():
        if path is None:
            continue
        if path.is_dir():
            raise DataError(f"{option} {path}: that is a folder, not a file")
        if not os.access(path.parent, os.W_OK):
            raise DataError(f"{option} {path}: the folder {path.parent} cannot be written to")
    if options.threads is not None:
        try:
            set_num_threads(options.threads)
        except ValueError as error:
            raise DataError(f"--threads: {error}") from None


class Parser(argparse.ArgumentParser):
    """Says what is wrong with an option in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options from the command line and check each by itself."""
    parser = Parser(prog="train_mnist.py", description="Train a neural network to read handwritten digits.")
    add_options(parser)
    parser.add_argument(
        "--save", metavar="FILE", type=Path, help="after every epoch, write the network to FILE (safetensors)"
    )
    parser.add_argument("--plot", metavar="FILE.png", type=picture, help="draw the curves of loss and accuracy")
    return complete(parser.parse_args(arguments))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a training."""
    add = parser.add_argument
    add("--data", metavar="DIR", type=Path, help="folder with the MNIST files (default: look in the usual places)")
    add("--dataset", choices=["auto", "mnist", "digits"], default="auto", help="default: MNIST if it can be had")
    add("--model", choices=list(MODELS), default="cnn", help="default: cnn")
    add("--epochs", type=positive_int, help="default: 5 for MNIST, 20 for the digits")
    add("--batch-size", type=positive_int, default=64, help="images per step (default: 64)")
    add("--optimizer", choices=list(LEARNING_RATE), default="adam", help="default: adam")
    add("--lr", type=positive_float, help="learning rate at the start (default: 0.002 for adam, 0.05 for sgd)")
    add("--seed", type=int, default=0, help="the same seed gives the same result (default: 0)")
    add("--threads", type=positive_int, help="default: all processor cores")
    add("--train-images", metavar="N", type=positive_int, help="train on the first N images only")


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """Fill in what depends on other options."""
    if options.lr is None:
        options.lr = LEARNING_RATE[options.optimizer]
    return options


def positive_int(text: str) -> int:
    """An option's value that is 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def positive_float(text: str) -> float:
    """An option's value that is above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return number


def picture(text: str) -> Path:
    """An option's value that is the name of a picture."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"must end in .png, .pdf or .svg, got {text}")
    return path


if __name__ == "__main__":
    sys.exit(main())
