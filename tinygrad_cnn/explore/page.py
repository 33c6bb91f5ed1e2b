"""A document as one HTML file: its Markdown made into HTML, its pictures inside, a style sheet, and no script."""

from __future__ import annotations

import base64
import html as markup
import re
from typing import TYPE_CHECKING, Any

from .document import Illustration, anchor, check_markdown

if TYPE_CHECKING:
    from .document import Document

_KINDS = {"png": "image/png", "svg": "image/svg+xml"}
_LEAST = 520
"""Pictures that are wider are not made narrower than this; a narrow screen scrolls them inside their box."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2328; --paper: #ffffff; --soft: #f3f5f7; --line: #d5dbe1; --link: #0b62a4;
  --grey: #55606a; --picture: #ffffff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe4e8; --paper: #15191d; --soft: #20262c; --line: #3a434b; --link: #7cc0f4; --grey: #a3afb9;
    --picture: #ffffff }
}
* { box-sizing: border-box }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.05rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
a { color: var(--link) }
main, nav, header { max-width: 50rem; margin: 0 auto; padding: 0 1.1rem; overflow-wrap: break-word }
main { counter-reset: chapter; padding-bottom: 4rem }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 2.2rem 0 .8rem }
h2 { font-size: 1.5rem; line-height: 1.25; margin: 3.4rem 0 .8rem; padding-top: 1.2rem;
  border-top: 1px solid var(--line) }
h2::before { counter-increment: chapter; content: counter(chapter) ". "; color: var(--grey) }
h3 { font-size: 1.12rem; margin: 1.9rem 0 .4rem }
p, ul, ol { margin: .7rem 0 }
code { font: .9em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--soft); padding: .08em .3em; border-radius: .25em }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; line-height: 1.4 }
pre code { background: none; padding: 0; font-size: .82rem }
blockquote { margin: 1rem 0; padding: .15rem 1rem; border-left: .3rem solid var(--link); background: var(--soft) }
figure { margin: 1.5rem 0 }
figure img { display: block; width: 100%; height: auto; margin: 0 auto }
figcaption { color: var(--grey); font-size: .93rem; line-height: 1.5; margin-top: .5rem }
.scroll { overflow-x: auto }
.picture { background: var(--picture); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem }
table { border-collapse: collapse; font-size: .92rem; line-height: 1.4; margin: 1rem 0;
  font-variant-numeric: tabular-nums }
th, td { padding: .3rem .55rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
th { background: var(--soft); font-weight: 600 }
td:first-child, th { overflow-wrap: normal }
td { white-space: nowrap }
nav ol { padding-left: 1.7rem; columns: 2 19rem; font-size: .98rem }
nav summary { font-weight: 600; cursor: pointer }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
@media (max-width: 30rem) { body { font-size: 1rem } h1 { font-size: 1.7rem } h2 { font-size: 1.3rem } }
@media (min-width: 48rem) { .narrow { display: none } }
@media print { .picture, pre { break-inside: avoid } nav { display: none } }
"""


def page(document: Document) -> str:
    """The HTML of a document.

    Raises:
        ImportError: markdown-it-py is not installed.
    """
    reader = _reader()
    contents = "\n".join(
        f'<li><a href="#{anchor(chapter.title)}">{markup.escape(chapter.title)}</a></li>'
        for chapter in document.chapters
    )
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # nothing outside is asked for, whatever the text says
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{markup.escape(document.title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<header><h1>{markup.escape(document.title)}</h1>",
        *_blocks(document.introduction.blocks, reader),
        '<p class="narrow">On a narrow screen, wide tables and pictures can be moved sideways.</p>',
        "</header>",
        f"<nav><details open><summary>Chapters</summary><ol>\n{contents}\n</ol></details></nav>",
        "<main>",
    ]
    for chapter in document.chapters:
        parts.append(f'<section><h2 id="{anchor(chapter.title)}">{markup.escape(chapter.title)}</h2>')
        parts += [*_blocks(chapter.blocks, reader), "</section>"]
    return "\n".join([*parts, "</main>", "</body>", "</html>"]) + "\n"


def _reader() -> Any:
    """What makes HTML of Markdown: tables are known, HTML is not."""
    check_markdown("html")
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")

    def opened(renderer: Any, tokens: Any, i: int, options: Any, env: Any) -> str:
        box = '<div class="scroll" tabindex="0" role="region" aria-label="table">'
        return box + renderer.renderToken(tokens, i, options, env)

    def closed(renderer: Any, tokens: Any, i: int, options: Any, env: Any) -> str:
        return renderer.renderToken(tokens, i, options, env) + "</div>"

    reader.add_render_rule("table_open", opened)
    reader.add_render_rule("table_close", closed)
    return reader


def _blocks(blocks: list[str | Illustration], reader: Any) -> list[str]:
    return [_figure(b, reader) if isinstance(b, Illustration) else reader.render(b).strip() for b in blocks]


def _figure(illustration: Illustration, reader: Any) -> str:
    kind = _KINDS[illustration.file.rpartition(".")[2]]
    content = base64.b64encode(illustration.content).decode()
    least = min(illustration.width, _LEAST)
    caption = re.sub(r"</?p>", "", reader.render(illustration.caption)).strip()
    return (
        '<figure><div class="picture"><div class="scroll">'
        f'<img style="max-width: {illustration.width}px; min-width: {least}px" width="{illustration.width}" '
        f'height="{illustration.height}" alt="{markup.escape(illustration.alt)}" src="data:{kind};base64,{content}">'
        f"</div></div><figcaption>{caption}</figcaption></figure>"
    )
