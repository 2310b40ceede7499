"""Formulas of the measures, checked by hand and by SciPy, scikit-learn and scikit-image."""

import itertools

import numpy as np
import pytest
from scipy import linalg, ndimage, stats
from skimage import metrics as theirs
from sklearn.metrics import pairwise
from sklearn.neighbors import NearestNeighbors

from evaluation import metrics, wasserstein


def normal(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth_noise(*shape, seed=0):
    """Images with detail at every scale."""
    rough = ndimage.gaussian_filter(normal(*shape, seed=seed), (0, 2, 2, 0))
    return (127 + 60 * rough / rough.std() + normal(*shape, seed=seed + 50, scale=10)).clip(0, 255)


def line(*values):
    """Features [N, 1]."""
    return np.array(values, np.float32)[:, None]


# ---- FID


def test_moments_by_hand():
    mean, cov = metrics.moments(np.array([[0, 0], [2, 4]], np.uint8))
    assert mean.tolist() == [1, 2]
    assert cov.tolist() == [[2, 4], [4, 8]]
    mean, cov = metrics.moments(line(1, 2, 6))
    assert (mean.tolist(), cov.tolist()) == ([3], [[7]])
    assert cov.dtype == np.float64


@pytest.mark.parametrize(
    "a, b, distance",
    [
        (([0], [[4]]), ([3], [[1]]), 9 + (2 - 1) ** 2),
        (([0, 0], [[1, 0], [0, 9]]), ([1, 2], [[4, 0], [0, 1]]), 5 + 1 + 4),
        (([0, 0], [[2, 1], [1, 2]]), ([0, 0], [[8, 4], [4, 8]]), 1 + 3),  # Σ₂ = 4 Σ₁: Tr Σ₁
        (([5, 0], [[0, 0], [0, 0]]), ([0, 0], [[1, 0], [0, 0]]), 25 + 1),
        # (Tr (Σ₁Σ₂)^½)² = Tr Σ₁Σ₂ + 2 (det Σ₁Σ₂)^½ = 12.5 + 2 · 4 in two dimensions.
        (([0, 0], [[1, 0], [0, 4]]), ([0, 0], [[2.5, 1.5], [1.5, 2.5]]), 10 - 2 * 20.5**0.5),
    ],
)
def test_fid_of_known_normals(a, b, distance):
    a, b = (tuple(np.array(part, float) for part in side) for side in (a, b))
    assert metrics.frechet_distance(a, b) == pytest.approx(distance, rel=1e-9)
    assert metrics.frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)


def test_fid_of_shifted_features_is_the_squared_shift():
    x, shift = normal(200, 5), np.array([1, 0, -2, 0, 2], np.float32)
    same, moved = metrics.moments(x), metrics.moments(x + shift)
    assert metrics.frechet_distance(same, same) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(same, moved) == pytest.approx(9, rel=1e-5)


def sqrtm_distance(a, b):
    """FID by the paper's formula."""
    root = linalg.sqrtm(a[1] @ b[1]).real
    return np.sum((a[0] - b[0]) ** 2) + np.trace(a[1] + b[1] - 2 * root)


def test_fid_as_by_sqrtm():
    a, b = (normal(300, 20, seed=s) @ normal(20, 20, seed=s + 9) + s for s in (0, 1))
    a, b = metrics.moments(a), metrics.moments(b)
    assert metrics.frechet_distance(a, b) == pytest.approx(sqrtm_distance(a, b), rel=1e-8)


def test_fid_of_rank_deficient_covariances_as_by_sqrtm():
    basis = np.linalg.qr(normal(40, 6).astype(float))[0]
    small = [metrics.moments(normal(100, 6, seed=s) * (s + 1)) for s in (1, 2)]
    large = [(basis @ mean, basis @ cov @ basis.T) for mean, cov in small]
    assert metrics.frechet_distance(*large) == pytest.approx(sqrtm_distance(*small), rel=1e-6)


def test_fid_of_fewer_samples_than_features():
    """Tr (Σ₁Σ₂)^½ is the nuclear norm of the product of the centred samples."""
    x, y = normal(10, 50).astype(float), 2 * normal(12, 50, seed=1).astype(float) + 1
    a, b = (f - f.mean(0) for f in (x, y))
    cross = np.linalg.norm(a @ b.T, "nuc") / np.sqrt(9 * 11)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.sum(a**2) / 9 + np.sum(b**2) / 11
    found = metrics.frechet_distance(metrics.moments(x), metrics.moments(y))
    assert found == pytest.approx(expected - 2 * cross, rel=1e-6)


# ---- KID


def test_kid_by_hand():
    """k(0, 0) = k(0, 1) = 1 and k(1, 1) = 8: 1 + 8 - 2."""
    mean, deviation = metrics.kernel_distance(line(0, 0), line(1, 1), subsets=3)
    assert mean == pytest.approx(7)
    assert deviation == pytest.approx(0, abs=1e-12)


def loops(x, y):
    """The unbiased estimate, pair by pair."""
    n, m, d = len(x), len(y), x.shape[1]

    def kernel(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b)) / d + 1) ** 3

    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_kid_by_loops():
    x, y = normal(6, 3), normal(6, 3, seed=1) + 1
    mean, deviation = metrics.kernel_distance(x, y, subsets=4)
    assert mean == pytest.approx(loops(x, y), rel=1e-6)
    assert deviation == 0  # all subsets are the whole sets


def test_kid_as_by_sklearn():
    x, y, n = normal(50, 8), normal(50, 8, seed=1) * 2, 50
    kernels = [
        pairwise.polynomial_kernel(a, b, degree=3, gamma=1 / 8, coef0=1)
        for a, b in ((x, x), (y, y), (x, y))
    ]
    off = [(k.sum() - np.trace(k)) / (n * (n - 1)) for k in kernels[:2]]
    found = metrics.kernel_distance(x, y, subsets=2)[0]
    assert found == pytest.approx(sum(off) - 2 * kernels[2].mean(), rel=1e-5)


def test_kid_of_subsets_is_unbiased():
    x, y = normal(5, 2), normal(6, 2, seed=1) + 1
    every = [
        loops(x[list(i)], y[list(j)])
        for i in itertools.combinations(range(5), 3)
        for j in itertools.combinations(range(6), 3)
    ]
    assert np.mean(every) == pytest.approx(loops(x, y))  # so is the mean unbiased
    mean, deviation = metrics.kernel_distance(x, y, subsets=2000, size=3)
    assert mean == pytest.approx(np.mean(every), abs=4 * np.std(every) / 2000**0.5)
    assert deviation == pytest.approx(np.std(every), rel=0.15)


def test_kid_is_reproducible_by_its_seed():
    x, y = normal(30, 2), normal(40, 2, seed=1)
    found = [metrics.kernel_distance(x, y, subsets=5, size=4, seed=s) for s in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


# ---- neighbours, precision, recall


def test_nearest_by_hand():
    found = metrics.nearest(line(0.4, 9), line(5, 0, 1, 10), 3)
    assert found.tolist() == [[1, 2, 0], [3, 0, 2]]


def test_copying_by_hand():
    """Distances from 0 and 10: 1 and 3 of the held-out images; 0, 2, 3 and 5 of the fakes."""
    train, held = line(0, 10), line(-1, 13)
    fake = line(10, 2, 7, 5)
    assert metrics.nearest_distance(held, train).tolist() == [1, 9]
    # Nearer than 1 and than 3: the first; than 3 alone: the second; the third ties with 3.
    assert metrics.copying(train, held, fake) == (2 + 1 + 0.5 + 0) / 8
    assert metrics.copying(train, held, train) == 1
    assert metrics.copying(train, held, held) == 0.5
    assert metrics.copying(train, line(11, 12, 8), line(99)) == 0
    with np.errstate(all="raise"):
        assert metrics.copying(train, line(11, 9), line(1)) == 0.5  # all tie


def test_nearest_with_fewer_samples_than_k():
    assert metrics.nearest(line(3), line(0, 2), 7).tolist() == [[1, 0]]


@pytest.mark.parametrize("offset", [0, 1000])
def test_nearest_as_by_sklearn(offset):
    points, others = normal(60, 5) + offset, normal(90, 5, seed=1) + offset
    index = NearestNeighbors(n_neighbors=4).fit(others).kneighbors(points)[1]
    np.testing.assert_array_equal(metrics.nearest(points, others, 4), index)


@pytest.mark.parametrize("offset", [0, 1000])
def test_reach_as_by_sklearn(offset):
    x = normal(90, 5) + offset
    distances = NearestNeighbors(n_neighbors=4).fit(x).kneighbors(x)[0][:, -1]
    np.testing.assert_allclose(metrics._reach(x, 3), distances**2, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "real, fake, k, expected",
    [
        # Reals reach 1 each. The fake 0.5 reaches 9.5 and with that every real.
        ((0, 1, 2, 3), (0.5, 10, 11), 1, (1 / 3, 1)),
        ((0, 1, 2, 3), (3.5, 3.6, 10, 10.1), 1, (1 / 2, 0)),
        # Reals reach 7, 6, 4 and 7 (a sample is not its own neighbour: else 3, 2, 3 and 6).
        ((0, 1, 3, 7), (-6.5, 13.9, -7.5, 20), 3, (1 / 2, 1)),
        # All reals are one point, which every fake misses; the fakes reach 2, and then 0.4.
        ((5, 5, 5), (4, 6), 1, (0, 1)),
        ((5, 5, 5), (4, 4.4), 1, (0, 0)),
    ],
)
def test_precision_and_recall_by_hand(real, fake, k, expected):
    found = metrics.precision_recall(line(*real), line(*fake), k=k)
    assert found == pytest.approx(expected)


def test_precision_and_recall_of_equal_and_of_distant_sets():
    x = normal(40, 3)
    assert metrics.precision_recall(x, x) == (1, 1)
    assert metrics.precision_recall(x, x + 100) == (0, 0)


def test_precision_and_recall_of_a_collapsed_mode():
    real = np.concatenate([normal(50, 2), normal(50, 2, seed=1) + 50])
    one_kind = normal(100, 2, seed=2)
    precision, recall = metrics.precision_recall(real, one_kind)
    assert precision > 0.8 and 0.3 < recall < 0.51
    assert metrics.precision_recall(one_kind, real) == (recall, precision)


def test_precision_and_recall_as_by_sklearn():
    real, fake = normal(80, 4), normal(70, 4, seed=1) * 0.8 + 0.5

    def share(points, centres, k):
        own = NearestNeighbors(n_neighbors=k + 1).fit(centres).kneighbors(centres)[0][:, -1]
        far = pairwise.euclidean_distances(points.astype(float), centres.astype(float))
        return np.mean((far <= own).any(1))

    for k in (1, 3, 10):
        expected = share(fake, real, k), share(real, fake, k)
        assert metrics.precision_recall(real, fake, k=k) == pytest.approx(expected)
        assert min(expected) > 0 and expected[0] != expected[1]


def test_reach_with_fewer_samples_than_k():
    """The reach is the distance to the farthest sample."""
    assert metrics.precision_recall(line(0, 2), line(-1.9, 4.1), k=50) == (1 / 2, 1)


def test_precision_and_recall_of_repeated_samples():
    """The reach of a sample that occurs five times is 0, up to the same rounding on both sides."""
    x = np.repeat(normal(50, 16), 5, 0)
    assert metrics.precision_recall(x, x) == (1, 1)


def test_chunks_change_nothing(monkeypatch):
    points, others = normal(50, 4), normal(33, 4, seed=1)
    whole = [f(points, others, k=3) for f in (metrics.nearest, metrics.precision_recall)]
    moments = metrics.moments(points)
    for chunk, rows in ((1, [1] * 50), (7, [7] * 7 + [1]), (50, [50])):
        monkeypatch.setattr(metrics, "CHUNK", chunk)
        assert [len(part) for part in metrics._squared_distances(points, others)] == rows
        np.testing.assert_array_equal(metrics.nearest(points, others, 3), whole[0])
        assert metrics.precision_recall(points, others) == whole[1]
        for found, expected in zip(metrics.moments(points), moments):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    monkeypatch.setattr(metrics, "MAX_DISTANCES", 70)
    assert [len(part) for part in metrics._squared_distances(points, others)] == [2] * 25


# ---- sliced Wasserstein distance


@pytest.mark.parametrize(
    "size, heights",
    [
        ((8, 8), [8]),
        ((22, 22), [22]),
        ((23, 23), [23]),
        ((24, 40), [24, 12]),
        ((28, 28), [28, 14]),
        ((25, 48), [25]),
        ((64, 64), [64, 32, 16]),
        ((128, 96), [128, 64, 32, 16]),
    ],
)
def test_heights_of_the_pyramids_levels(size, heights):
    levels = wasserstein.pyramid(noise(2, *size, 3))
    assert [level.shape[1] for level in levels] == heights
    assert all(level.shape[0] == 2 and level.shape[3] == 3 for level in levels)


def blurred(image):
    """One channel through the 5x5 filter of the paper's program, mirrored at the edge."""
    row = np.array([[1, 4, 6, 4, 1]])
    return ndimage.convolve(image, row * row.T / 256, mode="mirror")


def test_the_pyramid_collapses_to_the_image():
    image = noise(1, 48, 64, 1)
    levels = wasserstein.pyramid(image)
    found = levels.pop()[0, ..., 0].astype(float)
    for level in reversed(levels):
        large = np.zeros(level.shape[1:3])
        large[::2, ::2] = found
        found = level[0, ..., 0] + 4 * blurred(large)
    np.testing.assert_allclose(found, image[0, ..., 0], atol=1e-3)


def test_the_last_level_is_the_smallest_image():
    image = noise(2, 48, 48, 3)
    small = image.astype(float)
    for _ in range(2):
        one = [[blurred(small[n, ..., c])[::2, ::2] for c in range(3)] for n in range(2)]
        small = np.moveaxis(np.array(one), 1, -1)
    np.testing.assert_allclose(wasserstein.pyramid(image)[-1], small, atol=1e-3)


def test_a_flat_image_has_no_detail():
    *fine, last = wasserstein.pyramid(np.full((1, 48, 48, 1), 77, np.uint8))
    assert len(fine) == 2
    assert all(np.abs(level).max() < 1e-4 for level in fine)
    np.testing.assert_allclose(last, 77, rtol=1e-6)


def normalised(images, level=0, seed=0):
    """The normalised patches of a level of images, at random places."""
    rng = np.random.default_rng(seed)
    height, width = wasserstein.pyramid_sizes(images.shape[1:3])[level]
    count = len(images) * wasserstein.PATCHES
    places = [rng.integers(0, n - 6, count) for n in (height, width)]
    patches = wasserstein.Patches({level: places}, images.shape[-1])
    for part in np.array_split(images, 2):
        patches.add(part)
    patches.add(images)  # more than was asked for
    return patches.take(level)


def test_patches_have_mean_0_and_deviation_1_by_channel():
    level = normal(5, 16, 20, 3) * [1, 20, 300] + [0, -50, 1000]
    found = normalised(level.astype(np.float32))
    assert found.shape == (5 * wasserstein.PATCHES, 3 * 49)
    for channel in found.reshape(-1, 3, 49).transpose(1, 0, 2):
        assert channel.mean() == pytest.approx(0, abs=1e-4)
        assert channel.std() == pytest.approx(1, abs=1e-4)


def test_patches_are_of_their_image():
    flat = np.repeat(line(0, 1), 81).reshape(2, 9, 9, 1)
    found = normalised(flat)
    np.testing.assert_allclose(found[:128], -1, atol=1e-5)
    np.testing.assert_allclose(found[128:], 1, atol=1e-5)
    ramp = np.arange(9 * 12, dtype=np.float32).reshape(1, 9, 12, 1)  # +1 right, +12 down
    patches = normalised(ramp).reshape(-1, 7, 7)
    right, down = np.diff(patches, axis=2), np.diff(patches, axis=1)
    np.testing.assert_allclose(right, right.mean(), rtol=1e-3)
    np.testing.assert_allclose(down, 12 * right.mean(), rtol=1e-3)
    assert len(np.unique(patches[:, 0, 0].round(4))) == 3 * 6  # every place is drawn


def test_patches_are_of_their_level():
    """A level that is computed alone is the level of the whole pyramid."""
    images = noise(3, 48, 48, 2)
    for level, pixels in enumerate(wasserstein.pyramid(images)):
        assert pixels.shape[1:3] == wasserstein.pyramid_sizes((48, 48))[level]
        alone = wasserstein.pyramid(images, {level})[level]
        np.testing.assert_array_equal(alone, pixels)
        if level == 2:  # the last level is its own pyramid
            np.testing.assert_allclose(
                normalised(images, 2), normalised(pixels), rtol=1e-4, atol=1e-5
            )


def given(a, b):
    """Return 1,000 times the distance between descriptors [N, D] along random directions."""
    rng = np.random.default_rng(0)
    directions = [rng.standard_normal((a.shape[1], 128), np.float32) for _ in range(4)]
    return 1000 * wasserstein.sliced_distance(a, b, directions)


def test_sliced_wasserstein_in_one_dimension_is_wasserstein():
    a, b = normal(40, 1), normal(40, 1, seed=1) * 2 + 1
    expected = stats.wasserstein_distance(a[:, 0], b[:, 0])
    assert given(a, b) == pytest.approx(1000 * expected, rel=1e-5)
    assert given(line(5, 1), line(2, 6)) == pytest.approx(1000, rel=1e-5)


def test_sliced_wasserstein_of_shifted_points():
    """Along a direction w it is |v·w|: on average |v| 2/π in 2 dimensions, |v|/2 in 3."""
    for shift, share in (([3, 4], 2 / np.pi), ([3, 0, 4], 1 / 2)):
        a = normal(30, len(shift))
        found = given(a, a + np.float32(shift))
        assert found == pytest.approx(5000 * share, rel=0.1)


def test_sliced_wasserstein_as_by_scipy():
    a, b = normal(30, 6), normal(30, 6, seed=1) ** 3
    directions = np.random.default_rng(0).standard_normal((4, 6, 128), np.float32)
    distances = [
        stats.wasserstein_distance(a @ v, b @ v) / np.linalg.norm(v)
        for v in directions.transpose(0, 2, 1).reshape(-1, 6)
    ]
    found = given(a, b)
    assert found == pytest.approx(1000 * np.mean(distances), rel=1e-4)
    assert given(b, a) == pytest.approx(found, rel=1e-6)
    assert given(a, a) == 0
    assert given(a, a[::-1]) == 0


def test_sliced_wasserstein_of_images():
    real, rough = smooth_noise(16, 48, 48, 1), noise(16, 48, 48, 1)
    fakes = (real, 0.8 * real + 0.2 * rough, rough)
    near, far, other = (wasserstein.sliced_wasserstein(real, fake) for fake in fakes)
    assert list(near) == [48, 24, 12]
    back = wasserstein.sliced_wasserstein(rough, real)
    for height in near:
        assert back[height] == pytest.approx(other[height], rel=0.1)
        assert 2 * near[height] < other[height]
    assert 1.5 * near[48] < far[48] < other[48] / 1.5
    flat = np.full((3, 24, 24, 1), 9, np.uint8)
    assert wasserstein.sliced_wasserstein(flat, flat)[12] == 0


def test_sliced_wasserstein_is_reproducible_by_its_seed():
    pair = noise(2, 3, 24, 24, 3)
    found = [wasserstein.sliced_wasserstein(*pair, seed=s) for s in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0][24] != found[2][24]


# ---- structural similarity


@pytest.mark.parametrize(
    "size, scales",
    [(8, 0), (10, 0), (11, 1), (21, 1), (22, 2), (28, 2), (44, 3), (88, 4), (175, 4), (176, 5)],
)
def test_ssim_scales(size, scales):
    assert metrics.ssim_scales((size, size + 9)) == scales
    assert metrics.ssim_scales((size + 9, size)) == scales
    assert metrics.ssim_scales((4096, 4096)) == 5


@pytest.mark.parametrize("size", [12, 32, 64])
def test_ssim_of_the_same_images_is_1(size):
    a = noise(3, size, size, 3)
    np.testing.assert_allclose(metrics.structural_similarity(a, a), np.ones(3))
    b = noise(3, size, size, 3, seed=1)
    found = metrics.structural_similarity(a, b)
    assert (np.abs(found) < 0.2).all()
    np.testing.assert_allclose(metrics.structural_similarity(b, a), found)


@pytest.mark.parametrize("size, power", [(16, 1), (24, 0.2856 / (0.0448 + 0.2856)), (176, 0.1333)])
def test_ssim_of_flat_images(size, power):
    """They differ in luminance only, which counts in the last scale only."""
    a, b = (np.full((1, size, size, 1), level, np.uint8) for level in (100, 200))
    c = (0.01 * 255) ** 2
    luminance = (2 * 100 * 200 + c) / (100**2 + 200**2 + c)
    found = metrics.structural_similarity(a, b)
    assert found == pytest.approx([luminance**power], rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_scale_as_by_skimage(channels):
    a = smooth_noise(4, 16, 21, channels).astype(np.uint8)
    b = (0.7 * a + 0.3 * noise(4, 16, 21, channels)).astype(np.uint8)
    expected = [
        theirs.structural_similarity(
            *pair,
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in zip(a, b)
    ]
    found = metrics.structural_similarity(a, b)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert 0.1 < found.min() < found.max() < 0.95 and np.ptp(found) > 1e-3


def contrast_by_skimage(a, b):
    """The means of (similarity, contrast · structure) over the inside of an image [H, W]."""
    _, whole = theirs.structural_similarity(
        *(a, b),
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    p, q = (ndimage.gaussian_filter(x, 1.5, truncate=3.5) for x in (a, b))
    c = (0.01 * 255) ** 2
    luminance = (2 * p * q + c) / (p * p + q * q + c)
    inner = (slice(5, -5), slice(5, -5))
    return whole[inner].mean(), (whole / luminance)[inner].mean()


def halved(image):
    """The mean of every 2x2 pixels; an odd last row or column is left out."""
    rows, columns = (range(0, n - 1, 2) for n in image.shape)
    return np.array([[image[i : i + 2, j : j + 2].mean() for j in columns] for i in rows])


@pytest.mark.parametrize("size, scales", [((28, 28), 2), ((50, 45), 3), ((176, 177), 5)])
def test_several_scales_as_by_skimage(size, scales):
    a = smooth_noise(1, *size, 1).astype(np.uint8)
    b = (0.7 * a + 0.3 * noise(1, *size, 1)).astype(np.uint8)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    x, y = (image[0, ..., 0].astype(float) for image in (a, b))
    product = 1.0
    for i, weight in enumerate(weights / weights.sum()):
        product *= contrast_by_skimage(x, y)[i < scales - 1] ** weight
        x, y = (halved(z) for z in (x, y))
    found = metrics.structural_similarity(a, b)
    np.testing.assert_allclose(found, [product], rtol=1e-9)
    assert 0.2 < product < 0.98


def test_ssim_of_a_negative():
    """With one scale it is negative; with several it is 0, as negative scales are clipped."""
    a = noise(2, 16, 16, 1)
    assert (metrics.structural_similarity(a, 255 - a) < -0.5).all()
    a = noise(2, 32, 32, 1)
    assert metrics.structural_similarity(a, 255 - a).tolist() == [0, 0]
