"""Faster convolutions on a CPU, for few channels and for few pixels.

On a CPU, TensorFlow's transposed convolution to three channels takes up to ten times as long as its
multiplications. It is also the gradient of a convolution with respect to its inputs. Here it is a
convolution with stride² times the channels, which are then rearranged into pixels
(depth-to-space).

For large batches of small maps with many channels, TensorFlow's gradient of a kernel takes up to
six times as long as necessary. Here it is a convolution of the images with the maps as a kernel,
and the batch as the channels.

For a strided 1x1 convolution of fewer than 16 channels, oneDNN's gradient of the kernel writes past
its memory, which ends the process or corrupts data. It depends on the processor and the batch. Here
the pixels are sampled first, and the convolution has stride 1.
"""

import keras
import tensorflow as tf

from layers import stock

MAX_CHANNELS = 4  # of images, for the faster transposed convolution
# For the faster gradient of a kernel: at most 16 pixels, and at least 65 channels and 32 images. It
# was not faster with 64 channels.
MAX_PIXELS, MIN_WIDTH, MIN_BATCH = 16, 65, 32


def _few_pixels(maps):
    """Return whether a kernel's gradient is faster as a convolution, for maps [B, h, w, F]."""
    batch, h, w, width = maps
    return h * w <= MAX_PIXELS and width >= MIN_WIDTH and (batch or 0) >= MIN_BATCH


def _before(length, kernel, stride, padding):
    """Return the pixels of padding before an image, along one axis."""
    last = (-(-length // stride) - 1) * stride
    return max(last + kernel - length, 0) // 2 if padding == "SAME" else 0


def _taps(length, kernel, stride, padding):
    """Write a transposed convolution along one axis as a convolution to `stride` phases.

    Output pixel stride·j + a is the sum over d of input pixel j + d times the kernel's tap
    a + before - stride·d.

    Args:
      length: output pixels.
      kernel: taps of the kernel.

    Returns:
      (number of j for `length` pixels, smallest d, largest d, taps). taps[d][a] is the number of a
      tap, or `kernel` if there is none.
    """
    count = -(-length // stride)
    before = _before(length, kernel, stride, padding)
    low, high = -((kernel - 1 - before) // stride), (stride - 1 + before) // stride
    taps = [[a + before - stride * d for a in range(stride)] for d in range(low, high + 1)]
    taps = [[t if 0 <= t < kernel else kernel for t in row] for row in taps]
    return count, low, high, taps


def _transposed(maps, kernel, size, stride, padding):
    """Transposed convolution: maps [B, h, w, F], kernel [k, k, C, F] → [B, *size, C]."""
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
    """Return the gradient of a convolution's kernel, [side, side, C, F].

    Its tap (a, b) is the sum over i and j of the images' pixels stride·(i, j) + (a, b) times the
    maps' pixels (i, j).

    Args:
      images: inputs of the convolution, [B, H, W, C].
      maps: gradient of its outputs, [B, h, w, F].
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


def linear_pair(size, side, stride, padding):
    """Return a convolution and its transpose, both differentiable any number of times.

    TensorFlow keeps every custom gradient, and the graph it was traced in, for the whole process.

    Args:
      size: (height, width) of the images.
      side: height and width of the kernel.
      stride: pixels between two positions of the kernel.
      padding: "SAME" or "VALID", as in `tf.nn.conv2d`.

    Returns:
      convolve: (images [B, *size, C], kernel [side, side, C, F]) → maps [B, h, w, F].
      transpose: (maps, kernel) → images.
    """

    def differentiable(function):
        return tf.autograph.experimental.do_not_convert(tf.custom_gradient(function))

    # Each function is linear in both arguments. The other two functions are its gradients.
    @differentiable
    def convolve(images, kernel):
        def gradient(g):
            return transpose(g, kernel), weights(images, g)

        return tf.nn.conv2d(images, kernel, stride, padding), gradient

    @differentiable
    def transpose(maps, kernel):
        def gradient(g):
            return convolve(g, kernel), weights(g, maps)

        if kernel.shape[2] <= MAX_CHANNELS:
            return _transposed(maps, kernel, size, stride, padding), gradient
        shape = [tf.shape(maps)[0], *size, kernel.shape[2]]
        return tf.nn.conv2d_transpose(maps, kernel, shape, stride, padding), gradient

    @differentiable
    def weights(images, maps):
        def gradient(g):
            return transpose(maps, g), convolve(images, g)

        return _kernel_gradient(images, maps, side, stride, padding), gradient

    return convolve, transpose


def _plain(layer):
    """Return whether a layer has no option but its kernel, strides and padding."""
    plain = layer.groups == 1 if hasattr(layer, "groups") else not layer.output_padding
    return plain and {*layer.dilation_rate} == {1} and layer.data_format == "channels_last"


def _suits(layer, images, maps):
    """Return whether `linear_pair` supports a layer between these shapes, and is faster."""
    square = len({*layer.strides}) == len({*layer.kernel_size}) == 1
    known = None not in images[1:]
    few = images[-1] <= MAX_CHANNELS or _few_pixels(maps)
    return square and _plain(layer) and known and few


class Conv2D(stock.Stocked, keras.layers.Conv2D):
    """Keras' Conv2D, computed by `linear_pair` where that is faster.

    A strided 1x1 kernel is applied to the sampled pixels, with stride 1.
    """

    kind = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        """[B, H, W, C] → [B, h, w, F]."""
        maps, strides = self.compute_output_shape(inputs.shape), self.strides
        if max(strides) > max(self.kernel_size) == 1 and _plain(self):
            inputs, strides = inputs[:, :: strides[0], :: strides[1]], (1, 1)
        if _suits(self, inputs.shape, maps):
            pair = linear_pair(
                inputs.shape[1:3], self.kernel_size[0], strides[0], self.padding.upper()
            )
            return pair[0](inputs, tf.convert_to_tensor(kernel))
        if strides != self.strides:
            return tf.nn.conv2d(inputs, tf.convert_to_tensor(kernel), 1, "VALID")
        return super().convolution_op(inputs, kernel)


class Conv2DTranspose(stock.Stocked, keras.layers.Conv2DTranspose):
    """Keras' Conv2DTranspose, computed by `linear_pair` where that is faster."""

    kind = keras.layers.Conv2DTranspose

    def call(self, inputs):
        """[B, h, w, F] → [B, H, W, C]."""
        shape = self.compute_output_shape(inputs.shape)
        if not _suits(self, shape, inputs.shape):
            return super().call(inputs)
        _, transpose = linear_pair(
            shape[1:3], self.kernel_size[0], self.strides[0], self.padding.upper()
        )
        x = transpose(inputs, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(x, self.bias) if self.use_bias else x
