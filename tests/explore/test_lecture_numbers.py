"""How the chapters write numbers, and what they compute beside the measurements of ``explore``."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_cnn.explore.advantages import resized
from tinygrad_cnn.explore.lecture.reasons import _cut_off
from tinygrad_cnn.explore.lecture.subject import number, plain, probability, sure


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (plain(2.107e-5), "0.0000211"),
        (plain(-0.000434), "−0.000434"),
        (plain(10.7667), "10.8"),
        (plain(1234.5, 2), "1200"),
        (plain(float("inf")), "inf"),
        (number(-0.0004), "0.000"),
        (probability(0.34361), "0.344"),
        (probability(0.9999592), "0.9999592"),
        (probability(1.0), "1"),
        (sure(0.6123), "61.2 %"),
        (sure(0.9999592), "99.99592 %"),
        (sure(1.0), "99.9999999 %"),
    ],
)
def test_numbers_are_written_without_powers_of_ten(written, expected):
    assert written == expected


def test_what_growing_cuts_off():
    images = np.zeros((2, 1, 8, 8), np.float32)
    images[:, :, 3:5, 3:5] = 1
    assert _cut_off(images, 0.5) == _cut_off(images, 1.0) == _cut_off(images, 4.0) == 0
    images[0, 0, 0, 0] = -8  # as bright as all the rest
    assert _cut_off(images, 1.5) == pytest.approx(0.5)
    full = np.ones((1, 1, 6, 10))
    assert _cut_off(full, 2) == pytest.approx(1 - 1 / 4)
    # what resizing leaves, by the area that every pixel has then
    drawn = np.random.default_rng(0).random((3, 1, 40, 40))
    assert _cut_off(drawn, 1.25) == pytest.approx(1 - resized(drawn, 1.25).sum() / 1.25**2 / drawn.sum(), abs=0.02)
    assert _cut_off(images * 0, 2) == 0
