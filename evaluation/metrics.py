"""Formulas of the measures: NumPy arrays in, numbers out.

Features are float arrays [N, D]; images are uint8 arrays [N, H, W, C]. Imports no TensorFlow.
`evaluation.py` draws the images and extracts the features.
"""

import numpy as np
from scipy import ndimage

CHUNK = 1000  # rows of a distance matrix in memory at a time
PYRAMID_KERNEL = np.array([1, 4, 6, 4, 1]) / 16
PATCHES, PATCH = 128, 7  # patches for each image and level, and their side in pixels (PGGAN)
DIRECTIONS, REPEATS = 128, 4
SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # MS-SSIM, section 3.2
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5  # of the Gaussian window, in pixels


def moments(features):
    """Return the mean [D] and the covariance [D, D] of features, float64."""
    features = np.asarray(features, np.float64)
    return features.mean(0), np.cov(features, rowvar=False).reshape(2 * features.shape[1:])


def frechet_distance(real, fake):
    """Fréchet distance between two normal distributions (FID, 1706.08500, eq. 6).

    |μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½). Tr((Σ₁Σ₂)^½) is the sum of the square roots of the
    eigenvalues of the symmetric Σ₁^½ Σ₂ Σ₁^½. It is real, and stable for covariances
    without full rank.

    Args:
      real, fake: (mean [D], covariance [D, D]), as `moments` returns.

    Returns:
      The distance, a float of at least 0.
    """
    (mean_a, cov_a), (mean_b, cov_b) = real, fake
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    distance = np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(float(distance), 0.0)


def kernel_distance(real, fake, *, subsets=100, size=1000, seed=0):
    """Unbiased squared MMD with the kernel (x·y / D + 1)³ (KID, 1801.01401, section 4).

    Without more than `size` samples, all subsets are the whole sets, and the deviation is 0.

    Args:
      real, fake: features [N, D] and [M, D].
      subsets: number of random subsets.
      size: samples in each subset, at most N and M.
      seed: of the random subsets.

    Returns:
      (mean, standard deviation) over the subsets, floats. The mean may be negative.
    """
    size = min(size, len(real), len(fake))
    if size == len(real) == len(fake):
        subsets = 1
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        x, y = (np.float64(f[rng.choice(len(f), size, replace=False)]) for f in (real, fake))
        xx, yy, xy = (_cubic_kernel(a, b) for a, b in ((x, x), (y, y), (x, y)))
        within = sum(k.sum() - np.trace(k) for k in (xx, yy)) / (size * (size - 1))
        found.append(within - 2 * xy.mean())
    return float(np.mean(found)), float(np.std(found))


def _cubic_kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(real, fake, *, k=3):
    """Improved precision and recall (1904.06991, eq. 1-2).

    Precision is the fraction of fakes inside the manifold of the reals. Recall is the fraction of
    reals inside the manifold of the fakes. A manifold is a union of balls. Each ball is centred on
    a sample and reaches to the sample's k-th nearest neighbour.

    Args:
      real, fake: features [N, D] and [M, D].

    Returns:
      (precision, recall), floats in [0, 1].
    """
    reals_reach, fakes_reach = _reach(real, k), _reach(fake, k)
    return _covered(fake, real, reals_reach), _covered(real, fake, fakes_reach)


def _squared_distances(x, y):
    """Yield ‖x_i - y_j‖² as float32 [up to CHUNK, M], for `CHUNK` rows of `x` at a time.

    scikit-learn computes them in float64, which takes 2 to 4 times as long.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    centre = y.mean(0)  # an offset that all features share would cost precision below
    x, y = x - centre, y - centre
    lengths = np.sum(y * y, 1)
    for i in range(0, len(x), CHUNK):
        part = x[i : i + CHUNK]
        yield np.maximum(np.sum(part * part, 1)[:, None] + lengths - 2 * part @ y.T, 0)


def _reach(x, k):
    """Return the squared distance [N] from each sample to its k-th nearest neighbour.

    With k or fewer samples, the neighbour is the farthest one.
    """
    k = min(k, len(x) - 1)  # at index 0 is the sample itself
    return np.concatenate([np.partition(d, k, 1)[:, k] for d in _squared_distances(x, x)])


def _covered(points, centres, reach):
    """Return the share of `points` within the squared `reach` [M] of any of the `centres`."""
    inside = [np.any(squared <= reach, 1) for squared in _squared_distances(points, centres)]
    return float(np.concatenate(inside).mean())


def nearest(points, others, k):
    """Return indices [N, min(k, M)] of the nearest `others` [M, D] to each of `points` [N, D].

    The nearest comes first.
    """
    distances = _squared_distances(points, others)
    return np.concatenate([np.argsort(squared, 1)[:, :k] for squared in distances])


def pyramid(images):
    """Return the Laplacian pyramid of images, a list of float32 arrays, the finest level first.

    A level is halved while both of its sides are even and at least 24 pixels. The last level is
    the smallest image; the levels before it hold the detail that each halving removes.
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
    """Blur along height and width, with a factor of `gain` on each axis."""
    for axis in (1, 2):
        images = ndimage.correlate1d(images, PYRAMID_KERNEL * gain, axis, mode="mirror")
    return images


def sliced_wasserstein(real, fake, *, seed=0):
    """Sliced Wasserstein distance at each level of the Laplacian pyramid (PGGAN, 1710.10196).

    Each image and level gives 128 patches of 7x7 pixels, which are normalised by channel and
    projected onto 4 x 128 random directions (section 5).

    Args:
      real, fake: images [N, H, W, C] of the same number and shape.

    Returns:
      A dict of level height → distance times 1000, from the finest level to the coarsest.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for levels in zip(pyramid(real), pyramid(fake)):
        a, b = (_descriptors(level, rng) for level in levels)
        total = 0.0
        for _ in range(REPEATS):
            directions = rng.standard_normal((a.shape[1], DIRECTIONS), np.float32)
            directions /= np.linalg.norm(directions, axis=0)
            a_sorted, b_sorted = (
                np.sort((directions.T @ x.T).astype(np.float32), 1) for x in (a, b)
            )
            total += float(np.abs(a_sorted - b_sorted).mean())
        found[levels[0].shape[1]] = 1000 * total / REPEATS
    return found


def _descriptors(level, rng):
    """Return random patches of a level, [N·128, C·7·7]; each channel has mean 0 and deviation 1."""
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
    """Return the number of scales of MS-SSIM for images of (height, width): 0 to 5.

    It is 0 for images smaller than the 11x11 window.
    """
    scales = 0
    while scales < 5 and min(size) // 2**scales >= 2 * SSIM_RADIUS + 1:
        scales += 1
    return scales


def structural_similarity(a, b):
    """Multi-scale structural similarity of pairs of images (MS-SSIM, Wang et al. 2003).

    `ssim_scales` gives the number of scales. The paper's weights of these scales are normalised to
    sum to 1. With one scale it is SSIM (Wang et al. 2004).

    Args:
      a, b: images [N, H, W, C] with values of 0 to 255, at least 11 pixels high and wide.

    Returns:
      float64 [N]: in [0, 1] with several scales, in [-1, 1] with one.
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
    """Average 2x2 pixels; an odd last row or column is dropped."""
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def _ssim_maps(a, b):
    """Return the maps of luminance and of contrast · structure, without the border."""
    stack = np.stack([a, b, a * a, b * b, a * b])
    inner = slice(SSIM_RADIUS, -SSIM_RADIUS)
    for axis in (2, 3):
        stack = ndimage.gaussian_filter1d(stack, SSIM_SIGMA, axis, radius=SSIM_RADIUS)
    mean_a, mean_b, aa, bb, ab = stack[:, :, inner, inner]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    spread = aa - mean_a**2 + bb - mean_b**2
    return luminance, (2 * (ab - mean_a * mean_b) + c2) / (spread + c2)
