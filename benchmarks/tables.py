"""Put the saved results as tables into the Markdown files: ``python -m benchmarks.tables``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; NAME is a file in ``results``.
``--check`` changes nothing and fails if a file is out of date.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from typing import Any

from .harness import RESULTS

ROOT = pathlib.Path(__file__).parent.parent
FILES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")
_PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main() -> int:
    """Rewrite (or check) every file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    outdated = []
    for path in FILES:
        before = path.read_text(encoding="utf-8")
        after = _PLACE.sub(lambda place: place[1] + render(place[2]) + place[3], before)
        if after != before:
            outdated.append(path.name)
            if not check:
                path.write_text(after, encoding="utf-8")
    if check and outdated:
        print(f"out of date: {', '.join(outdated)}; run python -m benchmarks.tables", file=sys.stderr)
        return 1
    return 0


def render(table: str) -> str:
    """The Markdown of one table, with the machine it was measured on below it."""
    content: dict[str, Any] = json.loads((RESULTS / f"{table}.json").read_text(encoding="utf-8"))
    if "cells" in content:
        return "\n".join([*_columns(content["cells"]), "", f"{_where(content['machine'])} {content['note']}"]) + "\n"
    rows, machine = content["rows"], content["machine"]
    sides = list(dict.fromkeys(side for row in rows for side in row["seconds"]))
    ours, others = sides[0], sides[1:]
    unit, scale = ("µs", 1e6) if all(max(row["seconds"].values()) < 1e-4 for row in rows) else ("ms", 1e3)
    rival = "the fastest of the others" if len(others) > 1 else others[0]
    if any(side.startswith("torch") for side in others):
        rival = "the best PyTorch mode"
    header = ["work", *(f"{side}, {unit}" for side in sides), f"times faster than {rival}"]
    has_floor = any(row.get("above_floor") for row in rows)
    has_captured = any(row.get("captured") for row in rows)
    if has_captured:
        header.append("the same, captured")
    if has_floor:
        header.append("times the floor")
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        times = [_time(row["seconds"].get(side), scale) for side in (ours, *others)]
        ratio = ""
        if row["best_other"] is not None:
            ratio = _ratio(*row["ratios"][row["best_other"]])
        cells = [row["name"], *times, ratio]
        if has_captured:
            cells.append(_ratio(*row["captured"]) if row.get("captured") else "")
        if has_floor:
            cells.append(f"{row['above_floor'][1]:.3g}")
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines.append(f"{_where(machine)} Medians; in brackets the quartiles over the rounds.")
    return "\n".join(lines) + "\n"


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a table whose rows name their columns."""
    header = list(dict.fromkeys(column for row in rows for column in row))
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return lines + ["| " + " | ".join(_cell(row.get(column)) for column in header) + " |" for row in rows]


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return _ratio(*value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _ratio(low: float, middle: float, high: float) -> str:
    return f"**{middle:.2f}** ({low:.2f} to {high:.2f})"


def _where(machine: dict[str, Any]) -> str:
    """What the results were measured on."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, {machine['system']}, Python "
        f"{machine['python']}, {versions}; {machine['date']}."
    )


def _time(seconds: float | None, scale: float) -> str:
    return "" if seconds is None else f"{scale * seconds:.3g}"


if __name__ == "__main__":
    sys.exit(main())
