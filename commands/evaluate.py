"""Measure a trained generator."""

import functools
import os
from pathlib import Path

import console
from commands import build, devices
from config import tables
from config.rows import import_object
from runs import trained


def evaluate(given):
    """Measure a trained generator; return the exit status."""
    for line in measure(*build.find(given)):
        print(line, flush=True)


def build_extractor(name, shape):
    """The `evaluate.Extractor` of that name, or of that file, for images [H, W, C]."""
    from evaluation.extractors import inception_v3, load_extractor

    if name in tables.EXTRACTORS:
        return import_object(tables.EXTRACTORS[name].builder)(shape)
    if not os.path.isfile(name):
        known = ", ".join(tables.EXTRACTORS)
        raise console.Failed(f"--extractor={name} is no file, and none of {known}")
    if name.endswith(".h5"):
        return inception_v3(shape, name)
    return load_extractor(name)


def build_evaluation(c, data):
    """An `evaluate.Evaluation` beside the real images of a config's set.

    Those are a part of the set that is not trained on where its row names one, else `data`.
    """
    from evaluation.evaluation import Evaluation

    part = tables.DATASETS.get(c.dataset, tables.FOLDER).test_part
    real = build.load_data(c, part) if part else data
    return Evaluation(
        build_extractor(c.extractor, real.images.shape[1:]),
        real.images,
        real.labels if real.spec.classes else None,
        count=c.eval_samples,
        cache_dir=c.cache_dir,
        by=c.best_by,
        higher=tables.MEASURES[c.best_by].higher,
    )


def measure(c, folder):
    """Measure a run's generator; yield lines to print as they are known."""
    data = build.load_data(c)
    devices.import_tensorflow(c.device)
    from training.average import draw_measured

    generator = trained.load_generator(folder / "generator.keras")
    latents = import_object(tables.LATENTS[c.z_distribution].function)
    evaluation = build_evaluation(c, data)
    made, real = generator.outputs[0].shape[1:], evaluation.real.shape[1:]
    if made[-1] != real[-1] or any(r % m for r, m in zip(real[:2], made[:2])):  # a stage's may grow
        raise console.Failed(f"{folder} makes images {made}, and those of {c.dataset} are {real}")
    yield f"{len(evaluation.real)} samples, and as many real images of {c.dataset}"
    draw = functools.partial(draw_measured, generator, latents)
    found = evaluation.measure(draw)
    yield from (f"{name:32} {value:.6g}" for name, value in found.items())
    if evaluation.shares is not None:
        shares = " ".join(f"{100 * share:.1f}" for share in evaluation.shares)
        yield f"{'% in each class_' + evaluation.extractor.name:32} {shares}"
    yield from evaluation.write(Path(c.sample_dir), draw, found, data.images, c.mirror)
