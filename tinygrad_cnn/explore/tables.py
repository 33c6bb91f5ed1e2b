"""Plans as text, Markdown, HTML and JSON."""

from __future__ import annotations

import dataclasses
import html as markup
import json as notation
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .plan import Plan
    from .rows import Row


class Column(NamedTuple):
    """A column of a table: its heading, its text in a row, and whether it is aligned to the right."""

    heading: str
    cell: Callable[[Row], str]
    right: bool = True


def shape(sizes: Sequence[int] | None) -> str:
    """The size of one example, ``32×26×26``."""
    if sizes is None:
        return "–"
    return "×".join(map(str, sizes[1:])) or "1"


def pair(sizes: tuple[int, int] | None) -> str:
    """``3`` for a square, ``3×5`` else."""
    if sizes is None:
        return "–"
    return str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]}×{sizes[1]}"


def memory(count: int) -> str:
    """A number of bytes in the unit that fits: ``84.5 KiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.2f}"


LAYER = Column("layer", lambda row: row.path, right=False)
KIND = Column("type", lambda row: row.kind, right=False)
OUTPUT = Column("output", lambda row: shape(row.output_shape), right=False)
SIZE = Column("how the size comes about", lambda row: row.size, right=False)
COUNT = Column("parameters", lambda row: f"{row.parameters:,}")
COUNT_FORMULA = Column("how they are counted", lambda row: row.parameter_formula, right=False)
SHARE = Column("%", lambda row: f"{100 * row.share:.1f}" if row.parameters else "")
WORK = Column("multiply-adds", lambda row: f"{row.multiply_adds:,}")
WORK_FORMULA = Column("how they come about", lambda row: row.work_formula, right=False)
MEMORY = Column("memory", lambda row: memory(row.activation_bytes))
FIELD = Column("field", lambda row: pair(row.receptive_field))
JUMP = Column("step", lambda row: pair(row.jump))
FORWARD = Column("forward ms", lambda row: _milliseconds(row.forward_seconds))
BACKWARD = Column("backward ms", lambda row: _milliseconds(row.backward_seconds))


def _numbers(plan: Plan) -> list[Column]:
    """The columns with numbers that say something about this network."""
    columns = [COUNT, SHARE, WORK, MEMORY]
    if any(row.receptive_field for row in plan.rows):
        columns += [FIELD, JUMP]
    if any(row.forward_seconds is not None or row.backward_seconds is not None for row in plan.rows):
        columns += [FORWARD, BACKWARD]
    return columns


def totals(plan: Plan) -> list[str]:
    """What the network has and costs in all, as sentences."""
    kept = f"; {plan.buffers:,} numbers in buffers" if plan.buffers else ""
    split = "all trainable"
    if plan.non_trainable:
        split = f"{plan.trainable:,} trainable, {plan.non_trainable:,} not trainable"
    lines = [
        f"parameters: {plan.parameters:,} ({memory(plan.parameter_bytes)}), {split}{kept}",
        f"multiply-adds: {plan.multiply_adds:,}; activations: {memory(plan.activation_bytes)}",
    ]
    times = [(row.forward_seconds or 0.0, row.backward_seconds or 0.0) for row in plan.rows]
    if any(f or b for f, b in times):
        lines.append(
            f"measured in these rows: forward {1000 * sum(f for f, _ in times):.2f} ms, "
            f"backward {1000 * sum(b for _, b in times):.2f} ms"
        )
    return lines


def _input(sizes: Sequence[int]) -> str:
    images = "" if sizes[0] == 1 else f"{sizes[0]} times "
    return f"{images}{shape(sizes)}"


def text(plan: Plan) -> str:
    """The numbers as a table, then how they come about, then the sums and the warnings."""
    numbers = _numbers(plan)
    if FORWARD in numbers and FIELD in numbers:
        numbers = [c for c in numbers if c not in (SHARE, FIELD, JUMP)]  # lines would become too long
    parts = [
        f"{plan.name}, input {_input(plan.input_shape)}",
        _grid([LAYER, KIND, OUTPUT, *numbers], plan.rows),
        "\n".join(totals(plan)),
    ]
    explained = [row for row in plan.rows if row.size or row.parameter_formula]
    if explained:
        parts.insert(2, "how sizes and parameters come about:\n" + _formulas(explained))
    if plan.warnings:
        parts.append("\n".join(f"warning: {warning}" for warning in plan.warnings))
    return "\n\n".join(parts)


def _formulas(rows: Sequence[Row]) -> str:
    return _grid([LAYER, KIND, SIZE, COUNT_FORMULA], rows, headings=False)


def breaking(input_shape: Sequence[int], rows: Sequence[Row]) -> str:
    """The way of an input up to a layer that cannot take it, the last row."""
    columns = [LAYER, KIND, Column("output", _output_or_break, right=False), SIZE]
    return f"input {_input(input_shape)}\n{_grid(columns, rows)}"


def _output_or_break(row: Row) -> str:
    return shape(row.output_shape) if row.output_shape is not None else "✗ does not fit"


def _grid(columns: Sequence[Column], rows: Sequence[Row], headings: bool = True) -> str:
    cells = [[column.cell(row) for column in columns] for row in rows]
    return grid([column.heading for column in columns] if headings else None, cells, [c.right for c in columns])


def grid(headings: Sequence[str] | None, cells: Sequence[Sequence[str]], right: Sequence[bool] | None = None) -> str:
    """Texts as a table with a line under the headings; columns without any text are left out.

    Args:
        headings: one per column, or None.
        cells: the lines.
        right: per column whether it is aligned to the right.  Default: all are.
    """
    lines = [*([] if headings is None else [headings]), *cells]
    widths = [max(map(len, column)) for column in zip(*lines)]
    right = [True] * len(widths) if right is None else right
    kept = [i for i, width in enumerate(widths) if width]
    text = [
        "  ".join(line[i].rjust(widths[i]) if right[i] else line[i].ljust(widths[i]) for i in kept).rstrip()
        for line in lines
    ]
    if headings is not None:
        text.insert(1, "─" * max(map(len, text)))
    return "\n".join(text)


def markdown_grid(
    headings: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool] | None = None
) -> list[str]:
    """Texts as the lines of a table in Markdown; arguments as ``grid``."""

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|").replace("*", "\\*") for text in texts) + " |"

    right = [True] * len(headings) if right is None else right
    rule = "|" + "|".join("---:" if r else "---" for r in right) + "|"
    return [line(headings), rule, *map(line, cells)]


def _all_columns(plan: Plan) -> list[Column]:
    """The numbers, each followed by its formula."""
    columns = [LAYER, KIND, OUTPUT, SIZE]
    for column in _numbers(plan):
        columns.append(column)
        if column is COUNT:
            columns.append(COUNT_FORMULA)
        elif column is WORK:
            columns.append(WORK_FORMULA)
    return columns


def markdown(plan: Plan) -> str:
    """One table with all numbers and formulas, then the sums and the warnings."""

    columns = _all_columns(plan)
    cells = [[column.cell(row) for column in columns] for row in plan.rows]
    lines = [
        f"**{plan.name}**, input {_input(plan.input_shape)}",
        "",
        *markdown_grid([column.heading for column in columns], cells, [column.right for column in columns]),
        "",
        *(f"- {sentence}" for sentence in totals(plan)),
        *(f"- **warning:** {warning}" for warning in plan.warnings),
    ]
    return "\n".join(lines) + "\n"


def html(plan: Plan) -> str:
    """A caption, one table with all numbers and formulas, and a list of the sums and the warnings."""
    columns = _all_columns(plan)

    def line(tag: str, cells: Sequence[str]) -> str:
        inner = "".join(
            f'<{tag} style="text-align: {"right" if column.right else "left"}">{markup.escape(cell)}</{tag}>'
            for column, cell in zip(columns, cells)
        )
        return f"<tr>{inner}</tr>"

    rows = [line("td", [column.cell(row) for column in columns]) for row in plan.rows]
    notes = [*totals(plan), *(f"warning: {warning}" for warning in plan.warnings)]
    return "\n".join(
        [
            "<table>",
            f"<caption>{markup.escape(plan.name)}, input {_input(plan.input_shape)}</caption>",
            f"<thead>{line('th', [column.heading for column in columns])}</thead>",
            "<tbody>",
            *rows,
            "</tbody>",
            "</table>",
            "<ul>",
            *(f"<li>{markup.escape(note)}</li>" for note in notes),
            "</ul>",
        ]
    )


def json(plan: Plan) -> str:
    """The plan's fields and sums, and its rows."""
    sums = ("parameters", "trainable", "non_trainable", "multiply_adds", "activation_bytes", "warnings")
    return notation.dumps(
        {**dataclasses.asdict(plan), **{name: getattr(plan, name) for name in sums}}, ensure_ascii=False, indent=2
    )
