"""From a Config to the parts of a run: its data, networks, trainer, schedule and sampler."""

import math
import os

import recipes
import utils
from utils import resolve


def import_tensorflow():
    """Import TensorFlow without its greetings, which no setting turns off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with utils.quiet_stderr():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def load_data(c):
    """The packed images of a config: a `dataset.Packed`."""
    row = recipes.DATASETS.get(c.dataset, recipes.FOLDER)
    return resolve("dataset:load")(
        c.dataset,
        reader=resolve(row["reader"]),
        data_dir=c.data_dir,
        cache_dir=c.cache_dir,
        size=(c.output_height, c.output_width),
        crop=(c.input_height, c.input_width) if c.crop else None,
        pattern=c.input_fname_pattern,
        conditional=c.conditional,
        workers=c.num_workers,
    )


def build_objective(mode, values):
    """The `losses.Objective` of a mode's row, its weights taken from `values` by field."""
    row = recipes.MODES[mode]
    names = ("critic_loss", "generator_loss", "penalty")
    parts = {name: resolve(row[name]) for name in names if name in row}
    if "weights" in row:
        parts["weights"] = {word: values[field] for word, field in row["weights"].items()}
    if "clip" in row:
        parts["clip"] = tuple(values[field] for field in row["clip"])
    return resolve("losses:Objective")(**parts, gap=row["gap"])


def build_optimizer(name, learning_rate, values):
    """The Keras optimiser of a row of OPTIMIZERS, its settings taken from `values` by field."""
    cls, words = recipes.OPTIMIZERS[name]
    options = {theirs: values[ours] for ours, theirs in words.items()}
    return resolve(cls)(learning_rate=learning_rate, **options)


def build_trainer(c, spec):
    """Networks with seeded first weights, objective, optimisers, and their trainer."""
    import keras

    keras.utils.set_random_seed(c.seed)
    values, arch = vars(c), recipes.ARCHS[c.arch]
    generator, critic = resolve(arch["builder"])(spec, **{n: values[n] for n in arch["network"]})
    return resolve(arch["trainer"])(
        generator,
        critic,
        build_objective(c.mode, values),
        build_optimizer(c.optimizer, c.learning_rate, values),
        build_optimizer(c.optimizer, c.d_learning_rate, values),
        batch_size=c.batch_size,
        critic_num=c.critic_num,
        latents=resolve(recipes.LATENTS[c.z_distribution]["function"]),
        ema=c.ema,
        mirror=c.mirror,
        seed=c.seed,
    )


def build_schedule(c, count, started):
    """When a run of `count` images logs, samples, saves and ends (`train.Schedule`)."""
    per_epoch = max(1, count // c.batch_size)
    return resolve("train:Schedule")(
        last=min(c.epoch * per_epoch, c.max_steps or math.inf),
        per_epoch=per_epoch,
        log_every=c.log_every,
        sample_every=c.sample_every,
        save_every=c.save_every,
        deadline=started + 60 * c.max_minutes if c.max_minutes else math.inf,
    )


def build_sampler(c, path):
    """A `sample.Sampler` of the generator saved at `path`."""
    row = recipes.LATENTS[c.z_distribution]
    return resolve("sample:Sampler")(
        resolve("sample:load_generator")(path),
        resolve(row["function"]),
        resolve("model:draw"),
        sweep=row["sweep"],
        folder=c.sample_dir,
        count=c.batch_size,
        seed=c.seed,
    )
