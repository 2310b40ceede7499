"""The settings that the device decides unless they are given."""

import dataclasses

from config import tables


def visible():
    """Return the GPUs that TensorFlow uses in this process."""
    import tensorflow as tf

    return tf.config.get_visible_devices("GPU")


def settle(c, replicas):
    """Return a `Config` with the defaults of the device, see `tables.DEVICES`.

    Args:
      c: a `Config`, after TensorFlow has its devices.
      replicas: number of replicas.
    """
    kind = "cpu" if not visible() else "gpu" if replicas == 1 else "gpus"
    values = tables.DEVICES[kind].items()
    return dataclasses.replace(c, **{n: v for n, v in values if getattr(c, n) is None})
