"""Test mode: make pictures with a trained generator. `--serve`: a page that makes them.

`--list`: print the trained generators.
"""

import copy
import itertools
import re
import signal

import numpy as np

import console
from commands import build, devices
from config import fields, tables, values
from config.resolve import resolve
from config.rows import import_object
from generation import listing, load
from generation.photos import read_photos
from runs import recovery, trained
from steering import latents, named, projection
from steering.pictures import write_projection

MAX_LINES = 10  # a series of more files is one line


def generate(given):
    """Make pictures with a trained generator and print the paths. `given` is a dict of flags."""
    c, folder = build.find(given)
    devices.import_tensorflow(c.device)
    for line in pictures(c, folder):
        print(line, flush=True)


def list_runs(given):
    """Print the runs. `given` is a dict of flags."""
    c = resolve(given, check=False)
    recovery.settle_runs(c.checkpoint_dir, c.log_dir, c.sample_dir)
    print(listing.table(c.checkpoint_dir, c.sample_dir))


def serve(given):
    """Serve a page to play with a trained generator, until a signal asks to stop.

    Args:
      given: dict of the flags of the call.

    Returns:
      The exit status: 128 + the number of the signal, or 0 if the server has been closed.
    """
    from serving import server

    c, folder = build.find(given)
    for name in fields.TEST_MODE:
        if fields.is_set(c, name):
            print(f"note: --{name} has no effect with --serve: the page has its own settings")
    with server.listen(c.host, c.port, fixed="port" in given) as listening:
        devices.import_tensorflow(c.device)
        page = import_object(tables.ARCHS[c.arch].task.page)
        listening.page = page(c, folder, _words(c, given, folder))
        for line in listening.lines(c.port):
            print(line, flush=True)
        server.open_browser(listening.url)
        stop = listening.run()
    if stop is None:
        return 0
    print(f"stopped by {stop}")
    return 128 + signal.Signals[stop]


def _words(c, given, folder):
    """Return the words of a command line that uses the same run, without settings of test mode."""
    flags = {"dataset": c.dataset, **given, "name": folder.name}
    dropped = {"serve", "host", "port", *fields.TEST_MODE}
    texts = {n: fields.text(value) for n, value in flags.items() if n not in dropped}
    words = ([f"--{n}={t}"] if t.startswith("-") else [f"--{n}", t] for n, t in texts.items())
    return ["python", "main.py", *itertools.chain(*words)]


def _load_for_page(c, folder, words):
    """Return (the loaded run, keyword arguments that all pages take)."""
    from serving import watch

    watched = watch.Watch(trained.generators(folder.resolve()))  # before the files are read
    loaded = load(folder.resolve())
    step = "" if loaded.step is None else f", update {loaded.step:,}"
    return loaded, {
        "title": recovery.title(folder),
        "about": f"{trained.without_folders(c.dataset)}: {c.arch}, {c.mode}{step}",
        "words": words,
        "background": c.background,
        "watch": watched,
    }


def sample_page(c, folder, words):
    """Return the `sampling.SamplePage` of a run's folder; see `network_rows.Task`."""
    from serving import sampling

    (generator, kwargs), found = _load_for_page(c, folder, words), None
    try:
        found = named.read(build.pictures_path(c, folder), generator.network)
    except console.Failed as error:
        print(f"note: the page has no directions: {error}")
    for line in found.lines if found else ():
        print(line)
    return sampling.SamplePage(
        generator,
        **kwargs,
        seed=c.seed,
        found=found,
        value_range=trained.read_config(folder)["data"].get("value_range"),
        crop=(c.input_height, c.input_width) if c.crop else None,
    )


def translation_page(c, folder, words):
    """Return the `translating.TranslationPage` of a run's folder; see `network_rows.Task`."""
    from serving import translating

    translator, kwargs = _load_for_page(c, folder, words)
    ranges = trained.read_config(folder)["data"].get("value_range") or (None, None)
    return translating.TranslationPage(translator, **kwargs, value_ranges=ranges)


def pictures(c, folder):
    """Make the pictures that a config asks for with a run's generators; yield lines of paths."""
    return import_object(tables.ARCHS[c.arch].task.pictures)(c, folder)


def samples(c, folder):
    """Generate pictures from latents; yield the paths, or one line for a series of many.

    The first line names the class that --label gives by its number.
    """
    sampler = build_sampler(c, folder)
    if c.label is not None and sampler.class_names and c.label not in sampler.class_names:
        name = console.plain(sampler.class_names[sampler.label])
        yield f"--label={c.label} is the number of the class {name}, counted from 0"
    mix = [values.seeds(part) for part in c.mix.split(":")] if c.mix else None
    z, labels, lines = read_latents(c, sampler)
    yield from lines
    if c.project:
        yield from map(str, project(c, folder, sampler))
    found = None
    if c.directions or c.move:
        found = find_directions(c, sampler)
        yield from found.lines
    paths = sampler.all(
        c.visualize,
        c.num_samples,
        c.seeds,
        c.interpolate,
        mix,
        z,
        (found.vectors[: c.directions], found.names) if c.directions else None,
        labels,
    )
    for _, series in itertools.groupby(map(str, paths), _series):
        yield from _lines(list(series))


def read_latents(c, sampler):
    """Return (latents [N, Z], their labels int [N], lines to print) of --latents.

    Without --latents, both are None. The labels are None if they are not in a file.
    """
    if not c.latents:
        return None, None, []
    z, lines = latents.read_latents(c.latents, sampler.z_dim), []
    if c.truncation:
        lines.append(
            f"note: --truncation does not change the latents in {console.plain(c.latents)}"
        )
    labels = None
    if c.label is None:
        labels = latents.read_labels(c.latents, len(z), sampler.classes)
    if labels is not None:
        path = latents.labels_path(c.latents)
        lines.append(f"the labels of these latents are those in {console.plain(str(path))}")
    return z, labels, lines


def project(c, folder, sampler):
    """Find the latents of photos, and write them and pictures; yield lines and paths.

    Args:
      c: the `Config` of the call.
      folder: path of the run's folder.
      sampler: the `sample.Sampler`.
    """
    shape = tuple(sampler.generator.outputs[0].shape[1:])
    value_range = trained.read_config(folder)["data"].get("value_range")
    crop = (c.input_height, c.input_width) if c.crop else None
    given = c.project, shape, c.input_fname_pattern, c.background, value_range, crop
    names, photos, lines = read_photos(*given)
    yield from lines
    for name in ("truncation", "move"):
        if getattr(c, name):
            yield f"note: --{name} does not change the projections"
    features = projection.build_features(shape)
    labels = None if sampler.label is None else np.full(len(photos), sampler.label)
    sampler = copy.copy(sampler)
    sampler.latents = latents.build_latents(c.z_distribution)  # without truncation
    total = len(photos) * projection.STEPS
    with console.Progress(f"projecting {c.project}", total, compiles=True) as bar:

        def show(done, number):
            bar.total = number
            bar.update(done, "once more, from other latents" if number > total else "")

        found = projection.project(
            sampler,
            photos,
            features=features,
            labels=labels,
            steps=projection.STEPS,
            restarts=projection.RESTARTS,
            progress=show,
        )
    yield from _found_lines(names, found, sampler.class_names)
    yield from latents.write_latents(sampler.folder / "latent.npy", found.latents, found.labels)
    yield from write_projection(sampler, photos, found)


def _found_lines(names, found, class_names):
    """Yield a line for each photo, or one line for many, with the PSNR of its projection."""
    if len(names) > MAX_LINES:
        low, middle, high = found.psnr.min(), np.median(found.psnr), found.psnr.max()
        yield f"{len(names)} photos: PSNR {low:.1f} to {high:.1f} dB, median {middle:.1f} dB"
        return
    for i, name in enumerate(names):
        label = "" if found.labels is None else f", class {found.labels[i]}"
        if label and class_names:
            label = f", class {console.plain(class_names[found.labels[i]])}"
        yield f"{name}: PSNR {found.psnr[i]:.1f} dB{label}"


def find_directions(c, sampler):
    """Return the `named.Directions` of a generator, and set the sampler's `shift` for --move."""
    if c.directions:
        found = named.write(sampler.folder, sampler.generator, c.directions)
    else:
        found = named.read(sampler.folder, sampler.generator)
    sampler.shift = found.shift(c.move) if c.move else None
    return found


def _series(path):
    """Return a path without its number: the files of a series differ in it alone."""
    return re.sub(r"\d+(?=\.\w+$)", "", path)


def _lines(paths):
    """Return the lines that name the files of a series, a single one if there are many."""
    if len(paths) <= MAX_LINES:
        return paths
    last = paths[-1].replace("\\", "/").rsplit("/", 1)[-1]
    return [f"{paths[0]} to {last} ({len(paths):,} files)"]


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
    low, high = row.sweep
    most = high if c.truncation is None else c.truncation
    return Sampler(
        trained.load_generator(folder / "generator.keras"),
        latents.build_latents(c.z_distribution, c.truncation),
        draw,
        sweep=(max(low, -most), min(high, most)),
        bound=row.bound,
        folder=build.pictures_dir(c, folder),
        count=c.batch_size,
        seed=c.seed,
        label=c.label,
        class_names=trained.class_names(folder),
    )
