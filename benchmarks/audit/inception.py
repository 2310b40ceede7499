"""The network of published FIDs in PyTorch and float64, as pytorch-fid describes it.

The reference makes its own random weights, which reach our network through a file of PyTorch. It
has no part of `evaluation/inception`: neither shapes, nor names, nor the resize.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional


class Reference:
    """Inception-v3 with weights that are drawn where the network needs them.

    Attributes:
      weights: dict of name, as in pytorch-fid's file → float32 tensor.
    """

    def __init__(self, seed=0):
        self.generator, self.weights = torch.Generator().manual_seed(seed), {}

    def _draw(self, name, shape, low, high):
        if name not in self.weights:
            found = torch.rand(shape, generator=self.generator) * (high - low) + low
            self.weights[name] = found.float()
        return self.weights[name].double()

    def conv(self, x, name, width, size, stride=1, padding=0):
        """Convolution without a bias, batch norm of inference, ReLU."""
        height, across = (size, size) if isinstance(size, int) else size
        fan_in = x.shape[1] * height * across
        reach = (6 / fan_in) ** 0.5  # keeps the size of activations
        kernel = self._draw(
            f"{name}.conv.weight", (width, x.shape[1], height, across), -reach, reach
        )
        norm = {"weight": (0.5, 1.5), "bias": (-0.5, 0.5), "running_mean": (-0.5, 0.5)}
        scale, offset, mean = (
            self._draw(f"{name}.bn.{part}", (width,), *limits) for part, limits in norm.items()
        )
        variance = self._draw(f"{name}.bn.running_var", (width,), 0.5, 1.5)
        self.weights[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
        x = functional.conv2d(x, kernel, stride=stride, padding=padding)
        return functional.batch_norm(x, mean, variance, scale, offset, eps=0.001).relu()

    def _pooled(self, x, name, width, pool="avg"):
        if pool == "avg":
            x = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        else:
            x = functional.max_pool2d(x, 3, 1, 1)
        return self.conv(x, f"{name}.branch_pool", width, 1)

    def _a(self, x, name, width):
        five = self.conv(x, f"{name}.branch5x5_1", 48, 1)
        three = self.conv(x, f"{name}.branch3x3dbl_1", 64, 1)
        three = self.conv(three, f"{name}.branch3x3dbl_2", 96, 3, padding=1)
        return [
            self.conv(x, f"{name}.branch1x1", 64, 1),
            self.conv(five, f"{name}.branch5x5_2", 64, 5, padding=2),
            self.conv(three, f"{name}.branch3x3dbl_3", 96, 3, padding=1),
            self._pooled(x, name, width),
        ]

    def _b(self, x, name):
        three = self.conv(x, f"{name}.branch3x3dbl_1", 64, 1)
        three = self.conv(three, f"{name}.branch3x3dbl_2", 96, 3, padding=1)
        return [
            self.conv(x, f"{name}.branch3x3", 384, 3, stride=2),
            self.conv(three, f"{name}.branch3x3dbl_3", 96, 3, stride=2),
            functional.max_pool2d(x, 3, 2),
        ]

    def _seven(self, x, name, sizes, widths):
        """Convolutions of 1 pixel, then of 7 in a row or a column."""
        for i, (size, width) in enumerate(zip(sizes, widths)):
            padding = tuple(n // 2 for n in size)
            x = self.conv(x, f"{name}_{i + 1}", width, size, padding=padding)
        return x

    def _c(self, x, name, width):
        one, row, column = (1, 1), (1, 7), (7, 1)
        once = (one, row, column), (width, width, 192)
        twice = (one, column, row, column, row), (*4 * [width], 192)
        return [
            self.conv(x, f"{name}.branch1x1", 192, 1),
            self._seven(x, f"{name}.branch7x7", *once),
            self._seven(x, f"{name}.branch7x7dbl", *twice),
            self._pooled(x, name, 192),
        ]

    def _d(self, x, name):
        three = self.conv(x, f"{name}.branch3x3_1", 192, 1)
        seven = self._seven(x, f"{name}.branch7x7x3", ((1, 1), (1, 7), (7, 1)), 3 * [192])
        return [
            self.conv(three, f"{name}.branch3x3_2", 320, 3, stride=2),
            self.conv(seven, f"{name}.branch7x7x3_4", 192, 3, stride=2),
            functional.max_pool2d(x, 3, 2),
        ]

    def _e(self, x, name, pool):
        three = self.conv(x, f"{name}.branch3x3_1", 384, 1)
        twice = self.conv(x, f"{name}.branch3x3dbl_1", 448, 1)
        twice = self.conv(twice, f"{name}.branch3x3dbl_2", 384, 3, padding=1)
        pairs = [
            self.conv(y, f"{name}.{branch}{end}", 384, size, padding=padding)
            for y, branch in ((three, "branch3x3_2"), (twice, "branch3x3dbl_3"))
            for end, size, padding in (("a", (1, 3), (0, 1)), ("b", (3, 1), (1, 0)))
        ]
        pooled = self._pooled(x, name, 192, pool)
        return [self.conv(x, f"{name}.branch1x1", 320, 1), *pairs, pooled]

    def __call__(self, x):
        """Return the features [N, 2048] of images float64 [N, 3, 299, 299]."""
        x = self.conv(x, "Conv2d_1a_3x3", 32, 3, stride=2)
        x = self.conv(x, "Conv2d_2a_3x3", 32, 3)
        x = functional.max_pool2d(self.conv(x, "Conv2d_2b_3x3", 64, 3, padding=1), 3, 2)
        x = self.conv(x, "Conv2d_3b_1x1", 80, 1)
        x = functional.max_pool2d(self.conv(x, "Conv2d_4a_3x3", 192, 3), 3, 2)
        for end, width in zip("bcd", (32, 64, 64)):
            x = torch.cat(self._a(x, f"Mixed_5{end}", width), 1)
        x = torch.cat(self._b(x, "Mixed_6a"), 1)
        for end, width in zip("bcde", (128, 160, 160, 192)):
            x = torch.cat(self._c(x, f"Mixed_6{end}", width), 1)
        x = torch.cat(self._d(x, "Mixed_7a"), 1)
        for end, pool in (("b", "avg"), ("c", "max")):
            x = torch.cat(self._e(x, f"Mixed_7{end}", pool), 1)
        return functional.avg_pool2d(x, 8)[:, :, 0, 0]


def resize(images, side=299):
    """TensorFlow 1's bilinear resize of images [N, H, W, C], in float64."""
    x = images.astype(np.float64)
    for axis in (1, 2):
        length = x.shape[axis]
        place = np.arange(side) * (length / side)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        high = np.minimum(low + 1, length - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def check(sizes=((32, 32), (64, 48), (299, 299)), seed=0):
    """Return a dict of the size of an image → the largest relative difference of its features."""
    from evaluation.inception import extractor

    reference, rng, found = Reference(seed), np.random.default_rng(seed), {}
    images = [rng.integers(0, 256, (1, *size, 3), dtype=np.uint8) for size in sizes]
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        scaled = [(resize(x) - 128) / 128 for x in images]
        expected = [reference(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy() for x in scaled]
        path = Path(folder, "weights.pth")
        torch.save(reference.weights, path, _use_new_zipfile_serialization=False)
        ours = extractor.build(None, path, folder)
    for size, x, features in zip(sizes, images, expected):
        found["x".join(map(str, size))] = np.abs(ours(x)[0] - features).max() / features.max()
    return found
