"""The plan of a network: a row per layer with its size, parameters, work, memory and receptive field, and how each of
these numbers comes about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..autograd import Tensor, get_default_dtype, wrap
from ..errors import DTypeError, ShapeError
from ..nn import Conv2d, Module
from ..nn.mismatch import Place
from . import tables
from .formulas import Shape
from .rows import Row, Rows
from .trace import Trace, evaluation


@dataclass(frozen=True)
class Plan:
    """The rows of a network; printed, it is a table.

    Attributes:
        name: the network's class.
        input_shape: shape of the input, with the batch.
        rows: in the order of the computation.
        buffers: how many numbers the network keeps that are no parameters (running statistics).
        parameter_bytes: memory of the parameters.
    """

    name: str
    input_shape: Shape
    rows: tuple[Row, ...]
    buffers: int = 0
    parameter_bytes: int = 0

    @property
    def parameters(self) -> int:
        """Number of parameters, shared ones counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Number of parameters that require a gradient."""
        return sum(row.trainable for row in self.rows)

    @property
    def non_trainable(self) -> int:
        """Number of parameters that do not."""
        return sum(row.non_trainable for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Memory of all activations of one forward pass together, which is about what training keeps."""
        return sum(row.activation_bytes for row in self.rows)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all rows, each with its layer in front."""
        return tuple(f"{row.path or self.name} {row.kind}: {text}" for row in self.rows for text in row.warnings)

    def __getitem__(self, path: str) -> Row:
        """The row of the layer at a path (its first, if it is called several times).

        Raises:
            KeyError: there is none; the message gives the most similar paths.
        """
        rows: dict[str, Row] = {}
        for row in self.rows:
            if not row.is_function:
                rows.setdefault(row.path, row)
        if path not in rows:
            raise KeyError(unknown_name("Plan", path, rows))
        return rows[path]

    def __str__(self) -> str:
        return tables.text(self)

    __repr__ = __str__

    def markdown(self) -> str:
        """The table in Markdown."""
        return tables.markdown(self)

    def html(self) -> str:
        """The table as an HTML fragment without scripts or outside resources."""
        return tables.html(self)

    _repr_html_ = html  # what notebooks show

    def json(self) -> str:
        """Everything as JSON: the attributes of this class, and ``rows`` as a list of those of ``Row``."""
        return tables.json(self)


def plan(model: Module, input_shape: tuple[int, ...]) -> Plan:
    """What every layer of a network does to the size of an image, and what it costs; no data is needed.

    One blank image goes through the network in evaluation mode.  Parameters, buffers, random state, modes and hooks are
    afterwards what they were, also after an exception.

    Args:
        model: the network; also one that calls functions, branches or uses a layer several times.
        input_shape: the shape of one input, (C, H, W) or (features,); or of a batch, (N, C, H, W).

    Returns:
        The Plan: a row per call of a layer (a module without submodules) and per function called between layers,
        unless it has no gradient (comparisons) or a gradient cannot pass it (``detach``).
        ``print`` shows it as a table; ``markdown()``, ``html()`` and ``json()`` give it in other forms.

    Raises:
        TypeError: model is no Module.
        DTypeError, ShapeError: input_shape is no tuple of positive ints.
        ShapeError: a layer cannot take the shape that reaches it: which layer, how the shape came about, what to do.
    """
    trace = blank_trace("plan", model, input_shape)
    return assemble(trace, [entry.row for entry in Rows(trace).entries])


def blank_trace(who: str, model: Module, input_shape: tuple[int, ...]) -> Trace:
    """The trace of one blank image through a network in evaluation mode; arguments and errors as ``plan``."""
    check_model(who, model)
    shape = checked_shape(who, input_shape, model)
    with evaluation(model):
        return traced(model, wrap(np.zeros(shape, floating_dtype(model))))


def floating_dtype(model: Module) -> np.dtype:
    """The dtype of the images that a network takes: that of its first parameter, else the default."""
    dtypes = [p._array.dtype for p in model.parameters() if p._array.dtype.kind == "f"]
    return dtypes[0] if dtypes else get_default_dtype().numpy_dtype


T = TypeVar("T", bound=Trace)


def traced(model: Module, image: Tensor) -> Trace:
    """The trace of the network on an image; raises as ``completed``."""
    return completed(Trace(model, image))


def completed(trace: T) -> T:
    """Run a trace to its end.

    Raises:
        ShapeError: as ``plan``.
    """
    try:
        trace.run()
    except ShapeError as error:
        raise ShapeError(_broken(trace, error)) from error
    return trace


def check_model(name: str, model: Any) -> None:
    """Raise a TypeError unless the model is a Module."""
    if isinstance(model, type) and issubclass(model, Module):
        raise TypeError(
            f"{name}: model must be a Module, got the class {model.__name__}; did you mean {model.__name__}()?"
        )
    if not isinstance(model, Module):
        raise TypeError(f"{name}: model must be a Module, got {type(model).__name__}")


def unknown_name(who: str, name: Any, names: Iterable[str]) -> str:
    """The sentence for a layer that does not exist: with the most similar names, or with all of a few."""
    names = list(names)
    similar = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    known = (
        f"did you mean {' or '.join(map(repr, similar))}?" if similar else f"there are {', '.join(map(repr, names))}"
    )
    return f"{who}: there is no layer {name!r}; {known}"


def checked_shape(who: str, shape: Any, model: Module) -> Shape:
    """An input_shape with the batch in front.

    Raises:
        DTypeError, ShapeError: it is no tuple of positive ints, or too short for convolutions.
    """
    if not isinstance(shape, tuple | list) or not all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) for n in shape
    ):
        raise DTypeError(f"{who}: input_shape must be a tuple of positive ints, such as (1, 28, 28), got {shape!r}")
    if not shape or len(shape) > 4 or min(shape) < 1:
        raise ShapeError(
            f"{who}: input_shape must be a tuple of 1 to 4 positive ints, such as (1, 28, 28), got {shape!r}"
        )
    first = next((module for module in model.modules() if isinstance(module, Conv2d)), None)
    if first is not None and len(shape) < 3:
        example = (first.in_channels, *(shape if len(shape) == 2 else (28, 28)))
        raise ShapeError(f"{who}: input_shape must be (C, H, W) for convolutions, such as {example}, got {shape!r}")
    numbers = tuple(int(n) for n in shape)
    return numbers if len(numbers) == 4 else (1, *numbers)


# ---------------------------------------------------------------- from the trace to rows


def assemble(trace: Trace, rows: Iterable[Row]) -> Plan:
    """The plan of a network that ran to its end, with these rows."""
    model = trace.model
    parameters = list(model.parameters())
    return Plan(
        type(model).__name__,
        tuple(trace.image.shape),
        tuple(rows),
        sum(b.numel() for b in model.buffers()),
        sum(p._array.nbytes for p in parameters),
    )


def _broken(trace: Trace, error: ShapeError) -> str:
    """The message for a shape that does not fit: the layer and the way out, and the rows up to there."""
    place: Place = error.place  # type: ignore[attr-defined]  # set by the modules it has passed
    rows = [entry.row for entry in Rows(trace).entries if entry.call is not None and entry.row.output_shape is not None]
    rows.append(Row(place.path, type(place.module).__name__))
    return f"{place.note()}\n({error})\n\nhow the shape came about:\n{tables.breaking(tuple(trace.image.shape), rows)}"
