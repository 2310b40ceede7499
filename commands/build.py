"""From a `Config` to the parts of a run: data, networks, objective, optimizers and trainer."""

import contextlib
import functools
from pathlib import Path

import console
from config import tables
from config.resolve import resolve
from config.rows import import_object
from config.saved import add_newer_fields, identity, read_saved
from datasets import packed
from runs import trained
from runs.recovery import settle_runs


def find(given):
    """Find the trained run that a call uses, and print its folder.

    Args:
      given: dict of the flags of the call.

    Returns:
      (its `Config`, path of its folder).

    Raises:
      Failed: if no run fits the flags.
      WrongCall: if flags are invalid, or the run's settings cannot be read.
    """
    c = resolve(given, check=False)
    settle_runs(c.checkpoint_dir, c.log_dir)
    try:
        folder, others = trained.find_run(
            c.checkpoint_dir, c.dataset, identity(given), add_newer_fields
        )
    except console.Failed:
        resolve(given)  # raises WrongCall for settings that no run can have
        raise
    print(f"run {folder}" + (f" (the newest; other runs: {', '.join(others)})" if others else ""))
    return resolve(given, read_saved(folder / trained.CONFIG)), folder


FIRST_SCALE = 1024.0  # of float16 losses; larger scales overflow in the first steps


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
        background=c.background,
        output=(c.output_height, c.output_width, 0 if arch.growth else max(8, arch.multiple_of)),
    )


def build_reader(c):
    """Return the function that reads the data set of a config. It passes over the outputs."""
    row, own = tables.DATASETS.get(c.dataset, tables.FOLDER), tables.ARCHS[c.arch].task.reader
    reader = import_object(own or row.reader)
    return functools.partial(reader, outputs=outputs(c)) if own or row.in_folder else reader


def outputs(c):
    """Return the paths that calls with this config write to: folders, and two pictures of runs."""
    pictures = [Path(c.sample_dir) / name for name in ("training.gif", "index.html")]
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


def build_batches(c, data, strategy=None):
    """Return the stream of training images, a `batches.Batches` or `domains.Pairs`.

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


def clip_bounds(mode, values):
    """Return the (lower, upper) bound of the critic's weights, or None if the mode does not clip.

    `values` is a dict of Config field → value.
    """
    fields = tables.MODES[mode].clip
    return tuple(values[field] for field in fields) if fields else None


def build_objective(mode, values):
    """Return the `losses.Objective` of a mode. `values` is a dict of Config field → value."""
    from losses import Objective, Penalty

    row = tables.MODES[mode]
    penalties = []
    for penalty in tables.PENALTIES[values.get("penalty") or row.defaults["penalty"]]:
        weights = {kwarg: values[field] for kwarg, field in penalty.weights.items()}
        penalties.append(Penalty(import_object(penalty.at), import_object(penalty.of), weights))
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
    """Return a Keras optimizer, which scales the loss if the precision needs it.

    Args:
      name: a key of OPTIMIZERS.
      learning_rate: float.
      values: dict of Config field → value.
    """
    row = tables.OPTIMIZERS[name]
    kwargs = {kwarg: values[field] for field, kwarg in row.kwargs.items()}
    optimizer = import_object(row.cls)(learning_rate=learning_rate, **kwargs)
    if tables.PRECISIONS[values["precision"]].scaled:
        from keras.optimizers import LossScaleOptimizer

        return LossScaleOptimizer(optimizer, initial_scale=FIRST_SCALE)
    return optimizer


def build_networks(c, spec):
    """Return (generator, critic) of a config for an `ImageSpec`, with weights from the seed."""
    import keras

    keras.utils.set_random_seed(c.seed)
    row = tables.ARCHS[c.arch]
    keras.config.set_dtype_policy(tables.PRECISIONS[c.precision].policy)
    try:
        return import_object(row.builder)(spec, **{n: getattr(c, n) for n in row.network})
    finally:
        keras.config.set_dtype_policy("float32")  # the policy is for trained networks only


def build_trainer(c, spec, per_epoch=0, shown=(), strategy=None):
    """Build the networks, the objective, the optimizers and their trainer.

    Args:
      c: a `Config`.
      spec: the `ImageSpec` of the data.
      per_epoch: number of steps in an epoch.
      shown: source images for the previews of CycleGAN, as in `domains.Domains`.
      strategy: a tf.distribute strategy, or None for one replica.

    Returns:
      The trainer.
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
    """Restore a trainer from the newest checkpoint of a run; return its step.

    The learning rates come from the config, not from the checkpoint.
    """
    step = run.restore(trainer)
    trainer.resume(c.learning_rate, c.d_learning_rate)
    return step
