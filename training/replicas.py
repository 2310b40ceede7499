"""Which replicas a train step runs on, and what each of them takes of the whole batch.

A step is written once, for one replica of however many there are (`how_many`, 1 without a
strategy): of the batch, and of what is drawn for it, it takes its `own` rows; it divides its sums
by the whole batch's size; and what `summed` adds up of all replicas is then what one device alone
would have found. Keras' optimisers add up the gradients themselves.

Row g of a batch is that of replica g mod R, so that the first rows, too, are spread over all.
"""

import functools

import numpy as np
import tensorflow as tf


def on_cpu():
    """Is there no GPU that this process may use?"""
    return not tf.config.list_logical_devices("GPU")


def choose(kinds):
    """The tf.distribute strategy of a replica on each device of the first kind that there is.

    One replica alone needs none, and has TensorFlow's own, which does nothing.
    """
    found = [tf.config.list_logical_devices(kind) for kind in kinds]
    devices = next(filter(None, found), ())
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return _mirrored(tuple(device.name for device in devices))


@functools.cache
def _mirrored(names):
    """The one strategy of a process on these devices: a second one's messages would be mixed up."""
    ops = None if "GPU" in names[0] else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(names, cross_device_ops=ops)


def join():
    """The strategy of all processes of TF_CONFIG, once they are there: it waits for them."""
    return tf.distribute.MultiWorkerMirroredStrategy()


def agree(strategy, step, over):
    """Do all processes stop at this step, as one of them wants to? Asked at every tenth alone."""
    if _alone(strategy):
        return over
    return step % 10 == 0 and _over_all(strategy, [over])[0] > 0


def different(strategy, facts):
    """The names of the facts, whole numbers, that are not the same in all processes."""
    if _alone(strategy):
        return []
    numbers = np.array([value % 65521 for value in facts.values()])  # so that squares fit, too
    sums, squares = np.split(_over_all(strategy, [*numbers, *numbers**2]), 2)
    spread = strategy.num_replicas_in_sync * squares != sums**2  # where all are the same, it is 0
    return [name for name, differs in zip(facts, spread) if differs]


def _alone(strategy):
    own, count = share(strategy)
    return len(own) == count


def _over_all(strategy, numbers):
    """The sums of whole numbers over all replicas, of each process its own."""
    values = strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant(list(map(int, numbers)), tf.int64)
    )
    return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()


def how_many():
    """How many replicas run the code that asks, each on its own rows."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def index():
    """Which of the replicas runs the code that asks."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))


@functools.cache
def share(strategy):
    """(the numbers of the replicas that this process has, how many there are)."""
    count = strategy.num_replicas_in_sync
    if count == 1:
        return (0,), 1
    ids = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(context.replica_id_in_sync_group)
    )
    return tuple(int(i) for i in strategy.experimental_local_results(ids)), count


def own(values, axis=0, held=None):
    """This replica's rows of values along an axis, in which `held` replicas have theirs: or all."""
    held = held or how_many()
    if held == 1:
        return values
    start = index() % held
    return values[(slice(None),) * axis + (slice(start, None, held),)]


def draw(function, key, shape):
    """This replica's rows of what function(key, shape of all rows) draws, of this own shape."""
    rows = shape[0] * how_many()
    return own(function(key, (rows, *shape[1:])))


def uniform(key, shape):
    """This replica's rows of U[0, 1) from a stateless key, int32 [2]."""
    return draw(lambda key, shape: tf.random.stateless_uniform(shape, key), key, shape)


def gathered(values):
    """The rows [B, ...] of all replicas, of each its own [B / R, ...]."""
    count = how_many()
    if count == 1:
        return values
    rows = tf.distribute.get_replica_context().all_gather(values, axis=0)
    rows = tf.reshape(rows, [count, *values.shape])  # row g is that of replica g mod R
    return tf.reshape(
        tf.transpose(rows, [1, 0, *range(2, len(rows.shape))]), [-1, *values.shape[1:]]
    )


def local_rows(strategy, batches):
    """This replica's rows of [n, B, ...] batches, of which its process holds all of its own."""
    one = strategy.num_replicas_in_sync == 1
    return own(batches, 1, 1 if one else len(strategy.extended.worker_devices))


def first(values, count):
    """Values [rows], with 0 for those that are not among the first `count` of all replicas'."""
    if values.shape[0] * how_many() <= count:
        return values
    rows = tf.range(values.shape[0]) * how_many() + index()
    return tf.where(rows < count, values, tf.zeros_like(values))


def total(values):
    """The sum of a tensor over the replicas, as each of them gets it."""
    if how_many() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def all_or_none(optimizer, gradients):
    """Gradients for an optimiser; where it scales the loss, one that is not finite makes all so.

    It then leaves out the step, on all replicas.
    """
    if not hasattr(optimizer, "dynamic_scale"):
        return gradients
    broken = [tf.reduce_sum(g * 0) for g in gradients if g is not None]  # 0, or not a number
    broken = total(tf.add_n(broken))
    return [g if g is None else g + broken for g in gradients]


def moments(x, axes):
    """(mean, variance) over these axes and all replicas."""
    parts = tf.stack([tf.reduce_mean(x, axes), tf.reduce_mean(tf.square(x), axes)])
    mean, square = tf.unstack(total(parts) / how_many())
    return mean, square - tf.square(mean)


def deviation(x):
    """The standard deviation of all numbers of all replicas."""
    if how_many() == 1:
        return tf.math.reduce_std(x)
    return tf.sqrt(moments(x, None)[1])


def summed(strategy, terms):
    """What each replica gave as a dict of scalars, added up, for the code around the replicas."""
    if strategy.num_replicas_in_sync == 1:
        return terms
    parts = strategy.run(tf.stack, (list(terms.values()),))
    values = strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None)
    return dict(zip(terms, tf.unstack(values)))
