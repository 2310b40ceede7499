"""Losses and parameter gradients of a critic's and a generator's update, against PyTorch.

The trainers run their own step, without the optimisers. The reference has the same weights, images
and random numbers.
"""

import numpy as np
import tensorflow as tf
import torch

from benchmarks import races
from benchmarks.audit import formulas
from benchmarks.audit.networks import Network, tensor
from commands import build
from config import tables
from config.resolve import resolve
from datasets.packed import ImageSpec
from layers import spectral, stock
from training.randomness import Purpose, fold

BATCH, CLASSES = 4, 3
SIDE = 16  # pixels, at least: DCGAN's first layer has no norm
FLOOR = 0.01  # a gradient below this share of the network's largest is compared with that share


def make_trainer(arch, mode, norm=None, classes=CLASSES, seed=0, **given):
    """Return (settings, trainer) of a small network with random weights."""
    row = tables.ARCHS[arch]
    side = -(-max(row.min_size, SIDE) // row.multiple_of) * row.multiple_of
    side = given.get("output_height", side)
    own = {n: v for n, v in races.SMALL.items() if n in (*row.network, *row.training)}
    own |= {"output_height": side, "batch_size": BATCH, "critic_num": 1, "mirror": False}
    own |= {"augment": ("none",)}
    own |= {"arch": arch, "mode": mode, "dataset": "faces", "penalty_fraction": 1.0}
    own |= {"critic_norm": norm} if norm else {}
    c = resolve({**own, **given})
    classes = 0 if "conditional" in row.task.refuses else classes
    trainer = build.build_trainer(c, ImageSpec(side, side, 3, 100, classes), per_epoch=2)
    randomise(trainer, seed)
    return c, trainer


def randomise(trainer, seed):
    """Draw the weights of all networks, of a size of about 1/sqrt(fan in)."""
    rng = np.random.default_rng(seed)
    for network in trainer.trained.values():
        for weight in network.trainable_variables:
            fan_in = max(np.prod(weight.shape[:-1]), 1)
            size = 1 if "equal" in weight.path else fan_in**0.5
            weight.assign(rng.normal(size=weight.shape) / size)


def captured(pair):
    """Replace the updates of a trainer by a dict: "critic" or "generator" → gradients."""
    found = {}

    def apply(optimizer, gradients, weights):
        name = "critic" if optimizer is pair.d_optimizer else "generator"
        found[name] = [np.array(tf.convert_to_tensor(g)) for g in gradients]

    pair._apply = apply
    pair._clip = lambda weights: None  # the reference reads the weights after the step
    return found


def largest_difference(found, expected):
    """Return the largest difference of any tensor, relative to its largest expected element."""
    expected = [np.zeros(f.shape) if e is None else e.numpy() for f, e in zip(found, expected)]
    most = max(np.abs(e).max() for e in expected)
    scales = [max(np.abs(e).max(), FLOOR * most) for e in expected]
    return max(np.abs(f - e).max() / s for f, e, s in zip(found, expected, scales))


def relative(found, expected):
    """Return the relative difference of two numbers."""
    found, expected = float(found), float(expected.detach())
    return abs(found - expected) / max(abs(expected), 1e-12)


def per_image(scores):
    """Return the mean over the patches of each image."""
    return scores.reshape(len(scores), -1).mean(1)


def penalty(c, critic, real, fake, labels, key):
    """Return the mean penalty of a critic."""
    value = 0.0
    for i, (where, formula) in enumerate(formulas.PENALTIES[c.penalty]):
        own = fold(key, Purpose.POINTS, *([i] if i else []))
        mix = tensor(tf.random.stateless_uniform((len(real), 1, 1, 1), own))
        noise = tensor(tf.random.stateless_uniform(real.shape, fold(own, 1)))
        x = formulas.points(where, real, fake, mix, noise).detach().requires_grad_()
        score = per_image(critic(x, *labels)).sum()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        value = value + formula(gradient.square().sum((1, 2, 3)).sqrt(), c).mean()
    return value


def critic_loss(c, critic, real, fake, labels, key):
    """Return the whole loss of a critic's update."""
    scores = [critic(x, *labels) for x in (real, fake)]
    total = formulas.LOSSES[c.mode][0](*scores).mean()
    if c.drift:
        total = total + c.drift * scores[0].square().mean()
    return total + penalty(c, critic, real, fake, labels, key)


def reconstruction(pair, critic, decoder, real, labels, key):
    """Return the mean reconstruction loss of real images: L1 of a quarter and of the whole."""
    auxiliary = pair.auxiliary
    layers = [pair.critic.get_layer(name).output for name in auxiliary.features]
    part, whole = critic(real, *labels, outputs=layers)
    corners = np.array(tf.random.stateless_uniform((len(real), 2), fold(key, Purpose.AUXILIARY)))

    def quarters(x):
        h, w = x.shape[1] // 2, x.shape[2] // 2
        places = [(h * (u >= 0.5), w * (v >= 0.5)) for u, v in corners]
        return torch.stack([m[i : i + h, j : j + w] for m, (i, j) in zip(x, places)])

    found = decoder(quarters(part), whole)
    losses = []
    for made, target in zip(found, (quarters(real), real)):
        factor = target.shape[1] // made.shape[1]
        n, h, w, channels = target.shape
        small = target.reshape(n, h // factor, factor, w // factor, factor, channels)
        losses.append((made - small.mean((2, 4))).abs().mean())
    return sum(losses)


def generator_loss(c, critic, real, fake, labels):
    """Return the adversarial loss of a generator's update."""
    return formulas.LOSSES[c.mode][1](critic(real, *labels), critic(fake, *labels)).mean()


def real_images(trainer, images):
    """Return images in [-1, 1], at the size and the cross-fade of a growing network's stage."""
    x = tensor(images) / 127.5 - 1
    size, alpha = trainer.critic.inputs[0].shape[1], float(getattr(trainer, "alpha", 1.0))

    def shrink(x, factor):
        n, side, _, channels = x.shape
        small = side // factor
        return x.reshape(n, small, factor, small, factor, channels).mean((2, 4))

    x = shrink(x, x.shape[1] // size)
    if alpha == 1:
        return x
    old = shrink(x, 2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return alpha * x + (1 - alpha) * old


def check_pair(arch, mode, norm=None, faded=False, seed=0, **given):
    """Compare the updates of one trainer; return a dict of relative differences."""
    c, trainer = make_trainer(arch, mode, norm, seed=seed, **given)
    if faded:
        races.into_fade(trainer)
        trainer.step(*races.small_batch(trainer))
        randomise(trainer, seed)  # the weights may be clipped
    images, labels = races.small_batch(trainer)
    labels = np.arange(len(images[0]), dtype=np.int32)[None] % CLASSES
    key = tf.constant([5, 7], tf.int32)
    found = captured(trainer)
    terms = trainer._replica_step(tf.constant(images), tf.constant(labels), key)
    generator, critic = Network(trainer.generator), Network(trainer.critic)
    hot = [tensor(y) for y in trainer.one_hot(labels[0])]
    key = fold(key, 0)
    z = tensor(trainer.latents(fold(key, Purpose.LATENTS), (len(labels[0]), trainer.z_dim)))
    real = real_images(trainer, images[0])
    fake = generator(z, *hot)
    d_loss, d_weights = critic_loss(c, critic, real, fake.detach(), hot, key), critic.weights
    if trainer.auxiliary:
        decoder = Network(trainer.auxiliary.network)
        own = reconstruction(trainer, critic, decoder, real, hot, key)
        d_loss, d_weights = d_loss + trainer.auxiliary.weight * own, d_weights + decoder.weights
    g_loss = generator_loss(c, critic, real, fake, hot)
    return {
        "critic loss": relative(terms["critic_loss"], d_loss),
        "critic gradients": largest_difference(
            found["critic"], torch.autograd.grad(d_loss, d_weights, allow_unused=True)
        ),
        "generator loss": relative(terms["generator_loss"], g_loss),
        "generator gradients": largest_difference(
            found["generator"], torch.autograd.grad(g_loss, generator.weights, allow_unused=True)
        ),
    }


def layers_of(network, kind):
    """List the layers of a class in a network."""
    return [layer for layer in stock.layers_of(network) if isinstance(layer, kind)]


def assign(variables, values):
    """Set variables to values."""
    for variable, value in zip(variables, values):
        variable.assign(value)


def check_cyclegan(mode, norm=None, seed=0):
    """Compare the whole step of CycleGAN, without the history of fakes."""
    c, trainer = make_trainer("cyclegan", mode, norm, pool_size=0, seed=seed)
    images = races.small_batch(trainer)
    images = [tf.constant(x) for x in images]
    found = [captured(direction) for direction in trainer.directions]
    made = []
    for direction in trainer.directions:
        direction.g_optimizer.apply = lambda gradients, weights: made.append(
            [g.numpy() for g in gradients]
        )
    vectors = [x.vector for d in trainer.directions for x in layers_of(d.critic, spectral.Spectral)]
    before = [v.numpy() for v in vectors]  # the generators' update comes before the power iteration
    drawn, own = [], trainer._real
    trainer._real = lambda *words: drawn.append(own(*words)) or drawn[-1]
    terms = trainer._replica_step(*images, tf.constant([5, 7], tf.int32))
    real = [tensor(x) for x in drawn[0]]
    generators = [Network(d.generator) for d in trainer.directions]
    critics = [Network(d.critic) for d in trainer.directions]
    key = fold(tf.constant([5, 7], tf.int32), 0)
    loss, differences, after = 0.0, {}, [v.numpy() for v in vectors]
    for i, direction in enumerate(trainer.directions):
        x, y = real[i], real[1 - i]
        fake = generators[i](x)
        assign(vectors, before)
        loss = loss + generator_loss(c, critics[i], y, fake, [])
        assign(vectors, after)
        loss = loss + c.lambda_cycle * (generators[1 - i](fake) - x).abs().mean()
        loss = loss + c.lambda_identity * (generators[i](y) - y).abs().mean()
        d_loss = critic_loss(c, critics[i], y, fake.detach(), [], fold(key, i))
        name = f"critic of {direction.target}"
        differences[f"{name}: loss"] = relative(terms[f"critic_loss_{direction.target}"], d_loss)
        differences[f"{name}: gradients"] = largest_difference(
            found[i]["critic"], torch.autograd.grad(d_loss, critics[i].weights)
        )
    differences["generators: loss"] = relative(terms["generator_loss"], loss)
    for i, generator in enumerate(generators):
        gradients = torch.autograd.grad(loss, generator.weights, retain_graph=True)
        differences[f"generator {i + 1}: gradients"] = largest_difference(made[i], gradients)
    return differences
