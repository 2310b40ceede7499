"""Measure a trained generator."""

import dataclasses
import os

import numpy as np

import console
from commands import build, devices, sources
from config import tables
from config.rows import import_object
from datasets import domains
from messages import opening
from runs import trained
from steering.latents import build_latents

MEMORY = (
    "is 0.5 if the samples are as far from the training images as the real images above are. It is "
    "1 if all samples are copies of training images. Blurred or flat samples raise it, too"
)


def evaluate(given):
    """Measure a trained generator and print the measures. `given` is a dict of the flags."""
    for line in measure(*build.find(given)):
        print(line, flush=True)


def build_extractor(name, shape, weights=None, cache_dir=None):
    """Build or load an `extractors.Extractor`.

    Args:
      name: a key of EXTRACTORS, or the path of a file: InceptionV3 weights (.h5), or a network.
      shape: shape of the images, (H, W, C).
      weights: path of a file of weights, or None, for an extractor that takes one.
      cache_dir: path of the folder for downloads.

    Raises:
      Failed: if there is no such extractor, or the file cannot be loaded.
    """
    from evaluation.extractors import inception_v3, load_extractor

    if name in tables.EXTRACTORS:
        row = tables.EXTRACTORS[name]
        return import_object(row.builder)(shape, *([weights, cache_dir] if row.weights else []))
    if not os.path.isfile(name):
        known = ", ".join(tables.EXTRACTORS)
        raise console.Failed(f"--extractor={name} must be one of {known}, or the path of a file")
    if name.endswith(".h5"):
        return inception_v3(shape, name)
    return load_extractor(name)


def progress(label, total):
    """Return the `Progress` of a part of an evaluation. It prints no line if the part is short."""
    return console.Progress(label, total, patient=True)


def load_measured(c, saved):
    """Load the images of an evaluation.

    Args:
      c: the `Config` of the call.
      saved: dict of the contents of the run's config.json.

    Returns:
      (the packed data, True if the run was trained on another data set). None of another data set
      are held out, since the run was trained on none of them.
    """
    if not trained.other_source(saved, c.dataset, sources.place_data(c)):
        return sources.load_data(c), False
    data = sources.load_data(dataclasses.replace(c, holdout=0))
    if saved["data"].get("fingerprint") == data.spec.fingerprint:
        return sources.hold_out(c, data), False  # the data set has moved
    return data, True


def build_evaluation(c, data, *, foreign=False):
    """Return the `Evaluation` of samples against the real images of a config's data set.

    Args:
      c: a `Config`.
      data: its packed data.
      foreign: True if the generators are trained on another data set.

    Raises:
      TooFewImages: if there are fewer than two real images.
      Failed: if the extractor cannot be loaded.
    """
    from evaluation.evaluation import Evaluation

    reals = sources.find_reals(c, data)
    images = reals.data.images
    return Evaluation(
        build_extractor(c.extractor, images.shape[1:], c.extractor_weights, c.cache_dir),
        images,
        reals.data.labels if reals.data.spec.classes else None,
        among=reals.among,
        unseen=foreign or reals.unseen,
        what=reals.what,
        count=c.eval_samples,
        samples=reals.samples,
        cache_dir=c.cache_dir,
        by=c.best_by,
        higher=tables.MEASURES[c.best_by].higher,
        progress=progress,
    )


def build_translation(c, data):
    """Return the `Translation` of a config, which measures translations of its test images.

    Args:
      c: a `Config`.
      data: its `Domains`. Without test images of a domain, its training images are measured.

    Raises:
      TooFewImages: if a domain has fewer than two.
      Failed: if the extractor cannot be loaded.
    """
    from evaluation.translation import Translation

    for images, name in zip(data.test, data.names):
        if len(images) < 2:
            reason = f"an evaluation needs at least 2 images in {name}, and there is 1"
            raise sources.TooFewImages(reason)
    shape = (data.spec.height, data.spec.width, data.spec.channels)
    return Translation(
        build_extractor(c.extractor, shape, c.extractor_weights, c.cache_dir),
        data.test,
        channels=data.spec.channels,
        names=data.names,
        seen=[name in domains.TRAIN_FOLDERS for name in data.names],
        count=c.eval_samples,
        cache_dir=c.cache_dir,
        by=c.best_by,
        progress=progress,
    )


def find_evaluation(c, data, run):
    """Return the evaluation of a training, or None if there are too few real images.

    Prints what the measures cannot tell. Raises Failed if the extractor cannot be loaded.
    """
    try:
        evaluation = import_object(tables.ARCHS[c.arch].task.evaluation)(c, data)
    except sources.TooFewImages as error:
        names = "--eval_every and --patience have" if c.patience else "--eval_every has"
        run.say(f"note: {names} no effect: {error}")
        return None
    for line in evaluation.gaps:
        run.say(f"note: {line}")
    return evaluation


def remarks(c, evaluation, found):
    """Yield lines on what some of the measures `found`, name → number, cannot tell."""
    name = evaluation.suffix
    if f"memory_{name}" in found:
        yield f"note: memory_{name} {MEMORY}"
    row = tables.EXTRACTORS.get(c.extractor)
    for misled in row.misleads if row else ():
        if f"{misled}_{name}" in found:
            yield f"note: {misled}_{name} rises when images are blurred"


def dump(given):
    """Write real images, and samples, as `--evaluate` compares them. `given`: dict of the flags."""
    c, folder = build.find(given)
    data, _ = load_measured(c, trained.read_config(folder))
    reals = sources.find_reals(c, data)
    from evaluation.evaluation import asked, choose
    from evaluation.parts import regroup, write_folder

    labels = reals.data.labels if reals.data.spec.classes else None
    images, labels = choose(reals.data.images, labels, reals.among, c.dump_reals)
    target = build.pictures_dir(c, folder)
    count = write_folder(target / "reals", images.parts())
    print(f"{count} {reals.what} in {target / 'reals'}", flush=True)
    if c.num_samples:
        devices.import_tensorflow(c.device)
        from training.average import draw_measured

        generator = trained.load_generator(folder / "generator.keras")
        check_size(c, generator, images, folder)
        latents = build_latents(c.z_distribution, c.truncation)
        drawn = draw_measured(generator, latents, asked(labels, c.num_samples))
        count = write_folder(target / "fakes", regroup(drawn, images.shape))
        print(f"{count} samples in {target / 'fakes'}", flush=True)


def measure(c, folder):
    """Measure a trained run; yield lines to print. Takes the arguments of `measure_samples`."""
    return import_object(tables.ARCHS[c.arch].task.measure)(c, folder)


def measure_translations(c, folder):
    """Measure both generators of a run that translates. See `measure_samples`."""
    data = sources.load_data(c)
    devices.import_tensorflow(c.device)
    from generation.translate import FOLDERS, compiled

    generators = [trained.load_translator(folder / f"generator_{name}.keras") for name in FOLDERS]
    made = generators[0].inputs[0].shape[-1]
    if made != data.spec.channels:
        raise console.Failed(
            f"the generators in {folder} take images of {made} channels, but images of {c.dataset} "
            f"have {data.spec.channels}"
        )
    evaluation = build_translation(c, data)
    yield evaluation.line
    yield from evaluation.gaps
    networks = [compiled(generator, made) for generator in generators]
    found = evaluation.measure(lambda i, images: np.asarray(networks[i](images)), progress)
    yield from numbers(found)
    yield from remarks(c, evaluation, found)
    yield from evaluation.write(build.pictures_dir(c, folder), found)


def numbers(found):
    """Yield a line for each measure of a dict of name → number."""
    width = max(32, *map(len, found))
    yield from (f"{name:{width}} {value:.6g}" for name, value in found.items())


def check_size(c, generator, images, folder):
    """Raise Failed if the images of a run's generator cannot be compared with real images.

    The generator of an early PGGAN stage makes smaller images: their size must divide the reals'.
    """
    made, real = generator.outputs[0].shape[1:], images.shape[1:]
    if made[-1] != real[-1] or any(r % m for r, m in zip(real[:2], made[:2])):
        raise console.Failed(
            f"the generator in {folder} makes images {made}, but images of {c.dataset} are {real}"
        )


def measure_samples(c, folder):
    """Measure the generator of a run.

    Args:
      c: the `Config` of the call.
      folder: path of the run's folder.

    Yields:
      Lines to print: measures, then paths of the files written.

    Raises:
      Failed: if the generator cannot be loaded, or its images have another shape than the data's.
    """
    saved = trained.read_config(folder)
    data, foreign = load_measured(c, saved)
    devices.import_tensorflow(c.device)
    from training.average import draw_measured

    generator = trained.load_generator(folder / "generator.keras")
    latents = build_latents(c.z_distribution, c.truncation)
    evaluation = build_evaluation(c, data, foreign=foreign)
    check_size(c, generator, evaluation.real, folder)
    yield opening.compared(evaluation.samples, len(evaluation.real), evaluation.what)
    yield from evaluation.gaps
    if len(data.held) and saved["data"].get("fingerprint") != data.spec.fingerprint:
        yield f"note: {opening.MAY_BE_SEEN}"
    kwargs = {name: saved.get(name, getattr(c, name)) for name in ("seed", "train_size")}
    searched = data.images, data.stream(**kwargs).subset, c.mirror
    if not foreign:
        evaluation.search(*searched)

    def draw(labels):
        return draw_measured(generator, latents, labels)

    found = evaluation.measure(draw, progress)
    if foreign:  # for nearest.png alone: there is no measure of copies
        evaluation.search(*searched)
    if c.truncation is not None:
        found["truncation"] = c.truncation
    yield from numbers(found)
    yield from remarks(c, evaluation, found)
    if evaluation.shares is not None:
        shares = " ".join(f"{100 * share:.1f}" for share in evaluation.shares)
        yield f"{'% in each class_' + evaluation.suffix:32} {shares}"
    target = build.pictures_dir(c, folder)
    yield from evaluation.write(target, draw, found)
