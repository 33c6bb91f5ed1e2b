"""The Figure that all pictures are; imported only when one is made, because matplotlib is optional."""

from __future__ import annotations

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from .showing import write


class Picture(Figure):
    """A matplotlib Figure that notebooks show by themselves and that is saved in one piece or not at all."""

    def save(self, path: str | os.PathLike[str], dpi: float = 150) -> None:
        """Write the picture to a file.

        Args:
            path: its suffix decides the format: .png, .svg, .pdf or another that matplotlib knows.
            dpi: pixels per inch, for formats made of pixels.

        Raises:
            ValueError: a suffix that matplotlib does not know.
            OSError: the folder does not exist, or the file cannot be written.
        """
        kind = Path(path).suffix.removeprefix(".").lower()
        known = sorted(self.canvas.get_supported_filetypes())
        if kind not in known:
            raise ValueError(f"save: the name must end in one of .{', .'.join(known)}, got {os.fspath(path)!r}")
        write(path, self.drawn(kind, dpi))

    def drawn(self, kind: str, dpi: float) -> bytes:
        """The picture as the content of a file of this kind, ``"png"`` or another that matplotlib knows."""
        content = io.BytesIO()
        self.savefig(content, format=kind, dpi=dpi)
        return content.getvalue()

    def _repr_png_(self) -> bytes:
        return self.drawn("png", 100)
