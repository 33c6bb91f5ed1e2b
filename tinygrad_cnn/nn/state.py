"""Loading a state dictionary: everything is checked before the first byte is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` returns: the paths that were not loaded, as in PyTorch.

    Attributes:
        missing_keys: paths of the module that the dictionary lacks.
        unexpected_keys: paths of the dictionary that the module lacks.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def load_into(targets: dict[str, Tensor], state: Any, strict: bool, owner: str) -> IncompatibleKeys:
    """Copy the Tensors of ``state`` over those of the same path in ``targets``.

    Args:
        targets: Tensors on the memory that is written to, by path.
        state: Tensors of the same shapes, by path.
        strict: whether the paths must be the same.
        owner: the class that is loaded into, for messages.

    Raises:
        TypeError: ``state`` is no dictionary of Tensors.
        RuntimeError: see ``Module.load_state_dict``.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: state_dict must be a dictionary, got {type(state).__name__}")
    for path, value in state.items():
        if path in targets and not isinstance(value, Tensor):
            raise TypeError(f"load_state_dict: {path!r} must be a Tensor, got {type(value).__name__}")
    keys = IncompatibleKeys([p for p in targets if p not in state], [p for p in state if p not in targets])
    common = [path for path in targets if path in state]
    problems = []
    if strict and keys.missing_keys:
        problems.append(f"missing: {', '.join(keys.missing_keys)}")
    if strict and keys.unexpected_keys:
        problems.append(f"unexpected: {', '.join(keys.unexpected_keys)}")
    for path in common:
        if state[path]._array.shape != targets[path]._array.shape:
            there, here = tuple(state[path].shape), tuple(targets[path].shape)
            problems.append(f"{path}: shape {there} in the dictionary, {here} in the module")
    if problems:
        raise RuntimeError("\n  ".join([f"load_state_dict: the dictionary does not fit {owner}:", *problems]))
    for path in common:
        np.copyto(targets[path]._array, state[path]._array, casting="unsafe")
        targets[path]._mark_written()
    return keys
