"""Converts pictures of any kind to 8-bit sRGB, and makes notes on what this changes.

Imports no TensorFlow.
"""

import contextlib
import dataclasses
import functools
import io
import warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps

import utils

SRGB_TOLERANCE = 3  # levels by which a profile may differ from sRGB and still count as sRGB
MAX_CUT = 0.1  # mean share of a picture that is cut away without a note
SIZES = (8, 1024)  # limits of the sizes that a note names, those of --output_height
PROFILE_MODES = {"RGB ": "RGB", "CMYK": "CMYK"}  # colour space of a profile → Pillow's mode
COUNTED = ("animated", "cut_bits", "transparent", "converted", "broken")  # attributes of `Seen`


@dataclasses.dataclass(slots=True)
class Seen:
    """What was found in one picture.

    Attributes:
      aspect: width / height, upright.
      bits: bits of a value if the picture is gray and has more than 8, else 0.
      extremes: (lowest, highest) value of such a picture, as an array, or None.
      animated: True if its file has more frames or pages. The first is used.
      cut_bits: True for 16 bits a channel in colour. Pillow keeps the high byte.
      transparent: True if the background shows through.
      converted: True if its colours were converted by its profile.
      broken: True if its profile cannot be used.
    """

    aspect: float = 1.0
    bits: int = 0
    extremes: np.ndarray | None = None
    animated: bool = False
    cut_bits: bool = False
    transparent: bool = False
    converted: bool = False
    broken: bool = False

    def is_told(self):
        """Return whether a note counts this picture."""
        return self.bits > 0 or any(getattr(self, name) for name in COUNTED)


def to_mode(image, channels, background="white", value_range=None, seen=None):
    """Return a Pillow image as `utils.to_mode` does, with its colours converted to sRGB.

    The image itself is turned upright. A profile of a gray image is ignored.

    Args:
      image, channels, background, value_range: as in `utils.to_mode`.
      seen: a `Seen` to fill in, or None.
    """
    seen = seen or Seen()
    profile = image.info.get("icc_profile")
    # The other pictures in a JPEG file are previews and maps of depth.
    seen.animated = image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False)
    seen.cut_bits = not utils.is_wide(image) and ";16" in _raw_mode(image)
    ImageOps.exif_transpose(image, in_place=True)
    seen.aspect = image.width / image.height
    coloured = image.mode not in utils.GRAY_MODES
    if utils.is_wide(image):
        stored = np.asarray(image)
        finite = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
        seen.bits = 16 if image.mode.startswith("I;16") else 32
        seen.extremes = np.array([finite.min(), finite.max()]) if finite.size else finite
    elif utils.has_alpha(image):
        image = image.convert("RGBA")
        seen.transparent = image.getchannel("A").getextrema()[0] < 255
    if profile and coloured:
        image = _to_srgb(image, profile, seen)
    return utils.to_mode(image, channels, background, value_range)


@contextlib.contextmanager
def strict_pillow():
    """Make Pillow refuse pictures of over 89 million pixels, and silence its other warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _raw_mode(image):
    """Return how an opened file stores its pixels, such as "RGB;16B", or "" if unknown."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


# ---- colour profiles ---------------------------------------------------------------------


def _to_srgb(image, profile, seen):
    """Convert a colour image from its ICC profile, bytes, to sRGB. Keeps an alpha channel."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image if image.mode == "CMYK" else image.convert("RGB")
    try:
        transform = srgb_transform(profile, colours.mode)
        if transform is None:
            return image
        colours = ImageCms.applyTransform(colours, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        seen.broken = True
        return image
    if alpha is not None:
        colours.putalpha(alpha)
    seen.converted = True
    return colours


@functools.lru_cache(256)  # the pictures of one camera have the same profile
def srgb_transform(profile, mode):
    """Return the ImageCms transform from a profile to sRGB, or None if the profile is sRGB.

    Relative colorimetric with black point compensation: colours inside sRGB are kept, and the
    white of paper becomes white. The transform may be used by several threads.

    Args:
      profile: bytes of an ICC profile.
      mode: "RGB" or "CMYK", the mode of the images.

    Raises:
      ImageCms.PyCMSError, OSError, ValueError: if the profile is broken, or is of another mode.
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = opened.profile.xcolor_space
    if PROFILE_MODES.get(space) != mode:
        raise ValueError(f"a profile of {space} in an image of {mode}")
    transform = ImageCms.buildTransform(
        opened,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # Without the cache of the last pixel, threads can share a transform.
        ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
    )
    if space == "RGB ":  # judged by its effect: sRGB profiles have many names
        levels = np.linspace(0, 255, 9).round().astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
        found = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform))
        if np.abs(found.astype(int) - cube).max() <= SRGB_TOLERANCE:
            return None
    return transform


# ---- the notes on a set ------------------------------------------------------------------


def summarise(seen, aspects=None, size=None, value_range=None):
    """Return the facts of a set that need a note, as a dict for JSON.

    Args:
      seen: list of the `Seen` of all pictures that a note counts.
      aspects: float [N], width / height of all pictures, if they are cropped to an output's shape.
      size: (height, width) of the output.
      value_range: as in `utils.to_mode`; None finds that of the pictures.
    """
    counts = {name: sum(getattr(s, name) for s in seen) for name in COUNTED}
    facts = {name: count for name, count in counts.items() if count}
    if wide := [s for s in seen if s.bits]:
        facts["bits"] = max(s.bits for s in wide)
        facts["value_range"] = value_range or list(utils.find_range([s.extremes for s in wide]))
    if aspects is not None and _mean_cut(aspects, size[1] / size[0]) > MAX_CUT:
        facts["cut"] = _mean_cut(aspects, size[1] / size[0])
        mean = float(np.exp(np.log(aspects).mean()))
        if _mean_cut(aspects, mean) <= MAX_CUT:
            facts["aspect"] = mean
    return facts


def _mean_cut(aspects, wanted):
    """Return the mean share of pictures that a crop to another width / height cuts away."""
    return float(np.mean(1 - np.minimum(aspects / wanted, wanted / aspects)))


def notes(facts, background="white", output=None):
    """Return the lines that tell what `summarise` found.

    Args:
      facts: dict of `summarise`.
      background: the colour behind transparent pixels.
      output: (height, width, multiple): the size of the run's images, and the number that divides
        all sizes it may have, 0 if it has no other size. None if unknown.
    """
    texts = {
        "animated": "only the first frame or page is used of {} with several",
        "cut_bits": "the higher 8 of 16 bits a channel are used in {}",
        "transparent": f"{background} fills the transparent pixels of {{}} (--background chooses "
        "another colour)",
        "converted": "the colours of {} are converted to sRGB, by the profiles in the files",
        "broken": "the colour profiles of {} cannot be used, and are ignored",
    }
    lines = []
    if "value_range" in facts:
        lines.append(range_note(facts["bits"], facts["value_range"]))
    for name, line in texts.items():
        if count := facts.get(name):
            lines.append(line.format(f"{count} picture{'s' if count > 1 else ''}"))
    if "cut" in facts:
        cut = f"the centre crop cuts away {100 * facts['cut']:.0f} % of a picture on average"
        lines.append(cut + _advice(facts.get("aspect"), output))
    return lines


def range_note(bits, value_range):
    """Return the line on the range of a set of gray pictures of 16 or 32 bits, or of arrays."""
    low, high = (f"{value:.10g}" for value in value_range)
    return f"{bits}-bit pictures: values {low} to {high} become 0 to 255"


def own_ranges(facts, value_range):
    """Return a list with the line on gray pictures of more than 8 bits, each of its own range.

    Args:
      facts: dict of `summarise`, from which the range of all of them is removed.
      value_range: the range of values that all of them were converted from, or None.
    """
    if value_range or not facts.pop("value_range", None):
        return []
    return [f"{facts['bits']}-bit pictures: each has its own range of values"]


def _advice(aspect, output):
    """Return the end of the note on cropping: a flag that keeps more, or ""."""
    if not aspect or not output or not output[2]:
        return ""
    height, width, multiple = output
    wider = aspect > width / height
    flag, side = ("width", height * aspect) if wider else ("height", width / aspect)
    side = multiple * round(side / multiple)
    if not SIZES[0] <= side <= SIZES[1] or side == (width if wider else height):
        return ""
    return f": --output_{flag} {side} would keep it"
