"""Trained generators in a Python program: `from generation import load`.

Imports TensorFlow only when a run is loaded.
"""

import operator
import os

import numpy as np

import console
from config import tables
from config.saved import read_saved
from generation import arguments, listing, translate
from runs import trained
from steering import directions, projection
from steering.latents import build_latents


def load(run, *, checkpoint_dir="checkpoint", data_dir="data"):
    """Load the generator of a run, or the pair of generators of a run of CycleGAN.

    It is the first of these that there is:
    1. the run of this name in `checkpoint_dir`, or else of those that ship with the project,
    2. the run in this folder,
    3. a run of this data set: the newest in `checkpoint_dir`, or else one that ships.

    Args:
      run: name of a run, such as "mnist_64_28_28"; path of a run's folder; or name or path of a
        data set, such as "mnist".
      checkpoint_dir: path of the folder of the runs.
      data_dir: path of the folder of the data sets. Of two data sets of one name, the runs of the
        one in this folder are preferred.

    Returns:
      A `Generator`, or a `Translator` for CycleGAN. Its attribute `folder` says which run it is.

    Raises:
      console.Failed: if there is no such run, or its files cannot be used. The message is one line.
    """
    try:
        folder = listing.find(arguments.run(run), checkpoint_dir, data_dir)
        saved = read_saved(folder / trained.CONFIG)
    except (console.WrongCall, OSError) as error:
        raise console.Failed(console.plain(console.first_line(error, 2000))) from None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with console.quiet_stderr():
        check_backend()
    kind = Generator if (folder / "generator.keras").is_file() else Translator
    return kind(folder, saved)


def check_backend():
    """Import Keras, and check that its backend is TensorFlow.

    Raises:
      console.Failed: if it is another one: a program has imported Keras before, or KERAS_BACKEND
        names it.
    """
    import keras

    if (found := keras.backend.backend()) != "tensorflow":
        raise console.Failed(
            f"Keras has the backend {found} in this process, and not tensorflow: set "
            "KERAS_BACKEND=tensorflow before the first import of keras"
        )


class Generator:
    """A trained generator of images from latents, with or without classes.

    Attributes:
      folder: path of the run's folder.
      network: Keras model of latents [N, Z], or of latents and one-hot labels [N, K]; makes images
        [N, H, W, C] in [-1, 1].
      settings: dict of the run's settings, Config field → value.
      step: number of generator updates; None if it is unknown.
      shape: (height, width, channels) of the images.
      classes: number of classes; 0 for a generator without labels.
      class_names: tuple of the names of the classes; () if they are unknown.
    """

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings
        self.step = listing.last_step(folder)
        self.network = trained.load_generator(folder / "generator.keras")
        self.shape = tuple(self.network.outputs[0].shape[1:])
        inputs = self.network.inputs
        self.classes = inputs[1].shape[-1] if len(inputs) > 1 else 0
        names = tuple(trained.class_names(folder))
        self.class_names = names if len(names) == self.classes else ()

    def __repr__(self):
        size = "x".join(map(str, self.shape))
        return f"<Generator {self.folder}: {size}, {self.classes} classes>"

    def sample(self, count=None, *, label=None, seed=0, seeds=None, truncation=None, move=None):
        """Make images. The same arguments give the same images, on a CPU bit for bit.

        `sample(8, label=7, seed=3)` makes the images of the sheet of test mode with `--batch_size
        8 --label 7 --seed 3`, row by row. (Without a label, a sheet of up to 16 classes has full
        rows, so it may have more images: `--batch_size 20` makes those of `sample(20)` with ten
        classes.) `sample(seeds=[0, 5])` makes the images of `--seeds 0,5`, and `truncation=0.7`
        and `move={2: 1.5}` do what `--truncation 0.7` and `--move 2=1.5` do.

        Args:
          count: number of images; 1 by default. Must be None or their number if `seeds` is given.
          label: class of all images: a name of a class, or its number, counted from 0. By default
            image i is of class i, modulo the number of classes; with `seeds`, of class seed.
          seed: seed of all latents, from 0 to 2^31 - 1.
          seeds: seeds of single images. Each image depends on its own seed, on `seed` and on the
            label, and not on the others.
          truncation: largest magnitude of a latent, at least 0.01: normal latents beyond it are
            drawn again, uniform ones are multiplied by it (at most 1). None: as in training.
          move: dict of number of a direction of `directions`, from 1 → how far all latents are
            moved along it. Uniform latents stay in [-1, 1]. None: not at all.

        Returns:
          uint8 [count, height, width, channels].

        Raises:
          console.Failed: if the generator has no such class, a number is out of its range, or the
            generator has no directions to move along.
        """
        from generation.sample import Purpose

        seeds = arguments.seeds(seeds)
        count = (1 if seeds is None else len(seeds)) if count is None else count
        sampler = self.sampler(count, seed=seed, truncation=truncation, move=move)
        if seeds is not None and sampler.count != len(seeds):
            raise console.Failed(f"count={count}, but there are {len(seeds)} seeds")
        labels = None if seeds is None else np.array(seeds)
        if label is not None:
            labels = np.full(sampler.count, self.class_number(label))
        if seeds is None:
            return sampler.images(sampler.z(Purpose.SHEET), labels)
        z = np.concatenate([sampler.z(Purpose.SEED, s, count=1) for s in seeds])
        return sampler.images(z, labels)

    def sampler(self, count=1, *, seed=0, truncation=None, move=None):
        """Return a `generation.sample.Sampler` that makes images; see `sample`."""
        from generation.sample import Sampler
        from training.average import draw

        distribution = self.settings["z_distribution"]
        row = tables.LATENTS[distribution]
        return Sampler(
            self.network,
            build_latents(distribution, arguments.truncation(truncation, row.bound)),
            draw,
            sweep=row.sweep,
            folder=self.folder,  # a sampler writes only where it is told to
            count=arguments.whole("count", count, 1),
            seed=arguments.whole("seed", seed),
            class_names=self.class_names,
            bound=row.bound,
            shift=arguments.shift(move, self.directions()) if move else None,
        )

    def project(
        self,
        images,
        label=None,
        *,
        steps=projection.STEPS,
        restarts=projection.RESTARTS,
        seed=0,
        progress=None,
    ):
        """Find the latents, and the labels, whose images are nearest to given images.

        It does what `--project` does. On a CPU, the same arguments give the same latents.

        Args:
          images: uint8 [N, height, width, channels], as `shape` has them; N at least 1.
          label: class of all images, as in `sample`; None to find the class of each.
          steps: number of updates of a latent.
          restarts: number of starts, of which the best is kept. Images below 30 dB are searched
            once more from as many others.
          seed: seed of the random latents to start from, from 0 to 2^31 - 1.
          progress: called with (updates done, their number so far), or None.

        Returns:
          A `steering.projection.Projection`: `latents` float32 [N, Z], `labels` int [N] or None,
          their `images` uint8 [N, height, width, channels], and `psnr` float [N] in dB.

        Raises:
          console.Failed: if the images have another dtype or shape, the generator has no such
            class, or a number is out of its range.
        """
        images = arguments.images(images, self.shape)
        labels = None if label is None else np.full(len(images), self.class_number(label))
        return projection.project(
            self.sampler(seed=seed),
            images,
            features=projection.build_features(self.shape),
            labels=labels,
            steps=arguments.whole("steps", steps, 1),
            restarts=arguments.whole("restarts", restarts, 1, projection.POOL),
            progress=progress,
        )

    def directions(self, count=None):
        """Return the directions in the latents that change the images most (SeFa, 2007.06600).

        They are the eigenvectors of W W^T, where W [Z, F] are the first layer's weights of the
        latents, by falling eigenvalue. `--directions` shows and saves the same ones.

        Args:
          count: number of directions, from 1 to Z; Z by default.

        Returns:
          float32 [count, Z]. The rows have length 1 and are orthogonal. In `sample`, direction 1 of
          `move` is the first row.

        Raises:
          console.Failed: if the first layer of the generator is not a dense layer or a transposed
            convolution of the latents, or `count` is out of its range.
        """
        found, _ = directions.find_directions(directions.first_weights(self.network))
        count = len(found) if count is None else arguments.whole("count", count, 1, len(found))
        return found[:count]

    def class_number(self, label):
        """Return the number of a class, counted from 0.

        Args:
          label: name of the class, or its number, as an integer or a text. A text that is the name
            of one class and the number of another is the name.

        Raises:
          console.Failed: if there is no such class.
        """
        from generation.sample import class_number

        is_text = isinstance(label, str)
        try:
            text = label if is_text else str(operator.index(label))
            return class_number(text, self.classes, self.class_names if is_text else ())
        except (TypeError, console.Failed):
            names = ", ".join(self.class_names) or f"0 to {self.classes - 1}"
            found = f"the classes {console.plain(names)}" if self.classes else "no classes"
            raise console.Failed(f"label={label!r}: this generator has {found}") from None


class Translator:
    """A trained pair of generators that translate images from one domain to the other.

    Attributes:
      folder: path of the run's folder.
      networks: dict of direction, "A2B" or "B2A" → Keras model of images [N, H, W, C] in [-1, 1],
        whose sides are multiples of 4.
      settings: dict of the run's settings, Config field → value.
      step: number of generator updates; None if it is unknown.
      channels: 1 or 3.
    """

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings
        self.step = listing.last_step(folder)
        self.networks = {
            path.stem.rpartition("_")[2]: trained.load_translator(path)
            for path in trained.generators(folder)
        }
        self.channels = next(iter(self.networks.values())).inputs[0].shape[-1]
        self._compiled = {
            name: translate.compiled(network, self.channels)
            for name, network in self.networks.items()
        }

    def __repr__(self):
        return f"<Translator {self.folder}: {', '.join(self.networks)}>"

    def translate(self, images, direction="A2B"):
        """Translate images, as `--translate` does with files.

        Args:
          images: uint8 [N, H, W, C], of any height and width.
          direction: "A2B" or "B2A".

        Returns:
          uint8 [N, H, W, C].

        Raises:
          console.Failed: if there is no such direction, or the images have another dtype or shape.
        """
        if direction not in [*self._compiled]:
            raise console.Failed(f"direction={direction!r} must be {' or '.join(self.networks)}")
        images = arguments.pictures(images, self.channels)
        network = self._compiled[direction]
        made = [translate.translate_image(network, image) for image in images]
        return np.stack(made) if made else images.copy()
