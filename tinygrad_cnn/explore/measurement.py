"""What a measurement gives: a table of numbers, curves to plot, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .tables import grid, markdown_grid

Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""The x and the y of the points of a line."""


@dataclass(frozen=True)
class Measurement:
    """Numbers in a table; printed, it is the table.

    Attributes:
        title: what was measured.
        headings: one per column.
        formats: one format specification per column, such as ``".1%"``; empty for text.
        rows: the numbers.
        conclusions: sentences about these numbers.
        curves: by name, the points to plot; empty where there is nothing to plot.
        axes: what x and y of the curves are.
    """

    title: str
    headings: tuple[str, ...]
    formats: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    conclusions: tuple[str, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    axes: tuple[str, str] = ("", "")

    def column(self, heading: str) -> tuple[Any, ...]:
        """The numbers of one column.

        Raises:
            KeyError: there is no such column; the message names those there are.
        """
        if heading not in self.headings:
            raise KeyError(f"there is no column {heading!r}; there are {', '.join(map(repr, self.headings))}")
        place = self.headings.index(heading)
        return tuple(row[place] for row in self.rows)

    def _cells(self) -> list[list[str]]:
        return [["–" if v is None else format(v, f) for v, f in zip(row, self.formats)] for row in self.rows]

    def _right(self) -> list[bool]:
        return [bool(f) for f in self.formats]

    def __str__(self) -> str:
        return "\n".join([self.title, "", grid(self.headings, self._cells(), self._right()), "", *self.conclusions])

    __repr__ = __str__

    def markdown(self) -> str:
        """The table and the conclusions in Markdown."""
        table = markdown_grid(self.headings, self._cells(), self._right())
        return "\n".join([f"**{self.title}**", "", *table, "", *(f"- {text}" for text in self.conclusions)]) + "\n"

    _repr_markdown_ = markdown  # what notebooks show
