"""Pictures are written in one piece or not at all, in the format that the name says, without pyplot's global state."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.explore import dot, draw_architecture, plot_curves


def shown():
    return [
        (dot(tg.ones(2, requires_grad=True) * 2), "graph.dot"),
        (draw_architecture(nn.Linear(2, 1), (2,)), "net.svg"),
        (draw_architecture(nn.Linear(2, 1), (2,)), "net.png"),
        (plot_curves([3, 2, 1]), "curves.PNG"),
        (plot_curves([3, 2, 1]), "curves.svg"),
    ]


STARTS = {".png": b"\x89PNG", ".svg": b"<", ".dot": b"digraph"}


@pytest.mark.parametrize("index", range(5))
def test_saved_whole_or_not_at_all(index, tmp_path, monkeypatch):
    what, name = shown()[index]
    path = tmp_path / name
    what.save(path)
    content = path.read_bytes()
    assert content.startswith(STARTS[path.suffix.lower()])
    if path.suffix == ".svg":
        ET.fromstring(content)
    assert os.listdir(tmp_path) == [name]

    def full(*args):
        raise OSError(28, "No space left on device")

    path.write_bytes(b"older")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        what.save(str(path))
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("index", range(5))
def test_bad_paths(index, tmp_path):
    what, name = shown()[index]
    with pytest.raises(FileNotFoundError, match=f"save: there is no folder '.*missing' for '{name}'"):
        what.save(tmp_path / "missing" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder, not a file"):
        what.save(tmp_path / name)


@pytest.mark.parametrize("name", ["curves", "curves.txt", "curves.png.bak"])
def test_unknown_formats(name, tmp_path):
    for what in (plot_curves([3, 2]), draw_architecture(nn.Linear(2, 1), (2,))):
        with pytest.raises(ValueError, match=rf"save: the name must end in one of .*\.png, .*\.svg.*{name}"):
            what.save(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_notebooks_show_pictures():
    assert plot_curves([3, 2, 1])._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "tinygrad_cnn.explore.picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_cnn\[viz\]'"):
        plot_curves([3, 2, 1])
    drawing = draw_architecture(nn.Linear(2, 1), (2,))
    drawing.save(tmp_path / "net.svg")  # text needs nothing
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_cnn\[viz\]'"):
        drawing.save(tmp_path / "net.png")


def test_matplotlib_comes_with_the_first_picture_and_pyplot_never():
    code = (
        "import sys; from tinygrad_cnn import explore; assert 'matplotlib' not in sys.modules\n"
        "explore.plot_curves([3, 2, 1])._repr_png_(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
