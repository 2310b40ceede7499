"""The networks of PGGAN (1710.10196).

Training begins with images of 4x4 pixels. Each later stage adds a block to both networks, for
images of twice the size, and fades it in. The weights of all stages are created at the start. Most
of them belong to the first stages.
"""

import keras

import ops
from architectures.pggan.layers import BatchDeviation, fade, pixel_norm
from architectures.pggan.schedule import FIRST_SIZE, batches, sizes
from layers import fast


def build_pggan(spec, *, z_dim, fmap_base, fmap_max, max_res, critic_norm, label_mode):
    """Build the networks of all stages (PGGAN, table 2), for square images.

    `stage_generator` and `stage_critic` extract the networks of one stage.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      fmap_base, fmap_max: a stage of size s has min(2·fmap_base / s, fmap_max) channels.
      max_res: height and width of the last stage's images.
      critic_norm: see `ops.critic_norm`.
      label_mode: see `ops.score`. "concat" also appends the labels to the critic's 4x4 features.
        The generator's labels are appended to the latents.

    Returns:
      generator: [z, (labels)] → 2·S outputs for S stages: the images of each stage during its fade,
        then the images of each stage after its fade.
      critic: [images of the last stage, …, of the first, (labels)] → [scores of each stage].
    """
    chain = sizes(max_res)
    widths = [max(1, min(2 * fmap_base // size, fmap_max)) for size in chain]
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    fading, whole = _build_generators(z, labels, widths, spec.channels)
    generator = keras.Model([z, *labels], [*fading, *whole], name="generator")
    _, labels = ops.image_inputs(spec)
    widths.insert(0, max(1, min(fmap_base, fmap_max)))
    images, scores = _build_critics(labels, chain, widths, spec.channels, label_mode, critic_norm)
    return generator, keras.Model([*images[::-1], *labels], scores, name="critic")


def stage_generator(generator, stage, *, whole=False):
    """Return the generator of one stage. `whole` leaves out the old side of the cross-fade."""
    stages = len(generator.outputs) // 2
    return keras.Model(
        generator.inputs, generator.outputs[stage + whole * stages], name="generator"
    )


def stage_critic(critic, stage):
    """Return the critic of one stage."""
    stages = len(critic.outputs)
    images, labels = critic.inputs[stages - 1 - stage], critic.inputs[stages:]
    return keras.Model([images, *labels], critic.outputs[stage], name="critic")


def stages(generator, critic, *, batch_size, batch_dict):
    """List the networks of each stage: [(generator, critic, batch size)]."""
    counts = batches(critic.inputs[0].shape[1], batch_size, batch_dict)
    return [
        (stage_generator(generator, i), stage_critic(critic, i), n) for i, n in enumerate(counts)
    ]


def _conv(x, width, kernel=3, **kwargs):
    return ops.conv(x, width, kernel, stride=1, **{"weights": "equal", **kwargs})


def _normed(x):
    return pixel_norm(ops.leaky_relu(x))


def _build_generators(z, labels, widths, channels):
    """Latents → (images of each stage in its fade, images of each stage after it).

    The last layer has no activation. As in the authors' code, pixel norm is over the latents and
    the labels.
    """
    x = pixel_norm(ops.concat_labels(z, labels))
    x = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    x = ops.deconv_cropped(x, widths[0], FIRST_SIZE, stride=1, weights="equal")
    x = _normed(_conv(_normed(x), widths[0]))  # [B, 4, 4, widths[0]]
    whole = [_conv(x, channels, 1, gain=1.0)]
    fading = whole[:]
    for width in widths[1:]:
        x = fast.Up(2)(x)
        for _ in range(2):
            x = _normed(_conv(x, width))
        whole.append(_conv(x, channels, 1, gain=1.0))
        fading.append(fade(fast.Up(2)(whole[-2]), whole[-1]))
    return fading, whole


def _critic_kwargs(critic_norm):
    """Return the norm between the critic's layers, and the kwargs of the layers."""
    norm, weights = ops.critic_norm(critic_norm)
    return norm, {"weights": "equal" if weights == "plain" else weights, "init": ops.XAVIER}


def _build_critics(labels, chain, widths, channels, label_mode, critic_norm):
    """Return (images, scores), lists with a tensor for each stage.

    The critic of a stage contains, and shares, the blocks of all earlier stages. `widths` has the
    units of the head's dense layer, and then the channels of each stage.
    """
    down = keras.layers.AveragePooling2D(2)
    norm, use = _critic_kwargs(critic_norm)
    units, *widths = widths
    rest = _head(labels, widths[0], units, label_mode, norm, use)  # features of a size → scores
    images, scores, reads = [], [], []
    for i, (size, width) in enumerate(zip(chain, widths)):
        images.append(keras.Input((size, size, channels), name=f"images_{size}"))
        kind = ops.layer_class("Conv2D", use["weights"])
        reads.append(kind(width, 1, padding="same"))  # fromRGB, shared by two stages
        x = ops.leaky_relu(reads[i](images[i]))
        if i:
            own = _block(size, width, widths[i - 1], norm, use)
            old = ops.leaky_relu(reads[i - 1](down(images[i])))
            scores.append(rest([fade(old, own(x)), *labels]))
            features = keras.Input((size, size, width))
            score = rest([own(features), *labels])
            rest = keras.Model([features, *labels], score, name=f"from_{size}")
        else:
            scores.append(rest([x, *labels]))
    return images, scores


def _block(size, width, out, norm, use):
    """Build a network: features [B, size, size, width] → [B, size / 2, size / 2, out]."""
    features = keras.Input((size, size, width))
    x = ops.leaky_relu(ops.norm(_conv(features, width, **use), norm))
    x = ops.leaky_relu(ops.norm(_conv(x, out, **use), norm))
    return keras.Model(features, keras.layers.AveragePooling2D(2)(x), name=f"block_{size}")


def _head(labels, width, units, label_mode, norm, use):
    """Build a network: features [B, 4, 4, width], (labels) → scores [B].

    `units` is the width of the layer before the last. It is that of maps of 2x2 pixels, as in the
    authors' code.
    """
    features = keras.Input((FIRST_SIZE, FIRST_SIZE, width))
    x = ops.concat_labels(features, labels if label_mode == "concat" else [])
    x = ops.leaky_relu(ops.norm(_conv(BatchDeviation()(x), width, **use), norm))
    x = _conv(x, units, FIRST_SIZE, padding="valid", **use)
    x = ops.leaky_relu(x)
    score = ops.score(keras.layers.Flatten()(x), labels, label_mode, **use)
    return keras.Model([features, *labels], score, name="head")
