"""Convolutions of few channels or few pixels, in forms that a CPU is quicker with.

TensorFlow's transposed convolution to three channels, which is the gradient of a convolution's
inputs too, takes a CPU up to ten times what its multiplications do. Here it is a plain convolution
to all the pixels of a stride at once, whose channels are then laid out side by side.

Its gradient of a kernel takes up to six times as long as it could where maps of a few pixels have
many channels, and the batch is large. Here it is a convolution too: of the images, by the maps for
a kernel, the batch for channels.
"""

import keras
import tensorflow as tf

from layers import stock

FEW = 4  # channels
# A kernel's gradient is a convolution for maps of so many pixels at most, and of so many channels
# and images at least. At 64 channels it was no quicker.
PIXELS, WIDE, MANY = 16, 65, 32


def _few_pixels(maps):
    """Is a kernel's gradient, of maps of a shape [B, h, w, F], to be a convolution?"""
    batch, h, w, width = maps
    return h * w <= PIXELS and width >= WIDE and (batch or 0) >= MANY


def _before(length, kernel, stride, padding):
    """How many pixels of padding come first along an axis of an image."""
    last = (-(-length // stride) - 1) * stride
    return max(last + kernel - length, 0) // 2 if padding == "SAME" else 0


def _taps(length, kernel, stride, padding):
    """Of a transposed convolution along one axis, as a plain one to `stride` phases.

    Output pixel stride·j + a gets input pixel j + d by the kernel's tap a + before - stride·d.

    Returns:
      (how many j make `length` pixels, the smallest d, the largest, [d][a] the taps of each d,
      `kernel` where there is none).
    """
    count = -(-length // stride)
    before = _before(length, kernel, stride, padding)
    low, high = -((kernel - 1 - before) // stride), (stride - 1 + before) // stride
    taps = [[a + before - stride * d for a in range(stride)] for d in range(low, high + 1)]
    taps = [[t if 0 <= t < kernel else kernel for t in row] for row in taps]
    return count, low, high, taps


def _transposed(maps, kernel, size, stride, padding):
    """The transposed convolution: [B, h, w, F] by [k, k, C, F] → [B, *size, C]."""
    k, _, channels, width = kernel.shape
    (rows, top, bottom, down), (columns, left, right, across) = (
        _taps(n, k, stride, padding) for n in size
    )
    kernel = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    kernel = tf.gather(tf.gather(kernel, down, axis=0), across, axis=2)  # [d, a, d, a, C, F]
    kernel = tf.transpose(kernel, [0, 2, 5, 1, 3, 4])
    kernel = tf.reshape(kernel, [len(down), len(across), width, stride**2 * channels])
    _, h, w, _ = maps.shape
    around = [[0, 0], [-top, rows - h + bottom], [-left, columns - w + right], [0, 0]]
    x = tf.nn.conv2d(maps, kernel, 1, around)
    x = tf.reshape(x, [-1, columns, stride, stride * channels])
    x = tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, stride * rows, stride * columns, channels])
    return x[:, : size[0], : size[1]]


def _kernel_gradient(images, maps, side, stride, padding):
    """The gradient of a kernel [side, side, C, F] that makes maps [B, h, w, F] of images.

    Its tap (a, b) is the product of the maps and the images' pixels stride·(i, j) + (a, b).
    """
    if not _few_pixels(maps.shape):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=images,
            filter_sizes=[side, side, images.shape[-1], maps.shape[-1]],
            out_backprop=maps,
            strides=[1, stride, stride, 1],
            padding=padding,
        )
    ends, around = [], []
    for length, count in zip(images.shape[1:3], maps.shape[1:3]):
        before = _before(length, side, stride, padding)
        after = (count - 1) * stride + side - length - before
        ends.append(length + min(after, 0))
        around.append([before, max(after, 0)])
    x = tf.transpose(images[:, : ends[0], : ends[1]], [3, 1, 2, 0])
    kernel = tf.transpose(maps, [1, 2, 0, 3])
    taps = tf.nn.conv2d(x, kernel, 1, [[0, 0], *around, [0, 0]], dilations=stride)
    return tf.transpose(taps, [1, 2, 0, 3])


def pair(size, side, stride, padding):
    """A convolution of images [B, *size, C] and its transpose, with any number of derivatives.

    TensorFlow never forgets a custom gradient, nor the graph that one was traced in.

    Args:
      size: (height, width).
      side: of the kernel; it moves by `stride` pixels.
      padding: "SAME" or "VALID", as TensorFlow has them.

    Returns:
      (function of images and a kernel [side, side, C, F] that gives maps [B, h, w, F], function of
      maps and the kernel that gives images).
    """

    def differentiable(function):
        return tf.autograph.experimental.do_not_convert(tf.custom_gradient(function))

    # Each is linear in both of what it takes, and the other two are its gradients.
    @differentiable
    def convolve(images, kernel):
        def gradient(g):
            return transpose(g, kernel), weights(images, g)

        return tf.nn.conv2d(images, kernel, stride, padding), gradient

    @differentiable
    def transpose(maps, kernel):
        def gradient(g):
            return convolve(g, kernel), weights(g, maps)

        if kernel.shape[2] <= FEW:
            return _transposed(maps, kernel, size, stride, padding), gradient
        shape = [tf.shape(maps)[0], *size, kernel.shape[2]]
        return tf.nn.conv2d_transpose(maps, kernel, shape, stride, padding), gradient

    @differentiable
    def weights(images, maps):
        def gradient(g):
            return transpose(maps, g), convolve(images, g)

        return _kernel_gradient(images, maps, side, stride, padding), gradient

    return convolve, transpose


def _suits(layer, images, maps):
    """Is a layer between such shapes one that `pair` can do, and better than TensorFlow?"""
    square = len({*layer.strides}) == len({*layer.kernel_size}) == 1
    plain = layer.groups == 1 if hasattr(layer, "groups") else not layer.output_padding
    plain &= {*layer.dilation_rate} == {1} and layer.data_format == "channels_last"
    known = None not in images[1:]
    return square and plain and known and (images[-1] <= FEW or _few_pixels(maps))


class Conv2D(stock.Stocked, keras.layers.Conv2D):
    """Keras' own, in the forms of this module where they fit."""

    kind = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        """[B, H, W, C] → [B, h, w, F]."""
        shape = inputs.shape
        if not _suits(self, shape, self.compute_output_shape(shape)):
            return super().convolution_op(inputs, kernel)
        convolve, _ = pair(shape[1:3], self.kernel_size[0], self.strides[0], self.padding.upper())
        return convolve(inputs, tf.convert_to_tensor(kernel))


class Conv2DTranspose(stock.Stocked, keras.layers.Conv2DTranspose):
    """Keras' own, in the forms of this module where they fit."""

    kind = keras.layers.Conv2DTranspose

    def call(self, inputs):
        """[B, h, w, F] → [B, H, W, C]."""
        shape = self.compute_output_shape(inputs.shape)
        if not _suits(self, shape, inputs.shape):
            return super().call(inputs)
        _, transpose = pair(shape[1:3], self.kernel_size[0], self.strides[0], self.padding.upper())
        x = transpose(inputs, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(x, self.bias) if self.use_bias else x
