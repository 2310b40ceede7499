"""On how many devices, and with which other processes, a config is trained.

Imports no TensorFlow.
"""

import contextlib
import functools
import json
import os
import zlib

import console
from config import tables
from config.rows import import_object
from console import WrongCall
from training import cluster


def import_tensorflow(device="auto"):
    """Import TensorFlow without its greetings, which no setting turns off.

    `device` is "auto" (all GPUs, or the CPU), "cpu", "gpu" (an error where there is none) or one
    of them, "gpu:1". GPUs give memory as it is asked for.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with console.quiet_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if device.startswith("gpu"):
        number = int(device.partition(":")[2] or 0)
        if number >= len(gpus):
            raise console.Failed(
                f"--device={device}: TensorFlow sees {len(gpus)} GPUs; try auto or cpu"
            )
        gpus = gpus[number : number + 1] if ":" in device else gpus
    gpus = [] if device == "cpu" else gpus
    tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def join(c, team):
    """The strategy of all processes of a `cluster.Cluster`, once they are there."""
    meet(team)
    import_tensorflow(c.device)
    from training import replicas

    return replicas.join_cluster()


PATIENCE = 300  # seconds that a worker waits for the others
# What TensorFlow raises where a message to another process has not come through.
LOST = ("AbortedError", "CancelledError", "DeadlineExceededError", "InternalError")
LOST += ("FailedPreconditionError", "UnavailableError", "UnknownError")


def find_cluster(c):
    """The `cluster.Cluster` of the environment's TF_CONFIG that a config trains on, or None.

    Raises:
      WrongCall: where it cannot be used.
    """
    if not tables.STRATEGIES[c.strategy].cluster:
        return None
    text = os.environ.get("TF_CONFIG", "")
    try:
        team = cluster.parse(text)
    except ValueError as error:
        raise WrongCall(f"TF_CONFIG: {error}") from None
    if team and c.compare:
        raise WrongCall("--compare trains on one machine: take --strategy none")
    if not text and c.strategy == "multiworker":
        raise WrongCall("--strategy=multiworker needs TF_CONFIG in the environment: see the README")
    return team


def meet(team):
    """Wait until all processes of a cluster are there. Raises utils.Failed where some are not."""
    print(f"worker {team.index} of {len(team.workers)}: waiting for the others", flush=True)
    if missing := team.wait_for_workers(PATIENCE):
        raise console.Failed(
            f"after {PATIENCE} seconds these workers of TF_CONFIG do not answer: "
            f"{', '.join(missing)}"
        )


@contextlib.contextmanager
def in_company(team):
    """Turns TensorFlow's errors in the block into utils.Failed: another worker has gone.

    Of one process alone they are what they are.
    """
    try:
        yield
    except Exception as error:
        if not team or type(error).__name__ not in LOST:
            raise
        raise console.Failed(
            f"another worker has gone, or cannot be reached ({type(error).__name__}): "
            "start all of them again, and they go on from what was saved last"
        ) from None


def agreement(trainer):
    """What all processes that train together ask before a step: see `train.fit`."""
    from training import replicas

    return functools.partial(replicas.agree, trainer.strategy)


def check_same(c, trainer, batches):
    """Raise utils.Failed where the processes that train together do not train the same."""
    from training import replicas

    settings = zlib.crc32(json.dumps(c.to_json()).encode())
    facts = {"settings": settings, "images": len(batches), "step": int(trainer.count)}
    if different := replicas.differing(trainer.strategy, facts):
        raise console.Failed(
            f"the workers differ in their {', '.join(different)}: give all the same command, data, "
            "and a checkpoint_dir that they share"
        )


def choose(c, joined=None):
    """The tf.distribute strategy of a config: the one `joined`, or one for the devices here.

    Raises:
      WrongCall: where so many replicas cannot train this.
    """
    from training import replicas

    strategy = joined or replicas.choose_strategy(tables.STRATEGIES[c.strategy].devices)
    count = strategy.num_replicas_in_sync
    if count > 1:
        _check_replicas(c, count)
    return strategy


def remarks(c, strategy):
    """Lines on what the devices make of a config: how a batch is shared, what is of no use."""
    from training import replicas

    count, lines = strategy.num_replicas_in_sync, []
    if count > 1:
        each = c.batch_size // count
        lines.append(f"{count} replicas, each with {each} of a batch's {c.batch_size} images")
    elif c.strategy in ("mirrored", "multiworker"):
        lines.append(f"--strategy {c.strategy}: there is one device, and nothing to share")
    if c.jit and replicas.on_cpu():
        lines.append("--jit True is for GPUs: on a CPU steps take longer with it")
    return lines


def _check_replicas(c, count):
    """Refuse what several replicas cannot do."""
    growth = tables.ARCHS[c.arch].growth
    names = growth.batch_fields if growth else ("batch_size",)
    batches = import_object(growth.batches) if growth else (lambda batch_size: (batch_size,))
    for size in batches(**{n: getattr(c, n) for n in names}):
        if size % count or size < 2 * count:
            flags = " and ".join(f"--{n}" for n in ("batch_size", "batch_dict") if n in names)
            raise WrongCall(
                f"a batch of {size} images ({flags}) cannot be shared by {count} "
                f"replicas: it must be a multiple of {count}, {2 * count} at least, or take "
                "--strategy none"
            )
    if c.jit:
        raise WrongCall(
            f"--jit compiles the step of one replica, and there are {count}: leave it out, or take "
            "--strategy none"
        )
    if c.penalty_every > 1 and c.critic_norm == "batch" and c.penalty != "none":
        raise WrongCall(
            f"--penalty_every={c.penalty_every} and --critic_norm=batch do not go together on "
            f"{count} replicas: take --penalty_every 1 or another norm"
        )
