"""The layers that slide a window over an image (docs/method.md, section 7).

A window of kernel × kernel pixels stands at every `stride`-th pixel, as long as it fits:
H' = ⌊(H - kernel) / stride⌋ + 1, likewise W'. All three layers are written with `shifts`: for
each place (i, j) within the window, the image of the pixels that the H' × W' windows have there.
Its views are read in the forward pass and added to in the backward pass, which is its mirror.
"""

from collections.abc import Iterator
from functools import reduce

import numpy as np
from numpy.typing import DTypeLike

from pslref import check
from pslref.nn.layers import Array, Layer, float_dtype, he_normal


def shifts(image: Array, kernel: tuple[int, int], stride: int) -> Iterator[Array]:
    """For each (i, j) in the window, row by row: its pixels, a view with H', W' for H, W.

    Args:
        image: H and W are its axes 1 and 2.
        kernel: height and width of the window.
        stride: from one window to the next.
    """
    height, width = ((image.shape[a + 1] - kernel[a]) // stride + 1 for a in (0, 1))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield image[:, i : i + stride * height : stride, j : j + stride * width : stride]


def _check_images(x: Array, least: int, channels: int | None = None) -> None:
    fits = x.ndim == 4 and min(x.shape[1:3]) >= least and channels in (None, x.shape[3])
    if not fits:
        allowed = f"must be (N, H, W, {channels or 'C'}), with H and W at least {least}"
        raise check.wrong("x.shape", x.shape, allowed)


class Conv2d(Layer):
    """y[n, h, w] = b + Σ_ij x[n, s h + i - p, s w + j - p] W[i, j], with zeros around x.

    Done as one matrix product: `columns` holds, for each output pixel, the numbers in its window.
    The arrays are laid out with the samples innermost, (C, H, W, N): then a shift copies long
    runs of memory. y stays so, and is only indexed (N, H', W', C_out). (method.md 7)

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
        k = check.integer("kernel", kernel, 1)
        self.kernel = (k, k)
        self.stride = check.integer("stride", stride, 1)
        self.padding = check.integer("padding", padding, 0)
        weight = he_normal((k, k, inputs, outputs), k * k * inputs, rng)
        weight = weight.astype(float_dtype(dtype))
        super().__init__(weight=weight, bias=np.zeros(outputs, dtype))

    def forward(self, x: Array) -> tuple[Array, Array]:
        """y, (N, H', W', C_out); the cache is x with its zeros, (C_in, H + 2p, W + 2p, N)."""
        p, weight = self.padding, self.parameters["weight"]
        _check_images(x, max(1, len(weight) - 2 * p), weight.shape[2])
        n, h, w, channels = x.shape
        padded = np.zeros((channels, h + 2 * p, w + 2 * p, n), weight.dtype)
        padded[:, p : p + h, p : p + w] = _samples_last(x)
        columns, size = self._columns(padded)
        y = self._matrix().T @ columns
        y += self.parameters["bias"][:, np.newaxis]
        return _samples_last(y.reshape(-1, *size)), padded

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """Each output pixel's gradient, times W, added where its window was."""
        p, (_, h, w, _) = self.padding, cache.shape
        dcolumns = self._matrix() @ _as_rows(dy)
        parts = dcolumns.reshape(-1, len(cache), *dy.shape[1:3], len(dy))
        dpadded = np.zeros_like(cache)
        for pixels, part in zip(shifts(dpadded, self.kernel, self.stride), parts, strict=True):
            pixels += part
        return _samples_last(dpadded[:, p : h - p, p : w - p])

    def parameter_gradients(self, dy: Array, cache: Array) -> dict[str, Array]:
        """dW = columns dyᵀ, db = Σ dy, over samples and output pixels."""
        rows = _as_rows(dy)
        columns, _ = self._columns(cache)  # made anew: it is kernel² times as large as x
        dweight = (columns @ rows.T).reshape(self.parameters["weight"].shape)
        return {"weight": dweight, "bias": rows.sum(axis=1)}

    def _matrix(self) -> Array:
        """W as (kernel² C_in, C_out)."""
        weight = self.parameters["weight"]
        return weight.reshape(-1, weight.shape[3])

    def _columns(self, padded: Array) -> tuple[Array, tuple[int, ...]]:
        """(kernel² C_in, H' W' N): the pixels of every window; and (H', W', N)."""
        pixels = np.stack([*shifts(padded, self.kernel, self.stride)])
        return pixels.reshape(len(pixels) * len(padded), -1), pixels.shape[2:]


def _samples_last(images: Array) -> Array:
    """(N, H, W, C) seen as (C, H, W, N), or back."""
    return images.transpose(3, 1, 2, 0)


def _as_rows(dy: Array) -> Array:
    """dy as (C_out, H' W' N)."""
    return _samples_last(dy).reshape(dy.shape[3], -1)


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

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """y, (N, H', W', C); the cache is x and y."""
        _check_images(x, self.kernel[0])
        y = reduce(np.maximum, shifts(x, self.kernel, self.stride))
        return y, (x, y)

    def input_gradient(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        """dy, added where the window's first largest number was."""
        x, y = cache
        dx = np.zeros_like(x)
        free = np.ones_like(y, bool)  # windows whose largest number has not been met yet
        for pixels, dpixels in zip(
            shifts(x, self.kernel, self.stride), shifts(dx, self.kernel, self.stride), strict=True
        ):
            first = free & (pixels == y)
            dpixels += dy * first
            free ^= first
        return dx


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

    def forward(self, x: Array) -> tuple[Array, Array]:
        """y, (N, H', W', C); the cache is x, for its shape."""
        _check_images(x, self.kernel or 1)
        kernel = self._window(x)
        return reduce(np.add, shifts(x, kernel, self.stride)) / (kernel[0] * kernel[1]), x

    def input_gradient(self, dy: Array, cache: Array) -> Array:
        """An equal part of dy, added to each pixel of the window."""
        kernel = self._window(cache)
        part = dy / (kernel[0] * kernel[1])
        dx = np.zeros_like(cache)
        for pixels in shifts(dx, kernel, self.stride):
            pixels += part
        return dx

    def _window(self, x: Array) -> tuple[int, int]:
        return (self.kernel, self.kernel) if self.kernel else (x.shape[1], x.shape[2])
