"""Test mode: make pictures with a trained generator."""

from commands import build, devices
from config import tables
from config.rows import import_object
from runs import trained


def generate(given):
    """Make pictures with a trained generator and print the paths. `given` is a dict of flags."""
    c, folder = build.find(given)
    devices.import_tensorflow(c.device)
    for path in pictures(c, folder):
        print(path, flush=True)


def pictures(c, folder):
    """Make the pictures that a config asks for with the generators of a run; yield the paths."""
    return import_object(tables.ARCHS[c.arch].task.pictures)(c, folder)


def samples(c, folder):
    """Generate pictures from latents; yield the paths."""
    sampler = build_sampler(c, folder / "generator.keras")
    yield from sampler.all(c.visualize, c.num_samples, c.seeds, c.interpolate)


def translations(c, folder):
    """Translate images; yield the paths."""
    from generation import translate

    yield from translate.pictures(
        folder,
        dataset=c.dataset,
        data_dir=c.data_dir,
        sample_dir=c.sample_dir,
        input_fname_pattern=c.input_fname_pattern,
        translate=c.translate,
        input=c.input,
        output=c.output,
        background=c.background,
    )


def build_sampler(c, path):
    """Return a `sample.Sampler` with the generator that is saved at `path`."""
    from generation.sample import Sampler
    from training.average import draw

    row = tables.LATENTS[c.z_distribution]
    return Sampler(
        trained.load_generator(path),
        import_object(row.function),
        draw,
        sweep=row.sweep,
        folder=c.sample_dir,
        count=c.batch_size,
        seed=c.seed,
        label=c.label,
    )
