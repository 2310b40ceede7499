"""From a Config to the parts of a run: its data, networks, trainer, schedule and sampler."""

import contextlib

import console
from config import tables
from config.resolve import resolve
from config.rows import import_object
from config.saved import identity, read_saved
from datasets import packed
from runs import trained
from runs.recovery import settle_runs


def find(given):
    """(settings, folder) of the trained run that a call means."""
    c = resolve(given, check=False)
    settle_runs(c.checkpoint_dir, c.log_dir)
    try:
        folder, others = trained.find_run(c.checkpoint_dir, c.dataset, identity(given))
    except console.Failed:
        resolve(given)  # no run of settings that no run can have
        raise
    print(f"run {folder}" + (f" (the newest; also there: {', '.join(others)})" if others else ""))
    return resolve(given, read_saved(folder / "config.json")), folder


FIRST_SCALE = 1024.0  # of float16's losses: larger ones overflow in the first steps


def load_data(c, part=None):
    """The packed images of a config, or a part of its set: a `dataset.Packed`."""
    arch = tables.ARCHS[c.arch]
    return import_object(arch.task.load)(
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
    row = tables.DATASETS.get(c.dataset, tables.FOLDER)
    return import_object(tables.ARCHS[c.arch].task.reader or row.reader)


def look(c):
    """(the `dataset.ImageSpec` of a config's set, None), or one of colour images and the reason."""
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


def build_batches(c, data, strategy=None):
    """The stream of training images of packed data (as `dataset.Batches`), for replicas here."""
    from training import replicas

    words = {"rows": replicas.local_replicas(strategy)} if strategy else {}
    batches = data.stream(seed=c.seed, train_size=c.train_size, **words)
    if len(batches) < c.batch_size:
        print(f"{len(batches)} images are fewer than a batch of {c.batch_size}: they repeat")
    return batches


def clip_bounds(mode, values):
    """(lowest, highest) weight of the critic in a mode that clips, or None."""
    fields = tables.MODES[mode].clip
    return tuple(values[field] for field in fields) if fields else None


def build_objective(mode, values):
    """The `losses.Objective` of a mode's row, its weights taken from `values` by field."""
    from losses import Objective, Penalty

    row = tables.MODES[mode]
    penalties = []
    for part in tables.PENALTIES[values.get("penalty") or row.defaults["penalty"]]:
        weights = {kwarg: values[field] for kwarg, field in part.weights.items()}
        penalties.append(Penalty(import_object(part.at), import_object(part.of), weights))
    return Objective(
        import_object(row.critic_loss),
        import_object(row.generator_loss),
        paired=row.paired,
        penalties=tuple(penalties),
        clip=clip_bounds(mode, values),
        drift=values.get("drift", 0.0),
        gap=row.gap,
        logits=row.logits,
    )


def build_optimizer(name, learning_rate, values):
    """The Keras optimiser of a row of OPTIMIZERS, its settings taken from `values` by field."""
    row = tables.OPTIMIZERS[name]
    kwargs = {kwarg: values[field] for field, kwarg in row.kwargs.items()}
    optimizer = import_object(row.cls)(learning_rate=learning_rate, **kwargs)
    if tables.PRECISIONS[values["precision"]].scaled:
        from keras.optimizers import LossScaleOptimizer

        return LossScaleOptimizer(optimizer, initial_scale=FIRST_SCALE)
    return optimizer


def build_networks(c, spec):
    """(generator, critic) of a config for images of a `dataset.ImageSpec`, with seeded weights."""
    import keras

    keras.utils.set_random_seed(c.seed)
    row = tables.ARCHS[c.arch]
    keras.config.set_dtype_policy(tables.PRECISIONS[c.precision].policy)
    try:
        return import_object(row.builder)(spec, **{n: getattr(c, n) for n in row.network})
    finally:
        keras.config.set_dtype_policy("float32")  # what is built later is not trained


def build_trainer(c, spec, per_epoch=0, shown=(), strategy=None):
    """Networks with seeded first weights, objective, optimisers, and their trainer.

    `per_epoch` is the number of steps in an epoch, which `critic_bursts` goes by, and `shown` are
    the images that the sheets of a trainer which translates begin with.
    """
    values, arch = vars(c), tables.ARCHS[c.arch]
    facts = {"epochs": c.epoch, "per_epoch": per_epoch, "shown": shown}
    with strategy.scope() if strategy else contextlib.nullcontext():
        networks = build_networks(c, spec)
        rates = (c.learning_rate, c.d_learning_rate)
        optimizers = [build_optimizer(c.optimizer, rate, values) for rate in rates]
    return import_object(arch.trainer)(
        *networks,
        build_objective(c.mode, values),
        *optimizers,
        strategy=strategy,
        jit=c.jit,
        batch_size=c.batch_size,
        critic_num=c.critic_num,
        bursts=per_epoch if c.critic_bursts else 0,
        latents=import_object(tables.LATENTS[c.z_distribution].function),
        penalty_every=c.penalty_every,
        penalty_fraction=c.penalty_fraction,
        ema=c.ema,
        mirror=c.mirror,
        seed=c.seed,
        **{name: values[name] for name in arch.training},
        **{name: facts[name] for name in arch.task.facts},
    )


def restore(c, run, trainer):
    """Give a trainer its run's newest state, and the rates of the config; return the step."""
    step = run.restore(trainer)
    trainer.resume(c.learning_rate, c.d_learning_rate)
    return step
