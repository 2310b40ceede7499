"""The residual networks of SNGAN (1802.05957, appendix B.4, table 4), and those of mimicry."""

import dataclasses
from collections.abc import Callable

import keras

import ops
from layers import fast

HALVINGS = 3  # of the image size, from the generator's output to its first block


@dataclasses.dataclass(frozen=True)
class Form:
    """What differs between programs with these networks.

    Attributes:
      up: function that returns a new layer, [B, H, W, C] → [B, 2H, 2W, C].
      pool: function of (features [B, H, W, C], axes) that the critic's score is computed from.
      activated: True if the bypass of a critic's block takes the activated features. It never does
        in the first block, which has no activation before its first convolution.
      init: initialiser, see `ops`.
      bypass_init: that of the bypasses' convolutions and of the generator's last one.
    """

    up: Callable
    pool: Callable
    activated: bool
    init: str
    bypass_init: str


# "mimicry" is the WGAN-GP of kwotsin/mimicry (2005.02494) at commit a7fda06. Its ReLUs work in
# place, so that what a block of the critic adds to its output is activated, too.
FORMS = {
    "paper": Form(lambda: fast.Up(2), keras.ops.sum, False, ops.XAVIER, ops.XAVIER),
    "mimicry": Form(
        lambda: keras.layers.UpSampling2D(2, interpolation="bilinear"),
        keras.ops.mean,
        True,
        ops.MIXED,
        ops.TORCH,
    ),
}


def build_sngan(spec, *, z_dim, g_width, d_width, g_norm, blocks, critic_norm, label_mode):
    """Build SNGAN's residual networks, for image sides that are multiples of 8.

    Deviation: labels are appended to the latents. The paper has conditional batch norm.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      g_width, d_width: (channels,), the same in all layers.
      g_norm, critic_norm: see `ops.norm` and `ops.critic_norm`.
      blocks: a key of `FORMS`.
      label_mode: see `ops.score`. "concat" also appends the labels to the critic's images.

    Returns:
      (generator, critic), as `model.build_dcgan` does.
    """
    width, form = g_width[0], FORMS[blocks]
    height, side = (n >> HALVINGS for n in (spec.height, spec.width))
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    x = ops.dense(ops.concat_labels(z, labels), height * side * width, init=form.init)
    x = keras.layers.Reshape((height, side, width))(x)
    for _ in range(HALVINGS):
        x = _up_block(x, width, g_norm, form)
    x = _bypass(ops.relu(ops.norm(x, g_norm)), spec.channels, form, 3)
    image = keras.layers.Activation("tanh", dtype="float32")(x)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    norm, weights = ops.critic_norm(critic_norm)
    x = ops.concat_labels(images, labels) if label_mode == "concat" else images
    for i in range(4):
        x = _critic_block(x, d_width[0], norm, weights, form, first=i == 0, down=i < 2)
    x = _relu(ops.norm(x, norm))
    x = form.pool(x, (1, 2))
    score = ops.score(x, labels, label_mode, init=form.init, weights=weights)
    return generator, keras.Model([images, *labels], score, name="critic")


def _conv(x, width, form, **kwargs):
    return ops.conv(x, width, 3, stride=1, init=form.init, **kwargs)


def _bypass(x, width, form, kernel=1, **kwargs):
    """A convolution that no ReLU follows."""
    return ops.conv(x, width, kernel, stride=1, init=form.bypass_init, gain=1.0, **kwargs)


def _relu(x):
    """A ReLU for the critic, which may have a gradient penalty."""
    return ops.leaky_relu(x, 0.0)


def _up_block(x, width, norm, form):
    """[B, H, W, width] → [B, 2H, 2W, width]."""
    main = form.up()(ops.relu(ops.norm(x, norm)))
    main = _conv(ops.relu(ops.norm(_conv(main, width, form), norm)), width, form)
    return keras.layers.Add()([main, _bypass(form.up()(x), width, form)])


def _critic_block(x, width, norm, weights, form, *, first, down):
    """[B, H, W, C] → [B, H, W, width], or [B, H/2, W/2, width] if `down`.

    As in the authors' code, the first block has no norm, and no activation before its first
    convolution.
    """
    main = x if first else _relu(ops.norm(x, norm))
    x = main if form.activated else x
    main = _relu(ops.norm(_conv(main, width, form, weights=weights), "none" if first else norm))
    main = _conv(main, width, form, weights=weights)
    if down:
        main = keras.layers.AveragePooling2D(2)(main)
        if first:  # pool first: the convolution then has a quarter of the pixels
            x = keras.layers.AveragePooling2D(2)(x)
        x = _bypass(x, width, form, weights=weights)
        if not first:
            x = keras.layers.AveragePooling2D(2)(x)
    return keras.layers.Add()([main, x])
