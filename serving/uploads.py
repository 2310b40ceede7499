"""Pictures to and from a browser. Imports no TensorFlow."""

import base64
import io
from pathlib import PurePosixPath

import numpy as np

import console
import utils
from datasets import pictures
from generation import photos, translate

MAX_NAME = 100  # characters of a file's name in a line


def data_uri(image):
    """Return uint8 [H, W, C] as the data URI of a PNG."""
    stream = io.BytesIO()
    utils.to_pillow(image).save(stream, "PNG")
    return f"data:image/png;base64,{encode(stream.getvalue())}"


def encode(body):
    """Return bytes as base64 text."""
    return base64.b64encode(body).decode()


def file_name(fields):
    """Return the name of an uploaded file, without folders and on one line; "photo" if unknown."""
    name = fields.get("name", "").replace("\\", "/")
    return console.plain(PurePosixPath(name).name)[-MAX_NAME:] or "photo"


def read_photo(body, name, shape, background="white", value_range=None, crop=None):
    """Decode a picture as training images are: upright, in sRGB, and cropped at the centre.

    Args:
      body: bytes of the file.
      name: name of the file, for messages.
      shape: (height, width, channels) of the result.
      background: colour behind transparent pixels.
      value_range: as in `utils.to_mode`: that of the training images.
      crop: (height, width) of a centre box to crop to first, or None.

    Returns:
      (uint8 [height, width, channels], list of lines on what was changed).

    Raises:
      console.Failed: if the file is no picture, is broken, or has over 89 million pixels.
    """

    def decode(file):
        return photos.load_photo(file, shape, background, value_range, crop)

    return _read(decode, body, name, background, value_range, None if crop else shape[:2])


def read_whole(body, name, channels, background="white", value_range=None):
    """Decode a picture at its own size, as `--translate` does.

    Args:
      body, name, background, value_range: as in `read_photo`.
      channels: 1 or 3.

    Returns:
      (uint8 [H, W, channels], list of lines on what was changed).

    Raises:
      console.Failed: if the file is no picture, is broken, or has more than
        `translate.MAX_PIXELS` pixels.
    """

    def decode(file):
        return translate.load_picture(file, channels, background, value_range)

    return _read(decode, body, name, background, value_range)


def _read(decode, body, name, background, value_range, size=None):
    try:
        image, seen = decode(io.BytesIO(body))
    except Exception as error:  # decoders raise errors of any type for broken files
        named = "cannot identify" in str(error)
        reason = "it is no picture of a known kind" if named else console.first_line(error)
        raise console.Failed(f"cannot read {name}: {reason}") from None
    aspects = np.array([seen.aspect]) if size else None
    facts = pictures.summarise([seen], aspects, size, value_range)
    return image, pictures.notes(facts, background)
