"""What ``ops/activation.py`` refuses."""

from __future__ import annotations

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.errors import DimError, DTypeError

x = tg.zeros(2, 3)
whole = tg.tensor([1, -2])

ERRORS = [
    ("relu/bools", lambda: tg.relu(tg.tensor([True])), DTypeError, "relu: not defined for bool tensors"),
    ("leaky_relu/integers", lambda: F.leaky_relu(whole), DTypeError, "leaky_relu: input .*, got tinygrad_cnn.int64"),
    ("silu/integers", lambda: F.silu(whole), DTypeError, "silu: input must be a floating-point Tensor"),
    ("softplus/number", lambda: F.softplus(1.0), DTypeError, "softplus: input .* got float"),
    ("softmax/integers", lambda: whole.softmax(0), DTypeError, "softmax: input .*, got tinygrad_cnn.int64"),
    ("softmax/no dim", lambda: tg.softmax(x), ValueError, "softmax: dim must be given"),
    ("softmax/dim", lambda: tg.softmax(x, 2), DimError, r"softmax: dim must be in \[-2, 1\] .*, got 2"),
    ("log_softmax/integers", lambda: tg.log_softmax(whole, 0), DTypeError, "log_softmax: input must be a floating"),
    ("log_softmax/no dim", lambda: tg.log_softmax(x), ValueError, "log_softmax: dim must be given"),
    ("log_softmax/dim", lambda: tg.log_softmax(x, -3), DimError, r"log_softmax: dim .*, got -3"),
]
