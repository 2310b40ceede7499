"""From a Config to the parts of a run: its data, networks, trainer, schedule and sampler."""

import contextlib
import dataclasses
import functools
import math
import os
from pathlib import Path

import dataset
import kept
import progress
import recipes
import replicas
import train
import trained
import utils
from utils import resolve

FIRST_SCALE = 1024.0  # of float16's losses: larger ones overflow in the first steps


def import_tensorflow(device="auto"):
    """Import TensorFlow without its greetings, which no setting turns off.

    `device` is "auto" (all GPUs, or the CPU), "cpu", "gpu" (an error where there is none) or one
    of them, "gpu:1". GPUs give memory as it is asked for.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with utils.quiet_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if device.startswith("gpu"):
        number = int(device.partition(":")[2] or 0)
        if number >= len(gpus):
            raise utils.Failed(
                f"--device={device}: TensorFlow sees {len(gpus)} GPUs; try auto or cpu"
            )
        gpus = gpus[number : number + 1] if ":" in device else gpus
    gpus = [] if device == "cpu" else gpus
    tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def join(c, team):
    """The strategy of all processes of a `cluster.Cluster`, once they are there."""
    replicas.meet(team)
    import_tensorflow(c.device)
    return resolve("distribute:join")()


def load_data(c, part=None):
    """The packed images of a config, or a part of its set: a `dataset.Packed`."""
    arch = recipes.ARCHS[c.arch]
    return resolve(arch.get("load", "dataset:load"))(
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
    )


def build_reader(c):
    """The function that reads a config's set."""
    row = recipes.DATASETS.get(c.dataset, recipes.FOLDER)
    return resolve(recipes.ARCHS[c.arch].get("reader", row["reader"]))


def look(c):
    """(the `dataset.ImageSpec` of a config's set, None), or one of colour images and the reason."""
    size = (c.output_height, c.output_width)
    try:
        return resolve(recipes.ARCHS[c.arch].get("look", "dataset:look"))(
            c.dataset,
            reader=build_reader(c),
            data_dir=c.data_dir,
            size=size,
            pattern=c.input_fname_pattern,
            conditional=c.conditional,
        ), None
    except utils.Failed as error:
        return dataset.ImageSpec(*size, 3, 0, 0), str(error)


def build_batches(c, data, strategy=None):
    """The stream of training images of packed data (as `dataset.Batches`), for replicas here."""
    words = {"share": resolve("distribute:share")(strategy)} if strategy else {}
    batches = data.stream(seed=c.seed, train_size=c.train_size, **words)
    if len(batches) < c.batch_size:
        print(f"{len(batches)} images are fewer than a batch of {c.batch_size}: they repeat")
    return batches


def clip_bounds(mode, values):
    """(lowest, highest) weight of the critic in a mode that clips, or None."""
    fields = recipes.MODES[mode].get("clip")
    return tuple(values[field] for field in fields) if fields else None


def build_objective(mode, values):
    """The `losses.Objective` of a mode's row, its weights taken from `values` by field."""
    row = recipes.MODES[mode]
    names = ("critic_loss", "generator_loss", "points", "penalty")
    parts = {name: resolve(row[name]) for name in names if name in row}
    if "weights" in row:
        parts["weights"] = {word: values[field] for word, field in row["weights"].items()}
    parts["clip"] = clip_bounds(mode, values)
    parts["drift"] = values.get("drift", 0.0)
    parts["probabilities"] = row.get("probabilities", False)
    return resolve("losses:Objective")(**parts, gap=row["gap"])


def build_optimizer(name, learning_rate, values):
    """The Keras optimiser of a row of OPTIMIZERS, its settings taken from `values` by field."""
    cls, words = recipes.OPTIMIZERS[name]
    options = {theirs: values[ours] for ours, theirs in words.items()}
    optimizer = resolve(cls)(learning_rate=learning_rate, **options)
    if recipes.PRECISIONS[values["precision"]]["scaled"]:
        scaled = resolve("keras.optimizers:LossScaleOptimizer")
        return scaled(optimizer, initial_scale=FIRST_SCALE)
    return optimizer


def build_networks(c, spec):
    """(generator, critic) of a config for images of a `dataset.ImageSpec`, with seeded weights."""
    import keras

    keras.utils.set_random_seed(c.seed)
    row = recipes.ARCHS[c.arch]
    keras.config.set_dtype_policy(recipes.PRECISIONS[c.precision]["policy"])
    try:
        return resolve(row["builder"])(spec, **{n: getattr(c, n) for n in row["network"]})
    finally:
        keras.config.set_dtype_policy("float32")  # what is built later is not trained


def build_trainer(c, spec, per_epoch=0, shown=(), strategy=None):
    """Networks with seeded first weights, objective, optimisers, and their trainer.

    `per_epoch` is the number of steps in an epoch, which `critic_bursts` goes by, and `shown` are
    the images that the sheets of a trainer which translates begin with.
    """
    values, arch = vars(c), recipes.ARCHS[c.arch]
    facts = {"epochs": c.epoch, "per_epoch": per_epoch, "shown": shown}
    with strategy.scope() if strategy else contextlib.nullcontext():
        networks = build_networks(c, spec)
        rates = (c.learning_rate, c.d_learning_rate)
        optimizers = [build_optimizer(c.optimizer, rate, values) for rate in rates]
    return resolve(arch["trainer"])(
        *networks,
        build_objective(c.mode, values),
        *optimizers,
        strategy=strategy,
        jit=c.jit,
        batch_size=c.batch_size,
        critic_num=c.critic_num,
        bursts=per_epoch if c.critic_bursts else 0,
        latents=resolve(recipes.LATENTS[c.z_distribution]["function"]),
        penalty_every=c.penalty_every,
        penalty_fraction=c.penalty_fraction,
        ema=c.ema,
        mirror=c.mirror,
        seed=c.seed,
        **{name: values[name] for name in arch.get("training", ())},
        **{name: facts[name] for name in arch.get("facts", ())},
    )


def compared(folder):
    """What the comparison page asks of a run: (folder, its clipping bounds, its gap's name)."""
    saved = kept.read_saved(folder / "config.json")
    return folder, clip_bounds(saved["mode"], saved), recipes.MODES[saved["mode"]]["gap"]


def restore(c, run, trainer):
    """Give a trainer its run's newest state, and the rates of the config; return the step."""
    step = run.restore(trainer)
    trainer.resume(c.learning_rate, c.d_learning_rate)
    return step


def init_networks(trainer, source, checkpoint_dir):
    """Give a new trainer the networks that another run, by name or folder, has saved."""
    folder = Path(source) if Path(source).is_dir() else Path(checkpoint_dir) / source
    for name, networks in trainer.starters.items():
        path = folder / f"{name}.keras"
        weights = trained.load_network(path).get_weights()
        for network in networks:
            shapes = [w.shape for w in network.get_weights()]
            if shapes != [w.shape for w in weights]:
                raise utils.Failed(f"--init_from={source}: {path} is another network than this")
            network.set_weights(weights)


def build_schedule(c, count, started):
    """When a run of `count` images logs, samples, saves and ends (`train.Schedule`)."""
    per_epoch = max(1, count // c.batch_size)
    return train.Schedule(
        last=min(c.epoch * per_epoch, c.max_steps or math.inf),
        per_epoch=per_epoch,
        log_every=c.log_every,
        sample_every=c.sample_every,
        save_every=c.save_every,
        eval_every=c.eval_every,
        deadline=started + 60 * c.max_minutes if c.max_minutes else math.inf,
    )


def limit(schedule, trainer):
    """A schedule that ends no later than the trainer does by itself."""
    return dataclasses.replace(schedule, last=min(schedule.last, trainer.last))


def pictures(c, folder):
    """Make what test mode is asked for with the generators of a run's folder; yield the paths."""
    row = recipes.ARCHS[c.arch]
    if "pictures" in row:
        given = {name: getattr(c, name) for name in row["testing"]}
        yield from resolve(row["pictures"])(folder, **given)
    else:
        sampler = build_sampler(c, folder / "generator.keras")
        yield from sampler.all(c.visualize, c.num_samples, c.seeds, c.interpolate)


def build_sampler(c, path):
    """A `sample.Sampler` of the generator saved at `path`."""
    row = recipes.LATENTS[c.z_distribution]
    return resolve("sample:Sampler")(
        trained.load_generator(path),
        resolve(row["function"]),
        resolve("model:draw"),
        sweep=row["sweep"],
        folder=c.sample_dir,
        count=c.batch_size,
        seed=c.seed,
        label=c.label,
    )


def build_extractor(name, shape):
    """The `evaluate.Extractor` of that name, or of that file, for images [H, W, C]."""
    if name in recipes.EXTRACTORS:
        return resolve(recipes.EXTRACTORS[name])(shape)
    if not os.path.isfile(name):
        known = ", ".join(recipes.EXTRACTORS)
        raise utils.Failed(f"--extractor={name} is no file, and none of {known}")
    if name.endswith(".h5"):
        return resolve("evaluate:inception_v3")(shape, name)
    return resolve("evaluate:load_extractor")(name)


def build_evaluation(c, data):
    """An `evaluate.Evaluation` beside the real images of a config's set.

    Those are a part of the set that is not trained on where its row names one, else `data`.
    """
    part = recipes.DATASETS.get(c.dataset, recipes.FOLDER).get("part")
    real = load_data(c, part) if part else data
    return resolve("evaluate:Evaluation")(
        build_extractor(c.extractor, real.images.shape[1:]),
        real.images,
        real.labels if real.spec.classes else None,
        count=c.eval_samples,
        cache_dir=c.cache_dir,
        by=c.best_by,
        higher=recipes.MEASURES[c.best_by]["higher"],
    )


def measure(c, folder):
    """Measure a run's generator; yield lines to print as they are known."""
    data = load_data(c)
    import_tensorflow(c.device)
    generator = trained.load_generator(folder / "generator.keras")
    latents = resolve(recipes.LATENTS[c.z_distribution]["function"])
    evaluation = build_evaluation(c, data)
    made, real = generator.outputs[0].shape[1:], evaluation.real.shape[1:]
    if made[-1] != real[-1] or any(r % m for r, m in zip(real[:2], made[:2])):  # a stage's may grow
        raise utils.Failed(f"{folder} makes images {made}, and those of {c.dataset} are {real}")
    yield f"{len(evaluation.real)} samples, and as many real images of {c.dataset}"
    draw = functools.partial(resolve("model:draw_measured"), generator, latents)
    found = evaluation.measure(draw)
    yield from (f"{name:32} {value:.6g}" for name, value in found.items())
    if evaluation.shares is not None:
        shares = " ".join(f"{100 * share:.1f}" for share in evaluation.shares)
        yield f"{'% in each class_' + evaluation.extractor.name:32} {shares}"
    yield from evaluation.write(Path(c.sample_dir), draw, found, data.images, c.mirror)


def export(c, folder):
    """Write a run's generators in the formats that a config names; return the paths.

    On the CPU: what a GPU makes differs by more than a file may.
    """
    import_tensorflow("cpu")
    formats = {}
    for name in c.export:
        row = recipes.EXPORTS[name]
        parts = {word: resolve(row[word]) for word in ("writer", "code")}
        formats[name] = resolve("export:Format")(
            row["suffix"], **parts, packages=row.get("packages", ())
        )
    return resolve("export:write")(
        folder,
        resolve("export:home")(folder),
        formats,
        suffixes=[row["suffix"] for row in recipes.EXPORTS.values()],
        latents=recipes.LATENTS[c.z_distribution]["numpy"],
    )


def dry_run(c):
    """What a run would train: yield lines of its images, its networks' sizes and its memory."""
    spec, reason = look(c)
    import_tensorflow(c.device)
    parameters, size_text = (resolve(f"estimate:{n}") for n in ("parameters", "size_text"))
    if reason:
        yield f"note: {reason}; counted for colour images without labels"
    yield f"images {spec.height}x{spec.width}x{spec.channels}, {spec.classes or 'no'} classes"
    most, stages = 0, build_stages(c, spec)
    weights = sum(map(parameters, (stages[-1][0], *stages[-1][:2])))  # of the average too
    for generator, critic, batch in stages:
        memory = step_bytes(c, spec, generator, critic, batch, weights)
        most = max(most, memory)
        height, width = critic.inputs[0].shape[1:3]
        yield (
            f"{height}x{width} in batches of {batch}: generator {parameters(generator):,} "
            f"parameters, critic {parameters(critic):,}, memory {size_text(memory)}"
        )
    yield f"memory of a train step: about {size_text(most)}, and half a gigabyte of TensorFlow's"


def build_stages(c, spec):
    """What is trained together: [(generator, critic, batch)], one for networks that do not grow."""
    pair, row = build_networks(c, spec), recipes.ARCHS[c.arch]
    if "stages" not in row:
        return [(*pair, c.batch_size)]
    return resolve(row["stages"])(*pair, batch_size=c.batch_size, batch_dict=c.batch_dict)


def step_bytes(c, spec, generator, critic, batch, weights):
    """The memory that a train step needs, in bytes, with so many weights in all networks."""
    penalty = "penalty" in recipes.MODES[c.mode]
    return resolve("estimate:step_bytes")(
        generator,
        critic,
        batch=batch,
        penalised=resolve("model:penalised")(batch, c.penalty_fraction) if penalty else 0,
        slots=resolve("estimate:slots")(build_optimizer(c.optimizer, c.learning_rate, vars(c))),
        pixels=spec.height * spec.width * spec.channels,
        weights=weights,
    )


def build_progress(run, trainer, schedule):
    """The progress bar of a run; silent for one that writes nothing."""
    start, every = int(trainer.count), 5.0 if run.writes else math.inf
    return progress.Progress(run.name, schedule.last, start, every, deadline=schedule.deadline)
