"""Train a neural network to read handwritten digits, and look inside: one HTML file explains every step of it.

    python examples/inside_a_cnn.py

writes ``report.html``: what a CNN does, from the first pixel to the last error, with the numbers of the network that it
has trained.  ``--help`` lists what can be changed.  A report on a model of one's own takes one call:
``tinygrad_cnn.explore.report(model, data, "report.html")``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import train_mnist
from train_mnist import MODELS, Data, History

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, explore
from tinygrad_cnn.data import DataLoader, Dataset, TensorDataset
from tinygrad_cnn.nn import functional as F

MARGIN = 3
"""Blank pixels around the embedded digits: room for moving and resizing them."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return train_mnist.execute("inside_a_cnn.py", run, parse(arguments))


def run(options: argparse.Namespace, history: History) -> None:
    """Everything, in order."""
    wanted = {"tqdm": "the progress bar", "matplotlib": "the report", "markdown_it": "the report"}
    train_mnist.check_environment(options, wanted, {"--output": options.output})
    tg.manual_seed(options.seed)
    data = load_data(options)
    if options.epochs is None:
        options.epochs = train_mnist.EPOCHS[data.name]
    model = MODELS[options.model](data.side)
    print(f"network: {options.model}, seed {options.seed}", flush=True)
    train_mnist.train(model, data, options, history)
    write_report(model, data, options, history)


def load_data(options: argparse.Namespace) -> Data:
    """The data of train_mnist.py as Tensors; the small digits with a margin."""
    data = train_mnist.load_data(options)
    margin = MARGIN if data.name == "digits" and options.model != "lenet5" else 0
    parts = []
    for part in (data.train, data.test):
        images, labels = tensors(part)
        parts.append(TensorDataset(F.pad(images, (margin,) * 4), labels))
    return Data(data.name, *parts)


def tensors(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """All images and all labels of a dataset."""
    (everything,) = DataLoader(dataset, batch_size=len(dataset))
    images, labels = everything
    return images, labels


def write_report(model: tg.nn.Module, data: Data, options: argparse.Namespace, history: History) -> None:
    """Explain the network in a file, with a bar that shows which chapter is being written."""
    from tqdm import tqdm

    print("\nwriting the report; some chapters train small networks to measure something", flush=True)
    with tqdm(unit="chapter", leave=False) as bar:

        def begin(number: int, total: int, title: str) -> None:
            bar.total = total
            bar.update(number - bar.n)
            bar.set_postfix_str(title)

        explore.report(
            model,
            (*tensors(data.train), *tensors(data.test)),
            options.output,
            history,
            batch_size=options.batch_size,
            progress=begin,
        )
    print(f"done: open {options.output.resolve()}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options from the command line and check each by itself."""
    description = "Train a neural network to read handwritten digits, and explain it in one HTML file."
    parser = train_mnist.Parser(prog="inside_a_cnn.py", description=description)
    train_mnist.add_options(parser)
    parser.add_argument(
        "--output",
        metavar="FILE.html",
        type=document,
        default=Path("report.html"),
        help=".html is one file, .md a text with its pictures in a folder (default: report.html)",
    )
    parser.set_defaults(save=None)
    return train_mnist.complete(parser.parse_args(arguments))


def document(text: str) -> Path:
    """An option's value that is the name of a document."""
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm", ".md"):
        raise argparse.ArgumentTypeError(f"must end in .html or .md, got {text}")
    return path


if __name__ == "__main__":
    sys.exit(main())
