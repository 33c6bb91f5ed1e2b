"""The first chapters: what the network is for, convolution, and the sizes that it makes."""

from __future__ import annotations

import numpy as np

from ... import nn
from ..document import Document, link
from ..explain import explain
from ..plan import plan
from .pictures import convolution_picture, images_picture, numbers_picture
from .sketches import windows_sketch
from .subject import Subject, called, number, percent, sentence_list, size


def purpose(d: Document, s: Subject) -> None:
    """What the network is for: pictures in, classes out, learned from examples."""
    C, H, W = s.image_shape
    d.say(
        "A convolutional neural network, CNN for short, looks at a picture and says what is in it. "
        "Nobody writes down rules for that. The network finds them in examples: pictures whose answer is known.",
        f"Here the examples are {len(s.data.images):,} pictures of {H}×{W} pixels"
        f"{'' if C == 1 else f' in {C} channels'}, each of one of {len(s.classes)} classes. "
        f"The network of this report was trained with them. Then it was shown {len(s.truth):,} other pictures, and "
        f"named **{percent(s.accuracy)}** of them rightly. Guessing at random would be right for about "
        f"{percent(1 / len(s.classes))}.",
    )
    shown = [int(np.flatnonzero(s.truth == k)[0]) for k in range(len(s.classes)) if (s.truth == k).any()][:20]
    d.show(
        images_picture([s.image(i)._array for i in shown], [s.classes[s.truth[i]] for i in shown]),
        "examples",
        "One test picture of each class, with the name of its class above it.",
        "One test picture of each class. The network gets the picture, and the name above it is the answer wanted.",
    )
    low, high = float(s.data.images._array.min()), float(s.data.images._array.max())
    d.say(
        f"To a computer a picture is only numbers: {'' if C == 1 else f'{C}·'}{H}·{W} = {C * H * W:,} of them here, "
        f"each from {low:.3g} (dark) to {high:.3g} (bright).",
    )
    d.show(
        numbers_picture(s.image(s.typical)._array),
        "pixels",
        "A picture on the left; on the right the numbers of its middle, one per pixel.",
        "Left, what we see. Right, what the network gets: one number per pixel, large where the picture is bright.",
    )
    closer = _other_class_is_closer(s)
    d.say(
        "Why not simply compare pixels? Take a picture at random, another one of its class, and one of a different "
        f"class. In {percent(closer, 0)} of such draws, the picture of the *different* class is the closer one, pixel "
        "by pixel. What makes a class lies in shapes, not in single pixels. To find shapes, the network has layers "
        "that work one after the other:",
    )
    parts = {
        "Convolution": "looks everywhere in the picture for small patterns",
        "ReLU": "keeps where a pattern was found, and sets the rest to zero",
        "Max pooling": "makes the result smaller, and keeps the strongest finds",
        "Flatten and fully connected layers": "weigh all finds for every class",
        "Softmax": "makes probabilities of the results",
    }
    d.say("\n".join(f"- {link(title)} {what}." for title, what in parts.items()))
    if not s.convolutions:
        d.say("The network of this report has no convolution. Its chapters on convolution say what that means.")
    d.ask(
        "What is a CNN for?",
        f"To say what a picture shows. It learns that from examples; this one is right for {percent(s.accuracy)} of "
        f"{len(s.truth):,} pictures that it has not learned from.",
    )


def _other_class_is_closer(s: Subject) -> float:
    """How often, of two random pictures, the one of a different class is closer to a third, in squares of pixels."""
    images, labels = s.sample.images._array.reshape(len(s.sample.images), -1), s.sample.labels._array
    draw = np.random.default_rng(0)
    hits = draws = 0
    for i in range(len(images)):
        same, other = np.flatnonzero(labels == labels[i]), np.flatnonzero(labels != labels[i])
        same = same[same != i]
        if len(same) and len(other):
            a, b = images[draw.choice(same)], images[draw.choice(other)]
            hits += int(((images[i] - b) ** 2).sum() < ((images[i] - a) ** 2).sum())
            draws += 1
    return hits / max(draws, 1)


def convolution(d: Document, s: Subject) -> None:
    """One number of a feature map, taken apart."""
    d.say(
        "A convolution lays a small window on the picture. The numbers in the window are multiplied, place by place, "
        "with the *weights* of a filter. The products are added up, and a *bias* is added. That gives one number:",
        "> number = sum of (pixels in the window · weights of the filter) + bias",
        "Then the window moves on by a pixel, and the same filter gives the next number. All numbers together are a "
        "new picture, the *feature map*. It is large where the picture looks like the filter.",
    )
    if not s.convolutions:
        d.say(
            "**This network has no Conv2d layer.** It looks at all pixels at once, in fully connected layers, and has "
            "to learn every pattern anew for each place where it may be. The chapters below show what that costs."
        )
        d.ask(
            "What does a convolution compute?", "Window times filter plus bias, at every place. This network has none."
        )
        return
    known = {r.row.path: r for r in s.results if not r.row.is_function}
    shown = [(row, layer, known[row.path]) for row, layer in s.convolutions if row.path in known]
    if not shown or shown[0][2].before is None:
        d.say("What reaches the convolutions of this network is not recorded, so no example can be shown.")
        return
    row, layer, result = shown[0]
    maps = result.after[0]
    at = tuple(int(n) for n in np.unravel_index(int(maps.argmax()), maps.shape))
    found = explain(s.model, s.image(s.typical)[None], row.path, at)
    assert found.filter is not None
    assert result.before is not None
    channel = int(np.abs(found.products.sum((1, 2))).argmax())
    part = float(found.products[channel].sum())
    kernel = size(found.filter.shape[1:])
    d.say(
        f"The picture below shows it for the first {called(row)} of this network, its filter {at[0]}, and the place "
        f"where this filter answers most to a test picture. Follow the numbers 1 to 5.{_naming(row.path)}",
    )
    d.show(
        convolution_picture(
            result.before[0, found.channels + channel], maps[at[0]], found, channel, part, f"{found.recorded:.3f}"
        ),
        "convolution",
        f"A window of {kernel} on the picture, its numbers, the filter's weights, their products, and the place of the "
        "result in the feature map.",
        "1: the window on the picture. 2 to 4: its numbers times the weights; the products add up to "
        f"{number(part)}. "
        f"{'' if len(found.patch) == 1 else f'The other {len(found.patch) - 1} channels are added too. '}With the "
        f"bias {number(found.bias)} that is {number(found.value)}. 5: there it stands in the feature map. Orange is "
        "positive, violet negative.",
    )
    d.say("The same as a calculation (`explore.explain` prints it for any number of any layer):")
    d.calculation(str(found))
    filters, channels = layer.out_channels, layer.in_channels // layer.groups
    d.say(
        f"The {called(row)} has {filters} such filters, so it makes {filters} feature maps of the one picture. Each "
        f"filter has {kernel.replace('×', '·')}{'' if channels == 1 else f'·{channels}'} = "
        f"{layer.weight[0].numel()} weights{' and a bias' if layer.bias is not None else ''}. The weights are not "
        "chosen by anyone: training finds them.",
    )
    if len(s.convolutions) > 1:
        second_row, second = s.convolutions[1]
        sides = size(second.kernel_size)
        depth = second.in_channels // second.groups
        d.say(
            f"The next one, {called(second_row)}, does the same with feature maps instead of pixels. Its window "
            f"goes through {depth} maps at once: a filter has {sides.replace('×', '·')}·{depth} = "
            f"{second.weight[0].numel():,} weights. So it finds patterns of patterns."
        )
    d.ask(
        "What does a convolution compute?",
        f"At every place: window · filter + bias. In {called(row)}, one such number is "
        f"{number(found.value - found.bias)} {'−' if found.bias < 0 else '+'} {abs(found.bias):.3f} = "
        f"{number(found.value)}.",
    )
    d.ask(
        "What is a feature map?",
        f"All numbers that one filter gives, in the places where its window stood. The {called(row)} makes {filters} "
        f"of them, of {size(maps.shape[1:])} numbers each.",
    )


def _naming(path: str) -> str:
    """What a layer's name says to those who have not written the program."""
    if path.isdecimal():
        return f" (`{path}` is the layer's name: its place among all layers, counted from 0.)"
    return f" (`{path}` is the layer's name in the program.)" if path else ""


def sizes(d: Document, s: Subject) -> None:
    """Stride, padding, and the formula of the size."""
    d.say(
        "How large is a feature map? As large as the number of places where the window can stand. Two settings "
        "change that:",
        "- **Padding** puts a border of zeros around the picture, so that the window can also stand at the edge.\n"
        "- **Stride** is by how many pixels the window moves on.",
        "> size out = ⌊(size in + 2 · padding − window) / stride⌋ + 1",
        "⌊ ⌋ means rounded down: a place that the window does not reach completely does not count. Where a layer "
        "spreads its window (*dilation*), the window counts with the gaps.",
    )
    d.show(
        windows_sketch(5, 3, [(0, 1), (1, 1), (1, 2)]),
        "stride-and-padding",
        "A window of 3×3 on 5×5 pixels: without padding 3×3 places, with padding 1 it has 5×5, with stride 2 only 3×3.",
        "The same 5×5 pixels (blue) and the same 3×3 window, three settings. The frame is the window's first place, "
        "the dashed one its second; a dot is in the middle of every place. Count the dots: they are the output's size.",
    )
    rows = [r for r in s.plan.rows if r.size and r.receptive_field is not None]
    rows = [r for r in rows if r.output_shape is not None and len(r.output_shape) == 4]
    if rows:
        d.say("In this network the formula, with its own numbers put in, gives:")
        cells = [
            [f"`{r.path}`" if r.path else "", r.kind, size(r.output_shape[1:]), r.size] for r in rows if r.output_shape
        ]
        d.table(("layer", "type", "what comes out", "height and width"), cells, (False,) * 4)
        d.say("What comes out is written as channels×height×width.")
        shrinking = [r for r, m in s.convolutions if m.padding in ((0, 0), "valid", 0) and max(m.kernel_size) > 1]
        if shrinking:
            paths = sentence_list([called(r) for r in shrinking])
            d.say(
                f"Without padding, {paths} {'makes' if len(shrinking) == 1 else 'make'} the map smaller at its edges."
            )
        d.ask(
            "How large is the output of a convolution?",
            f"⌊(in + 2·padding − window) / stride⌋ + 1. Here, for {called(rows[0])}: {rows[0].size}.",
        )
    else:
        d.say("This network slides no window, so it has no use for the formula.")
        d.ask("How large is the output of a convolution?", "⌊(in + 2·padding − window) / stride⌋ + 1.")
    kernel = s.convolutions[0][1].kernel_size[0] if s.convolutions else 3
    side = s.image_shape[1]
    cases = [(p, t) for t in (1, 2) for p in sorted({0, (kernel - 1) // 2}) if side + 2 * p >= kernel]
    if cases:
        d.say(f"And this is what a window of {kernel}×{kernel} would make of {side} pixels with other settings:")
        cells = []
        for padding, stride in cases:
            found = plan(nn.Sequential(nn.Conv2d(1, 1, kernel, stride, padding)), (1, side, side)).rows[0]
            assert found.output_shape is not None
            cells.append([str(padding), str(stride), found.size, str(found.output_shape[2])])
        d.table(("padding", "stride", "formula", "size out"), cells, (True, True, False, True))
    d.ask(
        "What do padding and stride do?",
        "Padding adds a border of zeros, so that the window reaches the edge and the size can stay. Stride moves the "
        "window by several pixels, which divides the size.",
    )
