"""What a train step needs: parameters, and memory computed from the networks' own graphs."""

import keras
import numpy as np
import tensorflow as tf

FLOAT = 4  # bytes
SHARE = 0.6  # of the activations so counted that are there at once, as measured on a CPU
# Operations whose outputs need no memory of their own, or none that is kept for the gradients.
UNKEPT = {"Conv2D", "Identity", "IdentityN", "Placeholder", "ReadVariableOp", "Reshape"}
UNKEPT |= {"StopGradient", "Transpose"}


def parameters(network):
    """How many numbers of a network are trained."""
    return sum(int(np.prod(w.shape)) for w in network.trainable_variables)


def activations(network):
    """How many numbers a network's gradient keeps for each image, about."""
    few, many = (_kept(network, batch) for batch in (4, 8))
    return (many - few) // 4  # what does not grow with the batch is no activation


def _kept(network, batch):
    inputs = [tf.TensorSpec([batch, *x.shape[1:]], x.dtype) for x in network.inputs]
    call = tf.function(lambda *x: network(list(x), training=True), autograph=False)
    operations = call.get_concrete_function(*inputs).graph.get_operations()
    shapes = [o.shape for op in operations if op.type not in UNKEPT for o in op.outputs]
    return sum(int(np.prod(s)) for s in shapes if s.is_fully_defined())


def step_bytes(generator, critic, *, batch, penalised, slots, pixels, weights):
    """The memory of a train step, about.

    While the critic's update waits for its gradient there are: a pass of the generator, two of
    the critic and, where `penalised` images have a penalty, its pass, the gradient's and that
    one's own. `slots` are the numbers that an optimiser keeps of each parameter, `pixels` the
    numbers of an image as it is packed, and `weights` those of all networks: of other stages and
    the moving average, too.
    """
    trained = parameters(generator) + parameters(critic)
    g, d = activations(generator), activations(critic)
    kept = weights + (1 + slots) * trained  # with the gradients
    return FLOAT * (kept + batch * pixels + SHARE * (batch * (g + 2 * d) + 3 * penalised * d))


def slots(optimizer):
    """How many numbers an optimiser keeps of each parameter."""
    shape = (3, 5)
    optimizer.build([keras.Variable(np.zeros(shape))])
    return sum(tuple(v.shape) == shape for v in optimizer.variables)


def size_text(count):
    """Bytes as `1.2 GB`, in powers of 1,000."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
