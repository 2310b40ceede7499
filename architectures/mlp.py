"""Networks of dense layers (seed 001)."""

import keras

import ops


def build_mlp(spec, *, z_dim, g_width, d_width, critic_norm, label_mode):
    """Build SimpleGAN's networks: dense layers with LeakyReLU(0.1).

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      g_width, d_width: units of the hidden layers, from a network's input to its output.
      critic_norm, label_mode: see `ops.critic_norm` and `ops.score`.

    Returns:
      (generator, critic), as `model.build_dcgan` does.
    """
    shape = (spec.height, spec.width, spec.channels)
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    x = ops.concat_labels(z, labels)
    for width in g_width:
        x = ops.leaky_relu(ops.dense(x, width, init=ops.TORCH), 0.1)
    x = ops.dense(x, spec.height * spec.width * spec.channels, init=ops.TORCH)
    image = keras.layers.Activation("tanh", dtype="float32")(keras.layers.Reshape(shape)(x))
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    norm, weights = ops.critic_norm(critic_norm)
    x = keras.layers.Flatten()(images)
    if label_mode == "concat":
        x = ops.concat_labels(x, labels)
    for width in d_width:
        x = ops.dense(x, width, init=ops.TORCH, weights=weights)
        x = ops.leaky_relu(ops.norm(x, norm), 0.1)
    score = ops.score(x, labels, label_mode, init=ops.TORCH, weights=weights)
    return generator, keras.Model([images, *labels], score, name="critic")
