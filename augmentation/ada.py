"""The pipeline of adaptive discriminator augmentation (2006.06676, appendix B).

The transforms are functions as in `diffaugment.py`. The pipeline is the one that the paper calls
"bgc": pixel blitting, general geometric transforms, and colour transforms, each with probability
`p`. Deviation: images are resampled bilinearly. The authors filter them by wavelets.
"""

import math

import tensorflow as tf

from training import replicas
from training.randomness import fold, normal_latents

SHIFT = 0.125  # of translations, as a fraction of the side: maximum if whole, else deviation
SCALE = 0.2  # deviation of the log2 of scale factors
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # deviations: of the value, and of log2 factors


class _Draws:
    """The random numbers of a batch: each call returns new ones, float32 [B].

    A value that is not chosen, with probability 1 - p, is replaced by `still`.
    """

    MOST = 20  # of each kind

    def __init__(self, count, key, p):
        self.count, self.p, shape = count, p, (count, self.MOST)
        self._uniform = iter(tf.unstack(replicas.uniform(fold(key, 1), shape), axis=1))
        self._normal = iter(tf.unstack(replicas.draw(normal_latents, fold(key, 2), shape), axis=1))

    def uniform(self):
        return next(self._uniform)

    def normal(self):
        return next(self._normal)

    def choose(self, values, still, p=None):
        return tf.where(self.uniform() < (self.p if p is None else p), values, still)


def geometry(images, key, p):
    """Flip, turn, move, scale and stretch the images by one affine map each.

    Pixel blitting: flip left-right, turn by 90°, move by whole pixels. Geometry: scale, rotate,
    stretch, rotate again, move by fractions. Pixels outside the image are its reflection.
    """
    count, height, width = images.shape[:3]
    return resample(images, affine_maps(_Draws(count, key, p), height, width))


def affine_maps(draws, height, width):
    """Draw maps from the pixels of the new images to those of the old ones: float32 [B, 2, 3].

    Coordinates are (x, y) in pixels from the image's centre.
    """
    p_turn = 1 - tf.sqrt(1 - tf.minimum(draws.p, 1.0))  # of each rotation, so that p is of any
    maps = _rows([[1, 0, 0], [0, 1, 0], [0, 0, 1]], draws.count)

    def turn(angle):
        cos, sin = tf.cos(angle), tf.sin(angle)
        return maps @ _rows([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], draws.count)

    def stretch(x, y):
        return maps @ _rows([[1 / x, 0, 0], [0, 1 / y, 0], [0, 0, 1]], draws.count)

    def move(x, y):
        return maps @ _rows([[1, 0, -x], [0, 1, -y], [0, 0, 1]], draws.count)

    one = tf.ones(draws.count)
    maps = stretch(draws.choose(1 - 2 * tf.floor(2 * draws.uniform()), 1.0), one)
    maps = turn(draws.choose(math.pi / 2 * tf.floor(4 * draws.uniform()), 0.0))
    shifts = [(2 * draws.uniform() - 1) * SHIFT * side for side in (width, height)]
    on = draws.choose(one, 0.0)
    maps = move(*(tf.round(on * shift) for shift in shifts))
    scale = draws.choose(2.0 ** (SCALE * draws.normal()), 1.0)
    maps = stretch(scale, scale)
    maps = turn(draws.choose(math.pi * (2 * draws.uniform() - 1), 0.0, p_turn))
    scale = draws.choose(2.0 ** (SCALE * draws.normal()), 1.0)
    maps = stretch(scale, 1 / scale)
    maps = turn(draws.choose(math.pi * (2 * draws.uniform() - 1), 0.0, p_turn))
    on = draws.choose(one, 0.0)
    maps = move(*(on * SHIFT * side * draws.normal() for side in (width, height)))
    return maps[:, :2]


def resample(images, maps):
    """Sample images at mapped pixels, bilinearly, with reflection at the borders.

    Args:
      images: float32 [B, H, W, C].
      maps: float32 [B, 2, 3], see `affine_maps`.

    Returns:
      float32 [B, H, W, C].
    """
    count, height, width, channels = images.shape
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2])
    x, y = tf.meshgrid(tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32))
    grid = tf.stack([tf.reshape(x, [-1]) - centre[0], tf.reshape(y, [-1]) - centre[1]])
    places = tf.stop_gradient(maps[:, :, :2] @ grid + maps[:, :, 2:] + centre[:, None])
    corners = []
    for axis, side in enumerate((width, height)):
        place = _reflect(places[:, axis], side - 1)
        low = tf.floor(place)
        corners.append([(low, 1 - place + low), (tf.minimum(low + 1, side - 1), place - low)])
    pixels, result = tf.reshape(images, [count, height * width, channels]), 0.0
    for y, y_weight in corners[1]:
        for x, x_weight in corners[0]:
            found = tf.gather(pixels, tf.cast(y * width + x, tf.int32), axis=1, batch_dims=1)
            result += (y_weight * x_weight)[..., None] * found
    return tf.reshape(result, images.shape)


def _reflect(place, last):
    """Fold coordinates into [0, last], by reflection at both ends."""
    if last == 0:
        return tf.zeros_like(place)
    return last - tf.abs(tf.math.floormod(place, 2.0 * last) - last)


def color(images, key, p):
    """Change brightness, contrast, lightness, hue and saturation by one matrix for each image.

    Gray images have no hue and saturation.
    """
    count, channels = images.shape[0], images.shape[3]
    matrix, offset = color_maps(_Draws(count, key, p))
    if channels == 1:  # as a gray pixel of three equal channels
        matrix, offset = tf.reduce_sum(matrix, [1, 2], True) / 3, tf.reduce_mean(offset, 1, True)
    pixels = tf.reshape(images, [count, -1, channels])
    return tf.reshape(pixels @ matrix + offset[:, None], images.shape)


def color_maps(draws):
    """Draw maps of colours c [3] to c @ matrix + offset: float32 ([B, 3, 3], [B, 3])."""
    count = draws.count
    gray, eye = tf.fill([3, 3], 1 / 3), tf.eye(3)  # projection on the axis of grays
    offset = tf.tile(draws.choose(BRIGHTNESS * draws.normal(), 0.0)[:, None], [1, 3])
    contrast = draws.choose(2.0 ** (CONTRAST * draws.normal()), 1.0)[:, None, None]
    flip = draws.choose(tf.floor(2 * draws.uniform()), 0.0)[:, None, None]
    angle = draws.choose(math.pi * (2 * draws.uniform() - 1), 0.0)
    factor = draws.choose(2.0 ** (SATURATION * draws.normal()), 1.0)[:, None, None]
    cross = _rows([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], count) / math.sqrt(3)
    cos, sin = tf.cos(angle)[:, None, None], tf.sin(angle)[:, None, None]
    hue = cos * eye + sin * cross + (1 - cos) * gray  # Rodrigues' formula
    matrix = contrast * (eye - 2 * flip * gray) @ hue @ (gray + factor * (eye - gray))
    return matrix, (offset[:, None] @ matrix)[:, 0]


def _rows(rows, count):
    """Stack numbers and tensors [count] to matrices, float32 [count, n, m]."""
    cells = [[tf.broadcast_to(tf.cast(c, tf.float32), [count]) for c in row] for row in rows]
    return tf.stack([tf.stack(row, -1) for row in cells], 1)
