"""Photos that a user gives, cropped and converted as training images are."""

import functools
from pathlib import Path

import numpy as np

import console
import utils
from datasets import folders, pictures


def load_photo(file, shape, background, value_range, crop=None):
    """Load a photo as a training image: upright, in sRGB, and cropped at the centre.

    Args:
      file: path of the photo, or an open file.
      shape, background, value_range, crop: as in `read_photos`.

    Returns:
      (uint8 [height, width, channels], its `pictures.Seen`).

    Raises:
      OSError, SyntaxError: if Pillow cannot read it; a broken file may raise other errors.
    """
    seen = pictures.Seen()
    convert = functools.partial(
        pictures.to_mode, background=background, value_range=value_range, seen=seen
    )
    with pictures.strict_pillow():
        return utils.load_image(file, shape[:2], shape[2], crop, convert), seen


def read_photos(path, shape, pattern="*", background="white", value_range=None, crop=None):
    """Read a photo, or the photos of a folder, cropped at the centre.

    Args:
      path: path of a file or a folder.
      shape: (height, width, channels) of the results.
      pattern: pattern of the files' names in a folder.
      background: colour behind transparent pixels.
      value_range: as in `utils.to_mode`: that of the training images.
      crop: (height, width) of a centre box to crop to first, or None.

    Returns:
      (names of the photos that could be read, uint8 [N, height, width, channels], list of lines on
      what was changed in them, and on those that cannot be read).

    Raises:
      console.Failed: if there is no such file or folder, or no image in it that can be read.
    """
    names, open_image = folders.list_input(Path(path), pattern)
    read, images, seen, skipped = [], [], [], []
    for i, name in enumerate(names):
        try:
            image, found = load_photo(open_image(i), shape, background, value_range, crop)
        except Exception as error:  # decoders raise errors of any type for broken files
            skipped.append(f"{name} ({console.first_line(error, 60)})")
            continue
        read.append(console.plain(name))
        images.append(image)
        seen.append(found)
    if not images:
        raise console.Failed(
            console.plain(f"none of {len(skipped)} photos can be read: {skipped[0]}")
        )
    facts = pictures.summarise(seen, np.array([s.aspect for s in seen]), shape[:2], value_range)
    several = sum(s.bits > 0 for s in seen) > 1
    lines = pictures.own_ranges(facts, value_range) if several else []
    lines += pictures.notes(facts, background)
    if skipped:
        listed = console.plain(", ".join(skipped[:5]))
        lines.append(f"skipped {len(skipped)} of {len(names)} photos: {listed}")
    return read, np.stack(images), lines
