"""Sequential, ModuleList and ModuleDict behave as lists and dictionaries, and as PyTorch's."""

from __future__ import annotations

import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.errors import ShapeError


class Plus(nn.Module):
    """Adds a number, so that the order of modules shows in the result."""

    def __init__(self, number: str) -> None:
        super().__init__()
        self.number = number

    def forward(self, text: str) -> str:
        return text + self.number

    def extra_repr(self) -> str:
        return self.number


def chain(text: str) -> nn.Sequential:
    return nn.Sequential(*map(Plus, text))


def spelled(modules) -> str:
    return "".join(module.number for module in modules)


def test_sequential_calls_in_order():
    assert chain("abc")("") == "abc"
    assert nn.Sequential()("x") == "x"


def test_sequential_with_names():
    net = nn.Sequential({"conv": Plus("a"), "act": Plus("b")})
    assert net("") == "ab"
    assert net.conv.number == "a"
    assert list(net[1:]._modules) == ["act"]
    net.append(Plus("c"))
    assert list(net._modules) == ["conv", "act", "2"]


def test_sequential_is_a_list():
    net = chain("abcd")
    assert (len(net), net[0].number, net[-1].number, net[1:3]("")) == (4, "a", "d", "bc")
    assert [m.number for m in net] == list("abcd")
    net[1] = Plus("x")
    assert net("") == "axcd"
    del net[0]
    assert net("") == "xcd"
    assert list(net._modules) == ["0", "1", "2"]
    del net[1:]
    assert net("") == "x"
    assert net.append(Plus("y")).insert(0, Plus("w")).insert(-1, Plus("v")).extend(map(Plus, "z1"))("") == "wxvy" + "z1"
    assert net.pop(-1).number == "1"
    assert (net + chain("!"))("") == "wxvyz!"
    net += chain("?")
    assert net("") == "wxvyz?"
    assert (chain("ab") * 2)("") == (2 * chain("ab"))("") == "abab"
    net = chain("ab")
    net *= 3
    assert net("") == "ababab"


def test_module_list():
    modules = nn.ModuleList(map(Plus, "abc"))
    assert spelled(modules) == "abc"
    assert spelled(modules[1:]) == "bc"
    assert modules[-1].number == "c"
    modules += map(Plus, "de")
    modules[0] = Plus("x")
    del modules[1]
    modules.insert(1, Plus("y"))
    assert spelled(modules + nn.ModuleList([Plus("!")])) == "xycde!"
    assert modules.pop(0).number == "x"
    assert len(modules) == 4
    assert repr(nn.ModuleList()) == "ModuleList()"
    assert repr(nn.ModuleList([Plus("a"), Plus("a"), Plus("b")])) == (
        "ModuleList(\n  (0-1): 2 x Plus(a)\n  (2): Plus(b)\n)"
    )


def test_module_dict():
    modules = nn.ModuleDict({"a": Plus("1"), "b": Plus("2")})
    modules["c"] = Plus("3")
    modules.update([("a", Plus("4"))])
    assert list(modules) == list(modules.keys()) == ["a", "b", "c"]
    assert spelled(modules.values()) == "423"
    assert [name for name, _ in modules.items()] == ["a", "b", "c"]
    assert "b" in modules
    assert modules.pop("b").number == "2"
    del modules["c"]
    assert (len(modules), modules["a"].number) == (1, "4")
    modules.clear()
    assert len(modules) == 0


FUSED = {
    "convolution": (lambda: [nn.Conv2d(3, 5, 3), nn.ReLU()], ["Conv2dReLU"]),
    "pooling": (lambda: [nn.ReLU(), nn.MaxPool2d(2)], ["MaxPool2dReLU"]),
    "both": (lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(3, 2)], ["Conv2d", "MaxPool2dReLU"]),
    "padded pooling": (lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2, 1, 1)], ["Conv2dReLU", "MaxPool2d"]),
    "two ReLUs": (lambda: [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.ReLU()], ["Conv2dReLU", "ReLU"]),
    "dense": (lambda: [nn.Flatten(), nn.Linear(3 * 9 * 8, 4), nn.ReLU()], ["Reshape", "LinearReLU"]),
}


@pytest.mark.parametrize("watched", [False, True], ids=["fused", "hooked"])
@pytest.mark.parametrize("case", FUSED)
def test_what_is_fused_gives_the_same_bits(case, watched):
    """As the modules one by one, forward and backward; with a hook on each they do run one by one."""
    layers, operations = FUSED[case]
    tg.manual_seed(0)
    net = nn.Sequential(*layers())
    seen = []
    hooks = [module.register_forward_hook(lambda module, *_: seen.append(module)) for module in net if watched]
    x = tg.randn(2, 3, 9, 8, requires_grad=True)
    together = net(x)
    for hook in hooks:
        hook.remove()
    apart = x
    for module in net:
        apart = module(apart)
    wanted = [x, *net.parameters()]
    gradients = [tg.autograd.grad(out.square().sum(), wanted) for out in (together, apart)]
    assert together.equal(apart)
    assert all(fused.equal(plain) for fused, plain in zip(*gradients, strict=True))
    assert seen == (list(net) if watched else [])
    if not watched:
        assert recorded(together)[-len(operations) :] == operations


def recorded(output):
    """Names of the operations on the way from the input, following the first argument."""
    names, node = [], output.grad_fn
    while node is not None and node.next_functions:
        names.append(type(node).__name__)
        node = node.next_functions[0][0]
    return names[::-1]


ERRORS = [
    (lambda: nn.Sequential(1), TypeError, "Sequential: expected a Module, got int"),
    (lambda: nn.ModuleList([Plus("a"), "b"]), TypeError, "ModuleList: expected a Module, got str"),
    (lambda: nn.ModuleDict({"a": 1}), TypeError, "'a' must be a Module or None, got int"),
    (lambda: nn.ModuleDict({"keys": Plus("a")}), KeyError, "already has an attribute 'keys'"),
    (lambda: chain("ab")[2], IndexError, "Sequential: index 2 is out of range for 2 modules"),
    (lambda: chain("ab").insert(5, Plus("c")), IndexError, "insert: index 5 is out of range for 2 modules"),
    (lambda: chain("ab").append(3), TypeError, "'2' must be a Module or None, got int"),
    (lambda: chain("ab") + nn.ModuleList(), TypeError, "can only be added to a Sequential, got ModuleList"),
    (lambda: chain("ab") * 0, ValueError, "positive number of times, got 0"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_module_changes_nothing():
    net = chain("ab")
    with pytest.raises(TypeError):
        net.extend([Plus("c"), 4])
    assert net("") == "ab"


def network() -> nn.Sequential:
    tg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 3, 1),
        nn.Flatten(),
        nn.Linear(27, 5),
        nn.ReLU(),
        nn.ReLU(),
        nn.Linear(5, 2),
    )


def result_and_gradients(run) -> list[bytes]:
    net, x = network(), tg.randn(2, 2, 5, 5)
    out = run(net, x)
    out.square().sum().backward()
    return [t.numpy().tobytes() for t in (out.detach(), *(p.grad for p in net.parameters()))]


def one_by_one(net, x):
    for module in net:
        x = module(x)
    return x


def test_a_layer_and_the_relu_after_it_are_one_operation_with_the_same_bits():
    assert result_and_gradients(lambda net, x: net(x)) == result_and_gradients(one_by_one)
    names = []
    node = network()(tg.randn(2, 2, 5, 5)).grad_fn
    while node is not None and node.edges:
        names.append(type(node).__name__)
        node = node.edges[0] and node.edges[0][0]
        if isinstance(node, tg.Tensor):
            break
    assert [name for name in names if "ReLU" in name] == ["ReLU", "LinearReLU", "Conv2dReLU"]


def test_hooks_see_a_layer_and_its_relu_apart():
    net, seen = network(), []
    net[0].register_forward_hook(lambda module, args, out: seen.append(float(out.min())))
    net[5].register_forward_hook(lambda module, args, out: seen.append(float(out.min())))
    net(tg.randn(2, 2, 5, 5))
    assert len(seen) == 2
    assert seen[0] < 0 <= seen[1]


def test_a_subclass_keeps_its_own_forward():
    class Doubled(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    tg.manual_seed(0)
    net = nn.Sequential(Doubled(3, 4), nn.ReLU())
    x = tg.randn(2, 3)
    assert tg.equal(net(x), (2 * nn.functional.linear(x, net[0].weight, net[0].bias)).relu())


def test_a_wrong_shape_names_the_layer():
    with pytest.raises(ShapeError) as caught:
        network()(tg.zeros(1, 2, 6, 6))
    assert "4 = Linear(27, 5)" in "".join(caught.value.__notes__)
