"""What a plan looks like."""

from __future__ import annotations

import html.parser
import json

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.explore import plan
from tinygrad_cnn.explore.tables import memory

from .networks import SHAPES, lecture_cnn, resnet20

LECTURE = """\
Sequential, input 1×28×28

layer  type       output    parameters     %  multiply-adds     memory  field  step
───────────────────────────────────────────────────────────────────────────────────
0      Conv2d     32×26×26         320   0.0        194,688   84.5 KiB      3     1
1      ReLU       32×26×26           0                    0   84.5 KiB      3     1
2      Conv2d     64×24×24      18,496   1.5     10,616,832  144.0 KiB      5     1
3      ReLU       64×24×24           0                    0  144.0 KiB      5     1
4      MaxPool2d  64×12×12           0                    0   36.0 KiB      6     2
5      Flatten    9216               0                    0        0 B      6     –
6      Linear     128        1,179,776  98.3      1,179,648      512 B     28     –
7      ReLU       128                0                    0      512 B     28     –
8      Linear     10             1,290   0.1          1,280       40 B     28     –

how sizes and parameters come about:
0  Conv2d     ⌊(28 + 2·0 − 3) / 1⌋ + 1 = 26  (3·3·1 + 1)·32 = 320
2  Conv2d     ⌊(26 + 2·0 − 3) / 1⌋ + 1 = 24  (3·3·32 + 1)·64 = 18,496
4  MaxPool2d  ⌊(24 + 2·0 − 2) / 2⌋ + 1 = 12
5  Flatten    64·12·12 = 9216
6  Linear                                    (9216 + 1)·128 = 1,179,776
8  Linear                                    (128 + 1)·10 = 1,290

parameters: 1,199,882 (4.6 MiB), all trainable
multiply-adds: 11,992,448; activations: 494.0 KiB"""


def test_text():
    result = plan(lecture_cnn(nn), (1, 28, 28))
    assert str(result) == LECTURE
    assert repr(result) == LECTURE


@pytest.mark.parametrize("network", SHAPES)
def test_text_fits_into_a_terminal(network):
    assert max(map(len, str(plan(network(nn), SHAPES[network])).split("\n"))) <= 100


def test_text_says_what_is_frozen_kept_and_wrong_and_leaves_out_empty_columns():
    net = resnet20(nn)
    net.bn.requires_grad_(False)
    net.unused = nn.Linear(2, 2)
    text = str(plan(net, (3, 32, 32)))
    assert "269,728 (1.0 MiB), 269,696 trainable, 32 not trainable; 1,395 numbers in buffers" in text
    assert text.endswith("warning: unused Linear: its forward was not called")
    assert "field" not in str(plan(nn.Linear(3, 2), (3,)))


class Table(html.parser.HTMLParser):
    """Reads the cells of the one table, and checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.items = [], [], 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "li":
            self.items += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def odd_network():
    """Names and operations with characters that mean something in Markdown and HTML."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_module("a<b|c", nn.Linear(2, 2))

        def forward(self, x):
            return self._modules["a<b|c"](x) * x

    return Odd()


@pytest.mark.parametrize(("net", "shape"), [(lecture_cnn(nn), (1, 28, 28)), (odd_network(), (2,))])
def test_html_and_markdown_hold_the_same_cells(net, shape):
    result = plan(net, shape)
    table = Table(result.html())
    assert result._repr_html_() == result.html()
    lines = [line for line in result.markdown().split("\n") if line.startswith("|")]
    cells = [[c.strip() for c in line.replace("\\|", "\0")[1:-1].split("|")] for line in lines]
    cells = [[c.replace("\0", "|").replace("\\*", "*") for c in line] for line in cells]
    assert table.rows[0] == cells[0]
    assert table.rows[1:] == cells[2:]
    assert len(cells[1]) == len(cells[0])
    assert len(table.rows) == 1 + len(result.rows)
    assert table.items == 2
    for row, line in zip(result.rows, cells[2:]):
        assert line[:2] == [row.path, row.kind]
        assert row.size in line
        assert row.parameter_formula in line


def test_json_holds_everything():
    result = plan(lecture_cnn(nn), (1, 28, 28))
    data = json.loads(result.json())
    assert data["input_shape"] == [1, 1, 28, 28]
    assert (data["parameters"], data["multiply_adds"]) == (1_199_882, 11_992_448)
    assert data["rows"][0] == {
        "path": "0",
        "kind": "Conv2d",
        "is_function": False,
        "input_shapes": [[1, 1, 28, 28]],
        "output_shape": [1, 32, 26, 26],
        "size": "⌊(28 + 2·0 − 3) / 1⌋ + 1 = 26",
        "parameters": 320,
        "parameter_formula": "(3·3·1 + 1)·32 = 320",
        "trainable": 320,
        "non_trainable": 0,
        "share": 320 / 1_199_882,
        "multiply_adds": 194_688,
        "work_formula": "26·26·32·(3·3·1) = 194,688",
        "activation_bytes": 86_528,
        "receptive_field": [3, 3],
        "jump": [1, 1],
        "warnings": [],
        "forward_seconds": None,
        "backward_seconds": None,
    }


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 19, "1.5 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 42, "4096.0 GiB"),
    ],
)
def test_memory(count, text):
    assert memory(count) == text


def test_a_field_that_is_not_square():
    text = str(plan(nn.Conv2d(1, 1, (1, 3), stride=(1, 2)), (1, 5, 9)))
    assert text.split("\n")[4].split()[-2:] == ["1×3", "1×2"]
    assert str(plan(nn.Identity(), tuple(tg.ones(2, 3).shape))).split("\n")[4].split()[:3] == ["Identity", "2×3", "0"]
