"""A failing example as code that can be pasted, in our API and in PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cases import Case, OpSample, is_float


def snippet(sample: OpSample, case: Case) -> str:
    """Two short programs that make the same call with the same values and print the gradients."""
    ours = _program("import tinygrad_cnn as tg", "tg", _our_name(sample), case)
    if sample.torch is None:
        return f"# tinygrad_cnn\n{ours}"
    theirs = _program("import torch", "torch", getattr(sample.torch, "__name__", "torch_function"), case)
    return f"# tinygrad_cnn\n{ours}\n\n# PyTorch\n{theirs}"


def _our_name(sample: OpSample) -> str:
    import tinygrad_cnn as tg
    from tinygrad_cnn.nn import functional

    name = getattr(sample.function, "__name__", "function")
    for module, prefix in ((tg, "tg"), (functional, "tg.nn.functional")):
        if getattr(module, name, None) is sample.function:
            return f"{prefix}.{name}"
    public = sample.name.split("/")[0]
    return f"tg.{public}" if name == "<lambda>" and hasattr(tg, public) else name.replace("<lambda>", "function")


def _program(header: str, package: str, function: str, case: Case) -> str:
    names, lines = [], [header, ""]
    for i, array in enumerate(case.arrays):
        if array is None:
            names.append("None")
            continue
        names.append(f"x{i}")
        grad = ", requires_grad=True" if is_float(array) else ""
        lines.append(f"x{i} = {package}.tensor({_literal(array)}, dtype={package}.{_dtype(array)}{grad})")
    keywords = [f"{name}={value!r}" for name, value in case.kwargs.items()]
    lines.append(f"out = {function}({', '.join([*names, *keywords])})")
    lines.append("out = out[0] if isinstance(out, (tuple, list)) else out  # repeat for the other outputs")
    lines.append(f"{package}.manual_seed(0)")
    lines.append(f"out.backward({package}.rand(out.shape, dtype=out.dtype))")
    shown = ", ".join(f"{name}.grad" for name, a in zip(names, case.arrays) if is_float(a))
    lines.append(f"print(out, {shown})" if shown else "print(out)")
    return "\n".join(lines)


def _literal(array: np.ndarray) -> str:
    """The values with all digits; an empty array with a side of 0 in front cannot be written as a list."""
    text = repr(array.tolist()).replace("nan", "float('nan')").replace("inf", "float('inf')")
    if array.size == 0:
        return f"np.zeros({array.shape})"
    return text


def _dtype(array: np.ndarray) -> Any:
    return array.dtype.name
