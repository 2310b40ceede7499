"""The networks of PGGAN (1710.10196).

Training begins with images of 4x4 pixels. At each stage both networks get a block more, for
images of twice the size, which is faded in. The weights of all stages are there from the start,
for most of them belong to the first ones.
"""

import keras

import ops
from architectures.pggan.layers import BatchDeviation, fade, pixel_norm
from architectures.pggan.schedule import FIRST, batches, sizes
from layers import fast


def build_pggan(spec, *, z_dim, fmap_base, fmap_max, max_res, critic_norm, label_mode):
    """The networks of all stages (PGGAN, table 2), for square images of `max_res` pixels.

    Labels are appended to the generator's latent; `label_mode` says how the critic's last layers
    take them: `ops.score`, and as constant maps of its 4x4 features in "concat".

    Returns:
      generator: [z, (labels)] → the stages' images as they fade in, then as they are at their end.
      critic: [images of the last stage, …, of the first, (labels)] → the stages' scores.
    `stage_generator` and `stage_critic` take a stage's network out of them.
    """
    chain = sizes(max_res)
    widths = [max(1, min(2 * fmap_base // size, fmap_max)) for size in chain]
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    fading, whole = _grow(z, labels, widths, spec.channels)
    generator = keras.Model([z, *labels], [*fading, *whole], name="generator")
    _, labels = ops.image_inputs(spec)
    images, scores = _judge(labels, chain, widths, spec.channels, label_mode, critic_norm)
    return generator, keras.Model([*images[::-1], *labels], scores, name="critic")


def stage_generator(generator, stage, *, whole=False):
    """The generator of one stage, as it fades in, or without what is left of the stage before."""
    stages = len(generator.outputs) // 2
    return keras.Model(
        generator.inputs, generator.outputs[stage + whole * stages], name="generator"
    )


def stage_critic(critic, stage):
    """The critic of one stage."""
    stages = len(critic.outputs)
    images, labels = critic.inputs[stages - 1 - stage], critic.inputs[stages:]
    return keras.Model([images, *labels], critic.outputs[stage], name="critic")


def stages(generator, critic, *, batch_size, batch_dict):
    """What is trained at each stage: [(generator, critic, images in a batch)]."""
    counts = batches(critic.inputs[0].shape[1], batch_size, batch_dict)
    return [
        (stage_generator(generator, i), stage_critic(critic, i), n) for i, n in enumerate(counts)
    ]


def _conv(x, width, kernel=3, **options):
    return ops.conv(x, width, kernel, stride=1, **{"weights": "equal", **options})


def _normed(x):
    return pixel_norm(ops.leaky_relu(x))


def _grow(z, labels, widths, channels):
    """Latents → the images of each stage: (as they fade in, at its end). Linear at the last."""
    x = ops.concat_labels(pixel_norm(z), labels)
    x = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    x = ops.deconv_cropped(x, widths[0], FIRST, stride=1, weights="equal")
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


def _critic_options(critic_norm):
    """Return the norm between the critic's layers, and how these use their weights."""
    norm, weights = ops.critic_norm(critic_norm)
    return norm, {"weights": "equal" if weights == "plain" else weights, "init": ops.XAVIER}


def _judge(labels, chain, widths, channels, label_mode, critic_norm):
    """(the images, the scores) of each stage. A stage's blocks are those of the ones before."""
    down = keras.layers.AveragePooling2D(2)
    norm, use = _critic_options(critic_norm)
    rest = _head(
        labels, widths[0], label_mode, norm, use
    )  # from the features of a size on to the score
    images, scores, reads = [], [], []
    for i, (size, width) in enumerate(zip(chain, widths)):
        images.append(keras.Input((size, size, channels), name=f"images_{size}"))
        kind = ops.layer_class("Conv2D", use["weights"])
        reads.append(kind(width, 1, padding="same"))  # it reads images of two stages
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
    """Features [size, size, width] → [size / 2, size / 2, out], as a network."""
    features = keras.Input((size, size, width))
    x = ops.leaky_relu(ops.norm(_conv(features, width, **use), norm))
    x = ops.leaky_relu(ops.norm(_conv(x, out, **use), norm))
    return keras.Model(features, keras.layers.AveragePooling2D(2)(x), name=f"block_{size}")


def _head(labels, width, label_mode, norm, use):
    """Features [4, 4, width], (labels) → scores, as a network."""
    features = keras.Input((FIRST, FIRST, width))
    x = ops.concat_labels(features, labels if label_mode == "concat" else [])
    x = ops.leaky_relu(ops.norm(_conv(BatchDeviation()(x), width, **use), norm))
    x = _conv(x, width, FIRST, padding="valid", **use)
    x = ops.leaky_relu(x)
    score = ops.score(keras.layers.Flatten()(x), labels, label_mode, **use)
    return keras.Model([features, *labels], score, name="head")
