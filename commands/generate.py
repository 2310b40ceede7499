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
    sampler = build_sampler(c, folder)
    yield from sampler.all(c.visualize, c.num_samples, c.seeds, c.interpolate)


def translations(c, folder):
    """Translate images; yield the paths."""
    from generation import translate

    yield from translate.pictures(
        folder,
        dataset=c.dataset,
        data_dir=c.data_dir,
        sample_dir=build.pictures_dir(c, folder),
        input_fname_pattern=c.input_fname_pattern,
        translate=c.translate,
        input=c.input,
        output=c.output,
        background=c.background,
        value_ranges=trained.read_config(folder)["data"].get("value_range") or (None, None),
    )


def build_sampler(c, folder):
    """Return a `sample.Sampler` with the generator of a run's folder."""
    from generation.sample import Sampler
    from training.average import draw

    row = tables.LATENTS[c.z_distribution]
    return Sampler(
        trained.load_generator(folder / "generator.keras"),
        import_object(row.function),
        draw,
        sweep=row.sweep,
        folder=build.pictures_dir(c, folder),
        count=c.batch_size,
        seed=c.seed,
        label=c.label,
        class_names=trained.class_names(folder),
    )
