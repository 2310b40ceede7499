"""Features of real images, which are extracted once and kept in a file. Imports no TensorFlow."""

import contextlib
import hashlib
import zipfile
from pathlib import Path

import numpy as np

import console
import files
import locks


def cached(extractor, images, label, *, cache_dir, progress=console.no_progress):
    """Return the features [N, D] of real images, from a file in the cache.

    Extracts them into the file if it is absent, broken or of another network; into the memory
    if it cannot be written.

    Args:
      extractor: an `extractors.Extractor`.
      images: `parts.Images`.
      label: what the images are, for the progress.
      cache_dir: path of the folder for the file.
      progress: function of (label, total) that shows progress, with the members of
        `console.Progress`.
    """
    key, cache_dir = hashlib.sha256(), Path(cache_dir)
    for part in images.parts():
        key.update(part)
    key.update(extractor.key.encode())
    path = cache_dir / f"features_{extractor.name}_{key.hexdigest()[:16]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        if _fits(extractor, features, len(images)):
            return features
    try:
        locks.clear_parts(cache_dir)
        with files.atomic_path(path) as part, progress(label, len(images)) as bar:

            def new(shape, dtype):
                array = np.lib.format.open_memmap(part, "w+", dtype, shape)
                files.allocate(part)  # a full disk raises here; writing the array would crash
                return array

            _extract(extractor, images, new, bar).flush()
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        print(f"note: the features are not cached: {error}")
        with progress(label, len(images)) as bar:
            return _extract(extractor, images, np.empty, bar)


def _fits(extractor, features, count):
    """True if an array from a file can be the features of so many images."""
    width = getattr(extractor, "width", features.shape[-1] if features.ndim else 0)
    shaped = features.dtype.kind == "f" and features.shape == (count, width)
    return shaped and bool(np.isfinite(features).all())


def _extract(extractor, images, new, bar):
    """Return the features of images in an array that `new` makes: (shape, dtype) → array."""
    done, features = 0, None
    for part in images.parts():
        found = extractor(part)[0]
        if features is None:
            features = new((len(images), found.shape[1]), found.dtype)
        features[done : done + len(part)] = found
        done += len(part)
        bar.update(done, "")
    return features
