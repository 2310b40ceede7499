"""The residual pair of networks (seed 003): three convolutions beside a bypass of one."""

import keras

import ops

MOST = 8  # times the base width, at most


def sizes(size):
    """The chain of image sizes, halved while even and above 4: 64 → 32 → 16 → 8 → 4."""
    chain = [tuple(size)]
    while min(chain[-1]) > 4 and not any(n % 2 for n in chain[-1]):
        chain.append(tuple(n // 2 for n in chain[-1]))
    return chain


def widths(base, count):
    """`count` widths from a base, doubled up to MOST times: 64, 128, 256, 512, 512, …"""
    return [base * min(2**i, MOST) for i in range(count)]


def build_resnet(spec, *, z_dim, g_width, d_width, g_norm, critic_norm, label_mode):
    """Seed 003's pair, for sizes that are multiples of 8. No biases but the last one's.

    Returns (generator, critic) as `dcgan.build_dcgan` does. The initialiser is PyTorch's.
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
    """[H, W, C] → [2H, 2W, out]."""
    options = {"bias": False, "init": ops.TORCH}
    main = x
    for _ in range(2):
        main = ops.relu(ops.norm(ops.conv(main, out, 3, stride=1, **options), norm))
    main = ops.norm(ops.deconv(main, out, 4, size, **options), norm)
    return keras.layers.Add()([main, ops.norm(ops.deconv(x, out, 4, size, **options), norm)])


def _down(x, out, norm, weights):
    """[H, W, C] → [H/2, W/2, out]. Both paths sample the even pixels, as PyTorch's padding of 1."""
    options = {"bias": False, "init": ops.TORCH, "weights": weights}
    main = x
    for _ in range(2):
        main = ops.leaky_relu(ops.norm(ops.conv(main, out, 3, stride=1, **options), norm))
    main = keras.layers.ZeroPadding2D(1)(main)
    main = ops.norm(ops.conv(main, out, 3, padding="valid", **options), norm)
    bypass = ops.norm(ops.conv(x, out, 1, padding="valid", **options), norm)
    return keras.layers.Add()([main, bypass])
