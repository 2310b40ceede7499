"""FastGAN (2101.04775): a light generator, and a critic that reconstructs real images.

Made for few images at a large size. Where the paper is silent, the networks are those of the
authors' code, with these differences:

- The generator has no noise. Here an image depends on its latent and labels alone, and an exported
  generator consists of stock Keras layers. The authors' noise has a learnt scale that starts at 0.
- The generator's convolutions and the decoders have no spectral norm. A batch norm follows them,
  which removes the scale of a kernel.
- The critic has no norms, which suits the penalties of the default loss; the paper's is the hinge
  loss. With `--critic_norm batch` it has the authors' spectral norm and batch norm. Spectral norm
  alone left its scores so small that the reconstruction decided what it learnt.
- As in the paper, the critic has one input, no skip-layer excitation and two decoders. The authors'
  code adds a second critic of images of 128x128, a third decoder and excitations.
- The reconstruction loss is L1 on pixels, see `_reconstruction`.
"""

import keras
import tensorflow as tf

import losses
import ops
from layers import fast
from training import replicas

# Channels over the base width. The generator's begin with the smallest map, the critic's with the
# last one: at 4x4, 8x8, … 1024x1024, and at 8x8, 16x16, … 512x512.
G_FACTORS = (16, 8, 4, 2, 2, 1, 1 / 2, 1 / 4, 1 / 8)
D_FACTORS = (8, 4, 2, 1, 1 / 2, 1 / 4, 1 / 8)
DECODER_FACTORS = (2, 1, 1, 1 / 2)  # after each doubling, over the critic's base width
SKIP = 4  # doublings between the two maps of an excitation
EXCITATIONS = 4  # at most: from 4x4 to 64x64, …, from 32x32 to 512x512
BLOCKS = 5  # halvings by residual blocks, at most; strided convolutions do those before them
FEATURES = ("features_16", "features_8")  # layers of the critic, named after their usual size


def sizes(size, smallest):
    """List image sizes, halved while both sides are multiples of 2·smallest: 64, 32, 16, 8, 4."""
    chain = [tuple(size)]
    while not any(n % (2 * smallest) for n in chain[-1]):
        chain.append(tuple(n // 2 for n in chain[-1]))
    return chain


def scaled(base, factor):
    """Return the channels of a layer: a base width times a factor, at least 1."""
    return max(1, int(base * factor))


def build_fastgan(
    spec, *, z_dim, g_width, d_width, g_norm, critic_norm, label_mode, lambda_reconstruction
):
    """Build the networks (section 3), for image sides that are multiples of 64.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      g_width, d_width: (base width,), the authors' `ngf` and `ndf`: the channels of the generator
        at 128x128 and of the critic at 64x64. The other maps have a multiple of it.
      g_norm, critic_norm: see `ops.norm` and `ops.critic_norm`. Layers before a norm have no bias.
        A critic with batch norm has spectral norm, too.
      label_mode: "concat" appends the labels to the critic's images. "projection" adds to the score
        of each patch the inner product of its mean features and a vector of the class
        (1802.05637). The generator's labels are appended to the latents.
      lambda_reconstruction: weight of the reconstruction loss; 0 leaves it and the decoders out.

    Returns:
      generator: [z [B, z_dim], (labels [B, K])] → images [B, H, W, C] in [-1, 1].
      critic: [images, (labels)] → scores [B, h, w, 1], of 5x5 patches for square images of a power
        of two. Its attribute `auxiliary` is a `losses.Auxiliary`, or None.
    """
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    image = _generator(ops.concat_labels(z, labels), spec, g_width[0], g_norm)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    norm, weights = ops.critic_norm(critic_norm)
    weights = "spectral" if norm == "batch" else weights
    x = ops.concat_labels(images, labels) if label_mode == "concat" else images
    x = _features(x, (spec.height, spec.width), d_width[0], norm, weights)
    projected = labels if label_mode == "projection" else []
    scores = _scores(x, projected, 2 * scaled(d_width[0], D_FACTORS[0]), norm, weights)
    critic = keras.Model([images, *labels], scores, name="critic")
    weight = lambda_reconstruction
    critic.auxiliary = _reconstruction(critic, d_width[0], weight) if weight else None
    return generator, critic


def _glu(x, norm):
    """Norm, and gated linear unit: [B, H, W, 2·C] → [B, H, W, C]."""
    return keras.ops.glu(ops.norm(x, norm))


def _generator(x, spec, base, norm):
    """Latents with labels → images in [-1, 1] (figure 3). Every second block is deeper."""
    chain = sizes((spec.height, spec.width), 4)
    widths = [scaled(base, factor) for factor in G_FACTORS[: len(chain)]]
    bias = norm == "none"
    (height, width), channels = chain[-1], 2 * widths[0]
    x = ops.dense(x, height * width * channels, bias=bias)
    x = _glu(keras.layers.Reshape((height, width, channels))(x), norm)
    maps = [x]
    for i, width in enumerate(widths[1:]):
        x = fast.Up(2)(x)
        for _ in range(1 if i % 2 else 2):
            x = _glu(ops.conv(x, 2 * width, 3, stride=1, bias=bias), norm)
        place = i + 1 - SKIP
        if 0 <= place < EXCITATIONS:
            x = _excite(maps[place], x)
        maps.append(x)
    x = ops.conv(x, spec.channels, 3, stride=1, bias=bias)
    return keras.layers.Activation("tanh", dtype="float32")(x)


def _excite(low, high):
    """Skip-layer excitation (section 3.1, eq. 1): scale the channels of `high` by those of `low`.

    As in the authors' code, the inner activation is a swish. The paper has a leaky ReLU.

    Args:
      low: [B, h, w, c]; h and w are multiples of 4.
      high: [B, H, W, C].
    """
    width = high.shape[-1]
    if low.shape[1:3] != (4, 4):
        low = keras.layers.AveragePooling2D([n // 4 for n in low.shape[1:3]])(low)
    gate = ops.conv(low, width, 4, stride=1, padding="valid", bias=False)
    gate = keras.layers.Activation("silu")(gate)
    gate = ops.conv(gate, width, 1, stride=1, bias=False)
    return keras.layers.Multiply()([high, keras.layers.Activation("sigmoid")(gate)])


def _features(x, size, base, norm, weights):
    """Images → features of an eighth of the side or less, [B, 8, 8, 8·base] for 64x64 pixels."""
    kwargs = {"bias": norm == "none", "init": ops.XAVIER, "weights": weights}
    halvings = len(sizes(size, 8)) - 1
    widths = [scaled(base, factor) for factor in D_FACTORS[:halvings][::-1]]
    strided = max(0, halvings - BLOCKS)
    if not strided:
        x = ops.conv(x, scaled(base, D_FACTORS[halvings]), 3, stride=1, **kwargs)
        x = ops.leaky_relu(x)
    for i, width in enumerate(widths[:strided]):
        x = ops.leaky_relu(ops.norm(ops.conv(x, width, 4, **kwargs), norm if i else "none"))
    names = [None] * (halvings - strided - len(FEATURES)) + [*FEATURES]
    for width, name in zip(widths[strided:], names):
        x = _down(x, width, norm, name, kwargs)
    return x


def _down(x, width, norm, name, kwargs):
    """Residual block: [B, H, W, C] → [B, H/2, W/2, width]."""
    main = ops.leaky_relu(ops.norm(ops.conv(x, width, 4, **kwargs), norm))
    main = ops.leaky_relu(ops.norm(ops.conv(main, width, 3, stride=1, **kwargs), norm))
    direct = ops.conv(keras.layers.AveragePooling2D(2)(x), width, 1, stride=1, **kwargs)
    direct = ops.leaky_relu(ops.norm(direct, norm))
    return keras.layers.Average(name=name)([main, direct])


def _scores(x, labels, width, norm, weights):
    """Features [B, h, w, C] → scores of patches of 4x4 features, float32 [B, h - 3, w - 3, 1]."""
    kwargs = {"bias": norm == "none", "init": ops.XAVIER, "weights": weights}
    x = ops.leaky_relu(ops.norm(ops.conv(x, width, 1, stride=1, **kwargs), norm))
    scores = ops.conv(x, 1, 4, stride=1, padding="valid", gain=1.0, **kwargs)
    scores = keras.layers.Activation("linear", dtype="float32")(scores)
    if not labels:
        return scores
    vector = ops.dense(labels[0], width, bias=False, weights=weights, dtype="float32")
    vector = keras.layers.Reshape((1, 1, width), dtype="float32")(vector)
    patches = keras.layers.AveragePooling2D(4, 1, dtype="float32")(x)
    products = keras.layers.Multiply(dtype="float32")([patches, vector])
    inner = keras.ops.sum(products, -1, keepdims=True)
    return keras.layers.Add(dtype="float32")([scores, inner])


def _reconstruction(critic, base, weight):
    """Build the decoders of the critic's features, and their loss (section 3.2, eq. 2).

    One decoder restores the whole image from `features_8`. The other one restores a random quarter
    of it from the same quarter of `features_16`. Both images have at most 128x128 pixels. The loss
    of an image is the sum of both mean absolute differences of the pixels. The paper has LPIPS,
    which compares images by a trained network whose weights do not come with this project.
    """
    height, width, channels = critic.inputs[0].shape[1:]
    part, whole = (critic.get_layer(name).output.shape[1:] for name in FEATURES)
    halvings = len(sizes((height, width), 8)) - 1
    inputs = [keras.Input((*whole[:2], part[-1])), keras.Input(whole)]
    doublings = [min(n, len(DECODER_FACTORS)) for n in (halvings - 1, halvings)]
    images = [_decode(x, n, base, channels) for x, n in zip(inputs, doublings)]
    decoder = keras.Model(inputs, images, name="decoder")

    def loss(images, features, key):
        u = replicas.uniform(key, (images.shape[0], 2))
        features = [_quarter(features[0], u), features[1]]
        total = 0.0
        for found, x in zip(decoder(features, training=True), (_quarter(images, u), images)):
            factor = x.shape[1] // found.shape[1]
            target = tf.nn.avg_pool2d(x, factor, factor, "VALID") if factor > 1 else x
            total += tf.reduce_mean(tf.abs(found - target), [1, 2, 3])
        return total

    return losses.Auxiliary("reconstruction", weight, FEATURES, decoder, loss)


def _decode(x, doublings, base, channels):
    """Features [B, h, w, C] → images in [-1, 1], [B, h·2^doublings, w·2^doublings, channels]."""
    for factor in DECODER_FACTORS[:doublings]:
        width = 2 * scaled(base, factor)
        x = _glu(ops.conv(fast.Up(2)(x), width, 3, stride=1, bias=False, init=ops.XAVIER), "batch")
    x = ops.conv(x, channels, 3, stride=1, bias=False, init=ops.XAVIER, gain=1.0)
    return keras.layers.Activation("tanh", dtype="float32")(x)


def _quarter(x, u):
    """Cut a quarter out of each image or map: [B, H, W, C] → [B, H/2, W/2, C].

    Args:
      x: [B, H, W, C] with even H and W.
      u: float32 [B, 2] in [0, 1). Below 1/2 it chooses the upper and the left half.
    """
    count, height, width, channels = x.shape
    x = tf.reshape(x, [count, 2, height // 2, 2, width // 2, channels])
    place = tf.cast(u >= 0.5, tf.int32)
    x = tf.gather(x, place[:, 0], axis=1, batch_dims=1)
    return tf.gather(x, place[:, 1], axis=2, batch_dims=1)
