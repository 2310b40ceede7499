"""What a training says of its device."""

import os

from config import tables
from hardware import defaults
from hardware.present import INSTALL, present


def opening(c, replicas):
    """Return the lines on the device of a training. Takes the arguments of `defaults.settle`."""
    import tensorflow as tf

    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in defaults.visible()
    ]
    device = f"GPU {', '.join(names)}" if names else f"CPU with {cores()} cores"
    c = defaults.settle(c, replicas)
    settings = ", ".join(f"{name}={getattr(c, name)}" for name in tables.DEVICES["cpu"])
    return [line for line in (f"device: {device}; {settings}", unused(c.device)) if line]


def cores():
    """Return the number of cores that this process may use, where the system tells it."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count()


def unused(wanted):
    """Return a line if this machine has a GPU and TensorFlow sees none, or else None.

    Args:
      wanted: value of --device.
    """
    import tensorflow as tf

    if wanted == "cpu" or tf.config.list_physical_devices("GPU"):
        return None
    name = present()
    return name and f"note: this machine has a GPU ({name}), but TensorFlow finds none: {INSTALL}"
