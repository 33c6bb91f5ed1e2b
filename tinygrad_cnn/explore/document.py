"""A text with tables and pictures that becomes one HTML file, or Markdown with its pictures beside it."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .drawing import Drawing
from .showing import write
from .tables import markdown_grid

if TYPE_CHECKING:
    from .picture import Picture

_DPI = 130
_HTML, _MARKDOWN = (".html", ".htm"), (".md",)


class Illustration(NamedTuple):
    """A picture with what is said about it.

    Attributes:
        file: its name with the suffix of its kind, png or svg.
        content: the file's bytes.
        width, height: in pixels of the page.
        alt: what it shows, for who cannot see it.
        caption: what to look at, and what follows; Markdown.
    """

    file: str
    content: bytes
    width: int
    height: int
    alt: str
    caption: str


@dataclass
class Chapter:
    """A title, and paragraphs and tables in Markdown with pictures between them."""

    title: str
    blocks: list[str | Illustration] = field(default_factory=list)


class Document:
    """Chapters that are written one after the other; ``save`` makes a file of them.

    Args:
        title: of the whole.

    Attributes:
        chapters: those that were begun; the last is being written.
        questions: pairs of a question and its answer, in Markdown, that the chapters have noted.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.chapters: list[Chapter] = []
        self.questions: list[tuple[str, str]] = []
        self._introduction = Chapter(title)

    # ------------------------------------------------------------ writing

    def begin(self, title: str) -> None:
        """Begin a chapter."""
        self.chapters.append(Chapter(title))

    def _add(self, block: str | Illustration) -> None:
        (self.chapters[-1] if self.chapters else self._introduction).blocks.append(block)

    def say(self, *paragraphs: str) -> None:
        """Add paragraphs of Markdown."""
        for paragraph in paragraphs:
            self._add(paragraph)

    def heading(self, title: str) -> None:
        """Begin a section of a chapter."""
        self._add(f"### {title}")

    def calculation(self, text: str) -> None:
        """Add lines that are shown as they are, in letters of one width."""
        self._add(f"```text\n{text}\n```")

    def table(self, headings: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
        """Add a table; ``right`` says of every column whether it is aligned to the right."""
        self._add("\n".join(markdown_grid(headings, cells, right)))

    def show(self, picture: Picture | Drawing, name: str, alt: str, caption: str) -> None:
        """Add a picture.

        Args:
            picture: a matplotlib Figure, which becomes a PNG, or a Drawing, which becomes an SVG.
            name: of its file, without a suffix.
            alt: what it shows, in plain text.
            caption: what to look at and what follows, in Markdown.
        """
        if isinstance(picture, Drawing):
            content, size, kind = picture.svg().encode(), (picture.width, picture.height), "svg"
        else:
            width, height = picture.get_size_inches()
            content, size, kind = picture.drawn("png", _DPI), (96 * width, 96 * height), "png"
        self._add(Illustration(f"{name}.{kind}", content, round(size[0]), round(size[1]), alt, caption))

    def ask(self, question: str, answer: str) -> None:
        """Note a question that this chapter has answered."""
        self.questions.append((question, f"{answer} ({link(self.chapters[-1].title)})"))

    # ------------------------------------------------------------ reading

    @property
    def illustrations(self) -> list[Illustration]:
        """All pictures in their order."""
        blocks = [block for chapter in (self._introduction, *self.chapters) for block in chapter.blocks]
        return [block for block in blocks if isinstance(block, Illustration)]

    @property
    def introduction(self) -> Chapter:
        """What stands before the first chapter."""
        return self._introduction

    def markdown(self, folder: str = "") -> str:
        """The text in Markdown, which refers to pictures in a folder."""
        contents = "\n".join(f"{i}. {link(chapter.title)}" for i, chapter in enumerate(self.chapters, 1))
        parts = [f"# {self.title}", *_texts(self._introduction, folder), contents]
        for chapter in self.chapters:
            parts += [f"## {chapter.title}", *_texts(chapter, folder)]
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The whole as one HTML document without scripts, its pictures inside.

        Raises:
            ImportError: markdown-it-py is not installed.
        """
        from .page import page

        return page(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document, in one piece or not at all.

        Args:
            path: ``report.html`` becomes one file; ``lecture.md`` a text, with its pictures in the folder ``lecture``.

        Raises:
            ValueError: another suffix.
            ImportError: HTML is wanted and markdown-it-py is not installed.
            OSError: the folder does not exist, or a file cannot be written.
        """
        target = check_target("save", path)
        if target.suffix.lower() in _HTML:
            write(target, self.html().encode())
            return
        folder = target.parent / target.stem
        if self.illustrations:
            folder.mkdir(exist_ok=True)
        for illustration in self.illustrations:
            write(folder / illustration.file, illustration.content)
        write(target, self.markdown(target.stem).encode())


def _texts(chapter: Chapter, folder: str) -> list[str]:
    prefix = f"{folder}/" if folder else ""
    texts = []
    for block in chapter.blocks:
        if isinstance(block, Illustration):
            block = f"![{block.alt}]({prefix}{block.file})\n\n*{block.caption}*"
        texts.append(block)
    return texts


def anchor(title: str) -> str:
    """What a link to a heading of this title says, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def link(title: str) -> str:
    """A link to the chapter of this title, in Markdown."""
    return f"[{title}](#{anchor(title)})"


def check_target(who: str, path: str | os.PathLike[str]) -> Path:
    """The path of a document, which can be written as far as one can tell before it is.

    Raises:
        TypeError: no path.
        ValueError: a suffix other than .html, .htm and .md.
        FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError: it cannot be written.
        ImportError: HTML is wanted and markdown-it-py is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{who}: path must be the name of a file, got {path!r}")
    target = Path(path)
    if target.suffix.lower() not in (*_HTML, *_MARKDOWN):
        raise ValueError(f"{who}: the name must end in .html or .md, got {os.fspath(path)!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{who}: there is no folder {str(target.parent)!r} for {target.name!r}")
    if target.is_dir():
        raise IsADirectoryError(f"{who}: {str(target)!r} is a folder, not a file")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"{who}: the folder {str(target.parent)!r} cannot be written to")
    if target.suffix.lower() in _HTML:
        check_markdown(who)
    elif target.with_suffix("").exists() and not target.with_suffix("").is_dir():
        raise NotADirectoryError(f"{who}: {str(target.with_suffix(''))!r} must be a folder for the pictures")
    return target


def check_markdown(who: str) -> None:
    """Raise an ImportError that says what to install unless HTML can be made."""
    try:
        importlib.import_module("markdown_it")
    except ImportError as error:
        raise ImportError(f"{who}: HTML needs markdown-it-py: pip install 'tinygrad_cnn[report]'") from error
