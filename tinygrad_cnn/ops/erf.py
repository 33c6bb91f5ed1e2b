"""The error function for arrays, which NumPy does not have.

Three rational functions: erf(x) = x R(x²) near 0, erfc(x) = exp(-x²) R(x) up to 4 and
exp(-x²) / x (1/√π + R(1/x²) / x²) beyond, accurate to the last bits of float64.

Reference: W. J. Cody: Rational Chebyshev approximations for the error function.  Math. Comp. 23 (1969) 631-637.
"""

from __future__ import annotations

import numpy as np

# Coefficients of falling powers, the leading one first.
_NEAR = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_MIDDLE = (
    (
        *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1),
        *(2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3),
        1.23033935479799725e3,
    ),
    (
        *(1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3),
        *(3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
    ),
)
_FAR = (
    (
        *(1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1),
        *(1.60837851487422766e-2, 6.58749161529837803e-4),
    ),
    (
        *(1.0, 2.56852019228982242e0, 1.87295284992346047e0, 5.27905102951428412e-1, 6.05183413124413191e-2),
        2.33520497626869185e-3,
    ),
)
_NEAR_END, _MIDDLE_END, _ONE_FROM = 0.46875, 4.0, 6.0  # erf is 1 to the last bit from 6 on
_INVERSE_SQRT_PI = 0.56418958354775628695


def erf(x: np.ndarray) -> np.ndarray:
    """erf of every element, any shape; computed in float64, returned in x's dtype; NaN stays NaN."""
    y = np.minimum(np.abs(x.astype(np.float64)), _ONE_FROM)  # NaN passes through both
    square = y * y
    near = y * _rational(_NEAR, np.minimum(square, _NEAR_END**2))
    middle = _rational(_MIDDLE, np.clip(y, _NEAR_END, _MIDDLE_END))
    inverse = 1 / np.maximum(square, _MIDDLE_END**2)
    far = (_INVERSE_SQRT_PI - inverse * _rational(_FAR, inverse)) / np.maximum(y, _MIDDLE_END)
    complement = np.exp(-square) * np.where(y <= _MIDDLE_END, middle, far)
    positive = np.where(y <= _NEAR_END, near, 1 - complement)
    return np.copysign(positive, x).astype(x.dtype)


def _rational(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: np.ndarray) -> np.ndarray:
    numerator, denominator = coefficients
    return np.polyval(numerator, x) / np.polyval(denominator, x)
