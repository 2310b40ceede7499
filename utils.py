"""Pictures: loading with a centre crop, conversion, grids, image files and animations.

Images are NumPy arrays, uint8 in [0, 255] or float32 in [-1, 1], of shape [H, W, C] or
[N, H, W, C], where C is 1 or 3. Imports no TensorFlow.
"""

import contextlib
import math
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

import files

# Formats that are read, whatever the file's name. Pillow reads more, but some formats start other
# programs (EPS), and some have no signature, so any file would match.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
LARGE = 1 << 23  # pixels; pictures above this are decoded one at a time, to bound the memory
_LARGE_LOCK = threading.Lock()
ROWS = 64  # rows of a 16-bit picture that are converted at a time
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values for a quarter turn
GRAY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def crop_box(width, height, target, crop=None):
    """Return the largest centred box with the target's aspect ratio.

    Args:
      width, height: size of the image in pixels.
      target: (height, width); only the ratio counts.
      crop: (height, width) of a centre box that the result stays inside. It is clipped to the
        image.

    Returns:
      (left, top, right, bottom) in pixels, floats.
    """
    inner_h, inner_w = (min(a, b) for a, b in zip((height, width), crop or (height, width)))
    scale = min(inner_h / target[0], inner_w / target[1])
    box_h, box_w = target[0] * scale, target[1] * scale
    left, top = (width - box_w) / 2, (height - box_h) / 2
    return left, top, left + box_w, top + box_h


def to_mode(image, channels, background="white", value_range=None):
    """Return a Pillow image in mode "L" or "RGB", upright by EXIF, composed onto a colour.

    Args:
      image: a Pillow image of any mode.
      channels: 1 for "L" or 3 for "RGB".
      background: name or #rrggbb of the colour behind transparent pixels.
      value_range: (low, high), the values that become 0 and 255, for gray images of 16 or 32
        bits; None for the image's own `find_range`.
    """
    image = ImageOps.exif_transpose(image)
    if is_wide(image):  # Pillow would clip the values to 8 bits
        stored = np.asarray(image)
        image = Image.fromarray(to_8_bits(stored, value_range or find_range([stored])))
    if has_alpha(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("L" if channels == 1 else "RGB")


def is_wide(image):
    """Return whether a Pillow image is gray with 16 or 32 bits a pixel."""
    return image.mode[0] in "IF"


def has_alpha(image):
    """Return whether a Pillow image has an alpha channel or a transparent colour."""
    return bool({"A", "a"} & {*image.getbands()}) or "transparency" in image.info


def find_range(blocks):
    """Return the (low, high) range in which the values of arrays lie.

    For integers, `high` is the smallest 2^k - 1 with k >= 8 that no value exceeds, and `low` is 0,
    or the minimum if it is negative. For floats, the range is (0, 1) if it holds all values, or
    else the minimum and the maximum. Ignores values that are not finite.

    Args:
      blocks: iterable of arrays of one dtype.
    """
    lows, highs, whole = [], [], True
    for block in blocks:
        whole = whole and block.dtype.kind in "iu"
        values = block if whole else block[np.isfinite(block)]
        if values.size:
            lows.append(values.min().item())
            highs.append(values.max().item())
    low, high = min(lows, default=0), max(highs, default=0)
    if whole:
        return min(low, 0), max(255, 2 ** int(high).bit_length() - 1) if high > 0 else 255
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1.0


def to_8_bits(stored, value_range):
    """Map values linearly to uint8: (low, high) to (0, 255). Clips other values; NaN becomes 0.

    Works in blocks of rows, because a large picture in float64 may take 700 MB.
    """
    low, high = value_range
    out = np.empty(stored.shape, np.uint8)
    for top in range(0, len(stored), ROWS):
        values = stored[top : top + ROWS].astype(np.float64)
        values = np.nan_to_num((values - low) * (255 / (high - low)))
        out[top : top + ROWS] = values.clip(0, 255).round()
    return out


def open_image(file):
    """Open a file or path as a Pillow image, or return a Pillow image as it is.

    Raises OSError if the file has none of `FORMATS`.
    """
    return file if isinstance(file, Image.Image) else Image.open(file, formats=FORMATS)


def load_image(image, size, channels, crop=None, convert=None):
    """Load an image, crop it at the centre and resize it.

    Args:
      image: a Pillow image of any mode, or a path.
      size: (height, width) of the result. The image is cropped to this aspect ratio, never
        stretched.
      channels: 1 or 3.
      crop: (height, width) of a centre box to crop to first.
      convert: function like `to_mode`, of (image, channels).

    Returns:
      uint8 [height, width, channels].

    Raises:
      OSError, ValueError, SyntaxError: if Pillow cannot read the file; a broken file may raise
        other errors.
    """
    convert = convert or to_mode
    if isinstance(image, Image.Image):
        image = convert(image, channels)
    else:
        with open_image(image) as file:
            if file.format == "JPEG" and not crop:  # decode at 1/2, 1/4 or 1/8 size
                wanted = 2 * size[1], 2 * size[0]
                turned = file.getexif().get(ORIENTATION, 1) in TURNED
                file.draft(None, wanted[::-1] if turned else wanted)
            large = file.width * file.height > LARGE
            with _LARGE_LOCK if large else contextlib.nullcontext():
                image = convert(file, channels)
    box = crop_box(*image.size, size, crop)
    if (image.height, image.width) != tuple(size) or box != (0, 0, *image.size):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, np.uint8).reshape(*size, channels)


def to_float(images):
    """Map uint8 in [0, 255] to float32 in [-1, 1].

    Args:
      images: a NumPy array or a TensorFlow tensor of any shape.

    Returns:
      The same kind, of the same shape.
    """
    if isinstance(images, np.ndarray):
        return images.astype(np.float32) / 127.5 - 1
    import tensorflow as tf

    return tf.cast(images, tf.float32) / 127.5 - 1


def to_uint8(images):
    """Map floats in [-1, 1] to uint8 in [0, 255]. Values outside of the range are clipped.

    The mapping is the same for all images, so a wrong output range of a generator is visible.
    """
    return np.round((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)


def class_columns(classes):
    """Return the columns of a grid with one column for each class, or None.

    It is `classes` for 2 to 16 classes. With more, the grid would be too wide.
    """
    return classes if 2 <= classes <= 16 else None


def make_grid(images, columns=None):
    """Tile images row by row.

    Args:
      images: [N, H, W, C], any dtype.
      columns: ceil(sqrt(N)) by default.

    Returns:
      [rows·H, columns·W, C] of the same dtype. Empty cells are 0 (black in uint8).
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, channels), images.dtype)
    cells[:count] = images
    cells = cells.reshape(rows, columns, height, width, channels)
    return cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def to_pillow(image):
    """Return uint8 [H, W, C] as a Pillow image, of mode "L" if C is 1."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def read_image(path):
    """Read a PNG that `save_image` wrote, as uint8 [H, W, C]."""
    with Image.open(path) as image:
        values = np.asarray(image)
    return values.reshape(*values.shape[:2], -1)


def enlarge(images, shape):
    """Resize images [..., H, W, C] to the height and width of `shape`, by nearest neighbour."""
    rows, columns = (np.arange(n) * old // n for n, old in zip(shape[-3:-1], images.shape[-3:-1]))
    return images[..., rows[:, None], columns, :]


def side_by_side(left, right, gap=8):
    """Join two uint8 images [H, W, C] with `gap` white pixels between them.

    The image of smaller height is padded with white at the bottom.
    """
    height = max(left.shape[0], right.shape[0])
    pads = [
        ((0, height - i.shape[0]), (0, extra), (0, 0)) for i, extra in ((left, gap), (right, 0))
    ]
    parts = [np.pad(i, p, constant_values=255) for i, p in zip((left, right), pads)]
    return np.concatenate(parts, 1)


def save_image(path, image, text=None):
    """Write a PNG and return the path.

    Args:
      path: path of the file.
      image: uint8 [H, W, C].
      text: dict of names and texts to store in the file, for `read_text`; or None.

    Raises:
      OSError: if the file cannot be written.
    """
    info = PngImagePlugin.PngInfo()
    for name, value in (text or {}).items():
        info.add_text(name, value)
    with files.atomic_path(path) as part:
        to_pillow(image).save(part, pnginfo=info)
    return path


def read_text(path):
    """Return the texts that `save_image` stored in a PNG, as a dict; {} for a broken file."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return {name: text for name, text in image.info.items() if isinstance(text, str)}
    except Exception:  # Pillow raises many kinds of errors for broken files
        return {}


def save_animation(path, frames, seconds=None, hold=1.0):
    """Write a GIF or WebP that plays for ever, and return the path.

    Args:
      path: ends with .gif or .webp.
      frames: uint8 [N, H, W, C], or a list of uint8 [H, W, C]; at least one.
      seconds: length of one round without the hold; N / 10 by default. Frames that would be
        shorter than 0.02 s last 0.02 s.
      hold: additional seconds for the last frame.

    Raises:
      OSError: if the file cannot be written.
    """
    ends = np.linspace(0, 100 * (seconds or len(frames) / 10), len(frames) + 1)
    # GIF counts in 10 ms, and browsers show frames shorter than 20 ms for 100 ms.
    duration = np.maximum(10 * np.diff(ends.round()), 20)
    duration[-1] += 1000 * hold
    duration = duration.astype(int).tolist() if len(frames) > 1 else 1000
    webp = Path(path).suffix == ".webp"
    options = {"quality": 80, "method": 2} if webp else {"optimize": False}
    first, *others = map(to_pillow, frames)
    with files.atomic_path(path) as part:
        options |= {"append_images": others, "duration": duration, "loop": 0}
        first.save(part, save_all=True, **options)
    return path
