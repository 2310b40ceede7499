"""The extractor of published FIDs: the network of 2015 with the resizing of its graph."""

import functools

import tensorflow as tf

from evaluation.extractors import Extractor
from evaluation.inception import network, weights

NAME = "inception-2015"


class Inception(Extractor):
    """The `Extractor` of published FIDs. It resizes images as TensorFlow's graph of 2015 does."""

    counted = True  # FIDs are published with their number of samples

    def prepare(self, images):
        """Return uint8 images [N, H, W, 1 or 3] as the network takes them.

        This is the start of the graph that the authors of the FID (1706.08500) ran: gray images are
        repeated for colour, a bilinear resize without antialiasing, whose pixel (y, x) is at (y, x)
        · size / 299 of the image, and (x - 128) / 128. pytorch-fid resizes with the centres of
        pixels in place, and scales by x / 127.5 - 1; clean-fid resizes with antialiasing
        (2104.11222).

        Returns:
          float32 [N, 299, 299, 3].
        """
        if images.shape[-1] == 1:
            images = images.repeat(3, -1)
        side = [network.SIDE] * 2
        x = tf.raw_ops.ResizeBilinear(
            images=images, size=side, align_corners=False, half_pixel_centers=False
        )
        return (x - 128.0) * (1 / 128)

    def apply(self, x):
        """Return the network's outputs for prepared images, a dict."""
        return self._compiled(x)

    @functools.cached_property
    def _compiled(self):
        """The network as a tf.function, which frees each layer's output after its last use."""
        signature = [tf.TensorSpec([None, network.SIDE, network.SIDE, 3])]
        return tf.function(lambda x: self.model(x, training=False), input_signature=signature)


def build(shape, path, cache_dir):
    """Build the extractor of published FIDs.

    The name of an extractor with other weights than the published ones has the start of the file's
    SHA-256, as its measures cannot be compared with others.

    Args:
      shape: ignored.
      path: path of a file of weights, or None for the published ones; see `weights.find`.
      cache_dir: path of the folder for downloads.

    Raises:
      console.Failed: if there are no weights, or they cannot be read.
    """
    del shape
    path = weights.find(path, cache_dir)
    model, sources = network.build()
    weights.load(path, model, sources)
    digest = weights.checksum(path)
    name = NAME if digest == weights.SHA256 else f"{NAME}-{digest[:8]}"
    return Inception(name, model)
