"""Test mode of CycleGAN: whole folders, or any image, from one domain into the other."""

from pathlib import Path

import numpy as np
from PIL import Image

import console
import files
import utils
from datasets import folders
from runs import trained

FOLDERS = {"A2B": ("testA", "fakeB"), "B2A": ("testB", "fakeA")}
MULTIPLE = 4  # of which the generators' sizes are, by two halvings
LEAST = 16  # pixels of a side: smaller ones have nothing to reflect inside the network
MOST = 2**22  # pixels of an image: the networks of the paper take about 1 KB for each
# How a file is written in its own format; those of other formats are written as PNG beside theirs.
FORMATS = {
    ".jpg": {"quality": 95},
    ".jpeg": {"quality": 95},
    ".png": {},
    ".bmp": {},
    ".webp": {"lossless": True},
}


def pictures(
    folder, *, dataset, data_dir, sample_dir, input_fname_pattern, translate, input, output
):
    """Translate what is asked for with the generators in `folder`, path by path as it is written.

    Args:
      translate: "A2B" or "B2A", of the image or folder `input` into the folder `output`; or
        None: of the data set's test images, into fakeB and fakeA in `sample_dir`.

    Raises:
      utils.Failed: where there is nothing to translate.
    """
    ways = {translate: FOLDERS[translate]} if translate else FOLDERS
    for way, (source, target) in ways.items():
        path, into = Path(input or Path(data_dir) / dataset / source), Path(sample_dir) / target
        if not input and not path.exists() and (Path(dataset) / source).is_dir():
            path = Path(dataset) / source  # the data set is a path
        into = Path(output or into)
        home = path if path.is_dir() else path.parent
        _check_apart(into.resolve(), home.resolve(), nested=path.is_dir())
        generator = trained.load_translator(Path(folder) / f"generator_{way}.keras")
        yield from _translate_all(generator, path, into, input_fname_pattern)


def _check_apart(into, home, *, nested):
    """Raise utils.Failed where what is written could take the place of what is read."""
    if into == home or (nested and (into in home.parents or home in into.parents)):
        raise console.Failed(
            f"--output={into} is where the images are: give a folder apart from it"
        )


def _translate_all(generator, path, into, pattern):
    if path.is_dir():
        source = folders.read_folder(path, pattern=pattern)
        names, opened = source.names, [source.open(i) for i in range(len(source.names))]
    elif path.is_file():
        names, opened = [path.name], [path]
    else:
        raise console.Failed(f"no image or folder {path}")
    channels = generator.inputs[0].shape[-1]
    network = _compiled(generator, channels)
    done, bad = 0, []
    with console.Progress(f"translating {path}", len(names)) as bar:
        for i, (name, file) in enumerate(zip(names, opened)):
            try:
                image = _load(file, channels)
            except Exception as error:  # whatever a broken file makes of a decoder
                bad.append(f"{name} ({console.first_line(error, 60)})")
                continue
            yield _save(into / name, translate_image(network, image))
            done += 1
            bar.update(i + 1)
    if not done:
        raise console.Failed(
            console.plain(f"none of {len(bad)} images can be translated: {bad[0]}")
        )
    if bad:
        print(console.plain(f"skipped {len(bad)} of {len(names)} images: {', '.join(bad[:5])}"))


def _compiled(generator, channels):
    """A generator as one function, which keeps no layer's output longer than it is needed."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None, None, None, channels])]
    return tf.function(lambda x: generator(x, training=False), input_signature=signature)


def _load(file, channels):
    """uint8 [H, W, C] of a file, upright, of its own size."""
    with utils.open_image(file) as image:
        if image.width * image.height > MOST:
            raise ValueError(f"{image.width}x{image.height} are more than {MOST} pixels")
        pixels = np.asarray(utils.to_mode(image, channels))
    return pixels.reshape(*pixels.shape[:2], channels)


def translate_image(network, image):
    """uint8 [H, W, C] → the same shape, translated.

    It is padded by reflection to a size that the network takes, and the result cropped back.
    """
    pads = []
    for side in image.shape[:2]:
        spare = max(LEAST, -(-side // MULTIPLE) * MULTIPLE) - side
        pads.append((spare // 2, spare - spare // 2))
    padded = np.pad(image, (*pads, (0, 0)), "symmetric")
    x = padded[None].astype(np.float32) / 127.5 - 1
    made = utils.to_uint8(np.asarray(network(x))[0])
    (top, _), (left, _) = pads
    return made[top : top + image.shape[0], left : left + image.shape[1]]


def _save(path, image):
    """Write an image in the format of its name, or as NAME.png; return the path."""
    options = FORMATS.get(path.suffix.lower())
    if options is None:
        path, options = path.with_name(path.name + ".png"), {}
    with files.atomic_path(path) as part:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(part, **options)
    return path
