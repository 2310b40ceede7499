"""Test mode of CycleGAN: translates folders or single images from one domain to the other."""

import os
from pathlib import Path

import numpy as np

import console
import files
import utils
from datasets import folders, packed
from datasets import pictures as decoding
from runs import trained

DOMAINS = (("A", "B"), ("B", "A"))  # (source, target) of each direction
# Direction, as in generator_A2B.keras → folders of its test images and of their translations.
FOLDERS = {f"{a}2{b}": (f"test{a}", f"fake{b}") for a, b in DOMAINS}
MAX_NAME = 255  # bytes in the name of a file, on all usual file systems
MULTIPLE = 4  # the generators halve each side twice
MIN_SIDE = 16  # pixels that the generators' reflection padding needs
MAX_PIXELS = 2**22  # of an image; the paper's networks take about 1 KB for each pixel
# Pillow's options by suffix. Images of other formats are written as PNG.
FORMATS = {
    ".jpg": {"quality": 95},
    ".jpeg": {"quality": 95},
    ".png": {},
    ".bmp": {},
    ".webp": {"lossless": True},
}


def pictures(
    folder,
    *,
    dataset,
    data_dir,
    sample_dir,
    input_fname_pattern,
    translate,
    input,
    output,
    background="white",
    value_ranges=(None, None),
):
    """Translate images with the generators of a run; yield each path once its file is written.

    By default, the test images of both domains are translated: those in the folder testA of the
    data set into SAMPLE_DIR/fakeB, and testB into fakeA.

    Args:
      folder: the run's folder, with generator_A2B.keras and generator_B2A.keras.
      dataset: the data set, see `datasets.packed.locate`.
      data_dir: folder of the data sets.
      sample_dir: folder for the translations.
      input_fname_pattern: file names to take from a folder, such as "*.png".
      translate: "A2B" or "B2A", to translate `input` alone; None for the default.
      input: path of an image or folder.
      output: folder for the translations of `input`.
      background: the colour behind transparent pixels.
      value_ranges: of A and of B, each as in `utils.to_mode`: those of the training images.

    Raises:
      Failed: if no image is found, none can be read, the output folder holds the input, or a file
        of others would be overwritten.
    """
    if translate:
        path = Path(input)
        found = {translate: (path, *folders.list_input(path, input_fname_pattern))}
    else:
        path = packed.locate(dataset, data_dir)
        found = _find_tests(path, input_fname_pattern)
    for direction, (path, names, open_image) in found.items():
        target = Path(output or Path(sample_dir) / FOLDERS[direction][1])
        nested = not path.is_file()
        source_dir = path if nested else path.parent
        if not output and target.is_symlink():
            raise console.Failed(f"{target} is a link: remove it, or give --translate and --output")
        _check_apart(target.resolve(), source_dir.resolve(), nested=nested)
        generator = trained.load_translator(Path(folder) / f"generator_{direction}.keras")
        _claim(target, names)
        colours = background, value_ranges[list(FOLDERS).index(direction)]
        yield from _translate_all(generator, path, names, open_image, target, *colours)


def _find_tests(path, pattern):
    """Find the test images of a data set, a folder or a zip file.

    Returns:
      direction → (path of the folder of test images, names, function of an index that opens one).

    Raises:
      Failed: if one of the folders is missing or has no images.
    """
    found, missing = {}, []
    for direction, (folder, _) in FOLDERS.items():
        try:
            source = folders.read_folder(path, pattern=pattern, part=folder)
            found[direction] = path / folder, source.names, source.open
        except packed.NoImages:
            missing.append(folder)
    if missing:
        raise console.Failed(
            f"no test images in {path}: the folder {' and the folder '.join(missing)} is missing or"
            " empty; to translate other images, give --translate A2B (or B2A) and --input PATH"
        )
    return found


def _check_apart(target, source, *, nested):
    """Raise Failed if files written into `target` could overwrite those read from `source`.

    `nested`: `source` is read with its subfolders.
    """
    if target == source or (nested and (target in source.parents or source in target.parents)):
        raise console.Failed(f"--output={target} is where the images are: give a separate folder")


def _claim(target, names):
    """Mark the translations in the folder `target` as outputs, which are never read as data.

    Args:
      target: Path of the folder for the translations. A new or empty folder is marked as a whole.
      names: paths of the images below their folder.

    Raises:
      Failed: if a file of others would be overwritten.
    """
    if any(files.is_output(folder) for folder in (target, *target.parents)):
        return
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        files.mark_output(target)
        return
    found = {}
    for path in (_written(target / name) for name in names):
        found.setdefault(path.parent, set()).add(path.name)
    for folder, made in found.items():
        for name in sorted(made - files.output_names(folder)):
            if (folder / name).exists():
                raise console.Failed(
                    f"{folder / name} is there, and not a translation of this program: give "
                    "another --output"
                )
    for folder, made in found.items():
        files.mark_output(folder, made)


def _translate_all(generator, path, names, open_image, target, background, value_range):
    """Translate images; yield each path once its file is written.

    Images that cannot be read are skipped, and named at the end.

    Args:
      generator: Keras model, see `trained.load_translator`.
      path: the place of the images, for messages.
      names: their paths below it, and below `target`.
      open_image: function of an index that returns a path or an open file.
      target: Path of the folder for the translations.
      background: the colour behind transparent pixels.
      value_range: as in `utils.to_mode`: that of the training images.
    """
    channels = generator.inputs[0].shape[-1]
    network = compiled(generator, channels)
    done, skipped, seen = 0, [], []
    with console.Progress(f"translating {path}", len(names)) as bar:
        for i, name in enumerate(names):
            try:
                image, found = load_picture(open_image(i), channels, background, value_range)
            except Exception as error:  # decoders raise errors of any type for broken files
                skipped.append(f"{name} ({console.first_line(error, 60)})")
                continue
            yield _save(target / name, translate_image(network, image))
            done += 1
            seen.append(found)
            bar.update(i + 1)
    if not done:
        raise console.Failed(
            console.plain(f"none of {len(skipped)} images can be translated: {skipped[0]}")
        )
    facts = decoding.summarise(seen, value_range=value_range)
    for line in decoding.own_ranges(facts, value_range) + decoding.notes(facts, background):
        print(line)
    if skipped:
        listed = console.plain(", ".join(skipped[:5]))
        print(f"skipped {len(skipped)} of {len(names)} images: {listed}")


def compiled(generator, channels):
    """Return a generator as a tf.function, which frees each layer's output after its last use."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None, None, None, channels])]
    return tf.function(lambda x: generator(x, training=False), input_signature=signature)


def load_picture(file, channels, background, value_range):
    """Load a picture upright, in sRGB and at its own size.

    Args:
      file: path of the picture, or an open file.
      channels: 1 or 3.
      background: the colour behind transparent pixels.
      value_range: as in `utils.to_mode`: that of the training images.

    Returns:
      (uint8 [H, W, channels], its `decoding.Seen`).

    Raises:
      ValueError: if it has more than `MAX_PIXELS`.
      OSError, SyntaxError: if Pillow cannot read it; a broken file may raise other errors.
    """
    with decoding.strict_pillow(), utils.open_image(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} are more than {MAX_PIXELS} pixels")
        seen = decoding.Seen()
        pixels = np.asarray(decoding.to_mode(image, channels, background, value_range, seen))
    return pixels.reshape(*pixels.shape[:2], channels), seen


def translate_image(network, image):
    """Translate one image of any size.

    It is padded by reflection to a size that the network takes, and the result is cropped.

    Args:
      network: images [1, H, W, C] in [-1, 1] → images of the same shape.
      image: uint8 [H, W, C].

    Returns:
      uint8 [H, W, C].
    """
    pads = []
    for side in image.shape[:2]:
        padding = max(MIN_SIDE, -(-side // MULTIPLE) * MULTIPLE) - side
        pads.append((padding // 2, padding - padding // 2))
    padded = np.pad(image, (*pads, (0, 0)), "symmetric")
    translated = utils.to_uint8(np.asarray(network(utils.to_float(padded[None])))[0])
    (top, _), (left, _) = pads
    return translated[top : top + image.shape[0], left : left + image.shape[1]]


def _save(path, image):
    """Write an image in the format of its suffix, or as NAME.png; return the path."""
    path = _written(path)
    with files.atomic_path(path) as part:
        utils.to_pillow(image).save(part, **FORMATS[path.suffix.lower()])
    return path


def _written(path):
    """Return the path that the translation of an image is written to instead of `path`.

    It is NAME.SUFFIX.png for other formats, or NAME.png if that would be too long for a file.
    """
    if path.suffix.lower() in FORMATS:
        return path
    longer = path.with_name(path.name + ".png")
    return longer if len(os.fsencode(longer.name)) <= MAX_NAME else path.with_suffix(".png")
