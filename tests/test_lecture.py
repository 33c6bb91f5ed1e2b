"""``docs/lecture.md`` is what the chapters of the report say today: their headings, their pictures, working links."""

from __future__ import annotations

import pathlib
import re

from tinygrad_cnn.explore.document import anchor
from tinygrad_cnn.explore.report import CHAPTERS

FILE = pathlib.Path(__file__).parents[1] / "docs" / "lecture.md"
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
TEXT = CODE.sub("", FILE.read_text(encoding="utf-8"))
REMEDY = "make it anew: python examples/inside_a_cnn.py --dataset mnist --output docs/lecture.md"


def test_the_chapters_are_those_of_the_report():
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert headings == [title for title, _ in CHAPTERS], REMEDY


def test_links_lead_to_headings():
    anchors = {anchor(title) for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    links = re.findall(r"(?<!!)\[[^\]]+\]\(([^)]+)\)", TEXT)
    assert len(links) > len(CHAPTERS)
    assert {link.removeprefix("#") for link in links} <= anchors, REMEDY


def test_pictures_exist_are_named_and_are_all_used():
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", TEXT)
    folder = FILE.with_suffix("")
    assert len(pictures) > 25
    assert {f"lecture/{path.name}" for path in folder.iterdir()} == {path for _, path in pictures}, REMEDY
    assert all(len(words) > 20 for words, _ in pictures)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    for path in folder.iterdir():
        start = path.read_bytes()[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if path.suffix == ".png" else start.startswith(b"<svg ")
