"""Residual networks (seed 003). A block has three convolutions, and one in its bypass."""

import keras

import ops

MAX_FACTOR = 8  # of the widths, relative to the base width


def sizes(size):
    """List the image sizes, halved while both sides are even and above 4: 64, 32, 16, 8, 4."""
    chain = [tuple(size)]
    while min(chain[-1]) > 4 and not any(n % 2 for n in chain[-1]):
        chain.append(tuple(n // 2 for n in chain[-1]))
    return chain


def widths(base, count):
    """List `count` widths, doubled up to `MAX_FACTOR` times the base: 64, 128, 256, 512, 512, …"""
    return [base * min(2**i, MAX_FACTOR) for i in range(count)]


def build_resnet(spec, *, z_dim, g_width, d_width, g_norm, critic_norm, label_mode):
    """Build seed 003's networks, for image sides that are multiples of 8.

    Only the critic's last layer has a bias. The initialiser is PyTorch's.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      g_width, d_width: (base width,), see `widths`.
      g_norm, critic_norm: see `ops.norm` and `ops.critic_norm`.
      label_mode: see `ops.score`. "concat" also appends the labels to the critic's images.

    Returns:
      (generator, critic), as `model.build_dcgan` does.
    """
    chain = sizes((spec.height, spec.width))
    steps = len(chain) - 1
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    outs = widths(g_width[0], steps)[::-1]  # 512, 256, 128, 64 at 64 x 64
    x = ops.concat_labels(z, labels)
    x = ops.dense(x, chain[-1][0] * chain[-1][1] * outs[0], bias=False, init=ops.TORCH)
    x = keras.layers.Reshape((*chain[-1], outs[0]))(ops.relu(ops.norm(x, g_norm)))
    for size, out in zip(chain[-2::-1], outs):
        x = _up(x, out, size, g_norm)
    x = ops.conv(ops.relu(x), spec.channels, 3, stride=1, bias=False, init=ops.TORCH)
    image = keras.layers.Activation("tanh", dtype="float32")(x)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    norm, weights = ops.critic_norm(critic_norm)
    x = ops.concat_labels(images, labels) if label_mode == "concat" else images
    first, *outs = widths(d_width[0], steps + 1)
    x = ops.conv(x, first, 3, stride=1, bias=False, init=ops.TORCH, weights=weights)
    x = ops.leaky_relu(x, 0.0)
    for out in outs:
        x = _down(x, out, norm, weights)
    x = keras.layers.Flatten()(ops.leaky_relu(x, 0.0))
    score = ops.score(x, labels, label_mode, init=ops.TORCH, weights=weights)
    return generator, keras.Model([images, *labels], score, name="critic")


def _up(x, out, size, norm):
    """Residual block: [B, H, W, C] → [B, 2H, 2W, out]."""
    kwargs = {"bias": False, "init": ops.TORCH}
    main = x
    for _ in range(2):
        main = ops.relu(ops.norm(ops.conv(main, out, 3, stride=1, **kwargs), norm))
    main = ops.norm(ops.deconv(main, out, 4, size, **kwargs), norm)
    return keras.layers.Add()([main, ops.norm(ops.deconv(x, out, 4, size, **kwargs), norm)])


def _down(x, out, norm, weights):
    """Residual block: [B, H, W, C] → [B, H/2, W/2, out].

    Both paths sample the even pixels, as with PyTorch's padding of 1.
    """
    kwargs = {"bias": False, "init": ops.TORCH, "weights": weights}
    main = x
    for _ in range(2):
        main = ops.leaky_relu(ops.norm(ops.conv(main, out, 3, stride=1, **kwargs), norm))
    main = keras.layers.ZeroPadding2D(1)(main)
    main = ops.norm(ops.conv(main, out, 3, padding="valid", **kwargs), norm)
    bypass = ops.norm(ops.conv(x, out, 1, padding="valid", **kwargs), norm)
    return keras.layers.Add()([main, bypass])
