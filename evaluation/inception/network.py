"""The Inception-v3 of TensorFlow's graph of 2015-12-05, up to its last pooling (1512.00567).

It is not the network of `keras.applications`: a convolution's batch norm has an offset and a scale,
and the pool of the last block, Mixed_7c, is a maximum. Average pools leave the padding out of their
counts, as TensorFlow's do everywhere. Weights come from a file (`weights.py`).
"""

import keras

SIDE, FEATURES = 299, 2048  # pixels of the input, and features of an image
POOLS = {"average": keras.layers.AveragePooling2D, "maximum": keras.layers.MaxPooling2D}


class _Builder:
    """Adds convolutions with a ReLU, and notes where their weights are in files.

    Attributes:
      sources: name of a convolution in PyTorch's network, which is that of the Keras layer → its
        name in TensorFlow's graph.
      block: (name in PyTorch's network, name in the graph) of the block that is being built.
    """

    def __init__(self):
        self.sources, self.block = {}, ("", "")

    def conv(self, x, name, source, width, size=1, *, stride=1, padding="same"):
        """Add a convolution of a kernel of `size`, a number or (height, width)."""
        ours, theirs = (".".join(filter(None, (self.block[0], name))), f"{self.block[1]}{source}")
        self.sources[ours] = theirs
        return keras.layers.Conv2D(
            *(width, size, stride, padding),
            activation="relu",
            kernel_initializer="zeros",
            name=ours,
        )(x)

    def chain(self, x, name, source, *steps):
        """Add convolutions of (width, size) or (width, size, keyword arguments) in a row.

        They are named `NAME_1`, `NAME_2`, …, and in the graph `SOURCE`, `SOURCE_1`, ….
        """
        for i, (width, size, *options) in enumerate(steps):
            number = f"_{i}" if i else ""
            x = self.conv(x, f"{name}_{i + 1}", source + number, width, size, **dict(*options))
        return x

    def pool(self, x, width, kind="average"):
        """Add a pool of 3x3 pixels with stride 1, and a convolution."""
        x = POOLS[kind](3, 1, "same")(x)
        return self.conv(x, "branch_pool", "tower_2/conv", width)


HALVE = {"stride": 2, "padding": "valid"}


def _shrink(x):
    return keras.layers.MaxPooling2D(3, 2)(x)


def _stem(add, x):
    x = add.conv(x, "Conv2d_1a_3x3", "conv", 32, 3, **HALVE)
    x = add.conv(x, "Conv2d_2a_3x3", "conv_1", 32, 3, padding="valid")
    x = _shrink(add.conv(x, "Conv2d_2b_3x3", "conv_2", 64, 3))
    x = add.conv(x, "Conv2d_3b_1x1", "conv_3", 80, padding="valid")
    return _shrink(add.conv(x, "Conv2d_4a_3x3", "conv_4", 192, 3, padding="valid"))


def _block_5(add, x, width):
    """Convolutions of 1x1, 5x5 and twice 3x3 pixels; `width` is that of the pool's branch."""
    return [
        add.conv(x, "branch1x1", "conv", 64),
        add.chain(x, "branch5x5", "tower/conv", (48, 1), (64, 5)),
        add.chain(x, "branch3x3dbl", "tower_1/conv", (64, 1), (96, 3), (96, 3)),
        add.pool(x, width),
    ]


def _block_6a(add, x):
    steps = (64, 1), (96, 3), (96, 3, HALVE)
    return [
        add.conv(x, "branch3x3", "conv", 384, 3, **HALVE),
        add.chain(x, "branch3x3dbl", "tower/conv", *steps),
        _shrink(x),
    ]


def _block_6(add, x, width):
    """Convolutions of 1x7 and 7x1 pixels, whose inner ones have the `width`."""
    row, column = (1, 7), (7, 1)
    steps = (width, 1), (width, column), (width, row), (width, column), (192, row)
    return [
        add.conv(x, "branch1x1", "conv", 192),
        add.chain(x, "branch7x7", "tower/conv", (width, 1), (width, row), (192, column)),
        add.chain(x, "branch7x7dbl", "tower_1/conv", *steps),
        add.pool(x, 192),
    ]


def _block_7a(add, x):
    steps = (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, HALVE)
    return [
        add.chain(x, "branch3x3", "tower/conv", (192, 1), (320, 3, HALVE)),
        add.chain(x, "branch7x7x3", "tower_1/conv", *steps),
        _shrink(x),
    ]


def _block_7(add, x, kind):
    """Branches that end in a pair of convolutions of 1x3 and 3x1 pixels; `kind` of the pool."""

    def pair(x, name, tower):
        first = add.conv(x, f"{name}a", f"{tower}/mixed/conv", 384, (1, 3))
        return [first, add.conv(x, f"{name}b", f"{tower}/mixed/conv_1", 384, (3, 1))]

    once = add.chain(x, "branch3x3", "tower/conv", (384, 1))
    twice = add.chain(x, "branch3x3dbl", "tower_1/conv", (448, 1), (384, 3))
    return [
        add.conv(x, "branch1x1", "conv", 320),
        *pair(once, "branch3x3_2", "tower"),
        *pair(twice, "branch3x3dbl_3", "tower_1"),
        add.pool(x, 192, kind),
    ]


BLOCKS = {  # name in PyTorch's network → (name in the graph, function, arguments)
    "Mixed_5b": ("mixed", _block_5, (32,)),
    "Mixed_5c": ("mixed_1", _block_5, (64,)),
    "Mixed_5d": ("mixed_2", _block_5, (64,)),
    "Mixed_6a": ("mixed_3", _block_6a, ()),
    "Mixed_6b": ("mixed_4", _block_6, (128,)),
    "Mixed_6c": ("mixed_5", _block_6, (160,)),
    "Mixed_6d": ("mixed_6", _block_6, (160,)),
    "Mixed_6e": ("mixed_7", _block_6, (192,)),
    "Mixed_7a": ("mixed_8", _block_7a, ()),
    "Mixed_7b": ("mixed_9", _block_7, ("average",)),
    "Mixed_7c": ("mixed_10", _block_7, ("maximum",)),
}


def build():
    """Build the network, with weights of 0.

    Returns:
      model: images [N, 299, 299, 3], scaled as `extractor.prepare` does → {"features": [N, 2048]}.
      sources: name of each convolution in PyTorch's network, which is that of its layer → its name
        in TensorFlow's graph.
    """
    add, images = _Builder(), keras.Input((SIDE, SIDE, 3))
    x = _stem(add, images)
    for name, (source, block, arguments) in BLOCKS.items():
        add.block = name, f"{source}/"
        x = keras.layers.Concatenate()(block(add, x, *arguments))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, {"features": x}), add.sources
