"""``capture``: recorded once, then replayed with the bits of the function itself."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, autograd, captured, nn, optim
from tinygrad_cnn.errors import DimError, DTypeError, GraphError
from tinygrad_cnn.nn import functional as F
from tinygrad_cnn.ops import buffers
from tinygrad_cnn.utils.checkpoint import checkpoint


class Network(nn.Module):
    """Everything that can be captured: a residual block, dropout in both memory layouts, all kinds of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.3)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 5))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm(self.conv1(x)))
        out = F.max_pool2d(F.relu(self.conv2(self.dropout(out)) + out), 2)
        return self.head(self.pool(out))


def network(make: Callable[[], Any] = Network) -> Any:
    tg.manual_seed(0)
    return make()


def batch(count: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    images = tg.from_numpy(rng.standard_normal((count, 2, 8, 8)).astype(np.float32))
    return images, tg.from_numpy(rng.integers(0, 5, count))


def loss_of(model: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, labels: F.cross_entropy(model(images), labels)


def bits(model: Any) -> list[bytes]:
    """All parameters, their gradients, and all buffers."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return [t.detach().numpy().tobytes() for t in (*model.state_dict().values(), *grads)]


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one with every recording."""
    calls: list[int] = []
    record = captured._recorded
    monkeypatch.setattr(captured, "_recorded", lambda *args: calls.append(1) or record(*args))
    return calls


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("count", [2, 6, 70])
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_training_has_the_same_bits(count: int, make: Any, recordings: list[int]) -> None:
    outcomes = []
    for use in (lambda f, model: f, tg.capture):
        model = network()
        step, optimizer = use(loss_of(model), model), make(model.parameters(), lr=0.01)
        losses = []
        for seed in range(4):
            optimizer.zero_grad()
            loss = step(*batch(count, seed))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with tg.no_grad():
            losses.append(step(*batch(count)).item())
        model.eval()
        for mode in (tg.no_grad, tg.inference_mode):
            with mode():
                out = step(*batch(count))
            losses.append(out.item())
            assert out._inference == (mode is tg.inference_mode)
            assert not out.requires_grad
        outcomes.append((losses, bits(model), tg.rand(4).tolist()))
    assert outcomes[0] == outcomes[1]
    assert len(recordings) == 3  # training, without gradients, in evaluation


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "conv": lambda c, o: nn.Conv2d(c, o, 3, padding=1),
    "1x1": lambda c, o: nn.Conv2d(c, o, 1, bias=False),
    "5x5": lambda c, o: nn.Conv2d(c, o, 5, padding=2),
    "stride": lambda c, o: nn.Conv2d(c, o, 3, stride=2, padding=1),
    "dilated": lambda c, o: nn.Conv2d(c, o, 3, padding=2, dilation=2),
    "depthwise": lambda c, o: nn.Conv2d(c, c, 3, padding=1, groups=c),
    "norm": lambda c, o: nn.BatchNorm2d(c),
    "relu": lambda c, o: nn.ReLU(),
    "max": lambda c, o: nn.MaxPool2d(2, ceil_mode=True),
    "average": lambda c, o: nn.AvgPool2d(3, 1, 1),
    "dropout": lambda c, o: nn.Dropout(0.4),
}


@given(st.data())
def test_any_sequence_of_layers_has_the_same_bits(data: st.DataObject) -> None:
    channels, layers = data.draw(st.integers(1, 40)), []
    first = channels
    for name in data.draw(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=7)):
        layers.append(LAYERS[name](channels, data.draw(st.integers(1, 40))))
        channels = getattr(layers[-1], "out_channels", channels)
    count, size = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 13))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)).to(dtype=tg.float64)
    model.to(dtype=tg.float32 if dtype is np.float32 else tg.float64)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((count, first, size, size)).astype(dtype)
    if data.draw(st.booleans()):
        images = images.transpose(0, 1, 3, 2)
    labels = tg.from_numpy(rng.integers(0, 3, count))
    found = []
    for function in (loss_of(model), tg.capture(loss_of(model), model)):
        tg.manual_seed(1)
        state = copy.deepcopy(model.state_dict())
        for _ in range(2):
            model.zero_grad()
            x = tg.from_numpy(images).requires_grad_()
            loss = function(x, labels)
            loss.backward()
        found.append((loss.item(), x.grad.numpy().tobytes(), bits(model)))
        model.load_state_dict(state)
    assert found[0] == found[1]


def test_the_same_bits_on_any_number_of_threads(recordings: list[int]) -> None:
    model = network()
    step, found = tg.capture(loss_of(model), model), []
    before, state = tg.get_num_threads(), copy.deepcopy(model.state_dict())
    try:
        for count in (1, before):
            tg.set_num_threads(count)
            model.load_state_dict(state)
            model.zero_grad()
            tg.manual_seed(3)
            step(*batch(40)).backward()
            found.append(bits(model))
    finally:
        tg.set_num_threads(before)
    assert found[0] == found[1]
    assert len(recordings) == len({1, before})


def test_several_results_and_which_of_them_have_gradients() -> None:
    found = []
    for use in (lambda f, model: f, tg.capture):
        model = network().eval()
        model.norm.requires_grad_(False)

        def both(images: Tensor, labels: Tensor, model: Any = model) -> tuple[Tensor, ...]:
            logits = model(images)
            return F.cross_entropy(logits, labels), logits, F.relu(logits.detach())

        function = use(both, model)
        for outputs in (lambda a, b: a, lambda a, b: b.sum(), lambda a, b: a * 3 + (b * b).sum()):
            model.zero_grad()
            loss, logits, aside = function(*batch())
            assert logits.requires_grad
            assert not aside.requires_grad
            outputs(loss, logits).backward()
            found.append((loss.item(), logits.detach().numpy().tobytes(), aside.numpy().tobytes(), bits(model)))
    assert found[:3] == found[3:]


def test_gradients_by_arguments_and_by_some_parameters() -> None:
    model = network()
    function = tg.capture(model)
    expected = []
    for call in (model, function):
        tg.manual_seed(0)
        x = batch()[0].requires_grad_()
        grads = autograd.grad(call(x * 2).sum(), [x, model.conv2.weight])
        expected.append([g.numpy().tobytes() for g in grads])
    assert expected[0] == expected[1]
    assert model.conv1.weight.grad is None


def test_gradients_of_both_terms_have_memory_of_their_own() -> None:
    a, b = (tg.ones(3, 4, requires_grad=True) for _ in range(2))
    tg.capture(lambda a, b: F.relu(a + b), nn.Identity())(a, b).sum().backward()
    a.grad.add_(1)
    assert (a.grad.tolist(), b.grad.tolist()) == ([[2.0] * 4] * 3, [[1.0] * 4] * 3)


def test_gradients_are_accumulated_and_hooks_of_parameters_run() -> None:
    model = network().eval()
    model.norm.requires_grad_(False)
    step = tg.capture(loss_of(model), model)
    step(*batch()).backward()
    once = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
    step(*batch()).backward()
    for name, p in model.named_parameters():
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), 2 * once[name], rtol=1e-6)
    model.zero_grad()
    model.conv1.weight.register_hook(lambda grad: grad * 0)
    step(*batch()).backward()
    assert not model.conv1.weight.grad.numpy().any()
    assert model.conv2.weight.grad.numpy().tobytes() == once["conv2.weight"].tobytes()


@pytest.mark.parametrize("kind", ["contiguous", "channels last", "strided", "read only", "backwards"])
def test_arguments_in_any_memory(kind: str) -> None:
    model = network().eval()
    model.norm.requires_grad_(False)
    images, labels = (t.numpy().copy() for t in batch())
    if kind == "channels last":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif kind == "strided":
        images, labels = np.repeat(images, 2, axis=3)[:, :, :, ::2], np.repeat(labels, 2)[::2]
    elif kind == "read only":
        images.flags.writeable = labels.flags.writeable = False
    elif kind == "backwards":
        images, labels = images[::-1, :, ::-1], labels[::-1]
    found = []
    for function in (loss_of(model), tg.capture(loss_of(model), model)):
        model.zero_grad()
        # As a view of the library's, because `from_numpy` may copy.
        x, y = (captured.wrap(a) for a in (images, labels))
        x.requires_grad_()
        loss = function(x, y)
        loss.backward()
        found.append((loss.item(), x.grad.numpy().tobytes(), bits(model)))
    assert found[0] == found[1]


# ---------------------------------------------------------------- what is recorded anew


CHANGES: dict[str, Callable[[Any], Any]] = {
    "evaluation": lambda model: model.eval(),
    "a part in evaluation": lambda model: model.dropout.eval(),
    "frozen": lambda model: model.conv1.requires_grad_(False),
    "a setting": lambda model: setattr(model.dropout, "p", 0.6),
    "a layer": lambda model: setattr(model, "pool", nn.MaxPool2d(2)),
    "an array": lambda model: setattr(model.conv1.weight, "data", tg.ones(8, 2, 3, 3)),
    "a parameter": lambda model: setattr(model.conv1, "bias", nn.Parameter(tg.ones(8))),
    "no bias": lambda model: setattr(model.conv1, "bias", None),
    "dtype": lambda model: model.to(dtype=tg.float64),
    "values": lambda model: model.load_state_dict({k: v * 2 for k, v in model.state_dict().items()}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_seen(name: str, recordings: list[int]) -> None:
    found = []
    for use in (lambda f, model: f, tg.capture):
        model = network()
        step = use(loss_of(model), model)
        images, labels = batch()
        step(images, labels).backward()
        CHANGES[name](model)
        model.zero_grad()
        loss = step(images.to(model.conv1.weight.dtype), labels)
        if not (name == "evaluation" and use is tg.capture):  # gradients by batch norm's weight: not by kernels
            loss.backward()
        found.append((loss.item(), bits(model)))
        if name == "evaluation":
            break
    else:
        assert found[0] == found[1]
        assert len(recordings) == (1 if name == "values" else 2)


def test_it_remembers_the_last_few_shapes(recordings: list[int]) -> None:
    model = network()
    step = tg.capture(loss_of(model), model)
    for count in (*range(2, 2 + captured.REMEMBERED), 2):
        step(*batch(count))
    assert len(recordings) == captured.REMEMBERED
    step(*batch(30))
    step(*batch(2))
    assert len(recordings) == captured.REMEMBERED + 2
    step.reset()
    step(*batch(2))
    assert len(recordings) == captured.REMEMBERED + 3


def test_copies_belong_to_their_own_arrays() -> None:
    model = network().eval()
    function = tg.capture(model)
    with tg.no_grad():
        before = function(batch()[0])
        twin = copy.deepcopy(function)
        for p in model.parameters():
            p.zero_()
        assert tg.equal(twin(batch()[0]), before)
        assert not tg.equal(function(batch()[0]), before)


def test_hooks_anomalies_and_empty_batches_call_the_function(recordings: list[int]) -> None:
    model = network()
    function = tg.capture(model)
    seen = []
    handle = model.conv2.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    function(batch()[0])
    assert len(seen) == 1
    handle.remove()
    with tg.autograd.detect_anomaly():
        function(batch()[0])
    assert model.conv1(tg.zeros(0, 2, 8, 8)).shape == tg.capture(model.conv1)(tg.zeros(0, 2, 8, 8)).shape
    assert not recordings
    assert tg.capture(function, model)(batch()[0]).shape == (6, 5)  # one inside the other
    assert len(recordings) == 1


# ---------------------------------------------------------------- errors


class Changed(nn.Module):
    """A layer, and then something else with its output."""

    def __init__(self, then: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.norm, self.then = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), then

    def forward(self, x: Tensor) -> Any:
        return self.then(self.norm(self.conv(x)))


OUTSIDE = tg.ones(6, 3, 6, 6)
OUTSIDE_TOO = OUTSIDE.to(memory_format=tg.channels_last)
REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "item": (lambda h: h if h.sum().item() > 0 else h + h, "item hands numbers to Python"),
    "bool": (lambda h: h if (h > 0).any() else h + h, "bool hands numbers to Python"),
    "numpy": (lambda h: F.relu(h + float(h.detach().numpy().max())), "numpy hands numbers to Python"),
    "tolist": (lambda h: F.relu(h) if h.tolist() else h, "tolist hands numbers to Python"),
    "NumPy": (lambda h: F.relu(h.sigmoid()), "operand 0 of elementwise.relu.* neither an argument nor a constant"),
    "a gradient of NumPy's": (lambda h: h.exp(), r"operand 0 of norm.chunk_grad_sums.* of shape \(216, 3\)"),
    "a result of NumPy's": (lambda h: h + OUTSIDE, "a result of shape .* was not computed by a kernel"),
    "a Tensor from outside": (lambda h: h + OUTSIDE_TOO, "operand 1 of elementwise.add"),
    "in place": (lambda h: F.relu(h.add_(1.0)), "add_ writes in place"),
    "in place without effect": (lambda h: F.relu(h.clamp_(min=-1e9)), "clamp_ writes in place"),
    "an item": (lambda h: h.__setitem__(0, 0.0) or F.relu(h), "writes in place"),
    "behind the graph's back": (lambda h: np.add(h._array, 1, h._array) is None or F.relu(h), "something else changed"),
    "equal": (lambda h: F.relu(h) if tg.equal(h, OUTSIDE) else h + h, "equal hands numbers"),
    "allclose": (lambda h: F.relu(h) if tg.allclose(h, OUTSIDE) else h + h, "allclose hands numbers"),
    "nonzero": (lambda h: F.relu(h) if len(h.nonzero()) else h + h, "nonzero hands numbers"),
    "where": (lambda h: F.relu(h) if len(tg.where(h > 0)[0]) else h + h, "where hands numbers"),
    "masked_select": (lambda h: F.relu(h) if len(h.masked_select(h > 0)) else h, "masked_select hands numbers"),
    "a mask": (lambda h: F.relu(h) if len(h[h > 0]) else h + h, "a mask as an index hands numbers"),
    "repr": (lambda h: F.relu(h) if "nan" in repr(h) else h + h, "repr hands numbers"),
    "backward inside": (lambda h: h.sum().backward() or h, "backward: not inside a captured function"),
    "no results": (lambda h: (), "got an empty tuple"),
    "twice the same": (lambda h: (h, h.detach()), "two results of the function share memory"),
    "checkpoint": (lambda h: checkpoint(nn.Dropout(0.5), h, use_reentrant=False), "drawn in backward"),
    "no Tensor": (lambda h: [h], "must return Tensors, got list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_is_refused_and_changes_nothing(name: str) -> None:
    then, message = REFUSED[name]
    model = network(lambda: Changed(then))
    before, numbers = bits(model), str(tg.get_rng_state())
    function = tg.capture(model)
    for _ in range(2):
        with pytest.raises(GraphError, match=f"(capture: .*)?{message}"):
            function(batch()[0])
    assert bits(model) == before
    assert str(tg.get_rng_state()) == numbers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, x: x.sub_(1.0), "sub_ writes in place"),
        (lambda model, x: x.requires_grad_(), "changes argument 0"),
        (lambda model, x: np.negative(x._array, x._array), "changes argument 0"),
        (lambda model, x: model.l.weight.detach().mul_(0.5), "mul_ writes in place"),
        (lambda model, x: model.n.add_(1), "add_ writes in place"),
        (lambda model, x: np.negative(model.l.weight._array, model.l.weight._array), "something else changed"),
        (lambda model, x: np.add(model.n._array, 1, model.n._array), "something else changed"),
        (lambda model, x: tg.rand(3), "something else changed"),
        (lambda model, x: optim.SGD(model.parameters(), lr=0.1).step(), "step: not inside"),
        (lambda model, x: model.zero_grad(), "zero_grad: not inside"),
    ],
)
def test_side_effects_are_refused_and_undone(change: Callable[..., Any], message: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(3, 2)
            self.register_buffer("n", tg.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            with tg.no_grad():
                change(self, x)
            return F.relu(self.l(x))

    model, x = network(Model), tg.ones(4, 3)
    model.l(x).sum().backward()
    before, numbers = bits(model), str(tg.get_rng_state())
    for _ in range(2):
        with pytest.raises(GraphError, match=message):
            tg.capture(model)(x)
    assert bits(model) == before
    assert str(tg.get_rng_state()) == numbers
    assert (x.tolist(), x.requires_grad) == ([[1.0] * 3] * 4, False)


def test_gradients_in_different_memory_orders_are_refused() -> None:
    conv, linear, conv2 = nn.Conv2d(2, 2, 1, bias=False), nn.Linear(8, 2), nn.Conv2d(2, 2, 1)

    def both(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        h = conv(x)
        return F.cross_entropy(linear(h.flatten(1)), y), conv2(h)

    function = tg.capture(both, nn.ModuleList([conv, linear, conv2]))
    with pytest.raises(GraphError, match="a sum of gradients that lie in memory in different orders writes in place"):
        function(tg.ones(3, 2, 2, 2), tg.zeros(3, dtype=tg.int64))


def test_arguments_that_shared_memory_while_it_was_recorded() -> None:
    function = tg.capture(lambda a, b: F.relu(a + b), nn.Identity())
    x, y = tg.ones(2, 3), tg.ones(2, 3) * 5
    assert function(x, x).tolist() == [[2.0] * 3] * 2
    assert function(x, y).tolist() == [[6.0] * 3] * 2
    layer = nn.Linear(3, 3, bias=False)
    applied = tg.capture(lambda a: F.linear(a, layer.weight), layer)
    applied(layer.weight.detach())
    assert tg.equal(applied(tg.eye(3)), F.linear(tg.eye(3), layer.weight))


def test_what_does_not_change_for_good_may_be_read_only() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(3, 2)
            self.register_buffer("position", tg.arange(3.0).expand(4, 3))
            self.register_buffer("w", tg.ones(2, 2))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(self.l(x), self.w)

    model = network(Model)
    out = tg.capture(model)(tg.ones(4, 3))
    assert tg.equal(out, model(tg.ones(4, 3)))
    with tg.no_grad():
        model.l.bias.add_(1)  # which no gradient needs
    out.sum().backward(retain_graph=True)
    out = tg.capture(model)(tg.ones(4, 3))
    model.w.fill_(5.0)
    with pytest.raises(GraphError, match="modified by an in-place operation"):
        out.sum().backward()


def test_settings_that_are_lists() -> None:
    conv = nn.Conv2d(2, 3, 3)
    conv.stride = [1, 1]
    function = tg.capture(conv)
    assert function(batch()[0]).shape == (6, 3, 6, 6)
    conv.stride[0] = 2
    assert function(batch()[0]).shape == (6, 3, 3, 6)


def test_an_average_over_all_batches_is_refused() -> None:
    model = nn.BatchNorm2d(2, momentum=None)
    with pytest.raises(GraphError, match="item hands numbers to Python"):
        tg.capture(model)(batch()[0])
    assert model.num_batches_tracked.item() == 0


def test_a_leaf_from_outside_is_refused() -> None:
    model, other = nn.Linear(3, 2), nn.Linear(2, 2)
    with pytest.raises(GraphError, match=r"capture: a Tensor of shape \(2, 2\) requires grad, but is neither"):
        tg.capture(lambda x: other(model(x)), model)(tg.ones(4, 3))


def test_labels_that_are_no_classes_are_found_every_time() -> None:
    model = network()
    step = tg.capture(loss_of(model), model)
    step(*batch())
    images, labels = batch()
    with pytest.raises(DimError, match="cross_entropy: target contains 7, but input has 5 classes"):
        step(images, labels.clone().fill_(7))
    with pytest.raises(DimError, match="target contains 9"):
        tg.capture(loss_of(model), model)(images, labels.clone().fill_(9))
    step(*batch()).backward()


def test_arguments() -> None:
    with pytest.raises(TypeError, match="function must be callable, got int"):
        tg.capture(3, nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"module must be an nn\.Module, got function"):
        tg.capture(lambda x: x)
    with pytest.raises(DTypeError, match="argument 0 must be a Tensor, got ndarray"):
        tg.capture(nn.Linear(2, 2))(np.ones((2, 2)))
    model = nn.Linear(2, 2)
    with pytest.raises(GraphError, match="more than 3 arguments"):
        tg.capture(lambda a, b, c, d: model(a + b + c + d), model)(*[tg.ones(3, 2)] * 4)
    assert repr(tg.capture(model)) == "<captured Linear>"


def test_a_second_backward_and_second_derivatives_are_refused() -> None:
    model = network()
    step = tg.capture(loss_of(model), model)
    loss = step(*batch())
    loss.backward(retain_graph=True)
    before = bits(model)
    with pytest.raises(GraphError, match="capture: backward through a captured function a second time"):
        loss.backward()
    loss = step(*batch())
    with pytest.raises(GraphError, match=r"capture: .* first order only"):
        loss.backward(create_graph=True)
    assert bits(model)[-len(list(model.parameters())) :] == before[-len(list(model.parameters())) :]


def test_what_was_changed_in_between_is_found() -> None:
    model = network()
    step = tg.capture(loss_of(model), model)
    loss = step(*batch())
    with tg.no_grad():
        model.conv2.weight.mul_(2)
    with pytest.raises(GraphError, match="modified by an in-place operation"):
        loss.backward()
    relu = tg.capture(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))  # whose gradient reads the result
    out = relu(tg.ones(3, 2))
    with tg.no_grad():
        out.add_(1)
    with pytest.raises(GraphError, match="modified by an in-place operation"):
        out.sum().backward()


# ---------------------------------------------------------------- memory and threads


def test_results_keep_their_bytes_and_steps_give_memory_back() -> None:
    model = network()
    function = tg.capture(lambda images, labels: (loss_of(model)(images, labels), model.conv1(images)), model)
    held = []
    for seed in range(100):
        loss, features = function(*batch(6, seed))
        loss.backward()
        held.append((loss, loss.item(), features, features.detach().numpy().copy(), model.conv1.weight.grad[0]))
        if seed == 0:
            first = held[0][4].numpy().copy()
        model.zero_grad()
    for loss, number, features, values, _ in held:
        assert loss.item() == number
        assert features.detach().numpy().tobytes() == values.tobytes()
    assert held[0][4].numpy().tobytes() == first.tobytes()
    del held, loss, features, values
    gc.collect()
    model.zero_grad()
    function(*batch())[0].backward()
    model.zero_grad()
    in_use = buffers.statistics()["in_use"]
    for _ in range(5):
        function(*batch())[0].backward()
        model.zero_grad()
    assert buffers.statistics()["in_use"] <= in_use


def test_memory_that_results_and_graphs_hold() -> None:
    layer = nn.Linear(1000, 2)
    function = tg.capture(layer)
    x = tg.ones(1, 1000)
    before = buffers.statistics()["in_use"]
    held = [function(x).detach() for _ in range(20)]
    assert buffers.statistics()["in_use"] == before
    argument = weakref.ref(x._array)
    out = function(x).sum()
    out.backward()
    del x
    gc.collect()
    assert argument() is None
    assert len(held) == 20


def test_recording_in_several_threads() -> None:
    model = network().eval()
    function, failed = tg.capture(model), []

    def work() -> None:
        try:
            with tg.no_grad():
                for count in range(1, 13):
                    assert function(batch(count)[0]).shape == (count, 5)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_several_threads_at_once() -> None:
    model = network().eval()
    function = tg.capture(model)
    images = [batch(6, seed)[0] for seed in range(4)]
    with tg.no_grad():
        expected = [model(x).numpy().tobytes() for x in images]
    wrong = []

    def work(index: int) -> None:
        with tg.no_grad():
            for _ in range(30):
                if function(images[index]).numpy().tobytes() != expected[index]:
                    wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
