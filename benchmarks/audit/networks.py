"""A Keras network computed by PyTorch in float64, layer by layer.

The layers are written anew from the papers. Only the graph, which says what is connected to what,
comes from the network. Tensors are [B, H, W, C], as in Keras.
"""

import keras
import numpy as np
import torch
from torch.nn import functional

from layers import equal, spectral

FEATURES = (0, 3, 1, 2)  # [B, H, W, C] → [B, C, H, W]
IMAGES = (0, 2, 3, 1)


def tensor(x):
    """Return an array, tensor or variable as a float64 PyTorch tensor."""
    return torch.from_numpy(np.array(x, np.float64))


class Network:
    """A Keras model of layers that this module knows, with its own weights.

    Attributes:
      weights: one float64 tensor with gradients for each of the model's `trainable_variables`.
    """

    def __init__(self, model):
        self.model = model
        self.weights = [tensor(w).requires_grad_() for w in model.trainable_variables]
        self.own = {id(v): w for v, w in zip(model.trainable_variables, self.weights)}

    def __call__(self, *inputs, outputs=None):
        """Return the output for float64 tensors, with batch norm in training mode.

        `outputs` names symbolic tensors of the graph to return instead, a list.
        """
        model = self.model if outputs is None else keras.Model(self.model.inputs, outputs)
        return self._run(model, list(inputs))

    def _run(self, model, inputs):
        return model._run_through_graph(inputs, operation_fn=self._operation)

    def _operation(self, layer):
        name = type(layer).__name__
        if name in ("Functional", "Model"):
            return lambda *x, **_: self._run(layer, [*x[0]] if len(layer.inputs) > 1 else [*x])
        return lambda *words, **kwargs: OPERATIONS[name](layer, self._weight, *words, **kwargs)

    def _weight(self, variable):
        """Return the tensor of a Keras variable."""
        return self.own[id(variable)] if id(variable) in self.own else tensor(variable)


def _kernel(layer, weight):
    kernel = weight(layer.kernel)
    if isinstance(layer, equal.Equal):
        fan_in = np.prod([*getattr(layer, "kernel_size", ()), layer.input.shape[-1]])
        return kernel * layer.gain / float(fan_in) ** 0.5
    if isinstance(layer, spectral.Spectral):
        matrix = kernel.reshape(-1, kernel.shape[-1])
        vector = tensor(layer.vector)
        return kernel / (matrix @ (vector / vector.norm())).norm()
    return kernel


def _with_bias(layer, weight, x):
    return x + weight(layer.bias) if layer.use_bias else x


def _before(length, kernel, stride):
    """Return (pixels before, pixels after) of the padding "same" along one axis."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def dense(layer, weight, x):
    """y = x W + b."""
    return _with_bias(layer, weight, x @ _kernel(layer, weight))


def convolution(layer, weight, x):
    """Cross-correlation with a kernel [k, k, C, F]."""
    x, stride, size = x.permute(FEATURES), layer.strides[0], layer.kernel_size[0]
    if layer.padding == "same":
        rows, columns = (_before(n, size, stride) for n in x.shape[2:])
        x = functional.pad(x, (*columns, *rows))
    kernel = _kernel(layer, weight).permute(3, 2, 0, 1).contiguous()
    y = functional.conv2d(x, kernel, stride=stride)
    return _with_bias(layer, weight, y.permute(IMAGES))


def transposed(layer, weight, x):
    """The transpose of a convolution, with a kernel [k, k, F, C]."""
    stride, size = layer.strides[0], layer.kernel_size[0]
    kernel = _kernel(layer, weight).permute(3, 2, 0, 1).contiguous()
    y = functional.conv_transpose2d(x.permute(FEATURES), kernel, stride=stride).permute(IMAGES)
    if layer.padding == "same":
        height, width = (stride * n for n in x.shape[1:3])
        top, left = (_before(n, size, stride)[0] for n in (height, width))
        y = y[:, top : top + height, left : left + width]
    return _with_bias(layer, weight, y)


def batch_norm(layer, weight, x, **_):
    """(x - mean) / sqrt(variance + ε) over the batch, scaled and shifted."""
    axes = tuple(range(x.dim() - 1))
    x = x - x.mean(axes, keepdim=True)
    x = x / (x.square().mean(axes, keepdim=True) + layer.epsilon).sqrt()
    return x * weight(layer.gamma) + weight(layer.beta)


def group_norm(layer, weight, x):
    """The same over the pixels of each sample, and over all channels or each."""
    axes = tuple(range(1, x.dim())) if layer.groups == 1 else tuple(range(1, x.dim() - 1))
    x = x - x.mean(axes, keepdim=True)
    x = x / (x.square().mean(axes, keepdim=True) + layer.epsilon).sqrt()
    x = x * weight(layer.gamma) if layer.scale else x
    return x + weight(layer.beta) if layer.center else x


def up(layer, weight, x):
    """Repeat each pixel, or interpolate between pixels."""
    rows, columns = layer.size
    if layer.interpolation == "bilinear":
        x = x.permute(FEATURES)
        y = functional.interpolate(x, scale_factor=rows, mode="bilinear", align_corners=False)
        return y.permute(IMAGES)
    return x.repeat_interleave(rows, 1).repeat_interleave(columns, 2)


def average(layer, weight, x):
    """The mean of each block of pixels."""
    size, stride = layer.pool_size, layer.strides
    return functional.avg_pool2d(x.permute(FEATURES), size, stride).permute(IMAGES)


def mean_of(layer, weight, x):
    """The mean of the tensors of a list."""
    return sum(x) / len(x)


def largest(layer, weight, x):
    """The largest of each block of pixels."""
    size, stride = layer.pool_size[0], layer.strides[0]
    return functional.max_pool2d(x.permute(FEATURES), size, stride).permute(IMAGES)


def crop(layer, weight, x):
    """Cut away rows and columns."""
    (top, bottom), (left, right) = layer.cropping
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def pad_zeros(layer, weight, x):
    """Add rows and columns of zeros."""
    rows, columns = layer.padding
    return functional.pad(x, (0, 0, *columns, *rows))


def pad(operation, weight, x, *_, **__):
    """Pad by reflection."""
    rows, columns = operation.pad_width[1:3]
    return functional.pad(x.permute(FEATURES), (*columns, *rows), "reflect").permute(IMAGES)


def fade(layer, weight, x):
    """α x, or (1 - α) x on the side of the old stage."""
    alpha = float(layer.alpha.numpy())
    return x * (1 - alpha if layer.old else alpha)


def deviation(layer, weight, x):
    """Append the batch's standard deviation, in groups of 4 or of the whole batch (PGGAN)."""
    batch = len(x)
    size = next((n for n in (4, 3, 2) if batch % n == 0), batch)
    groups = x.reshape(size, batch // size, *x.shape[1:])
    centred = groups - groups.mean(0, keepdim=True)
    values = (centred.square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    maps = values.repeat(size)[:, None, None, None].expand(*x.shape[:3], 1)
    return torch.cat([x, maps], 3)


def activation(layer, weight, x):
    """The hyperbolic tangent, the logistic function, x times that (swish), or nothing."""
    found = {"tanh": torch.tanh, "linear": lambda x: x}
    found["sigmoid"] = lambda x: 1 / (1 + torch.exp(-x))
    found["silu"] = lambda x: x / (1 + torch.exp(-x))
    return found[layer.activation.__name__](x)


def gated(operation, weight, x, *_, **__):
    """The first half of the channels times the logistic function of the second half."""
    first, second = x.chunk(2, -1)
    return first / (1 + torch.exp(-second))


def leaky(layer, weight, x):
    """x, or slope times x if x is negative."""
    return torch.where(x > 0, x, layer.negative_slope * x)


def add(layer, weight, x, *more):
    """A sum, of a list or of two arguments."""
    return sum(x) if isinstance(x, list) else x + more[0]


def multiply(layer, weight, x, *more):
    """A product, of a list or of two arguments."""
    return x[0] * x[1] if isinstance(x, list) else x * more[0]


def concatenate(layer, weight, x, *_, **__):
    """Join along the last axis."""
    return torch.cat(list(x), -1)


def reshape(layer, weight, x, *_, **__):
    """Give each sample another shape."""
    return x.reshape(len(x), *layer.target_shape)


def mean(operation, weight, x, *_, **__):
    """The mean over axes."""
    return x.mean(operation.axis, keepdim=operation.keepdims)


def total(operation, weight, x, *_, **__):
    """The sum over axes."""
    return x.sum(operation.axis, keepdim=operation.keepdims)


OPERATIONS = {
    "Dense": dense,
    "EqualDense": dense,
    "SpectralDense": dense,
    "Conv2D": convolution,
    "EqualConv": convolution,
    "SpectralConv": convolution,
    "Conv2DTranspose": transposed,
    "EqualDeconv": transposed,
    "SpectralDeconv": transposed,
    "BatchNorm": batch_norm,
    "GroupNorm": group_norm,
    "Up": up,
    "UpSampling2D": up,
    "Average": mean_of,
    "AveragePooling2D": average,
    "MaxPooling2D": largest,
    "Cropping2D": crop,
    "ZeroPadding2D": pad_zeros,
    "Pad": pad,
    "Fade": fade,
    "BatchDeviation": deviation,
    "Activation": activation,
    "Glu": gated,
    "LeakyReLU": leaky,
    "ReLU": lambda layer, weight, x: x.clamp(min=0),
    "Add": add,
    "Multiply": multiply,
    "Concatenate": concatenate,
    "Reshape": reshape,
    "Flatten": lambda layer, weight, x: x.reshape(len(x), -1),
    "Mean": mean,
    "Sum": total,
    "Square": lambda operation, weight, x: x.square(),
    "Rsqrt": lambda operation, weight, x: x.rsqrt(),
    "Cast": lambda operation, weight, x, *_, **__: x,
    "InputLayer": lambda layer, weight, x=None: x,
}
