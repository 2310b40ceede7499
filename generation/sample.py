"""Test mode: finding a trained generator, and the pictures that it is asked for."""

import datetime
from pathlib import Path

import numpy as np
import tensorflow as tf

import console
import utils

TEST, SWEEP, DRAWS, SEPARATE, SEEDS, PATHS = range(6)  # purposes that key the random numbers
N_DRAWS = 100  # dimensions that option 2 draws
GIF_SECONDS = 2.0
FRAME_RATE = 12  # frames a second of an interpolation
MOSAIC = 10  # rows and columns of the merged animation


class Sampler:
    """Draws pictures from a trained generator, the same ones for the same seed.

    Args:
      generator: Keras model of [z, (one-hot labels)] → images in [-1, 1].
      latents: (key, shape) → latents, as in training.
      draw: (generator, z, labels) → images in inference mode.
      sweep: (lowest, highest) value that a latent takes in a sweep.
      folder: where the files go.
      count: images of a sheet, and frames of a sweep.
      label: the class of every image, or None for all classes in turn.
    """

    def __init__(self, generator, latents, draw, *, sweep, folder, count, seed, label=None):
        self.generator, self.latents, self.draw = generator, latents, draw
        self.folder, self.count = Path(folder), count
        self.key = tf.constant([seed, 1], tf.int32)
        self.rng = np.random.default_rng(seed)
        self.z_dim = generator.inputs[0].shape[-1]
        self.classes = generator.inputs[1].shape[-1] if len(generator.inputs) > 1 else 0
        self.values = np.linspace(*sweep, count, dtype=np.float32)
        if label is not None and label >= self.classes:
            classes = f"classes 0 to {self.classes - 1}" if self.classes else "no classes"
            raise console.Failed(f"--label={label}: this generator has {classes}")
        self.label = label

    def z(self, *purpose, count=None):
        """Latents [count, z_dim] of their own for each purpose."""
        key = self.key
        for number in purpose:
            key = tf.random.experimental.stateless_fold_in(key, number)
        return np.array(self.latents(key, (count or self.count, self.z_dim)))

    def images(self, z, labels=None):
        """uint8 images of latents; labels 0, 1, … in turn unless given, whole or one-hot."""
        hot = ()
        if self.classes:
            labels = np.arange(len(z)) if labels is None else labels
            hot = (self.one_hot(labels) if np.ndim(labels) == 1 else labels,)
        return utils.to_uint8(self.draw(self.generator, z, hot))

    def one_hot(self, labels):
        """Labels [N] modulo the classes, or `label` for all of them, as float32 [N, classes]."""
        labels = np.asarray(labels) % self.classes
        labels = labels if self.label is None else np.full(len(labels), self.label)
        return np.eye(self.classes, dtype=np.float32)[labels]

    def sheet(self, name="test.png", z=None):
        """One grid of samples; with labels, a column for each class."""
        wide = 1 < self.classes <= 16 and self.label is None
        count = -(-self.count // self.classes) * self.classes if wide else self.count
        images = self.images(self.z(TEST, count=count) if z is None else z)
        grid = utils.make_grid(images, self.classes if wide else None)
        return [utils.save_image(self.folder / name, grid)]

    def fresh_sheet(self):
        """Option 0: a grid named by the time, of latents never drawn before."""
        now = datetime.datetime.now(datetime.UTC)
        kept = self.key
        self.key = tf.constant([now.microsecond, int(now.timestamp()) % 2**31], tf.int32)
        paths = self.sheet(f"test_{now:%Y%m%d%H%M%S}.png")
        self.key = kept
        return paths

    def sweep(self, dim):
        """Images whose latents differ at random, and in dimension `dim` from low to high."""
        z = self.z(SWEEP, dim)
        z[:, dim] = self.values
        labels = self.rng.integers(0, self.classes, len(z)) if self.classes else None
        return self.images(z, labels)

    def sweep_sheets(self):
        """Option 1: `test_arange_D.png`, the sweep of each dimension as a grid."""
        return [
            utils.save_image(self.folder / f"test_arange_{d}.png", utils.make_grid(self.sweep(d)))
            for d in range(self.z_dim)
        ]

    def _gif(self, dim, frames):
        return utils.save_animation(self.folder / f"test_gif_{dim}.gif", frames, GIF_SECONDS)

    def draw_gifs(self):
        """Option 2: dimensions drawn at random; one latent, and of it only that one moves."""
        paths = []
        for dim in sorted(set(self.rng.integers(0, self.z_dim, N_DRAWS).tolist())):
            z = np.repeat(self.z(DRAWS, dim, count=1), self.count, 0)
            z[:, dim] = self.values
            paths.append(self._gif(dim, self.images(z, np.full(len(z), dim))))
        return paths

    def sweep_gifs(self):
        """Option 3: `test_gif_D.gif`, the sweep of each dimension in time."""
        return [self._gif(dim, self.sweep(dim)) for dim in range(self.z_dim)]

    def merged_gif(self):
        """Option 4: as 3, and `test_gif_merged.gif`: a hundred of them at once, to and fro."""
        sweeps = [self.sweep(dim) for dim in range(self.z_dim)]
        paths = [self._gif(dim, frames) for dim, frames in enumerate(sweeps)]
        shown = np.stack(sweeps[: MOSAIC**2], 1)  # [frames, dimensions, H, W, C]
        frames = [utils.make_grid(f, MOSAIC) for f in shown]
        path = self.folder / "test_gif_merged.gif"
        there_and_back = frames + frames[::-1]
        return [*paths, utils.save_animation(path, there_and_back, 4 * GIF_SECONDS, hold=0)]

    def separate(self, count):
        """`test_00000.png`, …: single images, the i-th the same whatever the count."""
        paths = []
        for start in range(0, count, 64):
            numbers = range(start, min(start + 64, count))
            z = np.concatenate([self.z(SEPARATE, i, count=1) for i in numbers])
            images = self.images(z, np.array(numbers))
            for i, image in zip(numbers, images):
                paths.append(utils.save_image(self.folder / f"test_{i:05d}.png", image))
        return paths

    def of_seeds(self, seeds):
        """`seed_0007.png`, …: the image of each seed, the same whatever the others are."""
        images = self.images(self._seeded(seeds), np.array(seeds))
        names = [self.folder / f"seed_{seed:04d}.png" for seed in seeds]
        return [utils.save_image(path, image) for path, image in zip(names, images)]

    def _seeded(self, seeds):
        return np.concatenate([self.z(SEEDS, seed, count=1) for seed in seeds])

    def interpolation(self, steps, seeds=None):
        """`interpolation.gif`, `.webp` and `.mp4`: from latent to latent and back to the first.

        Args:
          steps: frames from one latent to the next.
          seeds: those of one image's latents; without them, 16 images between 8 latents each.
        """
        stops, images = (len(seeds), 1) if seeds else (8, 16)
        z = self._seeded(seeds) if seeds else self.z(PATHS, count=stops * images)
        z = z.reshape(stops, images, self.z_dim)
        # Between seeds the label changes as the latent does; elsewhere each image keeps its own.
        labels = np.array(seeds)[:, None] if seeds else np.tile(np.arange(images), (stops, 1))
        hot = [self.one_hot(row) if self.classes else np.zeros((images, 0)) for row in labels]
        frames = []
        for i in range(stops):
            j = (i + 1) % stops
            for share in np.linspace(0, 1, steps, endpoint=False, dtype=np.float32):
                between = ((1 - share) * hot[i] + share * hot[j]).astype(np.float32)
                frames.append(utils.make_grid(self.images(slerp(z[i], z[j], share), between)))
        seconds = len(frames) / FRAME_RATE
        names = [self.folder / f"interpolation.{suffix}" for suffix in ("gif", "webp")]
        paths = [utils.save_animation(name, frames, seconds, hold=0) for name in names]
        video = utils.save_video(self.folder / "interpolation.mp4", frames, FRAME_RATE)
        return paths + ([video] if video else [])

    def all(self, option=None, count=0, seeds=None, steps=0):
        """Everything asked for, path by path as it is written.

        Args:
          option: 0..4 as `--visualize`; None is `test.png` and, if nothing else is asked for,
            option 1.
          count: so many separate images.
          seeds: of single images, or of the stops of an interpolation.
          steps: frames between two stops of an interpolation; 0: none.
        """
        if option != 0:
            yield from self.sheet()
        if option is not None or not (count or seeds or steps):
            yield from OPTIONS[1 if option is None else option](self)
        if count:
            yield from self.separate(count)
        if seeds:
            yield from self.of_seeds(seeds)
        if steps:
            yield from self.interpolation(steps, seeds)


def slerp(a, b, share):
    """Spherical interpolation of latents [..., z_dim] (1609.04468), their lengths linearly."""
    long_a, long_b = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    cosine = np.sum(a * b, -1, keepdims=True) / np.maximum(long_a * long_b, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    if np.any(sine < 1e-6):  # the same direction, or the opposite one: a straight line
        return (1 - share) * a + share * b
    unit = (np.sin((1 - share) * angle) * a / long_a + np.sin(share * angle) * b / long_b) / sine
    return unit * ((1 - share) * long_a + share * long_b)


OPTIONS = {
    0: Sampler.fresh_sheet,
    1: Sampler.sweep_sheets,
    2: Sampler.draw_gifs,
    3: Sampler.sweep_gifs,
    4: Sampler.merged_gif,
}
