"""Estimates for a dry run: parameters, and the memory of a train step from the networks' graphs."""

import contextlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

FLOAT = 4  # bytes of a float32
LIVE_FRACTION = 0.6  # of the counted activations, alive at the peak; measured on a CPU
# Outputs of these operations share another tensor's memory or are not stored for the gradient.
NOT_STORED = {"Conv2D", "Identity", "IdentityN", "Placeholder", "ReadVariableOp", "Reshape"}
NOT_STORED |= {"StopGradient", "Transpose"}


def parameters(network):
    """Return the number of trainable parameters of a network."""
    return sum(int(np.prod(w.shape)) for w in network.trainable_variables)


def activations(network):
    """Estimate how many numbers a network stores for its gradient, for each image."""
    few, many = (_stored_numbers(network, batch) for batch in (4, 8))
    return (many - few) // 4  # tensors that do not grow with the batch are not activations


def _stored_numbers(network, batch):
    """Return the number of elements that a forward pass stores for a batch of this size."""
    inputs = [tf.TensorSpec([batch, *x.shape[1:]], x.dtype) for x in network.inputs]
    call = tf.function(lambda *x: network(list(x), training=True), autograph=False)
    operations = call.get_concrete_function(*inputs).graph.get_operations()
    shapes = [o.shape for op in operations if op.type not in NOT_STORED for o in op.outputs]
    return sum(int(np.prod(s)) for s in shapes if s.is_fully_defined())


def step_bytes(generator, critic, *, batch, penalised, slots, pixels, weights, decoder=None):
    """Estimate the peak memory of a train step, in bytes.

    The peak is in the critic's update. It holds the activations of one generator pass and two
    critic passes. For each penalised image it holds three more critic passes: the scores, their
    gradient, and the gradient of that gradient. It holds one pass of a decoder.

    Args:
      generator, critic: Keras models.
      batch: images in a batch.
      penalised: images with a gradient penalty.
      slots: numbers that the optimiser stores for each parameter, see `slots`.
      pixels: numbers in a packed image, H·W·C.
      weights: parameters of all networks, including other stages and the EMA.
      decoder: Keras model that decodes the critic's features of the real images, or None.
    """
    trained = sum(map(parameters, filter(None, (generator, critic, decoder))))
    g, d, features = (activations(x) if x else 0 for x in (generator, critic, decoder))
    persistent = weights + (1 + slots) * trained  # 1: the gradients
    live = LIVE_FRACTION * (batch * (g + 2 * d + features) + 3 * penalised * d)
    return FLOAT * (persistent + batch * pixels + live)


def slots(optimizer):
    """Return how many numbers an optimiser stores for each parameter: 2 for Adam, 0 for SGD."""
    shape = (3, 5)
    optimizer.build([keras.Variable(np.zeros(shape))])
    return sum(tuple(v.shape) == shape for v in optimizer.variables)


def free_bytes():
    """Return the bytes of memory that this process can still get, or None if unknown.

    On Linux, it is the smaller of the machine's available memory and the rest of the control
    group's limit. Unknown elsewhere.
    """
    found, group = [], Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError, KeyError):  # the limit may be the word "max"
        limit, used = (int((group / f"memory.{x}").read_text()) for x in ("max", "current"))
        stat = dict(x.split() for x in (group / "memory.stat").read_text().splitlines())
        found.append(max(0, limit - used + int(stat["inactive_file"])))  # freed on demand
    return min(found, default=None)


def size_text(count):
    """Format a number of bytes as `1.2 GB` or `34 MB`, in powers of 1,000."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
