"""`--preset mimicry_wgan_gp_cifar10` against networks written anew in PyTorch's own layers.

The networks follow torch_mimicry/nets/wgan_gp of kwotsin/mimicry at commit a7fda06.
"""

import re

import keras
import tensorflow as tf
import torch
from torch import nn
from torch.nn import functional

from benchmarks import races
from benchmarks.audit import updates
from config.presets import PRESETS
from layers import stock
from training.randomness import Purpose, fold

PRESET = PRESETS["mimicry_wgan_gp_cifar10"].settings
SIDE, WIDTH, Z_DIM = 32, 6, 5


class UpBlock(nn.Module):
    """A block of the generator: [B, C, H, W] → [B, C, 2H, 2W]."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.bypass = nn.Conv2d(width, width, 1)

    def forward(self, x):
        """Return the sum of the block's convolutions and of its bypass."""
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        main = self.first(up(functional.relu(self.norms[0](x))))
        return self.second(functional.relu(self.norms[1](main))) + self.bypass(up(x))


class Generator(nn.Module):
    """Latents [B, Z] → images [B, 3, 32, 32] in [-1, 1]."""

    def __init__(self, z_dim, width):
        super().__init__()
        self.dense = nn.Linear(z_dim, 16 * width)
        self.blocks = nn.Sequential(*(UpBlock(width) for _ in range(3)))
        self.norm = nn.BatchNorm2d(width)
        self.image = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z):
        """Return the images of latents."""
        x = self.dense(z).view(len(z), 4, 4, -1).permute(0, 3, 1, 2)  # units in Keras' order
        x = self.blocks(x)
        return torch.tanh(self.image(functional.relu(self.norm(x))))


class DownBlock(nn.Module):
    """A block of the critic: [B, C, H, W] → [B, F, H/2, W/2], or [B, F, H, W] if not `down`."""

    def __init__(self, channels, width, down):
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.bypass = nn.Conv2d(channels, width, 1) if down else None
        self.reads_images, self.down = channels == 3, down

    def forward(self, x):
        """Return the sum of the block's convolutions and of its bypass."""
        if not self.reads_images:
            x = functional.relu(x)  # in place in the original: the bypass has it, too
        main = self.second(functional.relu(self.first(x)))
        if not self.down:
            return main + x
        return functional.avg_pool2d(main, 2) + functional.avg_pool2d(self.bypass(x), 2)


class Critic(nn.Module):
    """Images [B, 3, 32, 32] → scores [B]."""

    def __init__(self, width):
        super().__init__()
        shapes = [(3, True), (width, True), (width, False), (width, False)]
        self.blocks = nn.Sequential(*(DownBlock(n, width, down) for n, down in shapes))
        self.dense = nn.Linear(width, 1)

    def forward(self, x):
        """Return the scores of images."""
        return self.dense(functional.relu(self.blocks(x)).mean((2, 3)))[:, 0]


KINDS = {  # PyTorch's layer → Keras', and the order of the axes of its weights there
    nn.Conv2d: (keras.layers.Conv2D, (2, 3, 1, 0)),
    nn.BatchNorm2d: (keras.layers.BatchNormalization, (0,)),
    nn.Linear: (keras.layers.Dense, (1, 0)),
}


def paired(module, network):
    """Return {id of a Keras variable: (the variable, the module's parameter, axes)}.

    Layers of a kind are paired in the order in which they were made. `axes` is the order of the
    parameter's axes in the variable.
    """

    def number(layer):
        found = re.search(r"_(\d+)$", layer.name)
        return int(found[1]) if found else 0

    found = {}
    for kind, (own, axes) in KINDS.items():
        theirs = [m for m in module.modules() if isinstance(m, kind)]
        ours = [x for x in stock.layers_of(network) if isinstance(x, own)]
        for a, b in zip(theirs, sorted(ours, key=number), strict=True):
            variables = zip(b.trainable_variables, (a.weight, a.bias), (axes, (0,)), strict=True)
            found |= {id(variable): (variable, *rest) for variable, *rest in variables}
    return found


def differences(generator, critic, seed=0):
    """Compare both updates of a trainer with those of two modules; return relative differences.

    The modules get the trainer's weights.
    """
    given = {n: v for n, v in PRESET.items() if n not in ("arch", "mode")}
    given |= {"g_width": (WIDTH,), "d_width": (WIDTH,), "z_dim": Z_DIM}
    given |= {"output_height": SIDE, "batch_size": updates.BATCH, "critic_num": 1}
    c, trainer = updates.make_trainer(PRESET["arch"], PRESET["mode"], classes=0, seed=seed, **given)
    own = paired(generator, trainer.generator) | paired(critic, trainer.critic)
    for variable, parameter, axes in own.values():
        inverse = sorted(range(len(axes)), key=axes.__getitem__)
        parameter.data = updates.tensor(variable).permute(inverse).contiguous()
    images, labels = races.small_batch(trainer)
    found, key = updates.captured(trainer), tf.constant([5, 7], tf.int32)
    terms = trainer._replica_step(tf.constant(images), tf.constant(labels), key)
    key = fold(key, 0)
    z = updates.tensor(trainer.latents(fold(key, Purpose.LATENTS), (len(images[0]), Z_DIM)))
    fake, real = generator(z), updates.tensor(images[0]).permute(0, 3, 1, 2) / 127.5 - 1
    mix = updates.tensor(
        tf.random.stateless_uniform((len(real), 1, 1, 1), fold(key, Purpose.POINTS))
    )
    between = (mix * real + (1 - mix) * fake.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = c.LAMBDA * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    losses = {
        "critic": critic(fake.detach()).mean() - critic(real).mean() + penalty,
        "generator": -critic(fake).mean(),
    }
    result = {}
    for name, network in trainer.trained.items():
        rows = [own[id(variable)] for variable in network.trainable_variables]
        gradients = torch.autograd.grad(losses[name], [row[1] for row in rows], retain_graph=True)
        expected = [g.permute(row[2]) for g, row in zip(gradients, rows)]
        result[f"{name} loss"] = updates.relative(terms[f"{name}_loss"], losses[name])
        result[f"{name} gradients"] = updates.largest_difference(found[name], expected)
    return result


def check(seed=0):
    """Return the relative differences of both updates; see `differences`."""
    return differences(Generator(Z_DIM, WIDTH).double(), Critic(WIDTH).double(), seed)
