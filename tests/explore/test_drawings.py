"""Architectures and graphs as drawings: the right boxes and lines, well-formed text, nothing on top of another."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DTypeError, GraphError, ShapeError
from tinygrad_cnn.explore import dot, draw_architecture, draw_graph, mermaid
from tinygrad_cnn.explore.blocks import blocks
from tinygrad_cnn.explore.drawing import Drawing, Label, text_width
from tinygrad_cnn.explore.layered import arrange
from tinygrad_cnn.explore.plan import blank_trace

from .networks import SHAPES, lecture_cnn, lenet5, resnet20

F = nn.functional
SVG = "{http://www.w3.org/2000/svg}"


def words(drawing):
    return [element.text for element in ET.fromstring(drawing.svg()).iter(f"{SVG}text")]


def labels_apart(drawing):
    """No label lies on another."""
    labels = [shape for shape in drawing._shapes if isinstance(shape, Label)]
    for i, a in enumerate(labels):
        for b in labels[:i]:
            apart = abs(a.x - b.x) - (text_width(a.text, a.size) + text_width(b.text, b.size)) / 2
            assert apart >= 0 or abs(a.y - b.y) >= min(a.size, b.size), (a, b)
    return bool(labels)


# ---------------------------------------------------------------- architecture


def test_the_lectures_network():
    drawing = draw_architecture(lecture_cnn(nn), (1, 28, 28))
    found = words(drawing)
    assert [word for word in found if re.fullmatch(r"\d+(@\d+×\d+)?", word) and len(word) > 1] == [
        *("1@28×28", "32@26×26", "64@24×24", "64@12×12", "9216", "128", "10")
    ]
    assert [word for word in found if word[0].isalpha()] == [
        *("input", "Conv2d 3×3", "ReLU", "Conv2d 3×3", "ReLU", "MaxPool2d 2×2", "Flatten", "Linear", "ReLU", "Linear")
    ]
    root = ET.fromstring(str(drawing))
    assert root.findtext(f"{SVG}title") == "Architecture of Sequential, input 1@28×28"
    assert drawing._repr_svg_() == drawing.svg()


@pytest.mark.parametrize("network", SHAPES)
@pytest.mark.parametrize("width", [300, 1100, 1e9])
def test_nothing_lies_on_another_and_nothing_outside(network, width):
    drawing = draw_architecture(network(nn), SHAPES[network], width)
    assert labels_apart(drawing)
    root = ET.fromstring(drawing.svg())
    wide, high = (float(root.get(name)) for name in ("width", "height"))
    corners = [
        tuple(map(float, pair.split(",")))
        for element in [*root.iter(f"{SVG}polygon"), *root.iter(f"{SVG}polyline")]
        for pair in element.get("points").split()
    ]
    assert all(0 <= x <= wide and 0 <= y <= high for x, y in corners)
    if width == 1100:
        assert wide <= 1400


@given(st.lists(st.sampled_from([1, 3, 8, 100, 2048]), min_size=1, max_size=12), st.sampled_from([200, 700, 1100]))
def test_labels_of_any_network_are_apart(widths, width):
    layers = [nn.Conv2d(a, b, 1) for a, b in zip([1, *widths], widths)]
    assert labels_apart(draw_architecture(nn.Sequential(*layers), (1, 2, 3), width))


def test_a_row_that_is_full_goes_on_below_with_its_last_box():
    layers = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(8)]
    wide, narrow = (draw_architecture(nn.Sequential(*layers), (1, 9, 9), width) for width in (5000, 500))
    assert words(wide).count("1@9×9") == 9
    rows = words(narrow).count("1@9×9") - 8
    assert rows > 1
    assert narrow.width < wide.width
    assert narrow.height > rows * 0.8 * wide.height
    assert words(narrow).count("Conv2d 3×3") == words(wide).count("Conv2d 3×3") == 8


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, stride=1)
        self.norm = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.side = nn.Conv2d(3, 4, (1, 5), stride=2)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x)))
        y = self.drop(y + x)
        return tg.cat([self.side(y), self.side(F.relu(y))], dim=1).mean((2, 3))


def test_branches_and_what_is_only_named():
    found = blocks(blank_trace("test", Residual(), (3, 8, 9)))
    side = (4, 4, 3)  # ⌊(8 − 1)/2⌋ + 1 by ⌊(9 − 5)/2⌋ + 1
    assert [(b.shape, b.inputs, b.steps, b.path, b.kind) for b in found] == [
        ((3, 8, 9), [], [], "", "input"),
        ((3, 8, 9), [0], ["Conv2d 3×3", "BatchNorm2d", "ReLU"], "conv", "convolution"),
        ((3, 8, 9), [1, 0], ["+", "Dropout"], "", "other"),
        (side, [2], ["Conv2d 1×5", "stride 2"], "side", "convolution"),
        # y is read twice, so what the ReLU makes of it is a box of its own
        ((3, 8, 9), [2], ["F.relu"], "", "other"),
        (side, [4], ["Conv2d 1×5", "stride 2"], "side", "convolution"),
        ((8, 4, 3), [3, 5], ["cat"], "", "other"),
        ((8,), [6], ["mean"], "", "pooling"),
    ]


def test_residual_blocks_have_lines_around():
    found = blocks(blank_trace("test", resnet20(nn), (3, 32, 32)))
    around = [(i, k) for k, block in enumerate(found) for i in block.inputs if i != k - 1]
    assert len(around) == 9 + 2  # a shortcut per block; where the size halves, it also begins with a box of its own
    drawing = draw_architecture(resnet20(nn), (3, 32, 32))
    blue = [e for e in ET.fromstring(drawing.svg()).iter(f"{SVG}polyline") if e.get("stroke") == "#0072B2"]
    assert len(blue) == len(around)
    runs = []
    for line in blue:
        _, (left, height), (right, _), _ = (tuple(map(float, p.split(","))) for p in line.get("points").split())
        assert left < right
        assert not any(height == y and left < b and a < right for a, b, y in runs)  # none over another
        runs.append((left, right, height))


def test_pictures_and_errors_of_architectures():
    drawing = draw_architecture(lenet5(nn), (1, 28, 28))
    figure = drawing.picture()
    assert "6@28×28" in [text.get_text() for text in figure.axes[0].texts]
    with pytest.raises(ShapeError, match="draw_architecture: input_shape must be"):
        draw_architecture(lenet5(nn), (28, 28))
    with pytest.raises(ShapeError, match="set in_channels=3"):
        draw_architecture(lenet5(nn), (3, 28, 28))
    with pytest.raises(TypeError, match="draw_architecture: model must be a Module"):
        draw_architecture(lenet5, (1, 28, 28))


# ---------------------------------------------------------------- graphs


def product():
    x, w = tg.ones(3, requires_grad=True), tg.ones(2, 3, requires_grad=True)
    return (x * w).sum(), {"x": x, 'a "w"': w}


def test_dot():
    y, names = product()
    text = dot(y, names)
    lines = text.split("\n")
    assert (lines[0], lines[-2:]) == ("digraph {", ["}", ""])
    assert [re.sub(r", fill.*", "", line.strip()) for line in lines[2:-2]] == [
        r'n0 [label="a \"w\"\n2×3"',
        r'n1 [label="x\n3"',
        r'n2 [label="*\n2×3"',
        r'n3 [label="sum\nnumber"',
        *("n1 -> n2;", "n0 -> n2;", "n2 -> n3;"),
    ]
    assert isinstance(text, str)


def test_mermaid():
    y, names = product()
    text = mermaid(y, names)
    assert text.split("\n")[:8] == [
        "flowchart TD",
        '  n0["a #34;w#34;<br/>2×3"]:::leaf',
        '  n1["x<br/>3"]:::leaf',
        '  n2["#42;<br/>2×3"]:::operation',
        '  n3["sum<br/>number"]:::result',
        *("  n1 --> n2", "  n0 --> n2", "  n2 --> n3"),
    ]
    assert text._repr_markdown_() == f"```mermaid\n{text}```\n"


@pytest.mark.parametrize("network", [lecture_cnn, lenet5, resnet20])
def test_the_graph_of_a_network_names_its_parameters(network):
    net = network(nn)
    loss = F.cross_entropy(net(tg.rand(2, *SHAPES[network])), tg.tensor([1, 2]))
    text = dot(loss, net)
    loss.backward()
    assert dot(loss, net) == text  # nothing of what backward has freed is needed
    labels = dict(re.findall(r'^  (n\d+) \[label="(.*?)\\n', text, re.M))
    edges = re.findall(r"^  (n\d+) -> (n\d+);$", text, re.M)
    assert sorted(name for name in labels.values() if name in dict(net.named_parameters())) == sorted(
        dict(net.named_parameters())
    )
    assert "leaf" not in labels.values()
    assert set(sum(edges, ())) == set(labels)
    assert len(text.strip().split("\n")) == 3 + len(labels) + len(edges)
    drawing = draw_graph(loss, net)
    assert labels_apart(drawing)
    assert set(labels.values()) <= set(words(drawing))


def test_long_chains_and_leaves():
    x = tg.ones(1, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    assert dot(y).count("->") == 20_000
    with pytest.raises(ValueError, match=r"20,001 nodes, more than the 1,000"):
        draw_graph(y)
    assert dot(x).count("label") == 1
    assert "leaf" in words(draw_graph(x))


GRAPH_ERRORS = [
    (lambda: dot(tg.ones(2)), GraphError, r"dot: nothing was recorded for this tensor of shape \(2,\)"),
    (lambda: mermaid(3), DTypeError, "mermaid: tensor must be a Tensor, got int"),
    (lambda: draw_graph(product()[0], {"x": 3}), DTypeError, "draw_graph: params must be a Module or map names"),
    (lambda: draw_graph(product()[0], [tg.ones(2)]), DTypeError, "draw_graph: params must be .*, got list"),
]


@pytest.mark.parametrize(("call", "error", "message"), GRAPH_ERRORS)
def test_errors_of_graphs(call, error, message):
    with pytest.raises(error, match=message):
        call()


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    widths = draw(st.lists(st.floats(1, 100), min_size=count, max_size=count))
    targets = {b for _, b in edges}
    return widths, edges, [i not in targets and draw(st.booleans()) for i in range(count)]


@example(([1.0] * 4, [(0, 1), (1, 3), (2, 3)], [False, False, True, False]))
@given(graphs())
def test_layers(graph):
    widths, edges, late = graph
    centers, ways = arrange(widths, edges, late, row=10, gap=5)
    for (source, target), bends in zip(edges, ways):
        heights = [centers[source][1], *(y for _, y in bends), centers[target][1]]
        assert [b - a for a, b in itertools.pairwise(heights)] == [10] * (len(bends) + 1)
    for i, (x, y) in enumerate(centers):
        assert x - widths[i] / 2 > 0
        for k in range(i):
            if centers[k][1] == y:
                assert abs(centers[k][0] - x) >= (widths[i] + widths[k]) / 2 + 4.99
    for i in range(len(widths)):
        readers = [target for source, target in edges if source == i]
        if late[i] and readers:
            assert min(centers[k][1] for k in readers) == centers[i][1] + 10


def test_words_are_escaped():
    drawing = Drawing("<title> & co")
    drawing.label(5, 5, "a < b & $c$")
    root = ET.fromstring(drawing.svg())
    assert root.findtext(f"{SVG}title") == "<title> & co"
    assert words(drawing) == ["a < b & $c$"]
    drawing.picture().canvas.draw()  # the dollars are no formula
