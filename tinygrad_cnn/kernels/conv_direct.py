"""Direct convolution: the definition as loops."""

from __future__ import annotations

from numba import prange

from ._jit import kernel


@kernel
def forward_loops(x, weight, bias, sh, sw, ph, pw, dh, dw, groups, relu, out):
    """``out[n, i, j, o] = bias[o] + Σ x[n, i·s + p·d − pad, j·s + q·d − pad, c] · weight[o, p, q, c]``.

    Threads share the rows of the output.
    """
    N, H, W, _ = x.shape
    O, KH, KW, C = weight.shape
    OH, OW = out.shape[1], out.shape[2]
    for row in prange(N * OH):
        n = row // OH
        i = row % OH
        for j in range(OW):
            for o in range(O):
                first = o // (O // groups) * C
                total = bias[o] if bias.size else weight.dtype.type(0)
                for p in range(KH):
                    h = i * sh + p * dh - ph
                    if h < 0 or h >= H:
                        continue
                    for q in range(KW):
                        w = j * sw + q * dw - pw
                        if w < 0 or w >= W:
                            continue
                        for c in range(C):
                            total += x[n, h, w, first + c] * weight[o, p, q, c]
                if relu and total < 0:
                    total = weight.dtype.type(0)
                out[n, i, j, o] = total


@kernel
def input_grad_loops(grad, weight, sh, sw, ph, pw, dh, dw, groups, out):
    """``out[n, h, w, c] = Σ grad[n, i, j, o] · weight[o, p, q, c]`` over all (i, p), (j, q) that meet at (h, w).

    Threads share the rows of the image.
    """
    N, OH, OW, O = grad.shape
    KH, KW, C = weight.shape[1], weight.shape[2], weight.shape[3]
    H, W = out.shape[1], out.shape[2]
    filters = O // groups
    for row in prange(N * H):
        n = row // H
        h = row % H
        for w in range(W):
            out[n, h, w] = 0
            for p in range(KH):
                i, rest = (h + ph - p * dh) // sh, (h + ph - p * dh) % sh
                if rest or i < 0 or i >= OH:
                    continue
                for q in range(KW):
                    j, rest = (w + pw - q * dw) // sw, (w + pw - q * dw) % sw
                    if rest or j < 0 or j >= OW:
                        continue
                    for o in range(O):
                        first = o // filters * C
                        g = grad[n, i, j, o]
                        for c in range(C):
                            out[n, h, w, first + c] += g * weight[o, p, q, c]


@kernel
def weight_grad_loops(x, grad, sh, sw, ph, pw, dh, dw, groups, out, out_bias):
    """``out[o, p, q, c] = Σ grad[n, i, j, o] · x[n, i·s + p·d − pad, j·s + q·d − pad, c]``; ``out_bias[o] = Σ grad``.

    Threads share the filters, and each sums over all images and pixels in order.
    """
    N, H, W, _ = x.shape
    OH, OW = grad.shape[1], grad.shape[2]
    O, KH, KW, C = out.shape
    for o in prange(O):
        first = o // (O // groups) * C
        out[o] = 0
        total = out.dtype.type(0)
        for n in range(N):
            for i in range(OH):
                for j in range(OW):
                    g = grad[n, i, j, o]
                    total += g
                    for p in range(KH):
                        h = i * sh + p * dh - ph
                        if h < 0 or h >= H:
                            continue
                        for q in range(KW):
                            w = j * sw + q * dw - pw
                            if w < 0 or w >= W:
                                continue
                            for c in range(C):
                                out[o, p, q, c] += g * x[n, h, w, first + c]
        if out_bias.size:
            out_bias[o] = total
