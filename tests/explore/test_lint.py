"""lint finds every mistake that was planted, says nothing about healthy scripts, and leaves everything as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import DTypeError, ShapeError
from tinygrad_cnn.explore.lint import lint
from tinygrad_cnn.optim import SGD, Adam
from tinygrad_cnn.vision.datasets import Digits

from .networks import lecture_cnn, lenet5, resnet20

F = nn.functional

DIGITS = Digits()
IMAGES = (DIGITS.data[:64].float() / 16).reshape(64, 1, 8, 8)
LABELS = DIGITS.targets[:64]
BATCH = (IMAGES, LABELS)


def step_of(model, loss_fn, optimizer):
    """The usual training step."""

    def step(x, y):
        model.train()
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    return step


def small_cnn(*extra):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 3 * 3, 10), *extra)


def kinds(findings):
    return [f.kind for f in findings]


# ---------------------------------------------------------------- healthy scripts


class Block(nn.Module):
    """A residual block whose last normalisation starts at zero, as is often done."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 10)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


class Scales(nn.Module):
    """A network that takes raw pixels, bytes too, and scales them itself."""

    def __init__(self):
        super().__init__()
        self.net = small_cnn()

    def forward(self, x):
        return self.net(x.float() / 16)


class FunctionalDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        return self.fc(F.dropout(x.flatten(1), 0.3, training=self.training))


def fine_tuned():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(288, 10)
    )
    model[0].requires_grad_(False)
    model[1].requires_grad_(False).eval()
    return model


def on_digits(model, loss_fn=F.cross_entropy, rule=SGD, batch=BATCH, **settings):
    optimizer = rule([p for p in model.parameters() if p.requires_grad], **{"lr": 0.05, **settings})
    return model, loss_fn, batch, optimizer


def regression():
    x = tg.randn(32, 5)
    y = x.sum(1, keepdim=True) + 0.1 * tg.randn(32, 1)
    return on_digits(nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1)), nn.MSELoss(), batch=(x, y))


HEALTHY = {
    "cnn": lambda: on_digits(small_cnn()),
    "lecture": lambda: on_digits(lecture_cnn(nn), batch=(tg.rand(8, 1, 28, 28), LABELS[:8]), rule=Adam, lr=1e-3),
    "lenet": lambda: on_digits(lenet5(nn), nn.CrossEntropyLoss(), batch=(tg.rand(16, 1, 28, 28), LABELS[:16])),
    "resnet": lambda: on_digits(resnet20(nn), batch=(tg.randn(4, 3, 32, 32), LABELS[:4]), momentum=0.9),
    "mlp": lambda: on_digits(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)),
        rule=Adam,
        lr=1e-3,
    ),
    "residual": lambda: on_digits(Block(), momentum=0.9),
    "dropout": lambda: on_digits(small_cnn(nn.Dropout(0.5), nn.Linear(10, 10)), rule=Adam, lr=1e-2),
    "functional dropout": lambda: on_digits(FunctionalDropout()),
    "batch norm": lambda: on_digits(
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    ),
    "nll": lambda: on_digits(small_cnn(nn.LogSoftmax(1)), nn.NLLLoss()),
    "smoothing": lambda: on_digits(small_cnn(), nn.CrossEntropyLoss(label_smoothing=0.1)),
    "probabilities": lambda: on_digits(small_cnn(), batch=(IMAGES, tg.eye(10)[LABELS])),
    "ignored labels": lambda: on_digits(small_cnn(), batch=(IMAGES, tg.where(LABELS == 3, -100, LABELS))),
    "regression": regression,
    "sigmoids": lambda: on_digits(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Sigmoid(), nn.Linear(30, 10)), lr=3.0
    ),
    "bytes scaled inside": lambda: on_digits(Scales(), batch=(DIGITS.data[:64].reshape(64, 1, 8, 8), LABELS)),
    "raw pixels normalised inside": lambda: on_digits(
        nn.Sequential(nn.BatchNorm2d(1), *small_cnn()), batch=(IMAGES * 16, LABELS)
    ),
    "segmentation": lambda: on_digits(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)),
        batch=(IMAGES, (IMAGES[:, 0] > 0.5).long()),
    ),
    "fine-tuned": lambda: on_digits(fine_tuned()),
}


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_scripts(name, trained):
    tg.manual_seed(3)
    model, loss_fn, batch, optimizer = HEALTHY[name]()
    frozen = name == "fine-tuned"

    def step(x, y):
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    for _ in range(3 if trained else 0):
        step(*batch)
    assert model.training
    assert [str(f) for f in lint(model, loss_fn, batch, optimizer, step)] == []
    if not frozen:
        model.eval()
        assert [str(f) for f in lint(model, loss_fn, batch, optimizer, step_of(model, loss_fn, optimizer))] == []


def test_steps_that_are_healthy_in_other_ways():
    model = small_cnn()
    optimizer = SGD(model.parameters(), lr=0.1)
    calls = []

    def zeroed_at_the_end(x, y):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    def filled_with_zeros(x, y):
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def in_two_parts(x, y):
        optimizer.zero_grad()
        for half in (slice(0, 32), slice(32, 64)):
            (F.cross_entropy(model(x[half]), y[half]) / 2).backward()
        optimizer.step()

    def every_second_call(x, y):
        F.cross_entropy(model(x), y).backward()
        calls.append(1)
        if len(calls) % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()

    for step in (zeroed_at_the_end, filled_with_zeros, in_two_parts, every_second_call):
        assert lint(model, F.cross_entropy, BATCH, optimizer, step) == []


def test_the_step_says_which_mode_counts():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()
    optimizer = SGD(model.parameters(), lr=0.1)
    batch = (IMAGES * 1e4, LABELS)  # normalised in training mode, huge in evaluation mode
    assert lint(model, F.cross_entropy, batch, optimizer, step_of(model, F.cross_entropy, optimizer)) == []
    assert {"evaluation mode", "learning rate"} <= set(kinds(lint(model, F.cross_entropy, batch, optimizer)))


# ---------------------------------------------------------------- planted mistakes


def expect(findings, kind, where, remedy=""):
    """Exactly one finding, at the right place, with advice."""
    assert [(f.kind, f.where) for f in findings] == [(kind, where)]
    assert remedy in findings[0].remedy
    assert str(findings[0]).startswith(f"{where}: ")


class Ending(nn.Module):
    """Scores through a function at the end."""

    def __init__(self, function):
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.function = function

    def forward(self, x):
        return self.function(self.fc(x.flatten(1)))


def nll_of_scores(out, y):
    return F.nll_loss(F.log_softmax(out, 1), y)


def squashed(out, y):
    return F.cross_entropy(F.softmax(out, 1), y)


def accuracy(out, y):
    return (out.argmax(1) == y).float().mean()


def test_softmax_before_cross_entropy():
    expect(lint(small_cnn(nn.Softmax(1)), F.cross_entropy, BATCH), "softmax twice", "5 Softmax", "Remove the softmax")
    for function in (
        lambda x: F.softmax(x, 1),
        lambda x: F.softmax(x, 1).reshape(2, 32, 10).view(64, 10),
        lambda x: F.softmax(x, 1)[:, :].clone().t().t(),
        lambda x: F.softmax(x.unsqueeze(0), 2).squeeze(0),
    ):
        expect(lint(Ending(function), F.cross_entropy, BATCH), "softmax twice", "F.softmax after fc")
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    expect(lint(small_cnn(nn.Softmax(1)), smoothed, BATCH), "softmax twice", "5 Softmax")
    one_hot = (IMAGES, tg.eye(10)[LABELS])
    expect(lint(small_cnn(nn.Softmax(1)), F.cross_entropy, one_hot), "softmax twice", "5 Softmax")
    expect(lint(small_cnn(), squashed, BATCH), "softmax twice", "F.softmax in the loss function")
    expect(lint(small_cnn(nn.Softmax(1)), nll_of_scores, BATCH), "softmax twice", "5 Softmax")
    expect(lint(small_cnn(nn.Softmax(1), nn.LogSoftmax(1)), F.nll_loss, BATCH), "softmax twice", "5 Softmax")


def test_log_softmax_before_cross_entropy():
    expect(lint(small_cnn(nn.LogSoftmax(1)), F.cross_entropy, BATCH), "log_softmax twice", "5 LogSoftmax", "nll_loss")


def test_activation_on_the_scores():
    expect(lint(small_cnn(nn.ReLU()), F.cross_entropy, BATCH), "activation on the scores", "5 ReLU", "Remove")
    expect(lint(small_cnn(nn.Sigmoid()), F.cross_entropy, BATCH), "activation on the scores", "5 Sigmoid")
    fused = Ending(lambda x: F.linear(x, tg.rand(10, 10), activation="relu"))
    findings = lint(fused, F.cross_entropy, BATCH)
    assert kinds(findings) == ["activation on the scores"]


def test_log_softmax_missing_before_nll_loss():
    expect(lint(small_cnn(), F.nll_loss, BATCH), "log_softmax missing", "4 Linear", "nn.LogSoftmax(1)")
    expect(lint(small_cnn(nn.Softmax(1)), F.nll_loss, BATCH), "log_softmax missing", "5 Softmax", "log_softmax instead")
    view = Ending(lambda x: x.reshape(2, 32, 10).reshape(64, 10))
    expect(lint(view, nn.NLLLoss(), BATCH), "log_softmax missing", "fc Linear")


def test_evaluation_mode_while_training():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(), nn.Linear(288, 10))
    model.eval()
    findings = lint(model, F.cross_entropy, BATCH)
    assert [(f.kind, f.where) for f in findings] == [
        ("evaluation mode", "1 BatchNorm2d"),
        ("evaluation mode", "3 Dropout"),
    ]
    assert "model.train()" in findings[0].remedy
    model.train()
    model[3].eval()
    expect(lint(model, F.cross_entropy, BATCH), "evaluation mode", "3 Dropout")
    optimizer = SGD(model.parameters(), lr=0.1)

    def forgets_train(x, y):
        model.eval()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    model.train()
    assert kinds(lint(model, F.cross_entropy, BATCH, optimizer, forgets_train)) == ["evaluation mode"] * 2
    assert model.training


def test_training_mode_in_evaluation():
    always = Ending(lambda x: F.dropout(x, 0.5))
    expect(lint(always, F.cross_entropy, BATCH), "training mode", "F.dropout after fc", "self.training")
    norm = Ending(lambda x: F.batch_norm(x, tg.zeros(10), tg.ones(10), training=True))
    expect(lint(norm, F.cross_entropy, BATCH), "training mode", "F.batch_norm after fc", "self.training")


class Forgetful(nn.Module):
    """A layer that is not called, one that is cut off and one whose result is not used."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.uncalled = nn.Linear(10, 10)
        self.cut = nn.Linear(10, 10)
        self.unused = nn.Linear(10, 10)

    def forward(self, x):
        x = self.fc(x.flatten(1))
        self.unused(x)
        return x + self.cut(x).detach()


def test_parameters_without_gradient():
    findings = lint(Forgetful(), F.cross_entropy, BATCH)
    assert [(f.kind, f.where) for f in findings] == [
        ("no gradient", f"{name} Linear") for name in ("uncalled", "cut", "unused")
    ]
    assert "weight and bias get no gradient: forward never calls it" in findings[0].what
    assert "detach()" in findings[1].remedy

    cut = Ending(lambda x: x.detach())
    expect(lint(cut, F.cross_entropy, BATCH), "no gradient", "loss_fn", "detach()")
    expect(lint(small_cnn(), accuracy, BATCH), "no gradient", "loss_fn", "argmax")
    expect(lint(small_cnn().requires_grad_(False), F.cross_entropy, BATCH), "no gradient", "loss_fn", "Unfreeze")


def test_parameters_that_are_not_in_the_optimizer():
    model = small_cnn()
    optimizer = SGD([model[4].weight, model[4].bias, model[0].bias], lr=0.1)
    expect(lint(model, F.cross_entropy, BATCH, optimizer), "not in the optimizer", "0 Conv2d", "model.parameters()")
    other = SGD(copy.deepcopy(model).parameters(), lr=0.1)
    expect(lint(model, F.cross_entropy, BATCH, other), "not in the optimizer", "optimizer", "of this very network")


def test_learning_rates():
    model = small_cnn()
    expect(lint(model, F.cross_entropy, BATCH, SGD(model.parameters(), lr=0.0)), "learning rate", "optimizer", "1e-3")
    optimizer = SGD(model.parameters(), lr=0.0)
    found = lint(model, F.cross_entropy, BATCH, optimizer, step_of(model, F.cross_entropy, optimizer))
    expect(found, "learning rate", "optimizer")
    for rule, lr in ((SGD, 1e3), (Adam, 10.0)):
        expect(lint(model, F.cross_entropy, BATCH, rule(model.parameters(), lr=lr)), "learning rate", "optimizer", "10")
    groups = SGD([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[4].parameters()}], lr=0.1)
    expect(lint(model, F.cross_entropy, BATCH, groups), "learning rate", "optimizer, group 0")


def test_steps():
    model = small_cnn()
    optimizer = Adam(model.parameters())

    def forgets_zero_grad(x, y):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def zeroes_between(x, y):
        F.cross_entropy(model(x), y).backward()
        optimizer.zero_grad()
        optimizer.step()

    def never_steps(x, y):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()

    def never_goes_back(x, y):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y)
        optimizer.step()

    for step, kind, remedy in (
        (forgets_zero_grad, "zero_grad forgotten", "optimizer.zero_grad()"),
        (zeroes_between, "no update", "not between the two"),
        (never_steps, "no update", "optimizer.step()"),
        (never_goes_back, "no backward", "loss.backward()"),
    ):
        expect(lint(model, F.cross_entropy, BATCH, optimizer, step), kind, "step", remedy)
        assert not optimizer.state


@pytest.mark.parametrize(
    ("labels", "what", "remedy"),
    [
        (LABELS + 1, "labels from 1 to 10 for 10 classes", "Subtract 1"),
        (LABELS + 5, "labels from 5 to 14 for 10 classes", "needs 15 outputs"),
        (LABELS - 1, "labels from -1 to 8", "ignore_index"),
        (LABELS.int(), "dtype is tinygrad_cnn.int32", "labels.long()"),
        (LABELS.float(), "dtype is tinygrad_cnn.float32", "labels.long()"),
        (LABELS.reshape(64, 1), r"shape (64, 1)", "labels.reshape((64,))"),
        (tg.eye(10, dtype=tg.int64)[LABELS], "one-hot", "argmax(1)"),
    ],
)
@pytest.mark.parametrize("loss_fn", [F.cross_entropy, nll_of_scores])
def test_labels(labels, what, remedy, loss_fn):
    model = small_cnn()
    optimizer = SGD(model.parameters(), lr=0.1)
    findings = lint(model, loss_fn, (IMAGES, labels), optimizer, step_of(model, loss_fn, optimizer))
    expect(findings, "labels", "labels", remedy)
    assert what in findings[0].what


def test_several_mistakes_at_once():
    findings = lint(small_cnn(nn.Softmax(1)), F.cross_entropy, (IMAGES * 255, LABELS.float() + 1))
    assert kinds(findings) == ["labels", "labels", "inputs not scaled", "softmax twice"]


def test_inputs():
    expect(lint(small_cnn(), F.cross_entropy, (IMAGES * 255, LABELS)), "inputs not scaled", "input", "Divide by 255")
    expect(lint(small_cnn(), F.cross_entropy, (IMAGES * 16, LABELS)), "inputs not scaled", "input", "Divide by 16")
    flat = Ending(lambda x: x)
    expect(lint(flat, F.cross_entropy, (IMAGES * 255, LABELS)), "inputs not scaled", "input")
    raw = (DIGITS.data[:64].reshape(64, 1, 8, 8), LABELS)
    expect(lint(small_cnn(), F.cross_entropy, raw), "input dtype", "input", "images.float() / 255")
    double = (IMAGES.double(), LABELS)
    expect(lint(small_cnn(), F.cross_entropy, double), "input dtype", "input", "input.float()")
    single = lint(small_cnn().double(), F.cross_entropy, BATCH)
    expect(single, "input dtype", "input", "input.double()")
    bad = IMAGES.clone()
    bad[3, 0, 2, 1] = float("nan")
    findings = lint(small_cnn(), F.cross_entropy, (bad, LABELS))
    assert ("not finite", "input") in [(f.kind, f.where) for f in findings]


def test_dead_relus():
    model = small_cnn()
    with tg.no_grad():
        model[0].bias.fill_(-100.0)
    expect(lint(model, F.cross_entropy, BATCH), "dead ReLU", "1 ReLU", "LeakyReLU")
    net = lenet5(nn)
    with tg.no_grad():
        net.fc1.bias.fill_(-100.0)
    findings = lint(net, F.cross_entropy, (tg.rand(8, 1, 28, 28), LABELS[:8]))
    expect(findings, "dead ReLU", "F.relu after fc1")
    assert "120 of its 120 units" in findings[0].what


def test_vanishing_and_exploding_gradients():
    layers = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Sigmoid())]
    deep = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), *layers, nn.Linear(32, 10))
    findings = lint(deep, F.cross_entropy, BATCH)
    assert set(kinds(findings)) == {"vanishing gradient"}
    assert findings[0].where == "1 Linear"
    assert "ReLU" in findings[0].remedy

    layers = [layer for _ in range(5) for layer in (nn.Linear(32, 32), nn.ReLU())]
    deep = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), *layers, nn.Linear(32, 10))
    with tg.no_grad():
        for layer in deep:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(20)
    findings = lint(deep, F.cross_entropy, BATCH)
    assert set(kinds(findings)) == {"exploding gradient"}
    assert "smaller weights" in findings[0].remedy

    with tg.no_grad():
        deep[-1].weight.fill_(float("nan"))
    findings = lint(deep, F.cross_entropy, BATCH)
    assert [(f.kind, f.where) for f in findings] == [("not finite", "loss_fn"), ("not finite", "12 Linear")]


class Own(nn.Module):
    """Parameters of its own, one of which is not used, and a dictionary as output."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(tg.rand(3, 2))
        self.unused = nn.Parameter(tg.rand(3))
        self.huge = nn.Parameter(tg.rand(2, 2) * 1e7)

    def forward(self, x):
        return {"scores": x @ self.weight @ self.huge}


def test_parameters_of_the_network_itself():
    model = Own()
    batch = (tg.rand(4, 3), tg.tensor([0, 1, 0, 1]))
    findings = lint(model, lambda out, y: F.mse_loss(out["scores"], tg.eye(2)[y]), batch, SGD([model.huge], lr=1e-12))
    assert [(f.kind, f.where) for f in findings] == [
        *(("no gradient", "Own"), ("exploding gradient", "Own"), ("not in the optimizer", "Own"))
    ]
    assert findings[0].what.startswith("unused gets no gradient")
    assert "weight and unused" in findings[2].what


def test_losses_that_are_no_number_or_compare_everything():
    loss = nn.CrossEntropyLoss(reduction="none")
    expect(lint(small_cnn(), loss, BATCH), "loss is no number", "loss_fn", "loss.mean()")
    model = nn.Sequential(nn.Linear(5, 1))
    findings = lint(model, F.mse_loss, (tg.rand(8, 5), tg.rand(8)))
    expect(findings, "shapes broadcast", "loss_fn", "output.reshape((8,))")


# ---------------------------------------------------------------- what is left behind


def test_everything_is_as_it_was():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(288, 10)
    )
    optimizer = Adam([{"params": model[0].parameters(), "lr": 0.01}, {"params": model[5].parameters()}])
    step_of(model, F.cross_entropy, optimizer)(*BATCH)
    optimizer.zero_grad()
    model[0].weight.grad = tg.ones_like(model[0].weight)
    model[1].eval()
    parameters = [(p, p._array, p._array.copy(), p.grad) for p in model.parameters()]
    buffers = [(b, b._array.copy()) for b in model.buffers()]
    modes, hooks = [m.training for m in model.modules()], [m.has_hooks() for m in model.modules()]
    saved = copy.deepcopy(optimizer.state_dict())
    averages = optimizer.state[model[0].weight]["exp_avg"]
    random_state = tg.get_rng_state()
    images = IMAGES.clone()

    def careless(x, y):
        model.train()
        x.mul_(1.0)
        tg.rand(3)
        optimizer.param_groups[0]["lr"] = 7.0
        optimizer.add_param_group({"params": model[1].parameters()})
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.state[model[0].weight]["new"] = 1
        model[0].weight.requires_grad_(False)
        if len(failing) == 1:
            raise ValueError("on purpose")
        if len(optimizer.param_groups) == 3:
            optimizer.param_groups.pop()
        model[0].weight.requires_grad_(True)

    for failing in ([], [1]):
        if failing:
            with pytest.raises(ValueError, match="on purpose"):
                lint(model, F.cross_entropy, (images, LABELS), optimizer, careless)
        else:
            with tg.no_grad():
                found = lint(model, F.cross_entropy, (images, LABELS), optimizer, lambda x, y: enabled(careless, x, y))
            assert "zero_grad forgotten" in kinds(found)
        for (p, array, value, grad), now in zip(parameters, model.parameters()):
            assert now is p
            assert now._array is array
            assert np.array_equal(array, value)
            assert now.grad is grad
            assert now.requires_grad
        assert model[0].weight.grad.sum().item() == 72
        assert all(np.array_equal(b._array, value) for b, value in buffers)
        assert [m.training for m in model.modules()] == modes
        assert [m.has_hooks() for m in model.modules()] == hooks
        assert not any(p._hooks for p in model.parameters())
        assert optimizer.state[model[0].weight]["exp_avg"] is averages
        now = optimizer.state_dict()
        assert now["param_groups"] == saved["param_groups"]
        assert now["state"].keys() == saved["state"].keys()
        for number, values in saved["state"].items():
            assert values.keys() == now["state"][number].keys()
            assert all(tg.equal(value, now["state"][number][name]) for name, value in values.items())
        after = tg.get_rng_state()
        assert after["pos"] == random_state["pos"]
        assert np.array_equal(after["key"], random_state["key"])


def enabled(step, x, y):
    assert tg.is_grad_enabled()
    step(x, y)


class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("on purpose")


MODEL = small_cnn()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: lint(nn.Linear, F.cross_entropy, BATCH),
            TypeError,
            "model must be a Module, got the class",
        ),
        (lambda: lint(MODEL, None, BATCH), TypeError, "loss_fn must be a function, got NoneType"),
        (
            lambda: lint(MODEL, F.cross_entropy, IMAGES),
            TypeError,
            "batch must be a pair .*, got Tensor",
        ),
        (lambda: lint(MODEL, F.cross_entropy, (IMAGES,)), TypeError, "got 1 entries"),
        (lambda: lint(MODEL, F.cross_entropy, (IMAGES, [1])), DTypeError, "target must be a Tensor, got list"),
        (lambda: lint(MODEL, F.cross_entropy, BATCH, MODEL.parameters()), TypeError, "optimizer must be an Optimizer"),
        (lambda: lint(MODEL, F.cross_entropy, BATCH, None, print), TypeError, "step needs optimizer too"),
        (lambda: lint(MODEL, F.cross_entropy, BATCH, SGD(MODEL.parameters(), lr=1), 3), TypeError, "step must be"),
        (lambda: lint(MODEL, F.cross_entropy, (tg.rand(2, 3, 8, 8), LABELS[:2])), ShapeError, r"0 = Conv2d\(1, 8"),
        (lambda: lint(MODEL, lambda out, y: 1.0, BATCH), DTypeError, "loss_fn must return a Tensor, got float"),
        (lambda: lint(MODEL, F.cross_entropy, (IMAGES, LABELS[:5])), ShapeError, "target.shape=.5,."),
        (lambda: lint(Fails(), F.cross_entropy, BATCH), RuntimeError, "on purpose"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
