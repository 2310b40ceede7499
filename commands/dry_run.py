"""Print the settings, the parameter counts, the memory and the time of a run, and exit."""

import math
import time

from commands import build, devices, sources
from commands.train import check_new, init_networks
from config import tables
from config.resolve import resolve
from config.rows import import_object
from hardware import defaults, report
from messages import opening

TENSORFLOW_BYTES = 5e8  # memory of a process that has imported TensorFlow
MAX_SECONDS = 20.0  # for the timed updates; at least one is timed


def dry_run(given):
    """Print the settings, the parameter counts, the memory and the time of a run.

    Trains a few updates on random images, and writes nothing.

    Args:
      given: dict of the flags of the call.
    """
    given, why = sources.choose_network(given)
    start = build.start_settings(given)
    c = resolve(given, start=start)
    check_new(c)
    for line in (*filter(None, [why]), opening.first_lines(c, given, {}, start), *describe(c)):
        print(line, flush=True)


def describe(c):
    """Yield lines on the images, the networks, the memory and the time of a config."""
    spec, reason = sources.describe_data(c)
    count = sources.count_images(c, spec) if spec.count else math.inf
    settled = []
    c = sources.settle(c, spec, count, settled.append)
    devices.import_tensorflow(c.device)
    from training.memory import parameters, size_text

    if reason:
        yield f"note: {reason}; the counts are for colour images without labels"
    classes = opening.classes(spec.class_names) if spec.class_names else "no classes"
    yield f"images {spec.height}x{spec.width}x{spec.channels}, {classes}"
    if held := sources.count_held_out(c, spec.count):
        yield opening.held_out(held, spec.count)
    yield from settled
    peak, stages = 0, build_stages(c, spec)
    auxiliary = getattr(stages[-1][1], "auxiliary", None)
    helpers = [auxiliary.network] if auxiliary else []
    weights = sum(map(parameters, (stages[-1][0], *stages[-1][:2], *helpers)))  # and the EMA
    for generator, critic, batch in stages:
        memory = step_bytes(c, spec, generator, critic, batch, weights)
        peak = max(peak, memory)
        height, width = critic.inputs[0].shape[1:3]
        yield (
            f"{height}x{width} in batches of {batch}: generator {parameters(generator):,} "
            f"parameters, critic {parameters(critic):,}, "
            + "".join(f"decoder {parameters(helper):,}, " for helper in helpers)
            + f"memory {size_text(memory)}"
        )
    measure_bytes = import_object(tables.ARCHS[c.arch].task.measure_bytes)
    measured = measure_bytes((spec.height, spec.width, spec.channels), c.eval_samples)
    yield f"memory of an evaluation: about {size_text(measured)}, plus that for TensorFlow"
    yield f"memory of a train step: about {size_text(peak)}, plus half a gigabyte for TensorFlow"
    yield from describe_length(c, spec, peak + TENSORFLOW_BYTES)


def describe_length(c, spec, step_bytes):
    """Yield lines on the number of updates of a config and on their time on this machine.

    Args:
      c: a `Config`.
      spec: the `ImageSpec` of its images, whose `count` is 0 if it is unknown.
      step_bytes: memory of a train step and of TensorFlow.
    """
    from training import memory, replicas

    images = sources.count_images(c, spec)
    per_epoch = max(1, images // c.batch_size) if images else 0
    updates = build.count_updates(c, per_epoch) if per_epoch or not c.epoch else math.inf
    free = memory.free_bytes() or math.inf
    trainer = None
    if not replicas.on_cpu() or step_bytes <= free:
        strategy = devices.choose(c)
        yield from report.opening(c, strategy.num_replicas_in_sync)
        settled = defaults.settle(c, strategy.num_replicas_in_sync)
        trainer = build.build_trainer(settled, spec, per_epoch, strategy=strategy)
        if c.init_from:
            yield from init_networks(c, trainer, sources.describe_spec(c, spec))
        updates = min(updates, trainer.last)
    known = trainer or not tables.ARCHS[c.arch].growth
    if known and (updates < math.inf or c.max_minutes):
        yield opening.length(c, updates, per_epoch, images)
    if trainer is None:
        yield f"not timed: {memory.size_text(free)} of free memory are too little"
        return
    seconds_left = 60 * c.max_minutes or math.inf
    if trainer.grows:
        yield from time_stages(trainer, updates, seconds_left)
    else:
        yield opening.pace(updates, time_updates(trainer), seconds_left)


def time_stages(trainer, updates, seconds_left):
    """Yield lines on the time of each stage that a trainer of growing networks has left.

    Args:
      trainer: a trainer of which `grows` is true; it ends in the last stage.
      updates: number of generator updates that are left.
      seconds_left: seconds until --max_minutes ends the training.
    """
    total = 0
    for size, length in trainer.stages():
        if not (count := min(length, updates)):
            break
        seconds = time_updates(trainer)
        yield opening.stage_pace(size, count, seconds)
        total, updates = total + count * seconds, updates - count
    yield opening.total_pace(total, seconds_left)


def time_updates(trainer):
    """Return the mean seconds of a dozen updates, or of fewer in `MAX_SECONDS`.

    The updates train on random images. The first one compiles and is not counted.
    """
    from training import loop

    def update():
        start = time.monotonic()
        terms = trainer.step(*trainer.random_batch(loop.TIMED))
        float(list(terms.values())[-1])  # waits for the device
        return time.monotonic() - start

    update()
    found = [update()]
    while len(found) < loop.TIMED and sum(found) < MAX_SECONDS:
        found.append(update())
    return sum(found) / len(found)


def build_stages(c, spec):
    """Return a list of (generator, critic, batch size), one for each stage of training."""
    pair, row = build.build_networks(c, spec), tables.ARCHS[c.arch]
    if not row.stages:
        return [(*pair, c.batch_size)]
    return import_object(row.stages)(*pair, batch_size=c.batch_size, batch_dict=c.batch_dict)


def step_bytes(c, spec, generator, critic, batch, weights):
    """Estimate the bytes of a train step. `weights`: parameters of all networks and the EMA."""
    from losses import n_penalised
    from training import memory

    auxiliary = getattr(critic, "auxiliary", None)
    return memory.step_bytes(
        generator,
        critic,
        batch=batch,
        penalised=n_penalised(batch, c.penalty_fraction) * len(tables.PENALTIES[c.penalty]),
        slots=memory.slots(build.build_optimizer(c.optimizer, c.learning_rate, vars(c))),
        pixels=spec.height * spec.width * spec.channels,
        weights=weights,
        decoder=auxiliary and auxiliary.network,
    )
