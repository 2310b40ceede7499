"""Optimisers and measures, against float64 formulas of NumPy and SciPy."""

import keras
import numpy as np
import scipy.linalg
import scipy.signal
import scipy.stats

from benchmarks.audit import formulas
from evaluation import metrics
from evaluation.wasserstein import sliced_wasserstein
from training.adam import Adam

OPTIMIZERS = {
    "Adam": (
        lambda: Adam(1e-2, 0.5, 0.99, 1e-8),
        lambda w, g: formulas.adam(w, g, rate=1e-2, beta1=0.5, beta2=0.99, epsilon=1e-8),
    ),
    "Adam, beta1 = 0": (
        lambda: Adam(1e-3, 0.0, 0.9, 1e-7),
        lambda w, g: formulas.adam(w, g, rate=1e-3, beta1=0.0, beta2=0.9, epsilon=1e-7),
    ),
    "RMSprop": (
        lambda: keras.optimizers.RMSprop(1e-2, 0.9, epsilon=1e-10),
        lambda w, g: formulas.rmsprop(w, g, rate=1e-2, rho=0.9, epsilon=1e-10, momentum=0.0),
    ),
    "RMSprop with momentum": (
        lambda: keras.optimizers.RMSprop(1e-2, 0.99, 0.5, 1e-7),
        lambda w, g: formulas.rmsprop(w, g, rate=1e-2, rho=0.99, epsilon=1e-7, momentum=0.5),
    ),
    "SGD with momentum": (
        lambda: keras.optimizers.SGD(1e-2, 0.9),
        lambda w, g: formulas.sgd(w, g, rate=1e-2, momentum=0.9),
    ),
}


def optimizer(name, steps=10):
    """Return the relative difference of a weight's way after some updates."""
    make, reference = OPTIMIZERS[name]
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=50), rng.normal(size=(steps, 50)).astype(np.float32)
    weight, own = keras.Variable(start.astype(np.float32) * 0), make()
    own.build([weight])
    for g in gradients:
        own.apply([keras.ops.convert_to_tensor(g)], [weight])
    expected = reference(start * 0, gradients.astype(np.float64))
    return np.abs(np.array(weight) - expected).max() / np.abs(expected).max()


def _features(seed, n=300, d=20):
    rng = np.random.default_rng(seed)
    return rng.normal(seed / 10, 1 + seed / 10, (n, d)) @ rng.normal(size=(d, d))


def frechet():
    """FID through SciPy's root of a matrix: (found, expected)."""
    a, b = _features(0), _features(1)
    found = metrics.frechet_distance(metrics.moments(a), metrics.moments(b))
    covs = [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covs[0] @ covs[1])
    gap = np.sum((a.mean(0) - b.mean(0)) ** 2)
    return found, gap + np.trace(covs[0] + covs[1] - 2 * root.real)


def kernel():
    """KID as a sum over pairs."""
    a, b = _features(0, 60), _features(1, 60)
    found = metrics.kernel_distance(a, b, subsets=1, size=60)[0]

    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    pairs = [(i, j) for i in range(60) for j in range(60) if i != j]
    within = [np.mean([k(s[i], s[j]) for i, j in pairs]) for s in (a, b)]
    return found, sum(within) - 2 * np.mean([k(x, y) for x in a for y in b])


def precision_recall(which):
    """Precision or recall as a count over all pairs."""
    real, fake = _features(0), _features(1)
    found = metrics.precision_recall(real, fake)[which]
    centres, points = ((real, fake), (fake, real))[which]
    reach = [np.sort([np.linalg.norm(x - y) for y in centres])[3] for x in centres]
    inside = [any(np.linalg.norm(p - c) <= r for c, r in zip(centres, reach)) for p in points]
    return found, np.mean(inside)


def _images(seed, side):
    rng = np.random.default_rng(seed)
    smooth = scipy.signal.fftconvolve(
        rng.normal(size=(6, side, side, 3)), np.ones((1, 5, 5, 1)), "same"
    )
    return np.clip(128 + 12 * smooth + 5 * seed, 0, 255).astype(np.uint8)


def ssim(side):
    """MS-SSIM with SciPy's convolution and a window that is written out."""
    a, b = _images(0, side), _images(1, side) // 2 + _images(0, side) // 2
    found = metrics.structural_similarity(a, b)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line)[None, :, :, None] / line.sum() ** 2
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    count = sum(side // 2**s >= 11 for s in range(5))
    weights = weights[:count] / weights[:count].sum()
    x, y, product = a / 1.0, b / 1.0, 1.0
    for scale, weight in enumerate(weights):
        blurred = lambda z: scipy.signal.convolve(z, window, "valid", "direct")  # noqa: E731
        mx, my = blurred(x), blurred(y)
        sx, sy, sxy = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
        maps = (2 * sxy + 58.5225) / (sx + sy + 58.5225)
        if scale == count - 1:
            maps = maps * (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)
        value = maps.mean((1, 2, 3))
        product = product * np.maximum(value, 0) ** weight if count > 1 else value
        halves = [z[:, i::2, j::2] for z in (x, y) for i in (0, 1) for j in (0, 1)]
        x, y = sum(halves[:4]) / 4, sum(halves[4:]) / 4
    return found.mean(), np.mean(product)


def wasserstein(side):
    """SWD in float64: the pyramid by a 2D convolution, SciPy's distance of each projection."""
    a, b = _images(0, side), _images(1, side)
    found = sliced_wasserstein(a, b)
    rng = np.random.default_rng(0)
    results = []
    for levels in zip(_pyramid(a), _pyramid(b)):
        x, y = (_patches(level, rng) for level in levels)
        totals = []
        for _ in range(4):
            ways = rng.standard_normal((x.shape[1], 128), np.float32).astype(np.float64)
            ways /= np.sqrt((ways**2).sum(0))
            pairs = zip((x @ ways).T, (y @ ways).T)
            totals.append(np.mean([scipy.stats.wasserstein_distance(p, q) for p, q in pairs]))
        results.append(1000 * np.mean(totals))
    return np.mean([*found.values()]), np.mean(results)


def _pyramid(images):
    line = np.array([1, 4, 6, 4, 1]) / 16
    window = np.outer(line, line)[None, :, :, None]

    def blur(x, gain):
        padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
        return gain * scipy.signal.convolve(padded, window, "valid", "direct")

    level, levels = images / 1.0, []
    while level.shape[1] >= 24 and level.shape[1] % 2 == 0:
        small = blur(level, 1)[:, ::2, ::2]
        large = np.zeros_like(level)
        large[:, ::2, ::2] = small
        levels.append(level - blur(large, 4))
        level = small
    return [*levels, level]


def _patches(level, rng):
    n, height, width, _ = level.shape
    top = rng.integers(0, height - 6, n * 128)
    left = rng.integers(0, width - 6, n * 128)
    found = [level[i // 128, t : t + 7, s : s + 7] for i, (t, s) in enumerate(zip(top, left))]
    x = np.moveaxis(np.array(found), -1, 1)
    x = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    return x.reshape(len(x), -1)


MEASURES = {
    "fid": frechet,
    "kid": kernel,
    "precision": lambda: precision_recall(0),
    "recall": lambda: precision_recall(1),
    "ssim_1": lambda: ssim(16),
    "ssim_3": lambda: ssim(48),
    "swd": lambda: wasserstein(48),
}


def measure(name):
    """Return the relative difference of a measure."""
    found, expected = MEASURES[name]()
    return abs(found - expected) / abs(expected)
