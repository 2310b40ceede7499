"""Print the settings, the parameter counts and the memory of a run, without training."""

from commands import build, devices
from config import messages, tables
from config.resolve import resolve
from config.rows import import_object


def dry_run(given):
    """Print the settings, the parameter counts and the memory of a run, without training.

    Args:
      given: dict of the flags of the call.
    """
    c = resolve(given)
    for line in (messages.opening(c, given, {}), *describe(c)):
        print(line, flush=True)


def describe(c):
    """Yield lines on the images of a config, the sizes of its networks and its memory."""
    spec, reason = build.describe_data(c)
    devices.import_tensorflow(c.device)
    from training.memory import parameters, size_text

    if reason:
        yield f"note: {reason}; the counts are for colour images without labels"
    classes = messages.classes(spec.class_names) if spec.class_names else "no classes"
    yield f"images {spec.height}x{spec.width}x{spec.channels}, {classes}"
    peak, stages = 0, build_stages(c, spec)
    weights = sum(map(parameters, (stages[-1][0], *stages[-1][:2])))  # and the EMA
    for generator, critic, batch in stages:
        memory = step_bytes(c, spec, generator, critic, batch, weights)
        peak = max(peak, memory)
        height, width = critic.inputs[0].shape[1:3]
        yield (
            f"{height}x{width} in batches of {batch}: generator {parameters(generator):,} "
            f"parameters, critic {parameters(critic):,}, memory {size_text(memory)}"
        )
    yield f"memory of a train step: about {size_text(peak)}, plus half a gigabyte for TensorFlow"


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

    return memory.step_bytes(
        generator,
        critic,
        batch=batch,
        penalised=n_penalised(batch, c.penalty_fraction) * len(tables.PENALTIES[c.penalty]),
        slots=memory.slots(build.build_optimizer(c.optimizer, c.learning_rate, vars(c))),
        pixels=spec.height * spec.width * spec.channels,
        weights=weights,
    )
