"""The DCGAN pair of networks (1511.06434), for any size, with labels or without."""

import keras

import ops


def critic_sizes(size):
    """The chain of image sizes of a critic: halved, rounded up, until both sides are ≤ 4."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 4:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def generator_sizes(size):
    """The same for a generator, which stops at 5 or 7: 28 → 14 → 7, 48 → 24 → 12 → 6 → 3."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 7 or (max(sizes[-1]) > 4 and max(sizes[-1]) % 2 == 0):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def halvings(size, widths, sizes, most=512):
    """(sizes, widths) from the image inwards.

    One width is a base, doubled at each of `sizes` up to `most` channels; a list of widths is
    taken as it is, and its length tells how often the size is halved.
    """
    if len(widths) == 1:
        chain = sizes(size)
        return chain, [min(widths[0] * 2**i, max(most, widths[0])) for i in range(len(chain) - 1)]
    chain = [tuple(size)]
    for _ in widths:
        chain.append(tuple((n + 1) // 2 for n in chain[-1]))
    return chain, list(widths)


def build_dcgan(
    spec,
    *,
    z_dim,
    g_width,
    d_width,
    fc_width,
    kernel_size,
    bias,
    g_norm,
    critic_norm,
    label_mode,
):
    """DCGAN (1511.06434) for any size, with labels where the set has them.

    Args:
      bias: in "all" layers, in those that no norm follows ("unnormed"), or in "none".
      label_mode: "concat" appends the labels at every layer of both networks, as seed 002
        does; "projection" gives them to the generator's first layer and the critic's last.

    Returns:
      generator: [z [B, z_dim], (labels [B, K])] → images [B, H, W, C] in [-1, 1].
      critic: [images, (labels)] → scores [B].
    Seed 002's networks are the widths (512, 256, 128, 64) and (64, 128, 256, 512) for faces,
    (128, 128), (11, 74) and a dense layer of 1024 for MNIST, all with kernels of 5. Deviation:
    tanh and [-1, 1] for MNIST too, which differs from a sigmoid and [0, 1] by a scale alone.
    """
    size = (spec.height, spec.width)
    every = {"label_mode": label_mode, "fc_width": fc_width, "kernel": kernel_size, "bias": bias}
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    chain, widths = halvings(size, g_width[::-1], generator_sizes)
    image = _grow(z, labels, chain, [spec.channels, *widths], norm=g_norm, **every)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    _, widths = halvings(size, d_width, critic_sizes)
    score = _judge(images, labels, widths, norm=critic_norm, **every)
    return generator, keras.Model([images, *labels], score, name="critic")


def biases(bias, norm):
    """Do the layers have biases: (those that the norm follows, those that none follows)?"""
    return bias == "all" or (bias == "unnormed" and norm == "none"), bias != "none"


def _grow(z, labels, chain, widths, *, label_mode, fc_width, kernel, bias, norm):
    """Latents → images in [-1, 1]; `chain` and `widths` are listed from the image inwards."""
    inner = labels if label_mode == "concat" else []
    height, width = chain[-1]
    normed, last = biases(bias, norm)
    x = ops.concat_labels(z, labels)
    if fc_width:
        x = ops.relu(ops.norm(ops.dense(x, fc_width, bias=normed), norm))
        x = ops.concat_labels(x, inner)
    x = ops.dense(x, height * width * widths[-1], bias=normed)
    if fc_width:  # seed 002 has this norm before the reshape here, and after it elsewhere
        x = ops.norm(x, norm)
    x = keras.layers.Reshape((height, width, widths[-1]))(x)
    x = ops.relu(x if fc_width else ops.norm(x, norm))
    for size, width in zip(chain[-2:0:-1], widths[-2:0:-1]):
        x = ops.deconv(ops.concat_labels(x, inner), width, kernel, size, bias=normed)
        x = ops.relu(ops.norm(x, norm))
    x = ops.deconv(ops.concat_labels(x, inner), widths[0], kernel, chain[0], bias=last)
    return keras.layers.Activation("tanh", dtype="float32")(x)


def _judge(x, labels, widths, *, label_mode, fc_width, kernel, bias, norm):
    """Images → scores [B]; no norm in the first layer (DCGAN)."""
    inner = labels if label_mode == "concat" else []
    normed, last = biases(bias, norm)
    for i, width in enumerate(widths):
        x = ops.conv(ops.concat_labels(x, inner), width, kernel, bias=normed if i else last)
        x = ops.leaky_relu(ops.norm(x, norm if i else "none"))
    x = keras.layers.Flatten()(x)
    if fc_width:
        x = ops.dense(ops.concat_labels(x, inner), fc_width, bias=normed)
        x = ops.leaky_relu(ops.norm(x, norm))
    return ops.score(x, labels, label_mode, bias=last)
