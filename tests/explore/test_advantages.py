"""The measurements: exact numbers against slow counts, curves that go where they must, and nothing left behind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.explore import advantages, training
from tinygrad_cnn.explore.advantages import (
    parameter_sharing,
    pooling_savings,
    resized,
    scale_accuracy,
    shift_accuracy,
    shift_equivariance,
    shifted,
)
from tinygrad_cnn.explore.costs import batch_throughput, epoch_gains, learning_rates, optimizers
from tinygrad_cnn.explore.measurement import Measurement
from tinygrad_cnn.optim import SGD, Adam

F = nn.functional
DIGITS = training.digits()
FEW = training.Data(DIGITS.images[:96], DIGITS.labels[:96], DIGITS.test_images[:40], DIGITS.test_labels[:40])


# ---------------------------------------------------------------- parameters and connections


@given(
    st.sampled_from([1, 2]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
    st.booleans(),
    st.tuples(st.integers(5, 6), st.integers(5, 7)),
)
def test_the_dense_layer_that_does_the_same(groups, kernel, stride, padding, dilation, bias, size):
    conv = nn.Conv2d(2, 4, (kernel, 2), stride, padding, dilation, groups, bias)
    with tg.no_grad():
        conv.weight.fill_(1.0)
        units = tg.eye(2 * size[0] * size[1]).reshape(-1, 2, *size)
        dense = conv(units) - conv(units[:1] * 0)  # a row per input: which outputs it is connected to
    ((_, parameters, count, quotient, connections, possible, absent),) = parameter_sharing(
        nn.Sequential(conv), (2, *size)
    ).rows
    weights = np.prod(dense.shape)
    assert parameters == sum(p.numel() for p in conv.parameters())
    assert possible == weights
    assert count == weights + (np.prod(dense.shape[1:]) if bias else 0)
    assert connections == (dense.numpy() > 0.5).sum()
    assert absent == pytest.approx(1 - connections / weights)
    assert quotient == pytest.approx(count / parameters)


def test_the_lectures_convolutions():
    result = parameter_sharing()
    # (3·3·1 + 1)·32 and (784 + 1)·32·26·26; (3·3·32 + 1)·64 and (32·26·26 + 1)·64·24·24
    assert result.column("parameters") == (320, 18_496)
    assert result.column("dense") == (785 * 32 * 676, (21_632 + 1) * 64 * 576)
    assert result.column("connections") == (9 * 32 * 676, 9 * 32 * 64 * 576)
    assert result.rows[0][6] == 1 - 9 / 784
    assert "In all 18,816 parameters do what would take 814,460,032" in str(result)


# ---------------------------------------------------------------- moved and resized images


def test_shifted():
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    assert shifted(x, 0, 1).tolist() == [[[[0, 0, 1], [0, 3, 4]]]]
    assert shifted(x, -1, 0).tolist() == [[[[3, 4, 5], [0, 0, 0]]]]
    assert shifted(x, 1, -2).tolist() == [[[[0, 0, 0], [2, 0, 0]]]]
    assert not shifted(x, 2, 0).any()
    assert not shifted(x, 0, -7).any()
    assert np.array_equal(shifted(x, 0, 0), x)


def test_resized():
    x = np.random.default_rng(0).random((2, 1, 7, 8)).astype(np.float32)
    assert np.allclose(resized(x, 1.0), x)
    assert resized(x, 1.3).dtype == np.float32
    block = np.zeros((1, 1, 9, 9))
    block[..., 3:6, 3:6] = 1
    big, small = resized(block, 3.0)[0, 0], resized(block, 1 / 3)[0, 0]
    assert big.sum() == pytest.approx(9 * block.sum(), rel=0.15)
    assert np.array_equal(big, big.T)
    assert np.array_equal(big, big[::-1])
    assert small[4, 4] == 1
    assert small.sum() == 1
    ramp = np.tile(np.arange(5.0), (1, 1, 5, 1))
    assert np.allclose(resized(ramp, 2.0)[0, 0, 2], [1, 1.5, 2, 2.5, 3])


def test_convolutions_move_with_the_image_and_pooling_in_steps():
    without = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
    result = shift_equivariance(without, tg.rand(4, 1, 16, 16), (0, 1, 2, 5))
    assert result.column("shift") == (0, 1, 2, 5)
    assert max(result.column("difference inside")) < 1e-6
    assert result.column("with border")[0] == 0
    assert min(result.column("with border")[1:]) > 0.01

    pooled = shift_equivariance()
    inside = pooled.column("difference inside")
    assert max(inside[::2]) < 1e-6
    assert min(inside[1::2]) > 0.05
    assert "Neighbouring outputs are 2 pixels apart." in pooled.conclusions
    first = shift_equivariance(
        nn.Sequential(without, nn.MaxPool2d(2), nn.Flatten()), tg.rand(4, 1, 16, 16), (1,), "0.0"
    )
    assert first.column("difference inside")[0] < 1e-6
    with pytest.raises(KeyError, match="no layer 'conv'"):
        shift_equivariance(without, tg.rand(4, 1, 16, 16), (1,), "conv")
    assert pooled.curves["inside"] == ((0.0, 1.0, 2.0, 3.0, 4.0), inside)

    class Positions(nn.Module):
        """No convolution: it weights every place differently."""

        def forward(self, x):
            return x * tg.arange(1.0, 17.0)

    assert shift_equivariance(Positions(), tg.rand(2, 1, 16, 16), (3,)).rows[0][1] > 0.1


def test_accuracy_on_shifted_and_resized_images():
    result = shift_accuracy(data=DIGITS, shifts=(0, 2), epochs=4)
    assert result.headings == ("shift", "CNN", "CNN, global average", "MLP")
    assert min(result.rows[0][1:]) > 0.8
    # the average over places hardly notices a shift by the pooling's step; the dense layers do
    assert result.rows[1][2] > result.rows[1][1] > result.rows[1][3]
    assert result.rows[1][2] > 0.8
    assert result.curves["MLP"] == ((0.0, 2.0), result.column("MLP"))

    class Constant(nn.Module):
        """Always the class 0, whatever it is trained on."""

        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(tg.zeros(10))

        def forward(self, x):
            return x.flatten(1)[:, :1] * 0 + self.bias * 1e-3 + tg.eye(10)[0]

    share = (FEW.test_labels == 0).numpy().mean()
    result = scale_accuracy({"constant": Constant()}, FEW, (1.0, 0.5, 2.0), epochs=1)
    assert result.column("constant") == (share, share, share)
    assert f"keeps nine tenths of its {share:.1%} from factor 0.5 to 2; over all" in result.conclusions[0]

    tg.manual_seed(0)
    trained = training.fit(training.mlp(DIGITS, 16), DIGITS, 4).model
    real = scale_accuracy({"mlp": trained}, DIGITS, (0.5, 1.0), epochs=0)
    assert real.column("mlp")[1] == training.accuracy(trained, DIGITS.test_images, DIGITS.test_labels)
    assert real.column("mlp")[0] < 0.5 < 0.8 < real.column("mlp")[1]
    assert "from factor 1 to 1; over all it ranges from" in real.conclusions[0]


def test_tolerance_stops_at_the_first_gap():
    text = advantages._tolerance("net", "shift", (3.0, 0.0, 1.0, 2.0), (0.95, 1.0, 0.92, 0.5), 0)
    assert text == "net keeps nine tenths of its 100.0% from shift 0 to 1; over all it ranges from 50.0% to 100.0%."


# ---------------------------------------------------------------- pooling and costs


def test_pooling_savings():
    result = pooling_savings(data=FEW, epochs=1)
    # 14·14·16·10 + 10 weights of the last layer without pooling, 3·3·16·10 + 10 with; (9 + 1)·8 + (72 + 1)·16 before
    assert result.column("parameters") == (80 + 1168 + 1450, 80 + 1168 + 31_370)
    with_pooling = 14 * 14 * 8 * 9 + 7 * 7 * 16 * 72 + 1440
    assert result.column("multiply-adds") == (with_pooling, 14 * 14 * (8 * 9 + 16 * 72) + 31_360)
    assert min(result.column("seconds per epoch")) > 0
    assert "12.1 times fewer parameters" in result.conclusions[0]


def test_batch_throughput():
    result = batch_throughput(data=FEW, sizes=(1, 32), images=64, repeats=1)
    assert result.column("batch") == (1, 32)
    assert result.rows[0][3:] == (1, 1)
    for _, training_speed, prediction_speed, gain, other in result.rows:
        assert training_speed > 0
        assert gain == pytest.approx(training_speed / result.rows[0][1])
        assert other == pytest.approx(prediction_speed / result.rows[0][2])
    normalised = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(196), nn.Linear(196, 10))
    assert len(batch_throughput(normalised, FEW, (1, 8), 8, 1).rows) == 2
    assert batch_throughput(training.mlp(FEW), FEW, images=1, repeats=1).column("batch") == (1, 8, 16, 32, 64)


def test_learning_rates_and_optimizers():
    tg.manual_seed(0)
    result = learning_rates(training.mlp(DIGITS), DIGITS, (1e-5, 0.3), epochs=2)
    assert result.column("training") == ("lr 1e-05", "lr 0.3")
    slow, good = result.rows
    assert slow[1] == good[1] == pytest.approx(math.log(10), abs=0.2)
    assert slow[2] > 2
    assert good[2] < 1
    assert good[3] > 0.7
    steps, losses = result.curves["lr 0.3"]
    assert steps == tuple(float(i) for i in range(2 * 46))
    assert np.mean(losses[-9:]) == pytest.approx(good[2])
    assert result.conclusions == ("lr 0.3 ends with the smallest loss; chance is 2.30.",)
    huge = learning_rates(training.mlp(FEW), FEW, (1e30,), epochs=1)
    assert not huge.rows[0][2] < 10

    both = optimizers(training.mlp(FEW), FEW, epochs=1)
    assert both.column("training") == ("SGD", "SGD, momentum 0.9", "Adam")
    net = training.mlp(FEW)
    still = optimizers(net, FEW, {"mine": lambda p: SGD(p, lr=0.0)}, 2)
    assert still.column("accuracy") == (training.accuracy(net, FEW.test_images, FEW.test_labels),)


def test_epoch_gains():
    tg.manual_seed(0)
    result = epoch_gains(training.mlp(FEW), FEW, 3)
    assert result.column("epoch") == (1, 2, 3)
    assert sum(result.column("gain")) == pytest.approx(result.column("accuracy")[-1] - 0.1)
    assert min(result.column("seconds")) > 0
    assert result.column("loss")[0] > result.column("loss")[-1]
    assert epoch_gains(training.mlp(FEW), FEW, 1, lambda p: Adam(p)).rows[0][0] == 1


def test_a_training_is_the_usual_loop():
    torch_like, data = training.cnn(FEW), FEW
    found = training.fit(torch_like, data, 2, lambda p: SGD(p, lr=0.1), batch_size=40)
    again = training.fit(torch_like, data, 2, lambda p: SGD(p, lr=0.1), batch_size=40)
    assert found.losses == again.losses
    assert len(found.losses) == 2 * 3
    optimizer, order = SGD(torch_like.parameters(), lr=0.1), tg.Generator().manual_seed(0)
    losses = []
    for _ in range(2):
        for chosen in np.split(order.randperm(96), [40, 80]):
            loss = F.cross_entropy(torch_like(data.images[chosen]), data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses == found.losses
    assert all(tg.equal(a, b) for a, b in zip(torch_like.parameters(), found.model.parameters()))
    with tg.no_grad():
        right = (torch_like(data.test_images).argmax(1) == data.test_labels).float().mean()
    assert found.accuracies[-1] == pytest.approx(right.item())


def test_the_digits_lie_in_the_middle():
    assert DIGITS.images.shape == (1442, 1, 14, 14)
    assert DIGITS.images.max().item() == 1
    assert not DIGITS.images[:, :, :3].any()
    assert not DIGITS.images[..., -3:].any()
    assert training.digits(0).test_images.shape == (355, 1, 8, 8)


def test_nothing_is_left_behind():
    model = training.global_cnn(FEW)
    model[1].eval()
    model[0].weight.grad = tg.ones_like(model[0].weight)
    values = {name: t.clone() for name, t in model.state_dict().items()}
    modes, state = [m.training for m in model.modules()], tg.get_rng_state()
    with tg.no_grad():
        shift_accuracy({"net": model}, FEW, (0, 1), 1)
        scale_accuracy({"net": model}, FEW, (1.0,), 1)
        pooling_savings({"net": model}, FEW, 1)
        shift_equivariance(model[:7], FEW.images[:4], (0,))
        parameter_sharing(model, (1, 14, 14))
        batch_throughput(model, FEW, (8,), 8, 1)
        learning_rates(model, FEW, (0.1,), 1)
        epoch_gains(model, FEW, 1)
        assert not tg.is_grad_enabled()
    assert all(tg.equal(values[name], t) for name, t in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert model[0].weight.grad.sum().item() == 144
    assert tg.get_rng_state()["pos"] == state["pos"]
    assert np.array_equal(tg.get_rng_state()["key"], state["key"])


# ---------------------------------------------------------------- the result


def test_a_measurement_as_text_and_markdown():
    result = Measurement("title", ("name", "count"), ("", ",d"), (("a|b", 1234), ("c", None)), ("So it is.",))
    assert str(result) == "title\n\nname  count\n───────────\na|b   1,234\nc         –\n\nSo it is."
    assert result.markdown() == (
        "**title**\n\n| name | count |\n|---|---:|\n| a\\|b | 1,234 |\n| c | – |\n\n- So it is.\n"
    )
    with pytest.raises(KeyError, match="no column 'size'; there are 'name', 'count'"):
        result.column("size")


BAD_DATA = (FEW.images, FEW.labels[:5], FEW.test_images, FEW.test_labels)
FLAT = (FEW.images.flatten(1), FEW.labels, FEW.test_images, FEW.test_labels)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: parameter_sharing(nn.Sequential(nn.Linear(3, 2)), (3,)), TypeError, "Sequential calls no Conv2d"),
        (lambda: parameter_sharing(3), TypeError, "parameter_sharing: model must be a Module"),
        (lambda: parameter_sharing(None, (3, 28, 28)), ShapeError, "0 = Conv2d"),
        (lambda: shift_equivariance(images=FEW), DTypeError, "images must be a Tensor, got Data"),
        (lambda: shift_equivariance(images=FEW.images[0]), ShapeError, r"must be \(N, C, H, W\), got \(1, 14, 14\)"),
        (lambda: shift_equivariance(nn.Flatten()), ShapeError, "layers must give a feature map"),
        (lambda: shift_equivariance(shifts=(24,)), ShapeError, "smaller than the image's 24 pixels, got 24"),
        (lambda: shift_equivariance(shifts=(22,)), ShapeError, "a shift by 11 places leaves nothing of the 12×12"),
        (lambda: shift_equivariance(shifts=()), DTypeError, r"shifts must be ints, got \(\)"),
        (lambda: shift_equivariance(shifts=(-1,)), ShapeError, "shifts must be at least 0, got -1"),
        (lambda: shift_equivariance(shifts=(0.5,)), DTypeError, "shifts must be an int, got 0.5"),
        (lambda: shift_accuracy({}, FEW), TypeError, "models must be a dictionary"),
        (lambda: shift_accuracy({"a": 3}, FEW), TypeError, "model must be a Module, got int"),
        (lambda: shift_accuracy(data=FEW.images), TypeError, "data must be .images, labels, test_images"),
        (lambda: shift_accuracy(data=(1, 2, 3, 4)), DTypeError, "data's images must be a Tensor, got int"),
        (lambda: shift_accuracy(data=BAD_DATA), ShapeError, r"got \(96, 1, 14, 14\) with \(5,\)"),
        (lambda: shift_accuracy(data=FLAT), ShapeError, r"got \(96, 196\) with \(96,\)"),
        (lambda: shift_accuracy(data=FEW, epochs=-1), ShapeError, "epochs must be at least 0, got -1"),
        (lambda: scale_accuracy(data=FEW, factors=(1, 0)), ShapeError, "factors must be above 0"),
        (lambda: scale_accuracy(data=FEW, factors=("1",)), DTypeError, "factors must be numbers"),
        (lambda: batch_throughput(data=FEW, sizes=(97,)), ShapeError, "at most the 96 images, got 97"),
        (lambda: batch_throughput(data=FEW, sizes=(0,)), ShapeError, "sizes must be at least 1, got 0"),
        (lambda: batch_throughput(data=FEW, sizes=4), DTypeError, "sizes must be ints, got 4"),
        (lambda: batch_throughput(data=FEW, repeats=0), ShapeError, "repeats must be at least 1"),
        (lambda: learning_rates(data=FEW, rates=(0.0,)), ShapeError, "rates must be above 0"),
        (lambda: learning_rates(data=FEW, rates=0.1), DTypeError, "rates must be numbers, got 0.1"),
        (lambda: learning_rates("net", FEW), TypeError, "learning_rates: model must be a Module, got str"),
        (lambda: optimizers(data=FEW, makers={"SGD": 0.1}), TypeError, "makers must be a dictionary of functions"),
        (lambda: training.fit(training.mlp(FEW), FEW, 1, batch_size=0), ShapeError, "batch_size must be at least 1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
