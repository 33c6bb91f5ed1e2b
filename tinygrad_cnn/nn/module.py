"""Module: what every layer and every network is built from.

A Module keeps its parameters, buffers and submodules in three dictionaries of its own.  Assigning an attribute puts
the value into the dictionary it belongs to, reading one that Python does not find looks there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..autograd import RemovableHandle, Tensor, dtype, wrap
from ..autograd.dtype import FROM_NUMPY, as_numpy_dtype
from ..autograd.engine import zero_grad
from ..errors import DTypeError, ShapeError
from .mismatch import explain
from .parameter import Parameter
from .state import IncompatibleKeys, load_into

M = TypeVar("M", bound="Module")

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module:
    """Base class of all layers and networks, as ``torch.nn.Module``.

    Subclasses call ``super().__init__()``, assign layers and Parameters to attributes, and define ``forward``::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(1, 8, 3)

            def forward(self, x):
                return F.relu(self.conv(x))

    Attributes:
        training: whether the module is in training mode, which dropout and batch normalisation look at.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _not_saved: set[str]  # names of the buffers that state_dict leaves out
    _forward_pre_hooks: dict[int, tuple[Callable[..., Any], bool]]  # the hook, and whether it gets keyword arguments
    _forward_hooks: dict[int, tuple[Callable[..., Any], bool, bool]]  # and whether it is always called

    def __init__(self) -> None:
        for name in (*_REGISTRIES, "_forward_pre_hooks", "_forward_hooks"):
            self.__dict__[name] = {}
        self.__dict__["_not_saved"] = set()
        self.__dict__["training"] = True

    # ---------------------------------------------------------------- calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and the hooks around it.

        A ShapeError on the way gets a note with the path of the layer, the shape that arrived and, where it is known,
        what to change.
        """
        try:
            if not (self._forward_pre_hooks or self._forward_hooks):  # has_hooks(), without a call
                return self.forward(*args, **kwargs)
            return self._call_with_hooks(args, kwargs)
        except ShapeError as error:
            explain(error, self, (*args, *kwargs.values()))
            raise

    def has_hooks(self) -> bool:
        """Whether a call runs forward hooks or pre-hooks."""
        return bool(self._forward_pre_hooks or self._forward_hooks)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = None
        due = {key for key, (_, _, always_call) in self._forward_hooks.items() if always_call}
        try:
            for hook, with_kwargs in list(self._forward_pre_hooks.values()):
                if with_kwargs:
                    changed = hook(self, args, kwargs)
                    if changed is not None:
                        args, kwargs = _both(changed)
                else:
                    changed = hook(self, args)
                    if changed is not None:
                        args = changed if isinstance(changed, tuple) else (changed,)
            output = self.forward(*args, **kwargs)
            for key, (hook, with_kwargs, _) in list(self._forward_hooks.items()):
                due.discard(key)
                replaced = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
                if replaced is not None:
                    output = replaced
        except Exception:
            for key, (hook, with_kwargs, _) in list(self._forward_hooks.items()):
                if key in due:
                    _call_silently(hook, (self, args, kwargs, output) if with_kwargs else (self, args, output))
            raise
        return output

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every ``forward``; what it returns, if not None, replaces ``args``.

        Args:
            hook: with ``with_kwargs``, it is called as ``hook(module, args, kwargs)`` and may return the pair of both.
            prepend: run it before the hooks already registered.
            with_kwargs: whether the hook gets the keyword arguments.

        Returns:
            A handle whose ``remove()`` takes the hook away.
        """
        return _add_hook(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every ``forward``; what it returns, if not None, is the output.

        Args:
            hook: with ``with_kwargs``, it is called as ``hook(module, args, kwargs, output)``.
            prepend: run it before the hooks already registered.
            with_kwargs: whether the hook gets the keyword arguments.
            always_call: run it also if ``forward`` or another hook raised an exception; ``output`` is then what there
                was until then, None if ``forward`` did not end.  An exception of its own becomes a warning.

        Returns:
            A handle whose ``remove()`` takes the hook away.
        """
        return _add_hook(self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    # ---------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._forget(name, but="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, but="_modules")
            self.register_module(name, value)
        else:
            for kind in _REGISTRIES:
                registered = self.__dict__.get(kind)
                if registered is not None and name in registered:
                    _check_replacement(kind, name, value)
                    registered[name] = value
                    return
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:  # called only where the usual look-up fails
        for kind in _REGISTRIES:
            registered = self.__dict__.get(kind)
            if registered is not None and name in registered:
                return registered[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for kind in _REGISTRIES:
            if name in self.__dict__.get(kind, ()):
                self._forget(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    def _forget(self, name: str, but: str | None = None) -> None:
        """Take an attribute out of wherever it is but the one registry, where it keeps its place in the order."""
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
        self.__dict__.pop(name, None)
        self._not_saved.discard(name)
        for kind in _REGISTRIES:
            if kind != but:
                self.__dict__[kind].pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a Parameter under this name; None reserves the name, as ``bias=False`` does.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
            TypeError: param is neither Parameter nor None.
            ValueError: param is not a leaf.
        """
        self._check_name(name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} must be a Parameter or None, got {type(param).__name__}")
        if param is not None and param.grad_fn is not None:
            raise ValueError(f"register_parameter: {name!r} must be a leaf, but {param.grad_fn.name()} computed it")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that belongs to the module's state but is not trained, such as a running mean.

        Args:
            name: the attribute's name.
            tensor: Tensor of any shape, or None to reserve the name.
            persistent: whether ``state_dict`` contains it.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
            TypeError: tensor is neither Tensor nor None.
        """
        self._check_name(name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} must be a Tensor or None, got {type(tensor).__name__}")
        self._buffers[name] = tensor
        if persistent:
            self._not_saved.discard(name)
        else:
            self._not_saved.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under this name.

        Raises:
            KeyError: the name is empty, contains a dot or is taken.
            TypeError: module is neither Module nor None.
        """
        self._check_name(name, "_modules")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"register_module: {name!r} must be a Module or None, got {type(module).__name__}")
        self._modules[name] = module

    add_module = register_module

    def _check_name(self, name: str, kind: str) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before registering {name!r}")
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        if name == "" or "." in name:
            raise KeyError(f"name must not be empty or contain a dot, got {name!r}")
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")

    # ---------------------------------------------------------------- walking through the tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (named ``prefix``) and all below it with their dotted paths, parents first.

        Args:
            memo: modules to leave out; those that are yielded are added to it.
            prefix: put before every path.
            remove_duplicate: give a module that occurs several times only once.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The Parameters with their dotted paths, in the order of registration.

        Args:
            prefix: put before every path.
            recurse: also those of the submodules.
            remove_duplicate: give a Parameter that several modules share only once.
        """
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The Parameters, each once: what an optimizer takes."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted paths; arguments as in ``named_parameters``."""
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _named_members(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in module.__dict__[kind].items():
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield _join(path, name), member

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; the empty path is this module.

        Raises:
            AttributeError: there is no such submodule; the message says where the path breaks.
        """
        module: Module = self
        for name in target.split(".") if target else ():
            found = getattr(module, name, None)
            if not isinstance(found, Module):
                what = "is not a Module" if hasattr(module, name) else "does not exist"
                raise AttributeError(f"get_submodule: {name!r} of {target!r} {what} in {type(module).__name__}")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The Parameter at a dotted path.

        Raises:
            AttributeError: there is no such Parameter.
        """
        found = self._get_member(target, "get_parameter")
        if not isinstance(found, Parameter):
            raise AttributeError(f"get_parameter: {target!r} is a {type(found).__name__}, not a Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.

        Raises:
            AttributeError: there is no such buffer.
        """
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"get_buffer: there is no buffer {target!r}")
        return found

    def _get_member(self, target: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{what}: {type(module).__name__} has no attribute {name!r}, asked for {target!r}")
        return getattr(module, name)

    # ---------------------------------------------------------------- state

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """All parameters and persistent buffers by their dotted paths.

        Args:
            destination: a dictionary to fill; a new one by default.
            prefix: put before every path, with its dot.
            keep_vars: give the Parameters themselves; otherwise detached Tensors that share their memory.
        """
        destination = {} if destination is None else destination
        for name, tensor in [*self._parameters.items(), *self._buffers.items()]:
            if tensor is not None and name not in self._not_saved:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return destination

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True) -> IncompatibleKeys:
        """Copy the Tensors of a ``state_dict`` into this module's parameters and buffers.

        Args:
            state_dict: Tensors by dotted path; each is converted to the dtype of its target.
            strict: whether the paths must be exactly those of this module's ``state_dict``.

        Returns:
            The lists ``missing_keys`` and ``unexpected_keys``.

        Raises:
            RuntimeError: missing or unexpected paths (with strict), or shapes that differ; all of them are listed, and
                nothing has been changed.
            TypeError: state_dict is no dictionary of Tensors.
        """
        return load_into(self.state_dict(), state_dict, strict, type(self).__name__)

    # ---------------------------------------------------------------- modes, gradients, dtypes

    def train(self: M, mode: bool = True) -> M:
        """Switch this module and all below it to training mode (``mode=False``: to evaluation); returns the module."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch to evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set ``requires_grad`` of every Parameter; returns the module."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every Parameter's gradient, or with ``set_to_none=False`` fill it with zeros."""
        zero_grad(self.parameters(), set_to_none)

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call ``fn`` on every submodule, children first, then on this one; returns the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert the floating-point parameters and buffers, in place: ``to(dtype)``, ``to("cpu")``, ``to(tensor)``.

        Args:
            *args, **kwargs: a dtype, the device ``"cpu"``, both, or a Tensor whose dtype is taken; also as ``dtype=``
                and ``device=``.

        Returns:
            The module itself; its Parameters are the same objects, so optimizers keep theirs.

        Raises:
            DTypeError: the dtype is not a floating-point one.
            ValueError: another device than ``"cpu"``.
            TypeError: an argument that is none of these.
        """
        wanted = kwargs.pop("dtype", None)
        devices = [kwargs.pop("device", None)]
        kwargs.pop("non_blocking", None)
        if kwargs:
            raise TypeError(f"to: unknown arguments {', '.join(kwargs)}")
        for value in args:
            if isinstance(value, Tensor):
                wanted = value.dtype
            elif isinstance(value, dtype | np.dtype | type):
                wanted = value
            else:
                devices.append(value)
        for device in devices:
            if device is not None and str(device) != "cpu":
                raise ValueError(f"to: device must be 'cpu', the only one there is, got {device!r}")
        return self if wanted is None else self._convert(as_numpy_dtype(wanted))

    def float(self: M) -> M:
        """Convert the floating-point parameters and buffers to float32; returns the module."""
        return self._convert(np.dtype(np.float32))

    def double(self: M) -> M:
        """Convert the floating-point parameters and buffers to float64; returns the module."""
        return self._convert(np.dtype(np.float64))

    def cpu(self: M) -> M:
        """The module itself: everything is on the CPU."""
        return self

    def _convert(self: M, wanted: np.dtype) -> M:
        if wanted.kind != "f":
            raise DTypeError(f"to: a module's dtype must be float32 or float64, got {FROM_NUMPY[wanted]}")
        for tensor in [*self.parameters(), *self.buffers()]:
            if tensor._array.dtype.kind == "f" and tensor._array.dtype != wanted:
                grad = tensor.grad
                tensor.data = wrap(tensor._array.astype(wanted))  # astype keeps the order in memory
                if grad is not None:
                    tensor.grad = wrap(grad._array.astype(wanted))
        return self

    # ---------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """The module's settings, as ``repr`` prints them between the brackets; layers define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not self._modules:
            return f"{type(self).__name__}({lines[0]})"
        lines += [f"({name}): {indent(repr(module))}" for name, module in self._modules.items()]
        body = "".join(f"\n  {line}" for line in lines)
        return f"{type(self).__name__}({body}\n)" if body else f"{type(self).__name__}()"


def indent(text: str) -> str:
    """The text with all lines but the first moved two columns to the right."""
    return text.replace("\n", "\n  ")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _check_replacement(kind: str, name: str, value: Any) -> None:
    """A registered attribute may only be replaced by one of its kind, or by None."""
    if value is None or (kind == "_buffers" and isinstance(value, Tensor)):
        return
    expected = {"_parameters": "Parameter", "_buffers": "Tensor", "_modules": "Module"}[kind]
    raise TypeError(f"cannot assign a {type(value).__name__} to {name!r}: expected a {expected} or None")


def _add_hook(hooks: dict[int, Any], entry: tuple[Any, ...], prepend: bool) -> RemovableHandle:
    earlier = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    handle = RemovableHandle(hooks, entry)
    hooks.update(earlier)
    return handle


def _both(changed: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a pre-hook with keyword arguments returned, checked."""
    if not isinstance(changed, tuple) or len(changed) != 2:
        raise RuntimeError(f"forward pre-hook: must return None or a pair of args and kwargs, got {changed!r}")
    return changed


def _call_silently(hook: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call a hook while another exception is on its way, which one of the hook's own must not replace."""
    try:
        hook(*arguments)
    except Exception as error:
        warnings.warn(f"forward hook with always_call=True raised {error!r} after another exception", stacklevel=4)
