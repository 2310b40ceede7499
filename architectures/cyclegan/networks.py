"""The networks of CycleGAN (1703.10593): residual generators, and critics of patches."""

import keras

import ops

DIRECTIONS = (("A", "B"), ("B", "A"))  # (source, target) of the generators A2B and B2A
# By `patch`: the strides of a critic's layers, without its last layer.
STRIDES = {"70": (2, 2, 2, 1), "16": (2, 2, 2, 2)}


def build_cyclegan(spec, *, g_width, d_width, n_residual_blocks, upsample, patch, critic_norm):
    """Build the networks of both directions (appendix, section 7.2).

    Instance norm has no scale and offset, as in the authors' code.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      g_width, d_width: (base width,), which doubles at each halving of the size.
      n_residual_blocks: residual blocks of a generator.
      upsample: "deconv", or "nearest" (seed 004).
      patch: "70" scores patches of 70x70 pixels, with a stride of 8. "16" has one score for each
        16x16 pixels (seed 004).
      critic_norm: see `ops.critic_norm`.

    Returns:
      generators: (A2B, B2A), images [B, H, W, C] → [B, H, W, C] for sides that are multiples of 4.
      critics: (critic of B, critic of A), images → scores [B, h, w, 1].
    """
    kwargs = {"blocks": n_residual_blocks, "upsample": upsample}
    generators = [
        _generator(f"generator_{a}2{b}", spec.channels, g_width[0], **kwargs) for a, b in DIRECTIONS
    ]
    critics = [_critic(f"critic_{b}", spec, d_width[0], patch, critic_norm) for _, b in DIRECTIONS]
    return tuple(generators), tuple(critics)


def _reflect(x, n):
    """Pad by reflection on all four sides."""
    return keras.ops.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode="reflect")


def _norm(x):
    return ops.norm(x, "instance", affine=False)


def _conv(x, width, kernel, stride=1, **kwargs):
    return ops.conv(x, width, kernel, stride=stride, padding="valid", **kwargs)


def _generator(name, channels, width, *, blocks, upsample):
    images = keras.Input((None, None, channels), name="images")
    x = ops.relu(_norm(_conv(_reflect(images, 3), width, 7)))
    for out in (2 * width, 4 * width):
        x = keras.layers.ZeroPadding2D(1)(x)
        x = ops.relu(_norm(_conv(x, out, 3, stride=2)))
    for _ in range(blocks):
        y = ops.relu(_norm(_conv(_reflect(x, 1), 4 * width, 3)))
        x = keras.layers.Add()([x, _norm(_conv(_reflect(y, 1), 4 * width, 3))])
    for out in (2 * width, width):
        x = ops.relu(_norm(UPSAMPLE[upsample](x, out)))
    x = _conv(_reflect(x, 3), channels, 7)
    return keras.Model(images, keras.layers.Activation("tanh", dtype="float32")(x), name=name)


def _nearest(x, width):
    x = keras.layers.UpSampling2D(2)(x)
    return ops.conv(x, width, 3, stride=1)


def _deconv(x, width):
    """Transpose of the convolution that halves the size. Crops what that convolution pads."""
    return ops.deconv_cropped(x, width, 3, crop=((1, 0), (1, 0)))


UPSAMPLE = {"deconv": _deconv, "nearest": _nearest}


def _critic(name, spec, width, patch, norm):
    images = keras.Input((spec.height, spec.width, spec.channels), name="images")
    x = images
    norm, weights = ops.critic_norm(norm)
    for i, stride in enumerate(STRIDES[patch]):
        x = _conv(keras.layers.ZeroPadding2D(1)(x), width * 2**i, 4, stride, weights=weights)
        # Instance norm of a single pixel is 0.
        normed = i and not (norm == "instance" and tuple(x.shape[1:3]) == (1, 1))
        x = ops.leaky_relu(ops.norm(x, norm, affine=norm != "instance") if normed else x)
    more = 1 if patch == "16" else 0  # seed 004 pads one more pixel at the top and on the left
    x = _conv(keras.layers.ZeroPadding2D(((1 + more, 1), (1 + more, 1)))(x), 1, 4, weights=weights)
    return keras.Model([images], keras.layers.Activation("linear", dtype="float32")(x), name=name)


def step_networks(generators, critics, *, batch_size, batch_dict):
    """List the networks of a step, for an estimate of its memory.

    Returns:
      [(generator, critic, batch size)] with one entry. The generator contains all passes of both
      generators, and the critic all passes of both critics.
    """
    del batch_dict  # for growing networks only
    shape = critics[0].inputs[0].shape[1:]
    a, b = (keras.Input(shape) for _ in DIRECTIONS)
    a2b, b2a = generators
    fake_b, fake_a = a2b(a), b2a(b)
    passes = keras.Model([a, b], [fake_b, b2a(fake_b), fake_a, a2b(fake_a)])
    return [(passes, keras.Model([a, b], [critics[1]([a]), critics[0]([b])]), batch_size)]
