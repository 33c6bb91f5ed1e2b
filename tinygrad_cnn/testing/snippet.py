"""A failing example as code that can be pasted, in our API and in PyTorch's."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..autograd import Tensor, dtype
from .cases import Case, OpSample, is_float


def snippet(sample: OpSample, case: Case) -> str:
    """Two short programs that make the same call with the same values and print value and gradients.

    Both draw the same upstream gradient, so the printed numbers can be compared.  The first one ends with ``gradcheck``
    and fails where the gradient is wrong.
    """
    imports, name = _our_name(sample)
    ours = _program("tinygrad_cnn", "tg", imports, name, case) + _checks(name, case, sample)
    if sample.torch is None:
        return f"# tinygrad_cnn\n{ours}"
    path = getattr(sample.torch, "__name__", "")
    theirs = path if path.startswith("torch.") else f"torch.{_public(sample)}"
    return f"# tinygrad_cnn\n{ours}\n\n# PyTorch\n{_program('torch', '', [], theirs, case)}"


def _public(sample: OpSample) -> str:
    return sample.name.split("/")[0]


def _our_name(sample: OpSample) -> tuple[list[str], str]:
    """What has to be imported, and what the function is called then."""
    import tinygrad_cnn as tg
    from tinygrad_cnn.nn import functional

    public = _public(sample)
    for module, prefix in ((tg, "tg"), (functional, "tg.nn.functional")):
        name = getattr(sample.function, "__name__", public)
        if getattr(module, name, None) is sample.function:
            return [], f"{prefix}.{name}"
    owner = getattr(sample.function, "__self__", None)  # of Cube.apply
    found = owner if isinstance(owner, type) else sample.function
    name, module_name = getattr(found, "__qualname__", ""), getattr(found, "__module__", "")
    if name and getattr(sys.modules.get(module_name), name, None) is found:
        called = f"{name}.{sample.function.__name__}" if found is owner else name
        return ([] if module_name == "__main__" else [f"from {module_name} import {name}"]), called
    for module, prefix in ((tg, "tg"), (functional, "tg.nn.functional")):
        if hasattr(module, public):
            return ["# the test calls this function through one of its own, which may change the arguments"], (
                f"{prefix}.{public}"
            )
    return ["# put your function here"], "function"


def _program(module: str, short: str, imports: list[str], function: str, case: Case) -> str:
    package = short or module
    names, inputs = [], []
    for i, array in enumerate(case.arrays):
        names.append("None" if array is None else f"x{i}")
        if array is not None:
            inputs.append(f"x{i} = {_tensor(array, package, is_float(array))}")
    call = f"out = {function}({', '.join([*names, *_keywords(case, package)])})"
    lines = [f"import {module} as {short}" if short else f"import {module}", *imports, "", *inputs, call]
    if any("np." in line for line in lines):
        lines.insert(0, "import numpy as np")
    gradients = [f"{name}.grad" for name, array in zip(names, case.arrays) if is_float(array)]
    if gradients:
        lines += [
            "outs = [o for o in (out if isinstance(out, (tuple, list)) else [out]) if o.requires_grad]",
            f"{package}.manual_seed(0)",
            "if outs:",
            f"    {package}.autograd.backward(outs, [{package}.rand(o.shape, dtype=o.dtype) for o in outs])",
        ]
    return "\n".join([*lines, f"print({', '.join(['out', *gradients])})"])


def _checks(function: str, case: Case, sample: OpSample) -> str:
    """The lines that fail where a derivative is wrong."""
    if sample.value_only or not any(map(is_float, case.arrays)):
        return ""
    names = ["None" if array is None else f"x{i}" for i, array in enumerate(case.arrays)]
    taken = [f"x{i}" for i, array in enumerate(case.arrays) if array is not None]
    called = f"lambda {', '.join(taken)}: {function}({', '.join([*names, *_keywords(case, 'tg')])})"
    checks = ["gradcheck", "gradgradcheck"][: sample.order]
    return "".join(f"\ntg.autograd.{check}({called}, [{', '.join(taken)}])" for check in checks)


def _keywords(case: Case, package: str) -> list[str]:
    return [f"{name}={_literal(value, package)}" for name, value in case.kwargs.items()]


def _tensor(array: np.ndarray, package: str, requires_grad: bool) -> str:
    options = f"dtype={package}.{array.dtype.name}" + (", requires_grad=True" if requires_grad else "")
    if array.size == 0:  # (0, 3) cannot be told from a list
        return f"{package}.zeros({array.shape}, {options})"
    return f"{package}.tensor({_literal(array.tolist(), package)}, {options})"


def _literal(value: Any, package: str) -> str:
    """The value with all digits, as an expression."""
    if isinstance(value, Tensor):
        return _tensor(value._array, package, value.requires_grad)
    if isinstance(value, np.ndarray):
        return f"np.array({_literal(value.tolist(), package)}, dtype=np.{value.dtype.name}).reshape({value.shape})"
    if isinstance(value, dtype):
        return f"{package}.{value.name}"
    if isinstance(value, float) and not np.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, tuple | list):
        inside = ", ".join(_literal(v, package) for v in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, slice):
        return f"slice({', '.join(_literal(v, package) for v in (value.start, value.stop, value.step))})"
    return repr(value.item() if isinstance(value, np.generic) else value)
