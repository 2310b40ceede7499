"""Formulas of the measures: NumPy arrays in, numbers out.

Features are float arrays [N, D]; images are uint8 arrays [N, H, W, C]. Imports no TensorFlow.
`evaluation.py` draws the images and extracts the features.
"""

import numpy as np
from scipy import ndimage

CHUNK, MAX_DISTANCES = 1000, 2**24  # rows and numbers of a distance matrix in memory at a time
SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # MS-SSIM, section 3.2
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5  # of the Gaussian window, in pixels


def moments(features):
    """Return the mean [D] and the covariance [D, D] of features, float64."""
    starts = range(0, len(features), CHUNK)
    parts = (np.asarray(features[i : i + CHUNK], np.float64) for i in starts)
    mean = sum(part.sum(0) for part in parts) / len(features)
    covariance = np.zeros((len(mean), len(mean)))
    for i in starts:
        rest = np.asarray(features[i : i + CHUNK], np.float64) - mean
        covariance += rest.T @ rest
    return mean, covariance / max(len(features) - 1, 1)


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
    """Yield ‖x_i - y_j‖² as float32 [n, M], for at most `CHUNK` rows of `x` at a time.

    scikit-learn computes them in float64, which takes 2 to 4 times as long.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    centre = y.mean(0)  # an offset that all features share would cost precision below
    x, y = x - centre, y - centre
    lengths, rows = np.sum(y * y, 1), min(CHUNK, max(1, MAX_DISTANCES // len(y)))
    for i in range(0, len(x), rows):
        part = x[i : i + rows]
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
    points = np.asarray(points, np.float32)
    indices, found = np.zeros((len(points), 0), int), np.zeros((len(points), 0), np.float32)
    for i in range(0, len(others), CHUNK):  # `others` may be a file
        part = np.asarray(others[i : i + CHUNK], np.float32)
        squared = np.concatenate(list(_squared_distances(points, part)))
        found = np.concatenate([found, squared], 1)
        number = np.broadcast_to(np.arange(i, i + len(part)), squared.shape)
        indices = np.concatenate([indices, number], 1)
        order = np.argsort(found, 1, kind="stable")[:, :k]
        found, indices = (np.take_along_axis(x, order, 1) for x in (found, indices))
    return indices


def nearest_distance(points, others):
    """Return the squared distance [N] from each of `points` [N, D] to the nearest of `others`."""
    found = np.full(len(points), np.inf, np.float32)
    for i in range(0, len(others), CHUNK):  # `others` may be a file
        part = np.asarray(others[i : i + CHUNK], np.float32)
        squared = [rows.min(1) for rows in _squared_distances(points, part)]
        found = np.minimum(found, np.concatenate(squared))
    return found


def copying(train, held, fake):
    """Return the share of the pairs (fake, held) in which the fake is nearer to `train`.

    The distance of an image to `train` is that to the nearest image there. Ties count half. This is
    the Mann-Whitney statistic of 2004.05675, section 2, over the whole space, divided by the number
    of pairs.

    Args:
      train, held, fake: features [N, D] of training images, of real images that are not trained
        on, and of samples. `train` may be a file.

    Returns:
      float in [0, 1]: 0.5 if the fakes are as far from training images as the held-out images are,
      1 if all fakes are copies.
    """
    from scipy.stats import mannwhitneyu

    distances = [nearest_distance(x, train) for x in (held, fake)]
    return float(mannwhitneyu(*distances, method="asymptotic").statistic / len(held) / len(fake))


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
