"""Functions of one number from Python's ``math``, element by element."""

from __future__ import annotations

import math

from .arithmetic import elementwise

exp = elementwise(math.exp)
expm1 = elementwise(math.expm1)
log = elementwise(math.log)
log2 = elementwise(math.log2)
log10 = elementwise(math.log10)
log1p = elementwise(math.log1p)
sqrt = elementwise(math.sqrt)
rsqrt = elementwise(lambda x: x**-0.5)
reciprocal = elementwise(lambda x: 1 / x)
square = elementwise(lambda x: x**2)
sin = elementwise(math.sin)
cos = elementwise(math.cos)
tan = elementwise(math.tan)
tanh = elementwise(math.tanh)
erf = elementwise(math.erf)
abs = elementwise(lambda x: x if x > 0 else -x)
sign = elementwise(lambda x: 0 * x if x == 0 else x / x if x > 0 else -x / x)
floor = elementwise(lambda x: type(x)(math.floor(x)))
ceil = elementwise(lambda x: type(x)(math.ceil(x)))
trunc = elementwise(lambda x: type(x)(math.trunc(x)))


def round_to(x, decimals=0):
    scale = 10.0**decimals
    return elementwise(lambda v: math.floor(v * scale + 0.5) / scale)(x)
