"""Line drawings: polygons, lines and words, written as SVG or drawn by matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from .showing import picture, write

if TYPE_CHECKING:
    from .picture import Picture

FONT = ("DejaVu Sans", "Verdana", "Arial", "sans-serif")
INK = "#222222"

Point = tuple[float, float]


class Polygon(NamedTuple):
    """A filled outline."""

    points: Sequence[Point]
    fill: str
    stroke: str


class Line(NamedTuple):
    """A line through points; ``arrow``: with a head at its end."""

    points: Sequence[Point]
    stroke: str
    width: float
    dashed: bool


class Label(NamedTuple):
    """One line of text whose baseline's ``anchor`` (start, middle, end) is at (x, y)."""

    x: float
    y: float
    text: str
    size: float
    color: str
    anchor: str


def text_width(text: str, size: float) -> float:
    """About how wide a text is, rather too much: fonts differ, and SVG says nothing about it."""
    return 0.64 * size * len(text)


class Drawing:
    """A drawing whose unit is a pixel of SVG and a point of matplotlib; y grows downwards.

    Notebooks show it; ``str`` and ``svg()`` give it as SVG, ``picture()`` as a matplotlib Figure.

    Attributes:
        title: what it shows, for those who hear it read out.
        width, height: its size.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.width = self.height = 0.0
        self._shapes: list[Polygon | Line | Label] = []

    def polygon(self, points: Sequence[Point], fill: str, stroke: str = INK) -> None:
        """A filled outline."""
        self._grow(points)
        self._shapes.append(Polygon(points, fill, stroke))

    def box(self, x: float, y: float, width: float, height: float, fill: str, stroke: str = INK) -> None:
        """A rectangle, from its upper left corner."""
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], fill, stroke)

    def line(
        self, points: Sequence[Point], stroke: str = INK, width: float = 1.0, dashed: bool = False, arrow: bool = False
    ) -> None:
        """A line through points, with a head at its end if it is an arrow."""
        self._grow(points)
        self._shapes.append(Line(points, stroke, width, dashed))
        if arrow:
            (x0, y0), (x1, y1) = points[-2:]
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            dx, dy = 7 * (x1 - x0) / length, 7 * (y1 - y0) / length
            head = [(x1, y1), (x1 - dx - dy / 2, y1 - dy + dx / 2), (x1 - dx + dy / 2, y1 - dy - dx / 2)]
            self._shapes.append(Polygon(head, stroke, stroke))

    def label(self, x: float, y: float, text: str, size: float = 12, color: str = INK, anchor: str = "middle") -> None:
        """A line of text."""
        width = text_width(text, size)
        left = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
        self._grow([(left + width, y + 0.3 * size)])
        self._shapes.append(Label(x, y, text, size, color, anchor))

    def _grow(self, points: Sequence[Point], margin: float = 16) -> None:
        self.width = max(self.width, *(x + margin for x, _ in points))
        self.height = max(self.height, *(y + margin for _, y in points))

    def svg(self) -> str:
        """The drawing as an SVG document; it scales down to the width there is."""
        width, height = math.ceil(self.width), math.ceil(self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'style="max-width: 100%; height: auto" font-family="{", ".join(FONT)}" role="img">'
        )
        background = f'<rect width="{width}" height="{height}" fill="white"/>'
        shapes = [_svg(shape) for shape in self._shapes]
        return "\n".join([head, f"<title>{escape(self.title)}</title>", background, *shapes, "</svg>"]) + "\n"

    __str__ = _repr_svg_ = svg

    def picture(self) -> Picture:
        """The drawing as a matplotlib Figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        figure = picture(self.width / 72, self.height / 72)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.axis("off")
        for order, shape in enumerate(self._shapes):
            if isinstance(shape, Polygon):
                axes.fill(*zip(*shape.points), facecolor=shape.fill, edgecolor=shape.stroke, linewidth=1, zorder=order)
            elif isinstance(shape, Line):
                style = (0, (4, 3)) if shape.dashed else "-"
                axes.plot(*zip(*shape.points), color=shape.stroke, linewidth=shape.width, linestyle=style, zorder=order)
            else:
                alignment = {"start": "left", "middle": "center", "end": "right"}[shape.anchor]
                axes.text(
                    shape.x,
                    shape.y,
                    shape.text.replace("$", r"\$"),
                    fontsize=shape.size,
                    color=shape.color,
                    ha=alignment,
                    va="baseline",
                    zorder=order,
                )
        return figure

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to a file, in one piece or not at all: ``.svg`` as text, ``.png`` ... through matplotlib.

        Raises:
            ValueError: a suffix that matplotlib does not know.
            ImportError: it is not .svg and matplotlib is not installed.
            OSError: the folder does not exist, or the file cannot be written.
        """
        if Path(path).suffix.lower() == ".svg":
            write(path, self.svg().encode())
        else:
            self.picture().save(path)


def _svg(shape: Polygon | Line | Label) -> str:
    if isinstance(shape, Label):
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" fill="{shape.color}" '
            f'text-anchor="{shape.anchor}">{escape(shape.text)}</text>'
        )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    if isinstance(shape, Polygon):
        return f'<polygon points="{points}" fill="{shape.fill}" stroke="{shape.stroke}"/>'
    dash = ' stroke-dasharray="4 3"' if shape.dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{shape.stroke}" stroke-width="{shape.width:g}"{dash}/>'
