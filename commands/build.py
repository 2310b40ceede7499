"""From a `Config` to the parts of a run: networks, objective, optimizers and trainer."""

import contextlib
import importlib.util
import math
from pathlib import Path

import console
from commands import sources
from config import tables
from config.resolve import precision_row, resolve
from config.rows import import_object
from config.saved import add_newer_fields, identity, read_saved, taken_settings
from generation import listing
from runs import film, recovery, trained
from runs.follower import Follower
from runs.run import Run
from runs.tracking.tracked import TrackedRun
from steering.latents import build_latents


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
    refuse_shipped(c, "sample_dir", "cache_dir")
    recovery.settle_runs(c.checkpoint_dir, c.log_dir, c.sample_dir)
    wanted, source = identity(given), sources.place_data(c)
    try:
        folder, remark = trained.find_run(
            c.checkpoint_dir, c.dataset, wanted, add_newer_fields, source, c.output_height
        )
    except console.Failed:
        resolve(given)  # raises WrongCall for settings that no run can have
        raise
    print(console.plain(f"run {folder}{remark}"))
    other = trained.other_source(trained.read_config(folder), c.dataset, source)
    if other and "name" not in wanted:
        print(f"note: this run was trained on {other}, not on {c.dataset}")
    return resolve(given, read_saved(folder / trained.CONFIG)), folder


def refuse_shipped(c, *names):
    """Raise WrongCall if a named field of a config is the folder of the shipped runs, or in it."""
    for name in names:
        if trained.ships(getattr(c, name)):
            raise console.WrongCall(
                f"--{name}={getattr(c, name)} has the runs that ship with the project, and no call "
                "writes there: give another folder"
            )


def open_run(c, team, newest_dir=None):
    """Return the run of a training: a `Run`, a `TrackedRun`, or a `Follower` of another process.

    Args:
      c: the `Config` of the training.
      team: the `cluster.Cluster` that trains it, or None.
      newest_dir: see `Run`.

    Raises:
      Failed: if a tracker's package is not installed.
    """
    places = (c.run_name, c.checkpoint_dir, c.sample_dir, c.log_dir, newest_dir)
    if team is not None and not team.leads:
        return Follower(*places)
    if not c.track:
        return Run(*places)
    if absent := [name for name in c.track if importlib.util.find_spec(name) is None]:
        raise console.Failed(
            f"--track {','.join(c.track)} needs {' and '.join(absent)}: "
            "pip install -r requirements-track.txt"
        )
    kinds = {name: import_object(tables.TRACKERS[name]) for name in c.track}
    return TrackedRun(*places, kinds=kinds)


def pictures_dir(c, folder):
    """Make the folder for pictures of a trained run, SAMPLE_DIR/RUN, and return its path.

    Copies the film of a run that ships into it and into SAMPLE_DIR. The folder of such a run is
    SAMPLE_DIR/RUN_pretrained if the user has a run of the same name.

    Args:
      c: the `Config` of the call.
      folder: path of the run's folder.

    Raises:
      Failed: if the folder has files that this program did not make.
    """
    path = pictures_path(c, folder)
    recovery.claim_pictures(path)
    if trained.ships(folder) and (folder / film.NAME).is_file():
        film.show_newest(folder, path)
        print(f"its film is {film.show_newest(folder, Path(c.sample_dir))}")
    return path


def pictures_path(c, folder):
    """Return the path of the folder that `pictures_dir` makes."""
    name = recovery.title(folder)
    own = Path(c.checkpoint_dir) / name
    if trained.ships(folder) and own.is_dir() and not trained.ships(own):
        name += "_pretrained"
    return Path(c.sample_dir) / name


FIRST_SCALE = 1024.0  # of float16 losses; larger scales overflow in the first steps


def count_updates(c, per_epoch):
    """Return the number of generator updates of a run; infinity if only --max_minutes ends it.

    Args:
      c: a `Config`.
      per_epoch: number of updates in an epoch.
    """
    if c.epoch:
        return min(c.epoch * per_epoch, c.max_steps or math.inf)
    if c.max_steps or c.max_minutes:
        return c.max_steps or math.inf
    return max(tables.DEFAULT_EPOCHS * per_epoch, tables.DEFAULT_UPDATES)


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
        neutral=row.neutral,
    )


def build_augment(names, p, jit):
    """Return the `Augment` of keys of AUGMENTATIONS, or None, with probability p; None is 1."""
    from augmentation.augment import Augment

    rows = [tables.AUGMENTATIONS[name] for name in names or () if name != "none"]
    transforms = [import_object(name) for row in rows for name in row.transforms]
    return Augment(
        transforms, 1.0 if p is None else p, adaptive=any(row.adaptive for row in rows), jit=jit
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
    if precision_row(values["precision"]).scaled:
        from keras.optimizers import LossScaleOptimizer

        return LossScaleOptimizer(optimizer, initial_scale=FIRST_SCALE)
    return optimizer


def build_networks(c, spec):
    """Return (generator, critic) of a config for an `ImageSpec`, with weights from the seed."""
    import keras

    keras.utils.set_random_seed(c.seed)
    row = tables.ARCHS[c.arch]
    keras.config.set_dtype_policy(precision_row(c.precision).policy)
    try:
        return import_object(row.builder)(spec, **{n: getattr(c, n) for n in row.network})
    finally:
        keras.config.set_dtype_policy("float32")  # the policy is for trained networks only


def build_trainer(c, spec, per_epoch=0, shown=(), strategy=None, class_counts=()):
    """Build the networks, the objective, the optimizers and their trainer.

    Args:
      c: a `Config`.
      spec: the `ImageSpec` of the data.
      per_epoch: number of steps in an epoch.
      shown: source images for the previews of CycleGAN, as in `domains.Domains`.
      strategy: a tf.distribute strategy, or None for one replica.
      class_counts: training images of each class; () if unknown.

    Returns:
      The trainer.
    """
    values, arch = vars(c), tables.ARCHS[c.arch]
    facts = {"epochs": c.epoch, "per_epoch": per_epoch, "shown": shown}
    facts["class_counts"] = class_counts
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
        latents=build_latents(c.z_distribution),
        penalty_every=c.penalty_every,
        penalty_fraction=c.penalty_fraction,
        freeze_critic=c.freeze_critic,
        ema=c.ema,
        augment=lambda: build_augment(c.augment, c.augment_p, c.jit),
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


def start_settings(given):
    """Return the settings that a new run takes from the run that `--init_from` names.

    Args:
      given: dict of the flags of the call.

    Returns:
      A dict of Config field → value, see `taken_settings`. It is empty without `--init_from`, and
      for a folder without a config.json.

    Raises:
      Failed: if there is no such run.
      WrongCall: if its settings cannot be read, or it has another architecture than the call.
    """
    c = resolve(given, check=False)
    if not c.init_from:
        return {}
    folder = find_source(c.init_from, c.checkpoint_dir)
    if not (path := folder / trained.CONFIG).exists():
        return {}
    return taken_settings(given, read_saved(path), listing.last_step(folder))


def find_source(source, checkpoint_dir):
    """Return the folder of the run that `--init_from` names.

    Args:
      source: name of a run in `checkpoint_dir` or of one that ships, or path of a folder.
      checkpoint_dir: path of the folder of the runs.

    Raises:
      Failed: if there is no such folder, or it has no generator.
    """
    if folder := listing.find_named(source, checkpoint_dir):
        return folder
    raise console.Failed(
        f"--init_from={source}: there is no such run in {checkpoint_dir} or "
        f"{trained.shipped_dir()}, and no such folder with a generator"
    )
