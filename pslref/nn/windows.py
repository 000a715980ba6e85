"""The layers that slide a window over an image (docs/method.md, section 7).

A window of kernel × kernel pixels stands at every `stride`-th pixel, as long as it fits:
H' = ⌊(H - kernel) / stride⌋ + 1, likewise W'. All three layers are written with `shifts`: for
each place in the window, the pixels that the windows have there. Its views are read in the
forward pass and added to in the backward pass, which is its mirror.
"""

from functools import partial, reduce

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pslref import check
from pslref.check import DTypeLike
from pslref.nn.layers import Array, Layer, he_normal, summed


def shifts_along(axis: int, images: Array, kernel: int, stride: int) -> list[Array]:
    """For each i in 0..kernel-1: what the H' or W' windows along an axis have there, a view."""
    count = (images.shape[axis] - kernel) // stride + 1
    before = (slice(None),) * axis
    return [images[(*before, slice(i, i + stride * count, stride))] for i in range(kernel)]


def shifts(images: Array, kernel: tuple[int, int], stride: int) -> list[Array]:
    """For each (i, j) in the window, row by row: its pixels, a view (N, H', W', C).

    Args:
        images: (N, H, W, C).
        kernel: height and width of the window.
        stride: from one window to the next.
    """
    rows = shifts_along(1, images, kernel[0], stride)
    return [pixels for row in rows for pixels in shifts_along(2, row, kernel[1], stride)]


def _check_images(x: Array, least: int, channels: int | None = None) -> None:
    fits = x.ndim == 4 and min(x.shape[1:3]) >= least and channels in (None, x.shape[3])
    if not fits:
        allowed = f"must be (N, H, W, {channels or 'C'}), with H and W at least {least}"
        raise check.wrong("x.shape", x.shape, allowed)


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
        rng: draws "weight", (kernel, kernel, C_in, C_out), He-normal; "bias" starts at 0. [reading]
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
        rng: np.random.Generator,
        dtype: DTypeLike = np.float64,
    ) -> None:
        inputs = check.integer("in_channels", in_channels, 1)
        outputs = check.integer("out_channels", out_channels, 1)
        self.kernel = k = check.integer("kernel", kernel, 1)
        self.stride = check.integer("stride", stride, 1)
        self.padding = check.integer("padding", padding, 0)
        weight = he_normal((k, k, inputs, outputs), k * k * inputs, rng, dtype)
        super().__init__(weight=weight, bias=np.zeros(outputs, dtype))

    def output(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """y, (N, H', W', C_out); the cache is what the windows show, and x for its shape."""
        k, s, p, weight = self.kernel, self.stride, self.padding, self.parameters["weight"]
        _check_images(x, max(1, k - 2 * p), weight.shape[2])
        n, h, w, channels = x.shape
        padded = np.zeros((h + 2 * p, channels, w + 2 * p, n), weight.dtype)
        padded[p : p + h, :, p : p + w] = _as_rows(x)
        spread = np.stack(shifts_along(2, padded, k, s), axis=1)  # (H + 2p, k, C, W', N)
        columns = _windows(spread, k)[::s]
        y = weight.reshape(-1, weight.shape[3]).T @ columns
        y += self.parameters["bias"][:, np.newaxis]
        return _as_images(y.reshape(*y.shape[:2], -1, n)), (columns, x)

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
        parts = dspread.reshape(h, k, channels, -1, n).swapaxes(0, 1)
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
    lines = rows.reshape(len(rows), -1, rows.shape[-2] * rows.shape[-1])
    h, count, numbers = lines.shape
    shape = (h - k + 1, k * count, numbers)
    return as_strided(lines, shape, lines.strides, writeable=False)  # copies nothing


def _as_rows(images: Array) -> Array:
    """(N, H, W, C) seen as (H, C, W, N)."""
    return images.transpose(1, 3, 2, 0)


def _as_images(rows: Array) -> Array:
    """(H, C, W, N) seen as (N, H, W, C)."""
    return rows.transpose(3, 0, 2, 1)


class MaxPool2d(Layer):
    """The largest number of each window, channel by channel.

    Where several are largest, the first of them, row by row, takes the whole gradient.
    (method.md 7)

    Args:
        kernel: height and width of the window.
        stride: from one window to the next; the kernel if not given.
    """

    def __init__(self, kernel: int, stride: int | None = None) -> None:
        super().__init__()
        k = check.integer("kernel", kernel, 1)
        self.kernel = (k, k)
        self.stride = k if stride is None else check.integer("stride", stride, 1)

    def output(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """y, (N, H', W', C); the cache is x and y."""
        _check_images(x, self.kernel[0])
        y = x
        for axis, kernel in enumerate(self.kernel, 1):
            y = reduce(np.maximum, shifts_along(axis, y, kernel, self.stride))
        return y, (x, y)

    def input_gradient(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        """dy, added where the window's first largest number was."""
        x, y = cache
        apart = self.stride >= self.kernel[0]  # no pixel is in two windows
        dx = np.zeros_like(x, dtype=None if apart else np.float64)
        free = np.ones_like(y, bool)  # windows whose largest number has not been met yet
        for pixels, dpixels in zip(
            shifts(x, self.kernel, self.stride), shifts(dx, self.kernel, self.stride), strict=True
        ):
            first = free & (pixels == y)
            if apart:
                np.multiply(dy, first, out=dpixels)
            else:
                dpixels += dy * first
            free ^= first
        return dx.astype(x.dtype, copy=False)


class AvgPool2d(Layer):
    """The mean of each window, channel by channel. (method.md 7)

    Args:
        kernel: height and width of the window; if not given, the whole image: H' = W' = 1.
        stride: from one window to the next; the kernel if not given.
    """

    def __init__(self, kernel: int | None = None, stride: int | None = None) -> None:
        super().__init__()
        self.kernel = None if kernel is None else check.integer("kernel", kernel, 1)
        self.stride = kernel or 1 if stride is None else check.integer("stride", stride, 1)

    def output(self, x: Array) -> tuple[Array, Array]:
        """y, (N, H', W', C); the cache is x, for its shape."""
        _check_images(x, self.kernel or 1)
        kernel = self._window(x)
        total = reduce(partial(np.add, dtype=np.float64), shifts(x, kernel, self.stride))
        return (total / (kernel[0] * kernel[1])).astype(x.dtype, copy=False), x

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """An equal part of dy, added to each pixel of the window."""
        kernel = self._window(cache)
        part = dy / (kernel[0] * kernel[1])
        dx = np.zeros_like(cache, dtype=np.float64)
        for pixels in shifts(dx, kernel, self.stride):
            pixels += part
        return dx.astype(cache.dtype, copy=False)

    def _window(self, x: Array) -> tuple[int, int]:
        return (self.kernel, self.kernel) if self.kernel else (x.shape[1], x.shape[2])
