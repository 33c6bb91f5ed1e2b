"""Line drawings of ideas: where a window stands for some padding and stride, and who is connected with whom."""

from __future__ import annotations

from ..drawing import INK, Drawing
from ..showing import BLUE, GREY, ORANGE, SKY, VERMILION

_CELL = 22.0


def windows_sketch(size: int, kernel: int, cases: list[tuple[int, int]]) -> Drawing:
    """For every (padding, stride), an image with its border of zeros, the places of the window, and what comes out."""
    drawing = Drawing(f"Windows of {kernel}×{kernel} on {size}×{size} pixels, for several paddings and strides")
    left = 16.0
    for padding, stride in cases:
        places = (size + 2 * padding - kernel) // stride + 1
        side = (size + 2 * padding) * _CELL
        drawing.label(left, 20, f"padding {padding}, stride {stride}", 13, anchor="start")
        top = 34.0
        for row in range(size + 2 * padding):
            for column in range(size + 2 * padding):
                inside = all(padding <= n < size + padding for n in (row, column))
                x, y = left + column * _CELL, top + row * _CELL
                drawing.box(x, y, _CELL, _CELL, SKY if inside else "#FFFFFF", "#FFFFFF" if inside else "#BBBBBB")
                if not inside:
                    drawing.label(x + _CELL / 2, y + 15, "0", 10, GREY)
        for row in range(places):
            for column in range(places):
                x, y = (left + (n * stride + kernel / 2) * _CELL for n in (column, row))
                y += top - left
                drawing.box(x - 3, y - 3, 6, 6, INK, INK)
        first = [(left, top), (left + kernel * _CELL, top), (left + kernel * _CELL, top + kernel * _CELL)]
        first += [(left, top + kernel * _CELL), (left, top)]
        drawing.line(first, VERMILION, 3)
        if places > 1:
            x = left + stride * _CELL
            second = [(x, top + 3), (x + kernel * _CELL, top + 3), (x + kernel * _CELL, top + kernel * _CELL + 3)]
            second += [(x, top + kernel * _CELL + 3), (x, top + 3)]
            drawing.line(second, ORANGE, 2, dashed=True)
        drawing.label(left, top + side + 20, f"{places}×{places} numbers come out", 13, anchor="start")
        left += max(side, 165) + 26
    return drawing


def connections_sketch(inputs: int = 7, kernel: int = 3) -> Drawing:
    """A row of inputs and a row of outputs, once with all connections and once with those of a convolution."""
    drawing = Drawing("A dense layer connects every input with every output; a convolution only those in its window")
    colors = (BLUE, VERMILION, ORANGE)
    outputs = inputs - kernel + 1
    for left, dense in ((24.0, True), (390.0, False)):
        top, bottom = 60.0, 190.0
        x = [left + 44 * i for i in range(inputs)]
        y = [left + 44 * (i + (kernel - 1) / 2) for i in range(outputs)]
        drawing.label(left - 8, 22, "fully connected" if dense else "convolution", 14, anchor="start")
        count = inputs * outputs if dense else kernel
        lines = inputs * outputs if dense else kernel * outputs
        drawing.label(left - 8, 40, f"{lines} connections, {count} different weights", 12, GREY, anchor="start")
        for out in range(outputs):
            for place in range(inputs):
                tap = place - out
                if dense:
                    drawing.line([(x[place], top + 18), (y[out], bottom)], "#888888", 1)
                elif 0 <= tap < kernel:
                    drawing.line([(x[place], top + 18), (y[out], bottom)], colors[tap % 3], 2.2)
        for x_in in x:
            drawing.box(x_in - 9, top, 18, 18, SKY)
        for x_out in y:
            drawing.box(x_out - 9, bottom, 18, 18, "#FFFFFF")
        drawing.label(x[-1] + 16, top + 14, "in", 12, anchor="start")
        drawing.label(x[-1] + 16, bottom + 14, "out", 12, anchor="start")
    return drawing
