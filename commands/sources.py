"""From a `Config` to its data: the images, their description and the stream of batches."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np

import console
from config import resolve, tables
from config.rows import import_object
from datasets import packed
from generation import listing
from messages import opening
from runs import film, page, trained


def load_data(c, part=None):
    """Read and pack the images of a config.

    Args:
      c: a `Config`.
      part: name of a part of the data set, for example "test"; None for the training part.

    Returns:
      A `packed.Packed`, or a `domains.Domains` for translation.

    Raises:
      Failed: if the data cannot be read.
    """
    arch = tables.ARCHS[c.arch]
    data = import_object(arch.task.load)(
        c.dataset,
        reader=build_reader(c),
        data_dir=c.data_dir,
        cache_dir=c.cache_dir,
        size=(c.output_height, c.output_width),
        crop=(c.input_height, c.input_width) if c.crop else None,
        pattern=c.input_fname_pattern,
        conditional=c.conditional,
        part=part,
        workers=c.num_workers,
        background=c.background,
        output=(c.output_height, c.output_width, 0 if arch.growth else max(8, arch.multiple_of)),
    )
    return data if part else hold_out(c, data)


def hold_out(c, data):
    """Return the packed data with the images that a config holds out of training.

    Raises:
      Failed: if no image would be left.
    """
    count = count_held_out(c, data.spec.count)
    return dataclasses.replace(data, held=_choose_held(data.names, count)) if count else data


def load_training(c, run, resume):
    """Load the images of a training. Print their classes and the number of held-out images.

    Returns:
      (the `Config` with the number of images that are held out of training, the packed data, dict
      of the facts of the images).

    Raises:
      Failed: if the data cannot be read, or the run cannot be resumed with them.
    """
    data = load_data(c)
    if data.spec.class_names:
        run.say(opening.classes(data.spec.class_names))
    held = count_held_out(c, data.spec.count)
    if held:
        run.say(opening.held_out(held, data.spec.count))
        if lost := _lost_classes(data):
            run.say(opening.lost_classes(lost))
    facts = describe_spec(c, data.spec)
    if resume:
        run.check_data(facts)
        was = trained.read_config(run.folder)["data"].get("fingerprint")
        if held and was != facts["fingerprint"]:
            run.say(f"note: {opening.MAY_BE_SEEN}")
    return dataclasses.replace(c, holdout=held), data, facts


def count_held_out(c, count):
    """Return how many images of the data set of a config are held out of training.

    Args:
      c: a `Config`.
      count: number of images of the data set; 0 if it is unknown.

    Raises:
      Failed: if no image would be left.
    """
    row, task = tables.DATASETS.get(c.dataset, tables.FOLDER), tables.ARCHS[c.arch].task
    if row.test_part or "holdout" in task.refuses or not count:
        return 0
    if c.holdout is None:
        few = count < tables.HOLDOUT_FROM
        return 0 if few else min(count // tables.HOLDOUT_PART, tables.MAX_HOLDOUT)
    if c.holdout >= count:
        raise console.Failed(f"--holdout={c.holdout} leaves no image to train on, of {count}")
    return c.holdout


def _choose_held(names, count):
    """Return sorted indices of the `count` images that are held out of training, int [count].

    They are the images whose names have the smallest hashes. So if images are added later, no
    image is held out that has been trained on.
    """
    texts = (f"held out: {name}".encode(errors="surrogateescape") for name in names)
    hashes = [hashlib.sha256(text).digest() for text in texts]
    return np.sort(sorted(range(len(hashes)), key=hashes.__getitem__)[:count])


def _lost_classes(data):
    """Return the names of the classes whose images are all held out of training."""
    left = class_counts(data)
    names, held = data.spec.class_names, np.unique(data.labels[data.held])
    return [names[i] for i in held if not left[i]] if names else []


class TooFewImages(console.Failed):
    """There are too few real images to measure a generator."""


@dataclasses.dataclass(frozen=True)
class Reals:
    """The real images that samples are compared with.

    Attributes:
      data: packed data.
      among: int [K], the indices of the images.
      unseen: False if runs of this data set are trained on them.
      what: a text for messages, such as "test images of mnist".
      samples: number of samples to compare with them; None for the number of the images.
    """

    data: packed.Packed
    among: np.ndarray
    unseen: bool
    what: str
    samples: int | None


def find_reals(c, data):
    """Return the `Reals` of a config's data set.

    They are its test part, or else the images of `data` that are held out of training, or else all
    images of `data`. With `--eval_reals train`, they are those that are trained on.

    Raises:
      TooFewImages: if there are fewer than two.
    """
    part = tables.DATASETS.get(c.dataset, tables.FOLDER).test_part
    every, held, of = np.arange(len(data.images)), data.held, f"images of {c.dataset}"
    if c.eval_reals == "train":
        rest = np.setdiff1d(every, held)
        found = Reals(data, rest, False, f"training {of}", c.eval_samples)
    elif part:
        real = load_data(c, part)
        every = np.arange(len(real.images))
        found = Reals(real, every, True, f"{part} {of}", c.eval_samples)
    elif len(held):  # more samples than images have less noise
        found = Reals(data, held, True, f"{of} held out of training", c.eval_samples)
    else:
        found = Reals(data, every, False, of, None)
    if len(found.among) < 2:
        raise TooFewImages("an evaluation needs at least 2 real images, and there is 1")
    return found


def settle(c, spec, count, say):
    """Return a `Config` with the settings that depend on the images. Say which are turned on.

    Args:
      c: a `Config`.
      spec: the `ImageSpec` of the images.
      count: number of training images.
      say: function that prints a line.
    """
    settled = resolve.settle(c, spec.channels, count)
    for line in opening.settled(c, settled, count):
        say(line)
    return settled


def place_data(c):
    """Return the path of the data set of a config; see `listing.place_data`."""
    return listing.place_data(c.dataset, c.data_dir, c.checkpoint_dir)


def describe_spec(c, spec):
    """Return a dict of the fields of the data's `ImageSpec`, as they are saved with a run."""
    is_place = spec.source == packed.place(packed.locate(c.dataset, c.data_dir))
    return {**vars(spec), "source": place_data(c) if is_place else spec.source}


def class_counts(data):
    """Return the number of training images of each class, int [K]; () without classes.

    Counts the images that are not held out, also if `train_size` takes fewer.
    """
    classes = data.spec.classes
    return np.bincount(np.delete(data.labels, data.held), minlength=classes) if classes else ()


def build_reader(c):
    """Return the function that reads the data set of a config. It skips the `outputs`."""
    row, own = tables.DATASETS.get(c.dataset, tables.FOLDER), tables.ARCHS[c.arch].task.reader
    reader = import_object(own or row.reader)
    return functools.partial(reader, outputs=outputs(c)) if own or row.in_folder else reader


def outputs(c):
    """Return the paths that calls with this config write to: folders, the newest film and page."""
    pictures = [Path(c.sample_dir) / name for name in (film.NAME, page.NAME)]
    return [c.sample_dir, c.checkpoint_dir, c.log_dir, c.cache_dir, "export", *pictures]


def describe_data(c):
    """Find the `packed.ImageSpec` of the data set of a config, without packing the images.

    Returns:
      (ImageSpec, None), or if the data cannot be read, (an ImageSpec of colour images without
      labels, text with the reason).
    """
    size, arch = (c.output_height, c.output_width), tables.ARCHS[c.arch]
    try:
        return import_object(arch.task.describe)(
            c.dataset,
            reader=build_reader(c),
            data_dir=c.data_dir,
            size=size,
            pattern=c.input_fname_pattern,
            conditional=c.conditional,
        ), None
    except console.Failed as error:
        return packed.ImageSpec(*size, 3, 0, 0), str(error)


def count_images(c, spec):
    """Return the number of training images of a config. `spec` counts the held-out images, too."""
    rest = spec.count - count_held_out(c, spec.count)
    return min(c.train_size or rest, rest)


def choose_network(given):
    """Choose the network of a call to train that says nothing about networks.

    The row of the data set may have a network for few colour images. If there is a run with it, or
    one with the default network, the call goes on with that run, or with the newer of both,
    whatever the number of images is now.

    Args:
      given: dict of the flags of the call.

    Returns:
      (dict of the flags, with the network if it is that for few images; text that says why, or
      None).
    """
    c = resolve.resolve(given, check=False)
    few = resolve.network_for_few(c, given)
    if few is None:
        return given, None
    chosen = {**given, "arch": few}
    runs = {}
    for flags in (given,) if c.name else (chosen, given):
        run = Path(c.checkpoint_dir, resolve.resolve(flags, check=False).run_name)
        if c.resume and (run / trained.CONFIG).exists():
            runs[run.stat().st_mtime] = flags
    if runs:
        return runs[max(runs)], None
    spec, _ = describe_data(c)
    count = count_images(c, spec)
    if spec.channels != 3 or not 0 < count < tables.FEW_IMAGES:
        return given, None
    return chosen, opening.network_for_few(few, count)


def build_batches(c, data, strategy=None):
    """Return the stream of training images, a `packed.Batches` or `domains.Pairs`.

    Args:
      c: a `Config`.
      data: the packed data.
      strategy: a tf.distribute strategy. The stream then has only the rows of this process's
        replicas. None for all rows.
    """
    from training import replicas

    kwargs = {"rows": replicas.local_replicas(strategy)} if strategy else {}
    batches = data.stream(seed=c.seed, train_size=c.train_size, **kwargs)
    if len(batches) < c.batch_size:
        print(f"{len(batches)} images are fewer than a batch of {c.batch_size}: images repeat")
    return batches
