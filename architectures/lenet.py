"""A LeNet critic and a generator of the same scale (seed 000)."""

import keras

import ops


def build_lenet(spec, *, z_dim, critic_norm, label_mode, g_head):
    """Build seed 000's networks, for even image sizes of at least 28.

    The generator's last layer is a transposed convolution of kernel 4, stride 2 and crop 3: 16x16x8
    → 28x28. As in the seed, the critic has max-pooling, but no activation, after a convolution.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      critic_norm, label_mode: see `ops.critic_norm` and `ops.score`.
      g_head: "orig" has the seed's batch norm and leaky ReLU before tanh, which compress the dark
        half of the range. "tanh" leaves them out.

    Returns:
      (generator, critic), as `model.build_dcgan` does.
    """
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    height, width = (spec.height + 4) // 2, (spec.width + 4) // 2
    x = ops.leaky_relu(ops.dense(ops.concat_labels(z, labels), 1024, init=ops.TORCH))
    x = ops.dense(x, height * width * 8, init=ops.TORCH)
    x = keras.layers.Reshape((height, width, 8))(x)
    x = ops.deconv(x, 4, 3, (height, width), stride=1, init=ops.TORCH)
    x = ops.leaky_relu(ops.norm(x, "batch"))
    x = ops.deconv_cropped(x, spec.channels, 4, crop=3, init=ops.TORCH)
    if g_head == "orig":
        x = ops.leaky_relu(ops.norm(x, "batch"))
    image = keras.layers.Activation("tanh", dtype="float32")(x)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    norm, weights = ops.critic_norm(critic_norm)
    kwargs = {"init": ops.TORCH, "weights": weights}
    x = ops.concat_labels(images, labels) if label_mode == "concat" else images
    for i, (channels, kernel, stride) in enumerate([(6, 5, 2), (16, 5, 2), (120, 3, 1)]):
        x = ops.conv(x, channels, kernel, stride=1, padding="valid", **kwargs)
        x = ops.norm(x, norm if i else "none")
        x = keras.layers.MaxPooling2D(2, stride)(x)
    x = ops.leaky_relu(ops.dense(keras.layers.Flatten()(x), 10, **kwargs))
    score = ops.score(x, labels, label_mode, **kwargs)
    return generator, keras.Model([images, *labels], score, name="critic")
