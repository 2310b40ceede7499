"""Data-parallel training: the strategy, and each replica's part of a batch.

A train step is written once, for one of R replicas (`replica_count`; 1 without a strategy). A
replica takes its rows of the batch and of each random draw (`replica_rows`), and divides its sums
by the size of the whole batch. `reduce_terms` then adds the replicas' terms, which gives the terms
of one device with the whole batch. Keras' optimisers add the gradients themselves.

Row g of a batch belongs to replica g mod R. The first rows of a batch are thus spread over all
replicas.
"""

import ctypes
import functools
import os

import numpy as np
import tensorflow as tf
from tensorflow.python import pywrap_tfe  # the public API has no part of it


def on_cpu():
    """Return whether this process has no GPU."""
    return not tf.config.list_logical_devices("GPU")


def choose_strategy(kinds):
    """Return a tf.distribute strategy with one replica on each device.

    Args:
      kinds: device types such as ("GPU", "CPU"); the first type with a device is used.

    Returns:
      A MirroredStrategy, or TensorFlow's default strategy if there is at most one device.
    """
    found = [tf.config.list_logical_devices(kind) for kind in kinds]
    devices = next(filter(None, found), ())
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return _mirrored(tuple(device.name for device in devices))


@functools.cache
def _mirrored(names):
    """Return the MirroredStrategy of these devices, always the same one.

    The messages of two strategies in one process would be mixed up.
    """
    ops = None if "GPU" in names[0] else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, cross_device_ops=ops)


def join_cluster():
    """Wait for all processes of TF_CONFIG, and return their MultiWorkerMirroredStrategy.

    TensorFlow waits with Python's global lock held, so that no other thread of Python can run. The
    same function of its C interface waits without the lock.
    """
    own = pywrap_tfe.TFE_EnableCollectiveOps
    pywrap_tfe.TFE_EnableCollectiveOps = _enable_collectives
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        pywrap_tfe.TFE_EnableCollectiveOps = own


def _enable_collectives(context, server):
    """Call TFE_EnableCollectiveOps (context, serialised ServerDef) without Python's lock."""
    folder = tf.sysconfig.get_lib()
    wait = ctypes.CDLL(os.path.join(folder, "libtensorflow_cc.so.2")).TFE_EnableCollectiveOps
    common = ctypes.CDLL(os.path.join(folder, "libtensorflow_framework.so.2"))
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    for function, result, arguments in (
        (wait, None, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]),
        (pointer, ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]),
        (common.TF_NewStatus, ctypes.c_void_p, []),
        (common.TF_GetCode, ctypes.c_int, [ctypes.c_void_p]),
        (common.TF_Message, ctypes.c_char_p, [ctypes.c_void_p]),
        (common.TF_DeleteStatus, None, [ctypes.c_void_p]),
    ):
        function.restype, function.argtypes = result, arguments
    status = common.TF_NewStatus()
    wait(pointer(context, None), server, len(server), status)
    code, text = common.TF_GetCode(status), common.TF_Message(status).decode(errors="replace")
    common.TF_DeleteStatus(status)
    if code:
        raise tf.compat.v1.errors.exception_type_from_error_code(code)(None, None, text)


def agree(strategy, step, wishes):
    """Return which wishes hold for all processes at this step.

    Several processes exchange their wishes at every tenth step only. A wish of one of them then
    holds for all. At other steps no wish holds.

    Args:
      step: steps done, the same in all processes.
      wishes: list of bools of this process.

    Returns:
      A list of bools of the same length.
    """
    if _is_one_process(strategy):
        return wishes
    if step % 10:
        return [False] * len(wishes)
    return [bool(count > 0) for count in _global_sums(strategy, wishes)]


def differing(strategy, facts):
    """Return the names of the facts that are not equal in all processes.

    Args:
      facts: a dict of integers, with the same keys in all processes.
    """
    if _is_one_process(strategy):
        return []
    numbers = np.array([value % 65521 for value in facts.values()])  # the squares fit in int64
    sums, squares = np.split(_global_sums(strategy, [*numbers, *numbers**2]), 2)
    spread = strategy.num_replicas_in_sync * squares != sums**2  # R·Σx² = (Σx)² if all x are equal
    return [name for name, differs in zip(facts, spread) if differs]


def _is_one_process(strategy):
    local, count = local_replicas(strategy)
    return len(local) == count


def _global_sums(strategy, numbers):
    """Sum each of this process's integers over all replicas; returns int64 [n]."""
    values = strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant(list(map(int, numbers)), tf.int64)
    )
    return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()


def replica_count():
    """Return the number of replicas that run the calling code: 1 outside `strategy.run`."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def index():
    """Return the number 0, 1, … of the replica that runs the calling code."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))


@functools.cache
def local_replicas(strategy):
    """Return (the numbers of this process's replicas, the number of all replicas)."""
    count = strategy.num_replicas_in_sync
    if count == 1:
        return (0,), 1
    ids = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(context.replica_id_in_sync_group)
    )
    return tuple(int(i) for i in strategy.experimental_local_results(ids)), count


def replica_rows(values, axis=0, count=None):
    """Return this replica's rows of a tensor along an axis.

    Args:
      values: the rows of `count` replicas.
      count: by default the number of all replicas.
    """
    count = count or replica_count()
    if count == 1:
        return values
    start = index() % count
    return values[(slice(None),) * axis + (slice(start, None, count),)]


def draw(function, key, shape):
    """Return this replica's rows of a random draw for the whole batch.

    Args:
      function: (key, shape) → random tensor of that shape.
      shape: the shape of this replica's rows.
    """
    rows = shape[0] * replica_count()
    return replica_rows(function(key, (rows, *shape[1:])))


def uniform(key, shape):
    """Return this replica's rows of U[0, 1): float32 of `shape`, from a key int32 [2]."""
    return draw(lambda key, shape: tf.random.stateless_uniform(shape, key), key, shape)


def gather_rows(values):
    """Gather the rows [B / R, ...] of all R replicas into [B, ...], in the order of the batch."""
    count = replica_count()
    if count == 1:
        return values
    rows = tf.distribute.get_replica_context().all_gather(values, axis=0)
    rows = tf.reshape(rows, [count, *values.shape])  # [R, B / R, ...]; row g is of replica g mod R
    return tf.reshape(
        tf.transpose(rows, [1, 0, *range(2, len(rows.shape))]), [-1, *values.shape[1:]]
    )


def local_rows(strategy, batches):
    """Return this replica's rows of batches [n, B, ...] that hold the rows of its process."""
    one = strategy.num_replicas_in_sync == 1
    return replica_rows(batches, 1, 1 if one else len(strategy.extended.worker_devices))


def mask_after(values, count):
    """Set this replica's values [rows] to 0, except those of the batch's first `count` rows."""
    if values.shape[0] * replica_count() <= count:
        return values
    rows = tf.range(values.shape[0]) * replica_count() + index()
    return tf.where(rows < count, values, tf.zeros_like(values))


def sum_over_replicas(values):
    """Sum a tensor over the replicas. Every replica gets the sum."""
    if replica_count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def order_updates(strategy, optimizer):
    """Make a compiled step read each weight before the optimizer updates it.

    Keras passes the gradients of all weights through one IdentityN, to sum them over the replicas.
    Grappler's dependency optimiser then removes control edges, and the backward pass may read a
    weight after its update: losses differ from run to run. One replica has nothing to sum. On
    several, the dependency optimiser is switched off, which makes small steps up to a tenth slower.
    `python -m benchmarks.races` checks the final graphs.
    """
    if strategy.num_replicas_in_sync == 1:
        scaled = getattr(optimizer, "inner_optimizer", optimizer)
        scaled._all_reduce_sum_gradients = lambda gradients_and_weights: gradients_and_weights
    else:
        tf.config.optimizer.set_experimental_options({"dependency_optimization": False})


def all_or_none(optimizer, gradients):
    """Make all gradients on all replicas non-finite if any of them is, and return them.

    A loss-scaling optimiser then skips the step on all replicas. For other optimisers the
    gradients are returned unchanged.
    """
    if not hasattr(optimizer, "dynamic_scale"):
        return gradients
    broken = [tf.reduce_sum(g * 0) for g in gradients if g is not None]  # 0, or NaN if not finite
    broken = sum_over_replicas(tf.add_n(broken))
    return [g if g is None else g + broken for g in gradients]


def moments(x, axes):
    """Return (mean, variance) over these axes and over all replicas."""
    parts = tf.stack([tf.reduce_mean(x, axes), tf.reduce_mean(tf.square(x), axes)])
    mean, square = tf.unstack(sum_over_replicas(parts) / replica_count())
    return mean, square - tf.square(mean)


def deviation(x):
    """Return the standard deviation of all elements on all replicas, a scalar."""
    if replica_count() == 1:
        return tf.math.reduce_std(x)
    return tf.sqrt(moments(x, None)[1])


def reduce_terms(strategy, terms):
    """Sum a dict of scalars over the replicas. For code outside `strategy.run`.

    Args:
      terms: name → per-replica scalar, as `strategy.run` returns it.

    Returns:
      A dict of scalars with the same names.
    """
    if strategy.num_replicas_in_sync == 1:
        return terms
    parts = strategy.run(tf.stack, (list(terms.values()),))
    values = strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)
    return dict(zip(terms, tf.unstack(values)))
