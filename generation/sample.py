"""Test mode: grids, single images and animations from a trained generator."""

import datetime
from pathlib import Path

import numpy as np
import tensorflow as tf

import console
import utils
from config.values import did_you_mean
from generation import video
from runs import plots
from steering import pictures, sweeps
from steering.directions import move
from steering.latents import Purpose, slerp
from training.randomness import fold

FRAME_RATE = 12  # frames per second of an interpolation
BATCH = 64  # separate images that are generated at a time


class Sampler:
    """Makes pictures with a trained generator. The same seed gives the same pictures.

    Methods that write files return a list of their paths.

    Args:
      generator: Keras model of latents [N, Z], or of latents and one-hot labels [N, K], that makes
        images [N, H, W, C] in [-1, 1].
      latents: (key, shape) → latents, from the distribution used in training.
      draw: (generator, z, (labels,)) → images, in inference mode.
      sweep: (lowest, highest) value of a latent in a sweep.
      folder: folder that the files are written to.
      count: number of images in a sheet, and of frames in a sweep.
      seed: of all random numbers.
      label: class of every image, a name or a number as text; None for all classes in turn.
      class_names: names of the classes; () if they are unknown.
      bound: largest magnitude of a latent in training, or None for latents of any size.
      shift: vector [Z] that all latents are moved by, see `steering.directions.move`; or None.

    Raises:
      Failed: if the generator has no class `label`.
    """

    def __init__(
        self,
        generator,
        latents,
        draw,
        *,
        sweep,
        folder,
        count,
        seed,
        label=None,
        class_names=(),
        bound=None,
        shift=None,
    ):
        self.generator, self.latents, self.draw = generator, latents, draw
        self.folder, self.count = Path(folder), count
        self.key = tf.constant([seed, 1], tf.int32)
        self.rng = np.random.default_rng(seed)
        self.z_dim = generator.inputs[0].shape[-1]
        self.classes = generator.inputs[1].shape[-1] if len(generator.inputs) > 1 else 0
        self.range, self.bound, self.shift = sweep, bound, shift
        self.class_names = tuple(class_names) if len(class_names) == self.classes else ()
        self.label = class_number(label, self.classes, self.class_names)

    def values(self, count):
        """Return the values [count] of a latent in a sweep, from the lowest to the highest."""
        return np.linspace(*self.range, count, dtype=np.float32)

    def z(self, purpose, *numbers, count=None):
        """Return latents [count, z_dim], different ones for each purpose and numbers."""
        key = fold(self.key, purpose, *numbers)
        return np.array(self.latents(key, (count or self.count, self.z_dim)))

    def images(self, z, labels=None):
        """Generate images.

        Args:
          z: latents [N, z_dim].
          labels: int [N] or one-hot [N, classes]; 0, 1, … in turn by default. Ignored by a
            generator without classes.

        Returns:
          uint8 [N, H, W, C].
        """
        hot = ()
        if self.shift is not None:
            z = move(z, self.shift, self.bound)
        if self.classes:
            labels = np.arange(len(z)) if labels is None else labels
            hot = (self.one_hot(labels) if np.ndim(labels) == 1 else labels,)
        return utils.to_uint8(self.draw(self.generator, z, hot))

    def one_hot(self, labels):
        """Return int labels [N], modulo the number of classes, as float32 [N, classes].

        If the sampler has a `label`, every row is that class.
        """
        labels = np.asarray(labels) % self.classes
        labels = labels if self.label is None else np.full(len(labels), self.label)
        return np.eye(self.classes, dtype=np.float32)[labels]

    def sheet(self, name="test.png", z=None):
        """Write one grid of samples, with a column for each class if there are few classes."""
        columns = utils.class_columns(self.classes) if self.label is None else None
        count = -(-self.count // columns) * columns if columns else self.count
        images = self.images(self.z(Purpose.SHEET, count=count) if z is None else z)
        grid = plots.add_names(
            utils.make_grid(images, columns), self.class_names if columns else ()
        )
        return [utils.save_image(self.folder / name, grid)]

    def fresh_sheet(self):
        """Option 0: write a grid of new latents. The time is their seed and names the file."""
        now = datetime.datetime.now(datetime.UTC)
        seeded = self.key
        self.key = tf.constant([now.microsecond, int(now.timestamp()) % 2**31], tf.int32)
        paths = self.sheet(f"test_{now:%Y%m%d%H%M%S}.png")
        self.key = seeded
        return paths

    def separate(self, count):
        """Write `count` single images, test_00000.png, … Image i does not depend on `count`."""
        paths = []
        for start in range(0, count, BATCH):
            numbers = range(start, min(start + BATCH, count))
            z = np.concatenate([self.z(Purpose.SEPARATE, i, count=1) for i in numbers])
            images = self.images(z, np.array(numbers))
            for i, image in zip(numbers, images):
                paths.append(utils.save_image(self.folder / f"test_{i:05d}.png", image))
        return paths

    def of_seeds(self, seeds):
        """Write one image for each seed, seed_0007.png, … Each depends on its own seed only."""
        return self._singles("seed", seeds, self._seeded(seeds))

    def of_latents(self, z, labels=None):
        """Write one image for each of the latents [N, z_dim], latent_0000.png, …

        The images have the classes `labels`, int [N], or 0, 1, … in turn. If the sampler has a
        `label`, they are of that class.
        """
        return self._singles("latent", range(len(z)), z, labels)

    def _singles(self, name, numbers, z, labels=None):
        """Write one image for each latent, named by its number, of class `label` or `number`."""
        images = self.images(z, np.array(numbers) if labels is None else labels)
        paths = [self.folder / f"{name}_{number:04d}.png" for number in numbers]
        return [utils.save_image(path, image) for path, image in zip(paths, images)]

    def _seeded(self, seeds):
        """Return the latents [N, z_dim] of seeds."""
        return np.concatenate([self.z(Purpose.SEED, seed, count=1) for seed in seeds])

    def interpolation(self, steps, seeds=None, z=None, labels=None):
        """Write interpolation.gif, .webp and, if `av` is installed, .mp4.

        The latents move from one stop to the next and back to the first, by `slerp`.

        Args:
          steps: frames from one stop to the next.
          seeds: the stops of a single image. By default, a grid of 16 images has 8 random stops
            each.
          z: latents [N, z_dim], stops of a single image instead of seeds.
          labels: the classes of `z`, as in `of_latents`.
        """
        numbers = seeds if z is None else range(len(z)) if labels is None else labels.tolist()
        stops, images = (len(numbers), 1) if numbers else (8, 16)
        if z is None and seeds:
            z = self._seeded(seeds)
        elif z is None:
            z = self.z(Purpose.INTERPOLATION, count=stops * images)
        z = z.reshape(stops, images, self.z_dim)
        # Between stops the label is interpolated, too; in the grid each image keeps its label.
        labels = np.array(numbers)[:, None] if numbers else np.tile(np.arange(images), (stops, 1))
        hot = [self.one_hot(row) if self.classes else np.zeros((images, 0)) for row in labels]
        frames = []
        for i in range(stops):
            j = (i + 1) % stops
            for t in np.linspace(0, 1, steps, endpoint=False, dtype=np.float32):
                between = ((1 - t) * hot[i] + t * hot[j]).astype(np.float32)
                frames.append(utils.make_grid(self.images(slerp(z[i], z[j], t), between)))
        seconds = len(frames) / FRAME_RATE
        names = [self.folder / f"interpolation.{suffix}" for suffix in ("gif", "webp")]
        paths = [utils.save_animation(name, frames, seconds, hold=0) for name in names]
        mp4 = video.save_video(self.folder / "interpolation.mp4", frames, FRAME_RATE)
        return paths + ([mp4] if mp4 else [])

    def mix(self, rows, columns):
        """Write mix.png, and mix_classes.png if the generator has 2 to 16 classes.

        In mix.png, the left column has the images of `rows`, and the top row those of `columns`.
        The other images are halfway between the two, as in an interpolation, also their labels.
        In mix_classes.png, each row is one latent in all classes: first `rows`, then `columns`.
        It is not written if the sampler has a `label`.

        Args:
          rows, columns: seeds.
        """
        seeds, n = np.array([*rows, *columns]), len(rows)
        z, hot = self._seeded(seeds.tolist()), self.one_hot(seeds) if self.classes else None
        row, column = (part.ravel() for part in np.indices((n, len(columns))))
        own = self.images(z, hot)
        halfway = (hot[row] + hot[n + column]) / 2 if self.classes else None
        middle = self.images(slerp(z[row], z[n + column], 0.5), halfway)
        cells = np.full((n + 1, len(columns) + 1, *own.shape[1:]), 255, np.uint8)
        cells[1:, 0], cells[0, 1:] = own[:n], own[n:]
        cells[1:, 1:] = middle.reshape(cells[1:, 1:].shape)
        grid = utils.make_grid(cells.reshape(-1, *own.shape[1:]), len(columns) + 1)
        paths = [utils.save_image(self.folder / "mix.png", grid)]
        if utils.class_columns(self.classes) and self.label is None:
            labels = np.tile(np.arange(self.classes), len(z))
            grid = utils.make_grid(self.images(z.repeat(self.classes, 0), labels), self.classes)
            grid = plots.add_names(grid, self.class_names)
            paths.append(utils.save_image(self.folder / "mix_classes.png", grid))
        return paths

    def all(
        self,
        option=None,
        count=0,
        seeds=None,
        steps=0,
        mix=None,
        z=None,
        directions=None,
        labels=None,
    ):
        """Write everything that is asked for; yield each path once its file is written.

        Args:
          option: 0 to 5, as in `--visualize`, or None. All but option 0 also write test.png.
          count: number of separate images.
          seeds: seeds of images to write. They are also the stops of the interpolation.
          steps: frames between two stops of an interpolation; 0 for no interpolation.
          mix: (seeds of the rows, seeds of the columns) of a grid, or None.
          z: latents [N, z_dim] to use instead of `seeds`, or None.
          directions: (directions [N, z_dim], dict of number → name) to show, or None.
          labels: the classes of `z`, int [N], or None for 0, 1, … in turn.
        """
        yield from self.fresh_sheet() if option == 0 else self.sheet()
        if option:
            yield from sweeps.OPTIONS[option](self)
        if count:
            yield from self.separate(count)
        if seeds:
            yield from self.of_seeds(seeds)
        if z is not None:
            yield from self.of_latents(z, labels)
        if steps:
            yield from self.interpolation(steps, seeds, z, labels)
        if mix:
            yield from self.mix(*mix)
        if directions:
            yield from pictures.write(self, *directions)


def class_number(label, classes, names):
    """Return the number of a class, or None if `label` is None.

    Args:
      label: name of the class, or else its number as text, or None.
      classes: number of classes.
      names: names of the classes; () if they are unknown.

    Raises:
      Failed: if there is no such class.
    """
    if label is None or label in names:
        return None if label is None else names.index(label)
    if label.isascii() and label.isdigit() and int(label[:9]) < classes:
        return int(label[:9])
    found = f"the classes {', '.join(names) or f'0 to {classes - 1}'}" if classes else "no classes"
    hint = "" if label.isdigit() else did_you_mean(label, names)
    raise console.Failed(f"--label={label}: this generator has {found}{hint}")
