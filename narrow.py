"""Convolutions at images of a few channels, in a form that a CPU is quicker with.

TensorFlow's transposed convolution to three channels, which is the gradient of a convolution's
inputs too, takes a CPU up to ten times what its multiplications do. Here it is a plain convolution
to all the pixels of a stride at once, whose channels are then laid out side by side.
"""

import keras
import tensorflow as tf

import layers

FEW = 4  # channels


def fits(channels):
    """Are layers at images of so many channels to be of this module's kind?"""
    return channels <= FEW and not tf.config.list_logical_devices("GPU")


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


def _spread(maps, kernel, size, stride, padding):
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

    @tf.custom_gradient
    def gather(images, kernel):
        def gradient(g):
            return spread(g, kernel), weights(images, g, kernel)

        return tf.nn.conv2d(images, kernel, stride, padding), gradient

    @tf.custom_gradient
    def spread(maps, kernel):
        def gradient(g):
            return gather(g, kernel), weights(g, maps, kernel)

        return _spread(maps, kernel, size, stride, padding), gradient

    return gather, spread


class Conv2D(layers.Stocked, keras.layers.Conv2D):
    """Keras' own, with square kernels and strides, of images of a few channels and a known size."""

    kind = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        """[B, H, W, C] → [B, h, w, F]."""
        size = inputs.shape[1:3]
        if None in size:
            return super().convolution_op(inputs, kernel)
        gather, _ = pair(size, self.strides[0], self.padding.upper())
        return gather(inputs, tf.convert_to_tensor(kernel))


class Conv2DTranspose(layers.Stocked, keras.layers.Conv2DTranspose):
    """Keras' own, with square kernels and strides, to images of a few channels and a known size."""

    kind = keras.layers.Conv2DTranspose

    def call(self, inputs):
        """[B, h, w, F] → [B, H, W, C]."""
        size = self.compute_output_shape(inputs.shape)[1:3]
        if None in size:
            return super().call(inputs)
        _, spread = pair(size, self.strides[0], self.padding.upper())
        x = spread(inputs, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(x, self.bias) if self.use_bias else x
