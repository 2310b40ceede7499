"""The cache of packed data sets: all pictures decoded once, into one uint8 array on the disk.

`NAME.npy` holds the images. `NAME.json` holds the signature of the pictures, the list of the
unreadable ones, and the facts for the notes. Imports no TensorFlow.
"""

import functools
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

import console
import files
import locks
import utils
from datasets import pictures

JOB = 64  # pictures that a thread decodes before it takes the next


def stem(path, size, *key, **colours):
    """Return the stem of the cache's files: the path's name, the size, and a digest of the key."""
    key = [*key, *(v for v in colours.values() if v not in ("white", None))]  # older caches: none
    text = json.dumps([str(path.resolve()), *key])
    return f"{path.name}_{size[0]}_{size[1]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_or_pack(source, stem, cache_dir, size, crop, workers, **colours):
    """Return the packed images of a source from the cache; pack them first if needed.

    Args:
      source: a `packed.Source` of N pictures.
      stem: name of the files in the cache, without a suffix.
      cache_dir: path of the cache. If it cannot be written, the user's cache is used.
      size: (height, width) of the images.
      crop: (height, width) of the centre box to take first, or None.
      workers: number of decoding threads; 0 takes one for each CPU.
      **colours: the kwargs `background` and `value_range` of `pictures.to_mode`. Without a
        `value_range`, the pictures decide it.

    Returns:
      (uint8 images [K, H, W, C], memory-mapped; the indices of the K readable pictures, int [K];
      names of the skipped pictures, each with the reason; dict of `pictures.summarise`).

    Raises:
      console.Failed: if no picture can be read, or no cache can be written.
    """
    for folder in (Path(cache_dir), *_user_cache()):
        meta, array = folder / f"{stem}.json", folder / f"{stem}.npy"
        found = _read_cache(meta, array, source, size)
        if found:
            return found

        def busy(pid, array=array):
            print(
                f"waiting for process {pid}, which packs the same images into {array}", flush=True
            )

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locks.lock(folder / f".{stem}.lock", busy):
                found = _read_cache(meta, array, source, size)  # another process may have packed
                return found or _fill(meta, array, source, size, crop, workers, **colours)
        except OSError as error:
            reason = error
    raise console.Failed(f"cannot write the packed images to {cache_dir}: {reason}")


def _fill(meta, array, source, size, crop, workers, **colours):
    """Pack a source into the cache, and read it back."""
    locks.clear_parts(array.parent)
    meta.unlink(missing_ok=True)  # written last, so that it never describes half an array
    with files.atomic_path(array) as part:
        bad, facts = _pack(source, part, size, crop, workers, **colours)
    text = {"signature": source.signature, "skipped": bad, "count": len(source.names)}
    files.save_text(meta, json.dumps({**text, "facts": facts}))
    print(console.plain(f"packed {len(source.names) - len(bad)} images into {array}"))
    return _read_cache(meta, array, source, size)


def _user_cache():
    """Return the cache folder in the user's home, in a list; [] if the user has no home."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a container's user may have neither HOME nor a name
        return []
    return [home / "gan-trainer"]


def _read_cache(meta, array, source, size):
    """Return the result of `read_or_pack`; None if the cache is absent, broken or outdated."""
    try:
        kept, count = json.loads(meta.read_text()), len(source.names)
        if (kept["signature"], kept["count"]) != (source.signature, count):
            return None
        images = np.load(array, mmap_mode="r", allow_pickle=False)
        skipped = {int(index): str(name) for index, name in kept["skipped"].items()}
        keep = np.delete(np.arange(count), list(skipped))
        shapes = [(len(keep), *size, channels) for channels in (1, 3)]
        if images.dtype != np.uint8 or images.shape not in shapes or not len(keep):
            return None
        pictures.notes(kept["facts"])  # raises an error for broken facts
        return images, keep, list(skipped.values()), kept["facts"]
    except Exception:  # JSON and NumPy raise many types of error for a broken file
        return None


def _pack(source, part, size, crop, workers, background="white", value_range=None):
    """Decode all pictures into the .npy file `part`.

    Returns:
      ({index: name} of unreadable pictures, dict of `pictures.summarise`).
    """
    count = len(source.names)
    with pictures.strict_pillow():
        channels = 1 if all_gray(source) else 3
    array = _new_array(part, (count, *size, channels))
    bad, seen, aspects = {}, {}, np.ones(count)  # `seen`: pictures that need a note

    def decode(i, value_range=value_range):
        found = pictures.Seen()
        convert = functools.partial(
            pictures.to_mode, background=background, value_range=value_range, seen=found
        )
        try:
            array[i] = utils.load_image(source.open(i), size, channels, crop, convert)
        except console.Failed:
            raise
        except Exception as error:  # decoders raise many types for a broken file
            bad[i] = console.plain(f"{source.names[i]} ({_reason(error)})")
            return
        aspects[i] = found.aspect
        if found.is_told():
            seen[i] = found

    _for_each(decode, range(count), workers)
    if len(bad) == count:
        raise console.Failed(f"none of {count} images can be read, the first is {bad[0]}")
    cut = None if crop else np.delete(aspects, list(bad))
    facts = pictures.summarise([seen[i] for i in sorted(seen)], cut, size, value_range)
    if "value_range" in facts and not value_range:  # the first pass used each picture's own range
        wide = [i for i in sorted(seen) if seen[i].bits]
        _for_each(functools.partial(decode, value_range=facts["value_range"]), wide, workers)
    if bad:
        _compact(array, part, [i for i in range(count) if i not in bad])
    return {str(i): bad[i] for i in sorted(bad)}, facts


def _for_each(function, indices, workers):
    """Call a function with each index, in threads, and show the progress."""
    done, count = 0, len(indices)

    def job(start):
        for i in indices[start : start + JOB]:
            function(i)

    with (
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        console.Progress("packing images", count) as bar,
        pictures.strict_pillow(),
    ):
        try:
            for future in as_completed([pool.submit(job, i) for i in range(0, count, JOB)]):
                future.result()
                done = min(done + JOB, count)
                bar.update(done, "")
        except BaseException:  # also on Ctrl-C: drop the queued jobs
            pool.shutdown(cancel_futures=True)
            raise


def _reason(error):
    """Return an error in a few words, without the path that Pillow adds."""
    named = "cannot identify" in str(error)
    return type(error).__name__ if named else console.first_line(error, 60)


def _compact(array, part, keep):
    """Rewrite the .npy file `part` with the images of the indices `keep`."""
    with files.atomic_path(part) as other:
        kept = _new_array(other, (len(keep), *array.shape[1:]))
        for i in range(0, len(keep), 1024):
            kept[i : i + 1024] = array[keep[i : i + 1024]]
        kept.flush()


def _new_array(path, shape):
    """Create a memory-mapped .npy file of uint8, and allocate its disk space."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    files.allocate(path)  # a full disk raises here; writing a mapped page would crash
    return array


def all_gray(source):
    """Return whether all readable pictures are gray. Reads headers up to the first in colour."""
    if source.images is not None:
        return source.images.shape[-1] == 1
    gray = 0
    for i in range(len(source.names)):
        try:
            with utils.open_image(source.open(i)) as image:
                if image.mode not in utils.GRAY_MODES:
                    return False
                gray += 1
        except console.Failed:
            raise
        except Exception:  # `_pack` reports it
            continue
    return gray > 0
