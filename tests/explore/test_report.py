"""The report: one file that needs nothing else, with all chapters, for any model of the library's layers."""

from __future__ import annotations

import builtins
import html
import html.parser
import os
import pathlib
import re
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tests.explore.networks import lenet5
from tests.slow import only_in_ci
from tinygrad_cnn import explore, nn
from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.errors import DimError, DTypeError, ShapeError
from tinygrad_cnn.explore.report import CHAPTERS
from tinygrad_cnn.explore.training import Data, digits, fit

pytest.importorskip("matplotlib")
pytest.importorskip("markdown_it")


def few(margin: int, train: int = 60, test: int = 40) -> Data:
    """The first digits on a small canvas."""
    data = digits(margin)
    return Data(*(part[:train] for part in data[:2]), *(part[:test] for part in data[2:]))


def tiny(side: int = 8) -> nn.Sequential:
    """A CNN with everything the lecture speaks of."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(6 * ((side - 4) // 2) ** 2, 10),
    )


HISTORY = {"batch losses": [2.3, 2.0, 1.5, 1.2], "loss": [2.15, 1.35], "accuracy": [0.4, 0.7]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A network, and its report as HTML and as Markdown."""
    tg.manual_seed(0)
    data = few(0)
    model = fit(tiny(), data, 5).model.train()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    tg.manual_seed(7)
    folder, told = tmp_path_factory.mktemp("report"), []
    document = explore.report(model, data, folder / "report.html", HISTORY, progress=lambda *step: told.append(step))
    document.save(folder / "lecture.md")
    assert all((before[name] == value.numpy()).all() for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    drawn = tg.rand(3).tolist()
    tg.manual_seed(7)
    assert tg.rand(3).tolist() == drawn
    assert told == [(i, len(CHAPTERS), title) for i, (title, _) in enumerate(CHAPTERS)]
    return folder, document


class Reader(html.parser.HTMLParser):
    """Collects tags with their attributes, and checks that they are closed in the right order."""

    VOID = frozenset({"meta", "img", "br", "hr", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_html_is_one_file_that_needs_nothing_else(written):
    text = (written[0] / "report.html").read_text(encoding="utf-8")
    reader = Reader(text)
    assert "http:" not in text
    assert "https:" not in text
    assert not reader.all("script")
    assert not reader.all("link")
    assert "url(" not in text
    assert "@import" not in text
    images = reader.all("img")
    assert len(images) == len(written[1].illustrations) > 25
    for image in images:
        assert re.match(r"data:image/(png|svg\+xml);base64,", image["src"] or "")
        assert len(image["alt"] or "") > 20
    links = [a["href"] for a in reader.all("a")]
    ids = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    assert links
    assert all(href is not None and href[0] == "#" and href[1:] in ids for href in links)


def test_all_chapters_are_there_with_text_and_captions(written):
    text = (written[0] / "report.html").read_text(encoding="utf-8")
    for title, _ in CHAPTERS:
        assert re.search(rf"<h2 id=\"[\w-]+\">{re.escape(title)}</h2>", text), title
    for chapter in written[1].chapters:
        assert sum(isinstance(block, str) for block in chapter.blocks) >= 2, chapter.title
    assert all(len(figure.caption) > 20 for figure in written[1].illustrations)
    assert len(written[1].questions) >= 25
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().replace("channan", "")


def test_formulas_have_the_numbers_of_this_network(written):
    text = (written[0] / "lecture.md").read_text(encoding="utf-8")
    for formula in (
        "⌊(8 + 2·0 − 3) / 1⌋ + 1 = 6",
        "⌊(4 + 2·0 − 2) / 2⌋ + 1 = 2",
        "(3·3·1 + 1)·4 = 40",
        "(3·3·4 + 1)·6 = 222",
        "(24 + 1)·10 = 250",
        "6·4·4 = 96 become 6·2·2 = 24",
        "60 pictures / 64 per batch",
        "It took 2 epochs, which is 2 · 1 = 2 iterations",
    ):
        assert formula in text, formula


def test_the_markdown_refers_to_its_pictures(written):
    folder, document = written
    text = (folder / "lecture.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert [f"lecture/{figure.file}" for figure in document.illustrations] == pictures
    assert len(set(pictures)) == len(pictures)
    assert {f"lecture/{path.name}" for path in (folder / "lecture").iterdir()} == set(pictures)
    for figure in document.illustrations:
        assert (folder / "lecture" / figure.file).read_bytes() == figure.content


def test_the_lecture_in_the_documents_has_the_same_pictures(written):
    folder = pathlib.Path(__file__).parents[2] / "docs" / "lecture"
    committed = {path.name for path in folder.iterdir()}
    made = {figure.file for figure in written[1].illustrations}
    # pictures of patches have the path of a layer in their name
    assert {name for name in made ^ committed if not name.startswith("patches-")} == set()


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are made, but not painted: that takes most of a report's time."""
    from tinygrad_cnn.explore.picture import Picture

    monkeypatch.setattr(Picture, "drawn", lambda self, kind, dpi: b"\x89PNG")


def test_without_convolution_and_with_names_that_could_break_the_page(undrawn):
    names = ["<script>alert(1)</script>", "a|b", "*c*", "d_e_f", "`g`", "[h](http://x)", "&i;", "\\j", "k" * 40, "l"]
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    document = explore.report(model, few(0, 40, 30), classes=names)
    assert "no Conv2d layer" in document.markdown()
    assert [chapter.title for chapter in document.chapters] == [title for title, _ in CHAPTERS]
    text = document.html()
    reader = Reader(text)
    assert not reader.all("script")
    assert not [a for a in reader.all("a") if not (a["href"] or "").startswith("#")]
    for name in names:
        assert f"<td>{html.escape(name)}</td>" in text


def other(kind: str) -> tuple[nn.Module, Data, str]:
    """A model, its data, and what its report must say."""
    data = few(0, 40, 30)
    if kind == "functions":
        return lenet5(nn), few(10, 40, 20), "F.max_pool2d"
    if kind == "without dense layer":
        stack = (nn.Conv2d(1, 10, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*stack), data, "no fully connected layer"
    if kind == "three channels":
        stack = (nn.Conv2d(3, 6, 3, 2, 1, groups=3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10))
        coloured = Data(*(part.repeat(1, 3, 1, 1) if part.ndim == 4 else part for part in data))
        return nn.Sequential(*stack), coloured, "Batch normalisation"
    if kind == "without error":
        model = fit(tiny(), data, 10).model.eval()
        right = (model(data.test_images).argmax(1) == data.test_labels).numpy()
        kept = (wrap(part.numpy()[right]) for part in data[2:])
        return model, Data(*data[:2], *kept), "It makes no error on these pictures."
    assert kind == "frozen, float64"
    return tiny().double().requires_grad_(False), data, "Here 512 are frozen"


@only_in_ci
@pytest.mark.parametrize(
    "kind", ["functions", "without dense layer", "three channels", "without error", "frozen, float64"]
)
def test_other_models(undrawn, kind):
    tg.manual_seed(0)
    model, data, expected = other(kind)
    text = explore.report(model, data, history=[2.3, 2.1, 2.0]).markdown()
    assert expected in text
    for title, _ in CHAPTERS:
        assert f"## {title}\n" in text


# ---------------------------------------------------------------- bad input


def refuse(error: type[Exception], message: str, *args, **kwargs) -> None:
    with pytest.raises(error, match=message):
        explore.report(*args, **kwargs)


def test_bad_arguments_are_named():
    model, data = tiny(), few(0, 20, 10)
    empty = (data[0][:0], data[1][:0], *data[2:])
    refuse(TypeError, "model must be a Module", "model", data)
    refuse(TypeError, "got None", model, None)
    refuse(TypeError, r"\(images, labels, test_images, test_labels\)", model, data[:2])
    refuse(DTypeError, "images must be a Tensor", model, (np.zeros(3), *data[1:]))
    refuse(DTypeError, "images must be floating-point, got .*uint8", model, (data[0].to(tg.uint8), *data[1:]))
    refuse(DTypeError, "labels must be integers, got .*float32", model, (data[0], data[1].float(), *data[2:]))
    refuse(ShapeError, r"got \(0, 1, 8, 8\)", model, empty)
    refuse(ShapeError, r"test_images must have the shape of images", model, (*data[:2], data[2][..., :7], data[3]))
    refuse(
        DimError,
        "labels must be classes of the network, 0 to 9, got 5 to 10",
        model,
        (data[0], data[1] * 0 + wrap(np.arange(20) % 6 + 5), *data[2:]),
    )
    refuse(ShapeError, "10 names, one per output of the network, got 2", model, data, classes=["a", "b"])
    refuse(ShapeError, "batch_size must be at least 1, got 0", model, data, batch_size=0)
    refuse(DTypeError, "report: history must map names", model, data, history=3)
    refuse(TypeError, "report: progress must be a function, got 3", model, data, progress=3)
    refuse(TypeError, "report: path must be the name of a file, got 3", model, data, 3)


def test_numbers_that_are_not_finite_are_found_before_anything_is_measured():
    model, data = tiny(), few(0, 20, 10)
    images = data.images.numpy().copy()
    images[3, 0, 2, 2] = np.inf
    expected = "data's images must be finite, they have 1 of 1,280 numbers"
    refuse(ValueError, expected, model, (wrap(images), *data[1:]))
    huge = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 10))
    with tg.no_grad():
        huge[1].weight *= 1e30
        huge[2].weight *= 1e30
    refuse(ValueError, "model must give finite scores", huge, data)
    with tg.no_grad():
        model[2].weight[1, 0] = float("nan")
    refuse(ValueError, "model's 2.weight must be finite, it has 9 of 216 .* smaller learning rate", model, data)


def test_images_that_do_not_fit_are_explained():
    refuse(ShapeError, r"set in_features=6\b|Linear\(24, 10\)", tiny(), few(2, 20, 10))
    refuse(ShapeError, r"must give \(N, classes\)", nn.Sequential(nn.Conv2d(1, 2, 3)), few(0, 20, 10))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("report.pdf", ValueError, "must end in .html or .md, got '.*report.pdf'"),
        ("nowhere/report.html", FileNotFoundError, "no folder '.*nowhere' for 'report.html'"),
        ("folder.html", IsADirectoryError, "is a folder, not a file"),
        ("taken.md", NotADirectoryError, "must be a folder for the pictures"),
    ],
)
def test_paths_that_cannot_be_written_are_refused_before_anything_is_measured(tmp_path, name, error, message):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "taken").write_text("mine")

    def never(*step: object) -> None:
        raise AssertionError("a chapter was begun")

    refuse(error, message, tiny(), few(0, 20, 10), tmp_path / name, progress=never)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "taken"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    refuse(PermissionError, "cannot be written to", tiny(), few(0, 20, 10), tmp_path / "report.html")


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("the old one")

    def stop(number: int, total: int, title: str) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore.report(tiny(), few(0, 20, 10), target, progress=stop)

    def full(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    document = explore.Document("A title")
    document.say("Text.")
    with pytest.raises(OSError, match="no space left"):
        document.save(target)
    assert target.read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("missing", "message"), [("matplotlib", r"tinygrad_cnn\[viz\]"), ("markdown_it", r"tinygrad_cnn\[report\]")]
)
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, missing, message):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == missing:
            raise ImportError(f"No module named {missing!r}")
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.split(".")[0] == missing or name.endswith("explore.picture")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, missing, None)
    refuse(ImportError, message, tiny(), few(0, 20, 10), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
