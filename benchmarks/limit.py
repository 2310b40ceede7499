"""A lower bound on the time of a train step: its multiply-adds at the machine's matrix rate."""

import numpy as np

MATRIX = 2048  # rows of the square matrices whose product measures the machine's rate


def layer_products(layer):
    """Return the multiply-adds of one sample's forward pass through a layer.

    A dense layer has inputs x outputs. A convolution has its kernel's size for each output pixel,
    and a transposed convolution for each input pixel. Padding counts. Other layers have 0.
    """
    import keras

    if isinstance(layer, keras.layers.Conv2DTranspose):
        return int(np.prod(layer.input.shape[1:3]) * np.prod(layer.kernel.shape))
    if isinstance(layer, keras.layers.Conv2D):
        return int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape))
    return int(np.prod(layer.kernel.shape)) if isinstance(layer, keras.layers.Dense) else 0


def products(network):
    """Return the multiply-adds of one sample's forward pass: (all layers, first layers).

    A layer is first if no layer with weights comes before it. Only the penalty and, in the critic,
    the generator's update need the gradient of its inputs.
    """
    import keras

    total = first = 0
    learnt = set()  # ids of tensors that depend on weights
    for layer in network.operations:
        inputs, outputs = map(keras.tree.flatten, (layer.input, layer.output))
        count = layer_products(layer)
        after = any(id(t) in learnt for t in inputs)
        total += count
        first += 0 if after else count
        if after or getattr(layer, "trainable_variables", ()):
            learnt |= {id(t) for t in outputs}
    return total, first


def step_products(generator, critic, *, batch, updates, penalised, smooth=False, auxiliary=0):
    """Return the multiply-adds that one of our steps needs at least.

    With g and d multiply-adds of the generator and the critic, each image needs:

    - in a critic update: fakes (g), scores of reals and fakes (2d), the gradients of the weights
      (2d), and the gradients of the inputs of all layers but the first (2d - 2 first);
    - if it is penalised: scores at the points (d), their gradient at the pixels (d), and the
      backward pass through that gradient, with respect to the layers (d) and the weights (d). With
      piecewise linear layers the slopes are constants. Otherwise (`smooth`) there is another
      backward pass through the scores (2d - first);
    - in a critic update with an auxiliary network (`auxiliary` multiply-adds): its outputs for real
      images, and the gradients of its weights and inputs;
    - in the generator's update, with the last critic update's fakes: scores (d), the gradient of
      the pixels (d), and the gradients of the generator's weights (g) and inputs (g - first).

    Norms, activations, optimisers and the EMA are left out, so the result is a lower bound.

    Args:
      generator, critic: (all, first), as `products` returns them.
      batch: images in a batch.
      updates: critic updates in a step.
      penalised: images with a penalty in an update, possibly a mean over updates.
      smooth: True if the critic has curved norms or activations.
      auxiliary: multiply-adds of one sample's forward pass through the auxiliary network.
    """
    (g, g_first), (d, d_first) = generator, critic
    penalty = 4 * d + (2 * d - d_first if smooth else 0)
    update = batch * (g + 6 * d - 2 * d_first + 3 * auxiliary) + penalised * penalty
    return updates * update + batch * (2 * d + 2 * g - g_first)


def own_products(trainer):
    """Return `step_products` of one of our trainers."""
    norms = [x for x in trainer.critic.layers if "Normalization" in type(x).__name__]
    return step_products(
        products(trainer.generator),
        products(trainer.critic),
        batch=trainer.batch_size,
        updates=trainer.critic_num,
        penalised=trainer.n_penalised / trainer.penalty_every if trainer.objective.penalties else 0,
        smooth=bool(norms),
        auxiliary=products(trainer.auxiliary.network)[0] if trainer.auxiliary else 0,
    )


def build_matmul(side):
    """Return a function `run(n)` that multiplies square float32 matrices n times on all cores."""
    import tensorflow as tf

    a, b = (tf.random.stateless_normal([side, side], [0, i]) for i in range(2))

    def run(times):
        for _ in range(times):
            c = tf.matmul(a, b)
        float(c[0, 0])

    return run
