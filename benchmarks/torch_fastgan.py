"""The networks of `fastgan.build_fastgan` in PyTorch, without labels."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from architectures import fastgan


def _gated(ins, out):
    """A 3x3 convolution, batch norm and a gated linear unit."""
    conv = nn.Conv2d(ins, 2 * out, 3, 1, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(2 * out), nn.GLU(1))


class Excite(nn.Module):
    """`fastgan._excite` in PyTorch."""

    def __init__(self, low, high):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(low, high, 4, bias=False),
            nn.SiLU(),
            nn.Conv2d(high, high, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, low, high):
        return high * self.gate(low)


class Up(nn.Module):
    """A doubling of the generator. The maps of `low` channels, if given, excite its result."""

    def __init__(self, ins, out, deep, low):
        super().__init__()
        again = [_gated(out, out)] if deep else []
        self.main = nn.Sequential(nn.Upsample(scale_factor=2), _gated(ins, out), *again)
        self.excite = Excite(low, out) if low else None

    def forward(self, maps):
        x = self.main(maps[-1])
        return self.excite(maps[-fastgan.SKIP], x) if self.excite else x


class Generator(nn.Module):
    """The generator of `fastgan.build_fastgan`."""

    def __init__(self, c, spec):
        super().__init__()
        chain = fastgan.sizes((spec.height, spec.width), 4)
        widths = [fastgan.scaled(c.g_width[0], f) for f in fastgan.G_FACTORS[: len(chain)]]
        self.entry = (2 * widths[0], *chain[-1])
        units = 2 * widths[0] * chain[-1][0] * chain[-1][1]
        self.dense = nn.Linear(c.z_dim, units, bias=False)
        self.first = nn.Sequential(nn.BatchNorm2d(2 * widths[0]), nn.GLU(1))
        lows = [0] * (fastgan.SKIP - 1) + widths[: fastgan.EXCITATIONS] + [0] * len(widths)
        pairs = enumerate(zip(widths, widths[1:], lows))
        self.ups = nn.ModuleList(Up(ins, out, i % 2 == 0, low) for i, (ins, out, low) in pairs)
        self.last = nn.Conv2d(widths[-1], spec.channels, 3, 1, 1, bias=False)

    def forward(self, z, labels=None):
        maps = [self.first(self.dense(z).view(-1, *self.entry))]
        for up in self.ups:
            maps.append(up(maps))
        return torch.tanh(self.last(maps[-1]))


def _conv(*shape, normed):
    """A convolution with spectral norm and no bias, or, without norms, with a bias alone."""
    conv = nn.Conv2d(*shape, bias=not normed)
    return spectral_norm(conv) if normed else conv


def _strided(*shape, normed, batch=True):
    """A convolution; if `normed`, with spectral norm and, if `batch`, batch norm; a leaky ReLU."""
    norms = [nn.BatchNorm2d(shape[1])] if normed and batch else []
    return nn.Sequential(_conv(*shape, normed=normed), *norms, nn.LeakyReLU(0.2))


class Down(nn.Module):
    """`fastgan._down` in PyTorch."""

    def __init__(self, ins, out, normed):
        super().__init__()
        layers = ((ins, out, 4, 2, 1), (out, out, 3, 1, 1), (ins, out, 1, 1, 0))
        first, second, direct = (_strided(*shape, normed=normed) for shape in layers)
        self.main = nn.Sequential(first, second)
        self.direct = nn.Sequential(nn.AvgPool2d(2), direct)

    def forward(self, x):
        return (self.main(x) + self.direct(x)) / 2


class Critic(nn.Module):
    """The critic of `fastgan.build_fastgan`, without norms or with batch norm.

    It keeps its newest `features`.
    """

    def __init__(self, c, spec):
        super().__init__()
        halvings = len(fastgan.sizes((spec.height, spec.width), 8)) - 1
        widths = [fastgan.scaled(c.d_width[0], f) for f in fastgan.D_FACTORS[:halvings][::-1]]
        strided, ins, layers = max(0, halvings - fastgan.BLOCKS), spec.channels, []
        normed = c.critic_norm == "batch"
        if not strided:
            ins = fastgan.scaled(c.d_width[0], fastgan.D_FACTORS[halvings])
            layers.append(_strided(spec.channels, ins, 3, 1, 1, normed=normed, batch=False))
        for i, out in enumerate(widths):
            if i < strided:
                layers.append(_strided(ins, out, 4, 2, 1, normed=normed, batch=i > 0))
            else:
                layers.append(Down(ins, out, normed))
            ins = out
        self.layers = nn.ModuleList(layers)
        last = 2 * fastgan.scaled(c.d_width[0], fastgan.D_FACTORS[0])
        scores = _conv(last, 1, 4, normed=normed)
        self.scores = nn.Sequential(_strided(ins, last, 1, 1, 0, normed=normed), scores)
        self.features = []

    def forward(self, x, labels=None):
        found = [x]
        for layer in self.layers:
            found.append(layer(found[-1]))
        self.features = found[-len(fastgan.FEATURES) :]
        return self.scores(found[-1])


def _decoder(ins, doublings, base, channels):
    layers = []
    for factor in fastgan.DECODER_FACTORS[:doublings]:
        out = fastgan.scaled(base, factor)
        layers += [nn.Upsample(scale_factor=2), _gated(ins, out)]
        ins = out
    return nn.Sequential(*layers, nn.Conv2d(ins, channels, 3, 1, 1, bias=False), nn.Tanh())


class Decoders(nn.Module):
    """The decoders of `fastgan._reconstruction`, and their loss."""

    def __init__(self, c, spec):
        super().__init__()
        halvings = len(fastgan.sizes((spec.height, spec.width), 8)) - 1
        most, base = len(fastgan.DECODER_FACTORS), c.d_width[0]
        ins = [fastgan.scaled(base, factor) for factor in fastgan.D_FACTORS[1::-1]]
        doublings = [min(n, most) for n in (halvings - 1, halvings)]
        parts = (_decoder(i, n, base, spec.channels) for i, n in zip(ins, doublings))
        self.decoders = nn.ModuleList(parts)

    def forward(self, images, features):
        """Return the mean loss of real images from the critic's features of them, a scalar."""
        row, column = torch.randint(2, (2,)).tolist()
        quarter = [_quarter(x, row, column) for x in (features[0], images)]
        total = 0
        pairs = ((quarter[0], quarter[1]), (features[1], images))
        for decoder, (own, wanted) in zip(self.decoders, pairs):
            found = decoder(own)
            target = nn.functional.adaptive_avg_pool2d(wanted, found.shape[2:])
            total = total + (found - target).abs().mean()
        return total


def _quarter(x, row, column):
    """Cut the same quarter out of all maps, as the authors do: [B, C, H, W] → [B, C, H/2, W/2]."""
    height, width = (n // 2 for n in x.shape[2:])
    return x[:, :, row * height :, column * width :][:, :, :height, :width]
