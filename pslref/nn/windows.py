"""Windows that slide over an image, and the pools (docs/method.md, section 7).

A window of kernel × kernel pixels stands at every `stride`-th pixel, as long as it fits:
H' = ⌊(H - kernel) / stride⌋ + 1, likewise W'. All layers are written with `shifts`: for each
place in the window, the pixels that the windows have there. Its views are read in the forward
pass and added to in the backward pass, which is its mirror.
"""

from functools import partial, reduce

import numpy as np

from pslref import check
from pslref.check import Array
from pslref.nn.layers import Layer


def shifts_along(axis: int, images: Array, kernel: int, stride: int) -> list[Array]:
    """For each i in 0..kernel-1: what the H' or W' windows along an axis have there, a view."""
    count = (images.shape[axis] - kernel) // stride + 1
    before = (slice(None),) * axis
    return [images[(*before, slice(i, i + stride * count, stride))] for i in range(kernel)]


def shifts(images: Array, kernel: tuple[int, int], stride: int) -> list[Array]:
    """For each (i, j) in the window, row by row: its pixels in (N, H, W, C), (N, H', W', C)."""
    rows = shifts_along(1, images, kernel[0], stride)
    return [pixels for row in rows for pixels in shifts_along(2, row, kernel[1], stride)]


def check_images(x: Array, least: int, channels: int | None = None) -> None:
    """Refuse what are no images, or too small for a window."""
    fits = x.ndim == 4 and min(x.shape[1:3]) >= least and channels in (None, x.shape[3])
    if not fits:
        allowed = f"must be (N, H, W, {channels or 'C'}), with H and W at least {least}"
        raise check.wrong("x.shape", x.shape, allowed)


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
        check_images(x, self.kernel[0])
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
        check_images(x, self.kernel or 1)
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
