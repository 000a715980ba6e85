"""The convolution, the network made of it, and what makes both fast (docs/method.md, section 7).

Most of a CNN's step is spent here. The plain way, all windows copied side by side and one matrix
product, is 17 lines (`PlainConv2d` in tests/nn/test_convolution.py) and makes the step 1.8
times as long. So `Conv2d` lays images out such that windows are views, and copies a third of that.
"""

from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.random import Generator

from pslref import check
from pslref.check import Array, DTypeLike
from pslref.nn.layers import Layer, he_normal, summed
from pslref.nn.windows import check_images, shifts_along


class Conv2d(Layer):
    """y[n, h, w] = b + Σ_ij x[n, s h + i - p, s w + j - p] W[i, j], with zeros around x.

    Images are laid out in memory as rows, (H, C, W, N), and only indexed (N, H, W, C). Each row
    is spread to kernel · C lines of W' N numbers: what the windows have at j = 0, 1, ... Then all
    that the windows of one output row show are `kernel` rows that follow each other in memory,
    and the output row is one matrix product. The gradients take the same way. (method.md 7)

    Args:
        in_channels: C_in of x, (N, H, W, C_in).
        out_channels: C_out of y.
        kernel: height and width of the window.
        stride: s, from one window to the next.
        padding: p, rows and columns of zeros on every side.
        rng: draws "weight", (kernel, kernel, C_in, C_out), as `he_normal` says.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        rng: Generator,
        dtype: DTypeLike = np.float64,
    ) -> None:
        inputs = check.integer("in_channels", in_channels, 1)
        outputs = check.integer("out_channels", out_channels, 1)
        self.kernel = k = check.integer("kernel", kernel, 1)
        self.stride = check.integer("stride", stride, 1)
        self.padding = check.integer("padding", padding, 0)
        super().__init__(**he_normal((k, k, inputs, outputs), rng, dtype))

    def output(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """y, (N, H', W', C_out); the cache is what the windows show, and x for its shape."""
        k, s, p, weight = self.kernel, self.stride, self.padding, self.parameters["weight"]
        check_images(x, max(1, k - 2 * p), weight.shape[2])
        n, h, w, channels = x.shape
        if p and (h + 2 * p) * (w + 2 * p) * channels > check.MOST_NUMBERS:
            allowed = f"must be images of at most {check.MOST_NUMBERS} numbers with the padding"
            raise check.wrong("x.shape", x.shape, allowed)
        padded = np.zeros((h + 2 * p, channels, w + 2 * p, n), weight.dtype)
        padded[p : p + h, :, p : p + w] = _as_rows(x)
        spread = np.stack(shifts_along(2, padded, k, s), axis=1)  # (H + 2p, k, C, W', N)
        columns = _windows(spread, k)[::s]
        y = weight.reshape(-1, weight.shape[3]).T @ columns
        y += self.parameters["bias"][:, np.newaxis]
        return _as_images(y.reshape(*y.shape[:2], *spread.shape[3:])), (columns, x)

    def input_gradient(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        """Each output pixel's gradient, times W, added where its window was."""
        k, s, p, weight = self.kernel, self.stride, self.padding, self.parameters["weight"]
        n, h, w, channels = cache[1].shape
        rows = _as_rows(dy)
        # Row h of the image is seen by the k output rows that end with row h, through W from its
        # last line to its first. With a stride there are rows of zeros between them.
        apart = np.zeros((h + 2 * p + k - 1, *rows.shape[1:]), weight.dtype)
        apart[k - 1 : k - 1 + s * len(rows) : s] = rows
        matrix = weight[::-1].transpose(1, 2, 0, 3).reshape(k * channels, -1)
        dspread = matrix @ _windows(apart, k)[p : p + h]
        dpadded = np.zeros((h, channels, w + 2 * p, n), weight.dtype)
        parts = dspread.reshape(h, k, channels, *rows.shape[2:]).swapaxes(0, 1)
        for pixels, part in zip(shifts_along(2, dpadded, k, s), parts, strict=True):
            pixels += part
        return _as_images(dpadded[:, :, p : p + w])

    def parameter_gradients(self, dy: Array, cache: tuple[Array, Array]) -> dict[str, Array]:
        """dW = columns dyᵀ, db = Σ dy, over samples and output pixels."""
        rows = _windows(_as_rows(dy), 1)
        dweight = summed(cache[0] @ rows.swapaxes(1, 2), 0)
        shape = self.parameters["weight"].shape
        return {"weight": dweight.reshape(shape), "bias": summed(rows, (0, 2))}


def _windows(rows: Array, k: int) -> Array:
    """(H, ..., W, N) seen as (H - k + 1, k ..., W N): k rows, one below the other."""
    lines = rows.reshape(len(rows), prod(rows.shape[1:-2]), rows.shape[-2] * rows.shape[-1])
    h, count, numbers = lines.shape
    shape = (h - k + 1, k * count, numbers)
    return as_strided(lines, shape, lines.strides, writeable=False)  # copies nothing


def _as_rows(images: Array) -> Array:
    """(N, H, W, C) seen as (H, C, W, N)."""
    return images.transpose(1, 3, 2, 0)


def _as_images(rows: Array) -> Array:
    """(H, C, W, N) seen as (N, H, W, C)."""
    return rows.transpose(3, 0, 2, 1)


def keep_freed_memory() -> None:
    """Let glibc's malloc keep the memory of freed arrays, up to 64 MiB, for the next step.

    It would return it to the system, and to get it again takes a third of a CNN's step. But it
    keeps twice the largest array freed so far, if that was smaller than 32 MiB; so free one.
    """
    np.empty(2**25 - 2**13, np.uint8)
