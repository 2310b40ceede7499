"""The residual networks of SNGAN (1802.05957, appendix B.4, table 4)."""

import keras

import ops
from layers import fast

HALVINGS = 3  # of the image size, from the generator's output to its first block


def build_sngan(spec, *, z_dim, g_width, d_width, g_norm, critic_norm, label_mode):
    """Build SNGAN's residual networks, for image sides that are multiples of 8.

    Deviation: labels are appended to the latents. The paper has conditional batch norm.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      g_width, d_width: (channels,), the same in all layers.
      g_norm, critic_norm: see `ops.norm` and `ops.critic_norm`.
      label_mode: see `ops.score`. "concat" also appends the labels to the critic's images.

    Returns:
      (generator, critic), as `model.build_dcgan` does.
    """
    width = g_width[0]
    height, side = (n >> HALVINGS for n in (spec.height, spec.width))
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    x = ops.dense(ops.concat_labels(z, labels), height * side * width, init=ops.XAVIER)
    x = keras.layers.Reshape((height, side, width))(x)
    for _ in range(HALVINGS):
        x = _up_block(x, width, g_norm)
    x = _conv(ops.relu(ops.norm(x, g_norm)), spec.channels, gain=1.0)
    image = keras.layers.Activation("tanh", dtype="float32")(x)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    norm, weights = ops.critic_norm(critic_norm)
    x = ops.concat_labels(images, labels) if label_mode == "concat" else images
    for i in range(4):
        x = _critic_block(x, d_width[0], norm, weights, first=i == 0, down=i < 2)
    x = _relu(ops.norm(x, norm))
    x = keras.ops.sum(x, (1, 2))
    score = ops.score(x, labels, label_mode, init=ops.XAVIER, weights=weights)
    return generator, keras.Model([images, *labels], score, name="critic")


def _conv(x, width, kernel=3, **kwargs):
    return ops.conv(x, width, kernel, stride=1, init=ops.XAVIER, **kwargs)


def _relu(x):
    """A ReLU for the critic, which may have a gradient penalty."""
    return ops.leaky_relu(x, 0.0)


def _up_block(x, width, norm):
    """[B, H, W, width] → [B, 2H, 2W, width]."""
    main = fast.Up(2)(ops.relu(ops.norm(x, norm)))
    main = _conv(ops.relu(ops.norm(_conv(main, width), norm)), width)
    return keras.layers.Add()([main, _conv(fast.Up(2)(x), width, 1, gain=1.0)])


def _critic_block(x, width, norm, weights, *, first, down):
    """[B, H, W, C] → [B, H, W, width], or [B, H/2, W/2, width] if `down`.

    As in the authors' code, the first block has no norm, and no activation before its first
    convolution.
    """
    main = x if first else _relu(ops.norm(x, norm))
    main = _relu(ops.norm(_conv(main, width, weights=weights), "none" if first else norm))
    main = _conv(main, width, weights=weights)
    if down:
        main = keras.layers.AveragePooling2D(2)(main)
        if first:  # pool first: the convolution then has a quarter of the pixels
            x = keras.layers.AveragePooling2D(2)(x)
        x = _conv(x, width, 1, weights=weights, gain=1.0)
        if not first:
            x = keras.layers.AveragePooling2D(2)(x)
    return keras.layers.Add()([main, x])
