"""Parameter: the Tensor that a Module trains."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..errors import DTypeError

_new = object.__new__


class Parameter(Tensor):
    """A leaf Tensor that a Module registers when it is assigned to one of its attributes, as ``torch.nn.Parameter``.

    Args:
        data: Tensor of any shape; the Parameter uses its memory.
        requires_grad: whether it is trained.

    Raises:
        DTypeError: data is no Tensor, or not of a floating-point dtype while requires_grad is True.
    """

    def __new__(cls, data: Tensor, requires_grad: bool = True) -> Parameter:
        if not isinstance(data, Tensor):
            raise DTypeError(f"Parameter: data must be a Tensor, got {type(data).__name__}")
        self = _new(cls)
        self._array = data._array
        self._version = data._counter()
        self.requires_grad = requires_grad
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """The same values, in the same order in memory, on memory of their own; ``grad`` is not copied."""
        copied = memo.get(id(self))
        if copied is None:
            copied = memo[id(self)] = type(self)(Tensor(), self._requires_grad)
            copied._array = self._array.copy(order="K")
        return copied

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
