"""The settings that the device decides unless they are given."""

import dataclasses

from config import tables
from hardware import processor


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
    values = tables.DEVICES[_kind(replicas)].items()
    return dataclasses.replace(c, **{n: v for n, v in values if getattr(c, n) is None})


def _kind(replicas):
    """Return the key of this machine's row in `tables.DEVICES`."""
    if visible():
        return "gpu" if replicas == 1 else "gpus"
    return "cpu with bfloat16" if processor.has_bfloat16() else "cpu"
