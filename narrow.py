"""Convolutions at images of a few channels, in a form that a CPU is quicker with.

TensorFlow's transposed convolution to three channels, which is the gradient of a convolution's
inputs too, takes a CPU up to ten times what its multiplications do. Here it is a plain convolution
to all the pixels of a stride at once, whose channels are then laid out side by side.
"""

import keras
import tensorflow as tf

import distribute
import layers

FEW = 4  # channels


def fits(channels):
    """Are layers at images of so many channels to be of this module's kind?"""
    return channels <= FEW and distribute.on_cpu()


def _taps(length, kernel, stride, padding):
    """Of a transposed convolution along one axis, as a plain one to `stride` phases.

    Output pixel stride·j + a gets input pixel j + d by the kernel's tap a + before - stride·d.

    Returns:
      (how many j make `length` pixels, the smallest d, the largest, [d][a] the taps of each d,
      `kernel` where there is none).
    """
    count = -(-length // stride)
    before = max((count - 1) * stride + kernel - length, 0) // 2 if padding == "SAME" else 0
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


def pair(size, stride, padding):
    """A convolution of images [B, *size, C] and its transpose, with any number of derivatives.

    TensorFlow never forgets a custom gradient, nor the graph that one was traced in.

    Args:
      size: (height, width).
      padding: "SAME" or "VALID", as TensorFlow has them.

    Returns:
      (function of images and a kernel [k, k, C, F] that gives maps [B, h, w, F], function of maps
      and the kernel that gives images).
    """

    def weights(images, maps, kernel):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=images,
            filter_sizes=kernel.shape,
            out_backprop=maps,
            strides=[1, stride, stride, 1],
            padding=padding,
        )

    @tf.autograph.experimental.do_not_convert
    @tf.custom_gradient
    def convolve(images, kernel):
        def gradient(g):
            return transpose(g, kernel), weights(images, g, kernel)

        return tf.nn.conv2d(images, kernel, stride, padding), gradient

    @tf.autograph.experimental.do_not_convert
    @tf.custom_gradient
    def transpose(maps, kernel):
        def gradient(g):
            return convolve(g, kernel), weights(g, maps, kernel)

        return _transposed(maps, kernel, size, stride, padding), gradient

    return convolve, transpose


def _suits(layer, size):
    """Is a layer, at images of this size, one of those that `pair` can do?"""
    square = len({*layer.strides}) == len({*layer.kernel_size}) == 1
    plain = layer.groups == 1 if hasattr(layer, "groups") else not layer.output_padding
    plain &= {*layer.dilation_rate} == {1} and layer.data_format == "channels_last"
    return square and plain and None not in size


class Conv2D(layers.Stocked, keras.layers.Conv2D):
    """Keras' own, for images of a few channels."""

    kind = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        """[B, H, W, C] → [B, h, w, F]."""
        size = inputs.shape[1:3]
        if not _suits(self, size):
            return super().convolution_op(inputs, kernel)
        convolve, _ = pair(size, self.strides[0], self.padding.upper())
        return convolve(inputs, tf.convert_to_tensor(kernel))


class Conv2DTranspose(layers.Stocked, keras.layers.Conv2DTranspose):
    """Keras' own, for images of a few channels."""

    kind = keras.layers.Conv2DTranspose

    def call(self, inputs):
        """[B, h, w, F] → [B, H, W, C]."""
        size = self.compute_output_shape(inputs.shape)[1:3]
        if not _suits(self, size):
            return super().call(inputs)
        _, transpose = pair(size, self.strides[0], self.padding.upper())
        x = transpose(inputs, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(x, self.bias) if self.use_bias else x
