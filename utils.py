"""Images in and out: centre-crop loading, sample grids, animations, atomic writes.

Images are NumPy arrays, uint8 in [0, 255] or float32 in [-1, 1], of shape [H, W, C] or
[N, H, W, C]. Imports no TensorFlow.
"""

import importlib.util
import math
import threading
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageOps

import files

# What a picture may be, by its content. Pillow knows more: some start other programs (EPS), and
# some have no mark of their own, so that anything may be one of them.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
LARGE = 1 << 23  # pixels; of larger pictures one is decoded at a time
_ONE_LARGE = threading.Lock()
ROWS = 64  # of a picture of 16 bits, at a time
GRAY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def crop_box(width, height, target, crop=None):
    """The largest centred box of the target's shape, in pixels (left, top, right, bottom).

    Args:
      width, height: of the image.
      target: (height, width) whose aspect ratio the box has, so that nothing is stretched.
      crop: (height, width) of a centre box to stay inside, itself held inside the image.
    """
    inner_h, inner_w = (min(a, b) for a, b in zip((height, width), crop or (height, width)))
    scale = min(inner_h / target[0], inner_w / target[1])
    box_h, box_w = target[0] * scale, target[1] * scale
    left, top = (width - box_w) / 2, (height - box_h) / 2
    return left, top, left + box_w, top + box_h


def to_mode(image, channels):
    """A Pillow image turned upright, its transparency laid on white, as "L" or "RGB"."""
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 16 bits a pixel, or 32: scale to 8 rather than clip
        image = _to_8_bits(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _to_8_bits(image):
    """A gray image of 16 or 32 bits, some rows at a time: in float64 a large one is 700 MB."""
    stored = np.asarray(image)
    wide = image.mode.startswith("I;16") or stored.max() > 255
    out = np.empty(stored.shape, np.uint8)
    for top in range(0, len(stored), ROWS):
        values = np.nan_to_num(stored[top : top + ROWS].astype(np.float64))
        out[top : top + ROWS] = (values / 257 if wide else values).clip(0, 255).round()
    return Image.fromarray(out)


def open_image(file):
    """A file, or its path, as a Pillow image: of the kinds that we read, whatever its name."""
    return Image.open(file, formats=FORMATS)


def load_image(image, size, channels, crop=None):
    """Crop at the centre, resize, and return uint8 [H, W, C].

    Args:
      image: a Pillow image of any mode, or a file's path.
      size: (height, width) wanted; the image is cropped to this shape, never stretched.
      channels: 1 or 3.
      crop: (height, width) of the centre box to take first.

    Raises:
      OSError, ValueError and others of Pillow where a file is not a readable image.
    """
    if not isinstance(image, Image.Image):
        with open_image(image) as file:
            if file.format == "JPEG" and not crop:  # decode at 1/2, 1/4, 1/8 where enough
                file.draft(None, (2 * size[1], 2 * size[0]))
            if file.width * file.height > LARGE:
                with _ONE_LARGE:
                    return load_image(to_mode(file, channels), size, channels, crop)
            return load_image(to_mode(file, channels), size, channels, crop)
    image = to_mode(image, channels)
    box = crop_box(*image.size, size, crop)
    if (image.height, image.width) != tuple(size) or box != (0, 0, *image.size):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, np.uint8).reshape(*size, channels)


def to_float(images):
    """Map pixels 0 to 255, float32, to [-1, 1]. Takes NumPy arrays and tensors."""
    return images / 127.5 - 1


def to_uint8(images):
    """[-1, 1] → [0, 255] with a fixed mapping, so that a fault in the range shows."""
    return np.round((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)


def make_grid(images, columns=None):
    """Tile images [N, H, W, C] row by row into one [rows·H, columns·W, C], black where none.

    `columns` is ceil(sqrt(N)) unless given.
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
    """A PNG as uint8 [H, W, C]."""
    with Image.open(path) as image:
        values = np.asarray(image)
    return values.reshape(*values.shape[:2], -1)


def enlarge(images, shape):
    """Images [..., H, W, C] at the size of `shape` [..., H, W, C], each pixel repeated."""
    rows, columns = (np.arange(n) * own // n for n, own in zip(shape[-3:-1], images.shape[-3:-1]))
    return images[..., rows[:, None], columns, :]


def side_by_side(left, right, gap=8):
    """Two images [H, W, C] on white, at their own heights, `gap` pixels apart."""
    height = max(left.shape[0], right.shape[0])
    pads = [
        ((0, height - i.shape[0]), (0, extra), (0, 0)) for i, extra in ((left, gap), (right, 0))
    ]
    parts = [np.pad(i, p, constant_values=255) for i, p in zip((left, right), pads)]
    return np.concatenate(parts, 1)


def save_image(path, image):
    """Write uint8 [H, W, C] as a PNG; return the path."""
    with files.atomic_path(path) as part:
        to_pillow(image).save(part)
    return path


def save_animation(path, frames, seconds=None, hold=1.0):
    """Write uint8 [N, H, W, C] (or a list of [H, W, C]) as a GIF or WebP, by the suffix.

    It plays for `seconds` in all (a tenth of a second a frame unless given), shows the last
    frame for `hold` seconds more, and begins again.
    """
    ends = np.linspace(0, 100 * (seconds or len(frames) / 10), len(frames) + 1)
    # A GIF counts in 10 ms, and browsers show what is shorter than 20 ms for 100.
    duration = np.maximum(10 * np.diff(ends.round()), 20)
    duration[-1] += 1000 * hold
    frames = [f[..., 0] if f.shape[-1] == 1 else f for f in frames]
    webp = Path(path).suffix == ".webp"
    options = {"quality": 80, "method": 2} if webp else {"optimize": False}
    with files.atomic_path(path) as part:
        duration = duration.astype(int).tolist() if len(frames) > 1 else 1000
        options |= {"duration": duration, "loop": 0, "extension": part.suffix}
        # By way of memory: where a file's end cannot be written, the plugin prints a traceback.
        part.write_bytes(iio.imwrite("<bytes>", frames, plugin="pillow", **options))
    return path


def save_video(path, frames, rate):
    """Write frames as an MP4 where the optional library `av` is installed; return path or None.

    H.264 wants even sizes: an odd row or column is repeated.
    """
    if importlib.util.find_spec("av") is None:
        return None
    frames = [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0)), "edge") for f in frames]
    frames = np.stack([np.broadcast_to(f, (*f.shape[:2], 3)) for f in frames])
    with files.atomic_path(path) as part:
        iio.imwrite(part, frames, plugin="pyav", codec="libx264", fps=rate)
    return path
