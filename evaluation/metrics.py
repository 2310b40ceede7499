"""Measures of generated images beside real ones, as formulas alone: arrays in, numbers out.

Features are [N, D], images uint8 [N, H, W, C]. Imports no TensorFlow. Who draws the images and what
takes the features: `evaluate.py`.
"""

import numpy as np
from scipy import ndimage

CHUNK = 1000  # rows of a distance matrix at a time
PYRAMID = np.array([1, 4, 6, 4, 1]) / 16
PATCHES, PATCH = 128, 7  # PGGAN: descriptors of an image and level, and their side
PROJECTIONS, REPEATS = 128, 4
SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # MS-SSIM, section 3.2
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5


def moments(features):
    """(mean [D], covariance [D, D]) of features, float64."""
    features = np.asarray(features, np.float64)
    return features.mean(0), np.cov(features, rowvar=False).reshape(2 * features.shape[1:])


def frechet_distance(real, fake):
    """|μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½) between two normals (FID, 1706.08500, eq. 6).

    Args:
      real, fake: (mean, covariance) of each.
    The trace of the root is that of the symmetric (Σ₁^½ Σ₂ Σ₁^½)^½, by eigenvalues: real, and
    stable where a covariance has not full rank.
    """
    (mean_a, cov_a), (mean_b, cov_b) = real, fake
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    distance = np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(float(distance), 0.0)


def kernel_distance(real, fake, *, subsets=100, size=1000, seed=0):
    """Unbiased squared MMD with the kernel (x·y / D + 1)³ (KID, 1801.01401, section 4).

    Returns:
      (mean, standard deviation) over random subsets of `size` samples each, or of all.
    """
    size = min(size, len(real), len(fake))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        x, y = (np.float64(f[rng.choice(len(f), size, replace=False)]) for f in (real, fake))
        xx, yy, xy = (_cubic(a, b) for a, b in ((x, x), (y, y), (x, y)))
        within = sum(k.sum() - np.trace(k) for k in (xx, yy)) / (size * (size - 1))
        found.append(within - 2 * xy.mean())
    return float(np.mean(found)), float(np.std(found))


def _cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(real, fake, *, k=3):
    """Shares of the fakes near the reals, and of the reals near the fakes (1904.06991, eq. 1-2).

    Near: within the distance from a sample of the other set to its k-th neighbour in its own.
    """
    reach = {name: _neighbours(f, f, k + 1)[0][:, -1] for name, f in (("r", real), ("f", fake))}
    return _covered(fake, real, reach["r"]), _covered(real, fake, reach["f"])


def _squared_distances(x, y):
    """‖x_i - y_j‖² in chunks of rows: yields (first row, [rows, M])."""
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    centre = y.mean(0)  # what is common to all would cost precision below
    x, y = x - centre, y - centre
    lengths = np.sum(y * y, 1)
    for i in range(0, len(x), CHUNK):
        part = x[i : i + CHUNK]
        yield i, np.maximum(np.sum(part * part, 1)[:, None] + lengths - 2 * part @ y.T, 0)


def _neighbours(x, y, k):
    """(squared distances, indices), each [N, k], of the nearest of `y` to each of `x`, sorted."""
    k = min(k, len(y))
    far, who = [], []
    for _, squared in _squared_distances(x, y):
        index = np.argpartition(squared, k - 1, 1)[:, :k]
        near = np.take_along_axis(squared, index, 1)
        order = np.argsort(near, 1)
        far.append(np.take_along_axis(near, order, 1))
        who.append(np.take_along_axis(index, order, 1))
    return np.concatenate(far), np.concatenate(who)


def _covered(points, centres, reach):
    """The share of points that lie within a centre's squared reach."""
    inside = [np.any(squared <= reach, 1) for _, squared in _squared_distances(points, centres)]
    return float(np.concatenate(inside).mean())


def nearest(points, others, k):
    """Indices [N, k] of the nearest of `others` to each of `points`, the nearest first."""
    return _neighbours(points, others, k)[1]


def pyramid(images):
    """The Laplacian pyramid of images: float32 [N, H, W, C], halved until a side would be < 12.

    The last level is what is left of the image; the others what each halving loses.
    """
    level, levels = np.asarray(images, np.float32), []
    while min(level.shape[1:3]) >= 24 and not any(n % 2 for n in level.shape[1:3]):
        small = _blur(level, 1)[:, ::2, ::2]
        large = np.zeros_like(level)
        large[:, ::2, ::2] = small
        levels.append(level - _blur(large, 2))
        level = small
    return [*levels, level]


def _blur(images, gain):
    for axis in (1, 2):
        images = ndimage.correlate1d(images, PYRAMID * gain, axis, mode="mirror")
    return images


def sliced_wasserstein(real, fake, *, seed=0):
    """Sliced Wasserstein distance at each level of the Laplacian pyramid (PGGAN, 1710.10196).

    128 patches of 7x7 pixels from each image and level, normalised a channel, projected
    to 4 x 128 random directions (section 5).

    Args:
      real, fake: as many images, of one shape.

    Returns:
      {height of the level: the distance x 1000}, from the finest to the coarsest.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for levels in zip(pyramid(real), pyramid(fake)):
        a, b = (_descriptors(level, rng) for level in levels)
        total = 0.0
        for _ in range(REPEATS):
            ways = rng.standard_normal((a.shape[1], PROJECTIONS), np.float32)
            ways /= np.linalg.norm(ways, axis=0)
            pair = [np.sort((ways.T @ x.T).astype(np.float32), 1) for x in (a, b)]
            total += float(np.abs(pair[0] - pair[1]).mean())
        found[levels[0].shape[1]] = 1000 * total / REPEATS
    return found


def _descriptors(level, rng):
    """Random patches of a level, each channel with mean 0 and deviation 1: [N·128, 7·7·C]."""
    n, height, width, _ = level.shape
    index = np.repeat(np.arange(n), PATCHES)
    top = rng.integers(0, height - PATCH + 1, n * PATCHES)
    left = rng.integers(0, width - PATCH + 1, n * PATCHES)
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), (1, 2))
    patches = windows[index, top, left]  # [N·128, C, 7, 7]
    patches = patches - patches.mean((0, 2, 3), keepdims=True)
    patches /= patches.std((0, 2, 3), keepdims=True) + 1e-8
    return patches.reshape(n * PATCHES, -1)


def ssim_scales(size):
    """How many scales the structural similarity has for images of (height, width): 0 to 5."""
    scales = 0
    while scales < 5 and min(size) // 2**scales >= 2 * SSIM_RADIUS + 1:
        scales += 1
    return scales


def structural_similarity(a, b):
    """Structural similarity of pairs of images, [N] (MS-SSIM, Wang et al. 2003).

    Over as many scales as an 11x11 window fits into (`ssim_scales`, at least one), the paper's
    weights of the first ones made to sum to 1. One scale is SSIM (Wang et al. 2004).
    """
    scales = ssim_scales(a.shape[1:3])
    weights = np.array(SSIM_WEIGHTS[:scales]) / sum(SSIM_WEIGHTS[:scales])
    a, b = np.float64(a), np.float64(b)
    product = np.ones(len(a))
    for scale, weight in enumerate(weights):
        luminance, contrast = _ssim_maps(a, b)
        last = scale == scales - 1
        value = (luminance * contrast if last else contrast).mean((1, 2, 3))
        product *= np.maximum(value, 0) ** weight
        a, b = (_halve(x) for x in (a, b))
    return product if scales > 1 else value


def _halve(x):
    """2x2 means; an odd last row or column is left out."""
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def _ssim_maps(a, b):
    """(luminance, contrast · structure) where the window lies wholly inside."""
    stack = np.stack([a, b, a * a, b * b, a * b])
    inner = slice(SSIM_RADIUS, -SSIM_RADIUS)
    for axis in (2, 3):
        stack = ndimage.gaussian_filter1d(stack, SSIM_SIGMA, axis, radius=SSIM_RADIUS)
    mean_a, mean_b, aa, bb, ab = stack[:, :, inner, inner]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    spread = aa - mean_a**2 + bb - mean_b**2
    return luminance, (2 * (ab - mean_a * mean_b) + c2) / (spread + c2)
