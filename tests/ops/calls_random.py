"""Calls of ``ops/random.py`` and the random in-place methods: with one seed, PyTorch's numbers, bit for bit.

Normal numbers go through logarithms and cosines, and agree to rounding.
"""

from __future__ import annotations

import numpy as np

from .calls import Call
from .calls_copies import last

PROBABILITIES = np.array([[0.0, 0.3], [0.7, 1.0]])
LARGE = (40, 50)  # more numbers than the generator draws at a time

CALLS = [
    Call("rand", lambda lib: (lib.rand(2, 3), lib.rand((2,), dtype=lib.float64), lib.rand(()))),
    Call("rand/large", lambda lib: (lib.rand(LARGE), lib.rand(3))),
    Call("rand/options", lambda lib: lib.rand(2, device="cpu", requires_grad=True)),
    Call("rand/generator", lambda lib: [lib.rand(3, generator=lib.Generator().manual_seed(7)), lib.rand(3)]),
    Call("rand_like", lambda lib: (lib.rand_like(lib.ones(2, 3)), lib.rand_like(lib.ones(2), dtype=lib.float64))),
    Call("randn", lambda lib: (lib.randn(5), lib.randn(4, 9), lib.randn(3, dtype=lib.float64)), rounding=True),
    Call("randn/large", lambda lib: (lib.randn(LARGE), lib.rand(3)), rounding=True),
    Call("randn_like", lambda lib: lib.randn_like(lib.ones(3, 7, dtype=lib.float64)), rounding=True),
    Call("randint", lambda lib: (lib.randint(10, (20,)), lib.randint(-3, 2**40, (9,)), lib.randint(0, 2, (2, 2)))),
    Call("randint/keywords", lambda lib: lib.randint(low=2, high=9, size=(5,))),
    Call("randint/a keyword", lambda lib: (lib.randint(3, high=9, size=(5,)), lib.randint(high=4, size=(3,)))),
    Call("randint/dtype", lambda lib: lib.randint(4, (5,), dtype=lib.float32)),
    Call(
        "randint_like",
        lambda lib: (lib.randint_like(lib.ones(5), 3), lib.randint_like(lib.ones(5, dtype=lib.int64), 4, 9)),
    ),
    Call("randperm", lambda lib: (lib.randperm(50), lib.randperm(0), lib.randperm(4, dtype=lib.int32))),
    Call("normal", lambda lib: lib.normal(2.0, 3.0, (33,)), rounding=True),
    Call("normal/mean", lambda lib: lib.normal(lib.arange(20.0), 0.5), rounding=True),
    Call("normal/std", lambda lib: lib.normal(1.0, lib.arange(20.0)), rounding=True),
    Call("normal/both", lambda lib: lib.normal(lib.arange(17.0), lib.ones(17)), rounding=True),
    Call("normal/default std", lambda lib: lib.normal(lib.zeros(18)), rounding=True),
    Call("normal/none", lambda lib: lib.normal(lib.zeros(0), lib.ones(0))),
    Call("bernoulli", lambda lib, p: (lib.bernoulli(p.detach()), lib.bernoulli(p.detach().float())), (PROBABILITIES,)),
    Call("bernoulli/none", lambda lib: lib.bernoulli(lib.zeros(0))),
    Call("Tensor.bernoulli", lambda lib: lib.tensor([0.5] * 9).bernoulli()),
    Call("Tensor.bernoulli_", lambda lib: (lib.zeros(30).bernoulli_(0.3), lib.zeros(9, dtype=lib.int64).bernoulli_())),
    Call("Tensor.bernoulli_/tensor", lambda lib, p: lib.zeros(3, 2, 2).bernoulli_(p.detach()), (PROBABILITIES,)),
    Call("Tensor.uniform_", lambda lib: (lib.empty(7).uniform_(), lib.empty(2, 3).uniform_(-0.3, 0.8))),
    Call("Tensor.uniform_/to", lambda lib: lib.empty(7, dtype=lib.float64).uniform_(to=3)),
    Call("Tensor.normal_", lambda lib: (lib.empty(5).normal_(), lib.empty(3, 8).normal_(2, 0.5)), rounding=True),
    Call("Tensor.normal_/0", lambda lib: lib.empty(5).normal_(1, 0), rounding=True),
    Call("Tensor.random_", lambda lib: (lib.empty(9).random_(5, 50), lib.zeros(9, dtype=lib.int64).random_(7))),
    *(
        Call(f"Tensor.random_/{dtype}", lambda lib, dtype=dtype: lib.zeros(9, dtype=getattr(lib, dtype)).random_())
        for dtype in ("float32", "float64", "int64", "int32", "uint8", "bool")
    ),
    Call(
        "dropout/large",
        lambda lib, x: lib.dropout(x, 0.3, True),
        (np.ones((8, 8, 32, 33)),),
    ),
    Call(
        "dropout/channels last",  # what a convolution here gives; PyTorch's is in the order of its shape
        lambda lib, x: lib.dropout(x if lib.__name__ == "torch" else last(lib, x), 0.3, True),
        (np.random.default_rng(0).standard_normal((2, 3, 4, 5)),),
    ),
]
