"""The devices and the processes that train a config.

Imports no TensorFlow.
"""

import concurrent.futures
import contextlib
import faulthandler
import functools
import json
import os
import signal
import sys
import threading
import time
import zlib

import console
from config import tables
from config.rows import import_object
from console import WrongCall
from generation.interface import check_backend
from hardware.present import INSTALL, present
from training import cluster

owns_process = False  # set by main.py: no other program runs in this process, so it may be ended
abandoned = []  # functions that still wait in a thread: the process must end without its cleanup
EXIT = 5  # seconds in which a process ends though a thread of TensorFlow waits


def import_tensorflow(device="auto"):
    """Import TensorFlow without its messages at start, which no setting turns off.

    GPU memory is allocated as it is needed, not all at once, unless TensorFlow already runs in this
    process. The settings of the user's keras.json have no effect, nor those of a program that calls
    this one, or of an earlier call: the networks would be others.

    Args:
      device: "auto" (all GPUs, or the CPU if there is none), "cpu", "gpu", or one GPU as "gpu:1".

    Raises:
      Failed: if `device` names a GPU that does not exist, TensorFlow cannot be loaded, Keras has
        another backend, or TensorFlow already uses other devices in this process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with console.quiet_stderr():
            import keras
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
    except ModuleNotFoundError as error:
        raise console.Failed(
            f"{sys.executable} lacks the package {error.name}: pip install -r requirements.txt"
        ) from None
    except (ImportError, OSError, MemoryError) as error:
        raise console.Failed(
            f"TensorFlow cannot be loaded ({console.first_line(error)}). If the memory is limited "
            "(ulimit -v), it needs at least 2 GB"
        ) from None
    check_backend()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)
    if device.startswith("gpu"):
        number = int(device.partition(":")[2] or 0)
        if number >= len(gpus):
            name = None if gpus else present()
            advice = f"for the {name} here, {INSTALL}" if name else "use auto or cpu"
            raise console.Failed(f"--device={device}: TensorFlow finds {len(gpus)} GPUs; {advice}")
        gpus = gpus[number : number + 1] if ":" in device else gpus
    gpus = [] if device == "cpu" else gpus
    try:
        tf.config.set_visible_devices(gpus, "GPU")
    except RuntimeError:
        raise console.Failed(
            f"TensorFlow already uses other GPUs in this process, and this call needs {len(gpus)}: "
            "make it in a new process"
        ) from None
    for gpu in gpus:
        with contextlib.suppress(RuntimeError, ValueError):  # TensorFlow already runs
            tf.config.experimental.set_memory_growth(gpu, True)
    if tf.config.optimizer.get_experimental_options().get("dependency_optimization") is False:
        # An earlier call trained on several replicas: see `replicas.order_updates`.
        tf.config.optimizer.set_experimental_options({"dependency_optimization": True})


def join(c, team):
    """Wait for all processes of a `cluster.Cluster`; return their tf.distribute strategy.

    Raises:
      Failed: if they do not answer, or TensorFlow does not connect to them, within PATIENCE
        seconds each.
    """
    meet(team)
    import_tensorflow(c.device)
    from training import replicas

    try:
        return attend(replicas.join_cluster, PATIENCE)
    except TimeoutError:
        others = [host for host in team.workers if host != team.workers[team.index]]
        raise console.Failed(
            f"TensorFlow did not connect to the other workers ({', '.join(others)}) within "
            f"{PATIENCE} seconds: one of them has stopped, or another service has its address"
        ) from None
    except RuntimeError:
        raise console.Failed(
            "TensorFlow has already started in this process, and joins other workers only at its "
            "start: make this call in a new process"
        ) from None


def attend(function, patience):
    """Call a function that may wait for ever in C++, and return its result.

    The function runs in a thread, so that signals have their usual effect meanwhile; TensorFlow
    replaces the handler of SIGTERM. If the time is over, or a signal ends the wait, the process
    ends within EXIT seconds, whatever the thread does.

    Args:
      function: called without arguments.
      patience: seconds to wait for the result.

    Raises:
      TimeoutError: if there is no result in time.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {n: h for n in console.STOP_SIGNALS if main and (h := signal.getsignal(n)) is not None}
    result = concurrent.futures.Future()

    def call():
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    end = time.monotonic() + patience
    try:
        while not result.done():
            if time.monotonic() > end:
                raise TimeoutError
            for number, handler in before.items():
                signal.signal(number, handler)
            time.sleep(0.05)
    finally:
        if not result.done():  # a thread in C++ may keep the process from ending
            abandoned.append(function)
            if owns_process:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                faulthandler.dump_traceback_later(EXIT, exit=True, file=nowhere)
    return result.result()


PATIENCE = 300  # seconds that a worker waits for the other workers, and TensorFlow for them
# TensorFlow's errors when a message to another process fails.
LOST = ("AbortedError", "CancelledError", "DeadlineExceededError", "InternalError")
LOST += ("FailedPreconditionError", "UnavailableError", "UnknownError")


def find_cluster(c):
    """Return the `cluster.Cluster` of TF_CONFIG that a config trains on, or None.

    Raises:
      WrongCall: if TF_CONFIG is invalid, or missing, or cannot be used with this config.
    """
    if not tables.STRATEGIES[c.strategy].cluster:
        return None
    text = os.environ.get("TF_CONFIG", "")
    try:
        team = cluster.parse(text)
    except ValueError as error:
        raise WrongCall(f"TF_CONFIG: {error}") from None
    if team and c.compare:
        raise WrongCall("--compare trains on one machine: use --strategy none")
    if not text and c.strategy == "multiworker":
        raise WrongCall(
            "--strategy=multiworker needs TF_CONFIG in the environment: see docs/cluster.md"
        )
    return team


def meet(team):
    """Wait until all processes of a cluster answer.

    Raises:
      Failed: if some do not answer within PATIENCE seconds.
    """
    print(f"worker {team.index} of {len(team.workers)}: waiting for the others", flush=True)
    if missing := team.wait_for_workers(PATIENCE):
        raise console.Failed(
            f"these workers of TF_CONFIG did not answer within {PATIENCE} seconds: "
            f"{', '.join(missing)}"
        )


@contextlib.contextmanager
def catch_lost_workers(team):
    """Turn TensorFlow's connection errors in the block into Failed: another worker has stopped.

    With one process (`team` is None) they are raised unchanged.
    """
    try:
        yield
    except Exception as error:
        if not team or type(error).__name__ not in LOST:
            raise
        raise console.Failed(
            f"another worker has stopped or cannot be reached ({type(error).__name__}): "
            "start all workers again, and they resume from the last checkpoint"
        ) from None


def agreement(trainer):
    """Return the function `agree` of `loop.fit`, by which all processes decide the same."""
    from training import replicas

    return functools.partial(replicas.agree, trainer.strategy)


def check_same(c, trainer, batches, last):
    """Check that all processes have the same settings, number of images, step and last step.

    Raises:
      Failed: if they differ; names what differs.
    """
    from training import replicas

    settings = zlib.crc32(json.dumps(c.to_json()).encode())
    facts = {"settings": settings, "images": len(batches), "step": int(trainer.count)}
    facts["last step (--max_steps)"] = zlib.crc32(str(last).encode())
    facts["patience (--patience)"] = zlib.crc32(str(c.patience).encode())
    if different := replicas.differing(trainer.strategy, facts):
        raise console.Failed(
            f"the workers differ in their {', '.join(different)}: give all workers the same "
            "command, the same data and a shared checkpoint_dir"
        )


def choose(c, joined=None):
    """Return the tf.distribute strategy of a config.

    Args:
      c: a `Config`.
      joined: the strategy of several processes; None to use the devices of this process only.

    Raises:
      WrongCall: if the config cannot be trained on this number of replicas.
    """
    from training import replicas

    strategy = joined or replicas.choose_strategy(tables.STRATEGIES[c.strategy].devices)
    count = strategy.num_replicas_in_sync
    if count > 1:
        _check_replicas(c, count)
    return strategy


def remarks(c, strategy):
    """Return lines on how batches are split over devices, and on flags without effect."""
    from training import replicas

    count, lines = strategy.num_replicas_in_sync, []
    if count > 1:
        each = c.batch_size // count
        lines.append(f"{count} replicas, each with {each} of the {c.batch_size} images in a batch")
    elif c.strategy in ("mirrored", "multiworker"):
        lines.append(f"note: --strategy {c.strategy} has no effect with one device")
    if c.jit and replicas.on_cpu():
        lines.append("note: --jit True is for GPUs: on a CPU it makes steps slower")
    return lines


def _check_replicas(c, count):
    """Raise WrongCall if `count` replicas cannot train a config."""
    growth = tables.ARCHS[c.arch].growth
    names = growth.batch_fields if growth else ("batch_size",)
    batches = import_object(growth.batches) if growth else (lambda batch_size: (batch_size,))
    for size in batches(**{n: getattr(c, n) for n in names}):
        if size % count or size < 2 * count:
            flags = " and ".join(f"--{n}" for n in ("batch_size", "batch_dict") if n in names)
            raise WrongCall(
                f"a batch of {size} images ({flags}) cannot be split over {count} replicas: use a "
                f"multiple of {count} that is at least {2 * count}, or --strategy none"
            )
    if c.jit:
        raise WrongCall(
            f"--jit works with one replica only, and there are {count}: leave it out, or use "
            "--strategy none"
        )
    if c.penalty_every > 1 and c.critic_norm == "batch" and c.penalty != "none":
        raise WrongCall(
            f"--penalty_every={c.penalty_every} and --critic_norm=batch cannot be combined on "
            f"{count} replicas: use --penalty_every 1 or another norm"
        )
