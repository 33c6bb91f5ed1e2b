"""Modules that hold modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from ..autograd.grad_mode import recording
from ..ops.conv_pool import conv2d_relu_max_pool2d
from ..ops.replay import Replays
from .activation import ReLU
from .conv import Conv2d
from .linear import Linear
from .module import Module, indent
from .pooling import MaxPool2d
from .replay import situation

N = TypeVar("N", bound="_Numbered")


class _Numbered(Module):
    """What Sequential and ModuleList share: submodules named "0", "1", ... and the behaviour of a list."""

    def _position(self, index: Any) -> int:
        length = len(self._modules)
        position = operator.index(index)
        if not -length <= position < length:
            raise IndexError(f"{type(self).__name__}: index {position} is out of range for {length} modules")
        return position % length

    def _replace_all(self, modules: Iterable[Module]) -> None:
        """Hold these modules and no others, numbered from 0."""
        modules = _checked(self, modules)
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    def _all(self) -> list[Any]:
        return list(self._modules.values())

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        name = list(self._modules)[self._position(index)]
        setattr(self, name, module)

    def __delitem__(self, index: int | slice) -> None:
        modules = self._all()
        if not isinstance(index, slice):
            index = self._position(index)
        del modules[index]
        self._replace_all(modules)

    def __iadd__(self: N, other: Iterable[Module]) -> N:
        return self.extend(other)

    def append(self: N, module: Module) -> N:
        """Add a module at the end; returns the container.

        Raises:
            TypeError: module is not a Module.
        """
        self.register_module(str(len(self)), module)
        return self

    def insert(self: N, index: int, module: Module) -> N:
        """Add a module before position ``index``, which may be negative; returns the container.

        Raises:
            TypeError: module is not a Module.
            IndexError: index lies outside -n .. n.
        """
        if not -len(self) <= index <= len(self):
            raise IndexError(f"insert: index {index} is out of range for {len(self)} modules")
        modules = self._all()
        modules.insert(index, module)
        self._replace_all(modules)
        return self

    def extend(self: N, modules: Iterable[Module]) -> N:
        """Add several modules at the end; returns the container.

        Raises:
            TypeError: one of them is not a Module.
        """
        for module in _checked(self, modules):
            self.append(module)
        return self

    def pop(self, index: int | slice) -> Any:
        """Remove the module at ``index`` and return it."""
        module = self[index]  # type: ignore[index]
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules that are called one after the other, each on the last one's output, as ``torch.nn.Sequential``.

    A ``ReLU`` runs as one operation with the ``MaxPool2d`` after it, or else with the ``Conv2d``, ``Linear`` or
    ``MaxPool2d`` before it, unless one of the two has hooks or is of a subclass: the same bits, and fewer passes over
    memory. In training, a large batch of images goes through ``Conv2d``, ``ReLU`` and ``MaxPool2d`` a few images at a
    time: the same bits, but for the gradients by the weight and the bias, which are sums of those of these parts.

    Under ``no_grad`` or ``inference_mode``, layers of the kinds above, ``Flatten`` and those that do nothing in
    evaluation run as one program from the second call on with an input of the same shape: the same bits again, without
    the Python between the layers. A large batch of images goes through the layers before the first ``Linear`` a few
    images at a time, which keeps what they compute in the cache.

    Args:
        *args: modules, named "0", "1", ...; or one dictionary of modules by name.

    Raises:
        TypeError: an argument is not a Module.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self._replays = Replays()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.register_module(name, module)
        else:
            self._replace_all(args)

    def forward(self, input: Any) -> Any:
        """Pass the input through every module in turn."""
        if recording.get():
            return self._in_turn(input)
        found = situation(self._all())
        if found is None:
            return self._in_turn(input)
        return self._replays.run(self._in_turn, input, *found, parts=self._parts)

    def _in_turn(self, input: Any) -> Any:
        return _in_turn(self._modules.values(), input)

    def _parts(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any] | None]:
        """The layers before the first ``Linear``, and the others: its filters take long to prepare for few images."""
        modules = self._all()
        first = next((i for i, module in enumerate(modules) if type(module) is Linear), len(modules))
        rest = functools.partial(_in_turn, modules[first:]) if first < len(modules) else None
        return functools.partial(_in_turn, modules[:first]), rest

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return self._all()[self._position(index)]

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise TypeError(f"Sequential: can only be added to a Sequential, got {type(other).__name__}")
        return Sequential(*self, *other)

    def __mul__(self, count: int) -> Sequential:
        return Sequential(*self._all() * _positive(count))

    __rmul__ = __mul__

    def __imul__(self, count: int) -> Sequential:
        self._replace_all(self._all() * _positive(count))
        return self


def _in_turn(modules: Iterable[Any], input: Any) -> Any:
    """The input through every module, neighbours that can be one operation together."""
    layer: Any = None  # not called yet: a layer that takes a ReLU along, if one comes next
    relu: Any = None  # not called yet: a ReLU, after that layer or alone
    for module in modules:
        kind = type(module) if module is not None and not module.has_hooks() else None
        if kind is ReLU and relu is None:
            relu = module
        elif relu is not None and kind is MaxPool2d and _every_window_sees_a_pixel(module):
            pooled = _in_chunks(layer, module, input) if type(layer) is Conv2d else None
            input = module(_called(layer, None, input), activation="relu") if pooled is None else pooled
            layer = relu = None
        else:
            input = _called(layer, relu, input)
            layer, relu = (module if _takes_relu_along(kind, module) else None), (module if kind is ReLU else None)
            if layer is None and relu is None:
                input = module(input)
    return _called(layer, relu, input)


def _in_chunks(layer: Conv2d, pool: MaxPool2d, input: Any) -> Any:
    """A large batch of images through a convolution, a ReLU and max pooling; None where it is better one by one."""
    convolution = (layer.stride, layer.padding, layer.dilation, layer.groups)
    pooling = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
    return conv2d_relu_max_pool2d(input, layer.weight, layer.bias, convolution, pooling)


def _called(layer: Any, relu: Any, input: Any) -> Any:
    """The input through a layer and a ReLU, of which one or both may be None."""
    if layer is None:
        return input if relu is None else relu(input)
    return layer(input) if relu is None else layer(input, activation="relu")


def _takes_relu_along(kind: type[Module] | None, module: Any) -> bool:
    """Whether a layer of this kind can apply the ReLU after it."""
    return kind in (Conv2d, Linear) or (kind is MaxPool2d and not module.return_indices)


def _every_window_sees_a_pixel(pool: Any) -> bool:
    """Whether max pooling gives the same before and after a ReLU: nothing but a window of padding tells the two."""
    return pool.padding in (0, (0, 0)) and not pool.return_indices


class ModuleList(_Numbered):
    """A list of modules whose parameters are found, as ``torch.nn.ModuleList``.

    Args:
        modules: the modules to begin with.

    Raises:
        TypeError: one of them is not a Module.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._replace_all(modules or ())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._all()[index])
        return self._all()[self._position(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return type(self)([*self, *other])

    def __repr__(self) -> str:
        """As other modules, but equal neighbours are printed once: ``(0-2): 3 x Linear(...)``."""
        if not len(self):
            return f"{type(self).__name__}()"
        groups: list[tuple[int, int, str]] = []  # first, last, text
        for i, module in enumerate(self):
            text = repr(module)
            if groups and groups[-1][2] == text:
                groups[-1] = (groups[-1][0], i, text)
            else:
                groups.append((i, i, text))
        lines = []
        for first, last, text in groups:
            label = f"({first})" if first == last else f"({first}-{last})"
            count = "" if first == last else f"{last - first + 1} x "
            lines.append(f"\n  {label}: {count}{indent(text)}")
        return f"{type(self).__name__}({''.join(lines)}\n)"


class ModuleDict(Module):
    """A dictionary of modules whose parameters are found, as ``torch.nn.ModuleDict``.

    Args:
        modules: modules by name, or pairs of name and module.

    Raises:
        TypeError: a value is not a Module.
        KeyError: a name is empty, contains a dot or is the name of one of the dictionary's methods.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove the module of this name and return it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and module."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules by name; those of the same name are replaced."""
        for key, module in dict(modules).items():
            self[key] = module


def _checked(container: Module, modules: Iterable[Any]) -> list[Module]:
    modules = list(modules)
    for module in modules:
        if not isinstance(module, Module):
            raise TypeError(f"{type(container).__name__}: expected a Module, got {type(module).__name__}")
    return modules


def _positive(count: Any) -> int:
    if not isinstance(count, int) or count <= 0:
        raise ValueError(f"Sequential: can only be repeated a positive number of times, got {count!r}")
    return count
