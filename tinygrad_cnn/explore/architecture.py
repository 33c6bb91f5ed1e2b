"""The architecture of a network as a lecture draws it: feature maps with their sizes, filters between them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ..nn import Module
from .blocks import Block, blocks
from .drawing import INK, Drawing, text_width
from .formulas import Shape
from .plan import blank_trace
from .showing import BLUE, GREY, ORANGE, SKY, VERMILION

_FILL = {"input": "#FFFFFF", "convolution": SKY, "pooling": "#7FCEB9", "dense": ORANGE, "other": "#DDDDDD"}
_SIZE, _SMALL = 12, 11  # of letters
_LINE = 14  # from one line of text to the next
_TALLEST = 96  # of boxes
_GAP = 34  # the least between boxes, for an arrow
_SHEET = 4  # by how much the sheets of a stack are shifted
_LANE = 13  # between the lines that go around

Row = dict[int, "Box"]
"""The boxes of a row, by the place of their block."""


@dataclass
class Box:
    """Where a block is drawn: ``x`` is the left, (width, height) that of the front sheet.

    ``again``: it is the last box of the row above once more.
    """

    block: Block
    width: float
    height: float
    sheets: int
    caption: str
    x: float = 0.0
    middle: float = 0.0
    again: bool = False

    @property
    def depth(self) -> float:
        """How far the last sheet sticks out, to the right and upwards."""
        return _SHEET * (self.sheets - 1)

    @property
    def right(self) -> float:
        return self.x + self.width + self.depth

    @property
    def center(self) -> float:
        return (self.x + self.right) / 2

    @property
    def top(self) -> float:
        return self.middle - (self.height + self.depth) / 2


def draw_architecture(model: Module, input_shape: tuple[int, ...], width: float = 1100) -> Drawing:
    """The network as boxes of feature maps, ``32@26×26``, and between them the filters that make one of the other.

    A stack of sheets is a feature map, a bar a vector; the small square on a sheet is the window that slides over it.
    What leaves the shape as it is (activations, normalisations, dropout) is only named.  Where a result is also used
    further on, as in residual networks, a line goes around.

    Args:
        model: the network; nothing of it is changed.
        input_shape: the shape of one input, (C, H, W) or (features,); or of a batch, (N, C, H, W).
        width: where a row of boxes is wrapped, in pixels; the next row begins with the last feature map again, pale.
            A row goes on as long as more than one result is needed later.

    Returns:
        The Drawing: notebooks show it, ``save("net.svg")`` and ``save("net.png")`` write it.

    Raises:
        TypeError: model is no Module.
        DTypeError, ShapeError: input_shape is none, or a layer cannot take what reaches it, as in ``plan``.
    """
    parts = blocks(blank_trace("draw_architecture", model, input_shape))
    drawing = Drawing(f"Architecture of {type(model).__name__}, input {_size(parts[0].shape)}")
    top = 8.0
    for row in _rows(_boxes(parts), width):
        lanes = _lanes(row)
        above = _LANE * (1 + max(lanes.values())) if lanes else 0
        tallest = max(box.height + box.depth for box in row.values())
        middle = top + above + _SIZE + 10 + tallest / 2
        for box in row.values():
            box.middle = middle
            _draw_box(drawing, box)
        below = middle + tallest / 2 + 18
        ends = [_draw_transition(drawing, row, i, below) for i in row]
        for (source, target), lane in lanes.items():
            _draw_detour(drawing, row[source], row[target], middle - tallest / 2 - _SIZE - 10 - _LANE * lane)
        top = max(ends) + 10
    return drawing


def _size(shape: Shape) -> str:
    """``32@26×26`` for a feature map, ``9216`` for a vector."""
    return f"{shape[0]}@{shape[1]}×{shape[2]}" if len(shape) == 3 else "×".join(map(str, shape)) or "1"


# ---------------------------------------------------------------- where everything is


def _boxes(parts: list[Block]) -> list[Box]:
    """A box per block; sizes follow the square root, so that a large image leaves something of a small one."""
    sides = [side for part in parts if len(part.shape) == 3 for side in part.shape[1:]]
    longest = math.log2(1 + max((part.shape[-1] for part in parts if len(part.shape) == 1), default=1))
    result = []
    for part in parts:
        if len(part.shape) == 3:
            high, wide = (8 + (_TALLEST - 32) * math.sqrt(side / max(sides)) for side in part.shape[1:])
            sheets = 1 + min(6, round(math.log2(part.shape[0])))
        else:
            share = math.log2(1 + part.shape[-1]) / longest if part.shape else 0
            high, wide, sheets = 18 + (_TALLEST - 18) * min(1.0, share), 11.0, 1
        result.append(Box(part, wide, high, sheets, _size(part.shape)))
    return result


def _rows(boxes: list[Box], width: float) -> list[Row]:
    """Puts the boxes side by side; a row that is full ends where only its last result is needed later."""
    needed = [max([i, *(j for j, box in enumerate(boxes) if i in box.block.inputs)]) for i in range(len(boxes))]
    rows: list[Row] = [{}]
    group: list[int] = []  # boxes that stay in one row
    for i in range(len(boxes)):
        group.append(i)
        if any(needed[k] > i for k in range(i)):
            continue
        _place(rows[-1], {k: boxes[k] for k in group})
        if boxes[i].right > width and len(rows[-1]) > 1 + len(group):
            for k in group:
                del rows[-1][k]
            before = group[0] - 1
            rows.append({})
            _place(rows[-1], {before: dataclasses.replace(boxes[before], again=True)})
            _place(rows[-1], {k: boxes[k] for k in group})
        group = []
    return rows


def _place(row: Row, added: Row) -> None:
    """Put boxes at the end of a row, so far apart that neither captions nor the words between boxes collide."""
    for i, box in added.items():
        last = row.get(i - 1)
        side = max(0.0, text_width(box.caption, _SIZE) - box.width - box.depth) / 2
        words = _words_width(box)
        if last is None:
            box.x = 12 + side
        else:
            last_side = max(0.0, text_width(last.caption, _SIZE) - last.width - last.depth) / 2
            gap = max(_GAP, side + last_side + 8)
            # The words are in the middle of the gap; those of the gap before end where its middle and width say.
            end = _words_end(row, i - 1)
            box.x = last.right + max(gap, 2 * (end + 10 + words / 2 - last.right))
        row[i] = box


def _words_width(box: Box) -> float:
    return max(text_width(text, _SMALL) for text in ["", *box.block.steps, box.block.path])


def _words_end(row: Row, i: int) -> float:
    """Where the words before a box end on the right."""
    if i - 1 in row:
        return (row[i - 1].right + row[i].x) / 2 + _words_width(row[i]) / 2
    return row[i].center + text_width("input", _SMALL) / 2


def _lanes(row: Row) -> dict[tuple[int, int], int]:
    """How high every line runs that goes around boxes: short ones below, none over another."""
    jumps = [(i, k) for k, box in row.items() if not box.again for i in box.block.inputs if i != k - 1 and i in row]
    lanes: dict[tuple[int, int], int] = {}
    for start, end in sorted(jumps, key=lambda jump: jump[1] - jump[0]):
        taken = {lane for (s, e), lane in lanes.items() if s < end and start < e}
        lanes[start, end] = next(lane for lane in range(len(taken) + 1) if lane not in taken)
    return lanes


# ---------------------------------------------------------------- how it is drawn


def _draw_box(drawing: Drawing, box: Box) -> None:
    fill, ink = (_FILL[box.block.kind], INK) if not box.again else ("#F4F4F4", "#AAAAAA")
    y = box.top + box.depth
    for sheet in reversed(range(box.sheets)):
        drawing.box(box.x + _SHEET * sheet, y - _SHEET * sheet, box.width, box.height, fill, ink)
    drawing.label(box.center, box.top - 6, box.caption, _SIZE, INK if not box.again else GREY)


def _draw_transition(drawing: Drawing, row: Row, i: int, y: float) -> float:
    """The arrow to a box, the window on the sheet it comes from, and words below; returns where they end."""
    box, block = row[i], row[i].block
    if box.again or not block.inputs:
        for line, step in enumerate([] if box.again else ["input", *block.steps]):
            drawing.label(box.center, y + _LINE * line, step, _SMALL)
        return y
    last = row[i - 1]
    center = (last.right + box.x) / 2
    if i - 1 in block.inputs:
        if block.window is not None and len(last.block.shape) == 3 and len(block.shape) == 3:
            _draw_window(drawing, last, box)
        else:
            drawing.line([(last.right + 4, box.middle), (box.x - 4, box.middle)], arrow=True)
    lines = [(step, INK) for step in block.steps] + ([(block.path, GREY)] if block.path else [])
    for text, color in lines:
        drawing.label(center, y, text, _SMALL, color)
        y += _LINE
    return y


def _draw_window(drawing: Drawing, last: Box, box: Box) -> None:
    """A square on the front sheet of a feature map, and two lines from it to the place that it becomes."""
    assert box.block.window is not None
    sides = [min(1.0, window / side) for window, side in zip(box.block.window, last.block.shape[1:])]
    high, wide = max(4.0, sides[0] * last.height), max(4.0, sides[1] * last.width)
    x, y = last.x + 0.55 * (last.width - wide), last.top + last.depth + 0.3 * (last.height - high)
    target = (box.x + 0.3 * box.width, box.top + box.depth + 0.55 * box.height)
    drawing.box(x, y, wide, high, "#FFFFFF", VERMILION)
    for corner in (y, y + high):
        drawing.line([(x + wide, corner), target], VERMILION, 0.8)


def _draw_detour(drawing: Drawing, source: Box, target: Box, y: float) -> None:
    """A line over the boxes in between, from the top of one box to the top of another."""
    start, end = source.center + 4, target.center - 4
    bottom = [box.top - _SIZE - 6 for box in (source, target)]
    drawing.line([(start, bottom[0]), (start, y), (end, y), (end, bottom[1])], BLUE, 1.2, arrow=True)
