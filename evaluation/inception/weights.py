"""Finds a file of the weights of the network of 2015, and loads it into the network."""

import hashlib
import os
from pathlib import Path

import numpy as np

import console
import files
from evaluation.inception import graph_file, torch_file

NAME = "pt_inception-2015-12-05-6726825d.pth"  # of pytorch-fid, in PyTorch's older format
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
MEGABYTES = 95.6
EPSILON = 1e-3  # of the batch norms
# The parts of a convolution in each kind of file: kernel, gamma, beta, mean, variance.
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
GRAPH_PARTS = ("/conv2d_params", *(f"/batchnorm/{name}" for name in NORM))
TORCH_NORM = ("weight", "bias", "running_mean", "running_var")
TORCH_PARTS = (".conv.weight", *(f".bn.{name}" for name in TORCH_NORM))


def find(path, cache_dir):
    """Return the path of a file of weights.

    Without a path, it is `NAME` in the cache, or else in PyTorch's cache. If neither has it, it is
    downloaded into the cache, and a line says so.

    Args:
      path: path of a file, or None.
      cache_dir: path of the folder for downloads.

    Raises:
      console.Failed: if there is no such file, and none can be downloaded.
    """
    if path:
        if not os.path.isfile(path):
            raise console.Failed(f"no file --extractor_weights={path}")
        return Path(path)
    places = [Path(cache_dir) / NAME, _torch_cache() / NAME]
    for place in places:
        if place.is_file():
            if checksum(place) == SHA256:
                return place
            print(f"note: {place} is not used: its checksum is not that of the published weights")
    _download(places)
    return places[0]


def checksum(path):
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _torch_cache():
    """Return the folder into which pytorch-fid downloads."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a container's user may have neither HOME nor a name
        home = Path("/tmp/.cache")
    return Path(os.environ.get("TORCH_HOME") or home / "torch") / "hub" / "checkpoints"


def _download(places):
    """Download the published file to the first of the places, and check it."""
    target = places[0]
    print(f"downloading {MEGABYTES:g} MB of weights from {URL} to {target}", flush=True)
    try:
        files.download(URL, SHA256, target)
    except console.Failed as error:
        looked = " and ".join(map(str, places))
        raise console.Failed(
            f"no weights of inception-2015: looked for {looked}, and a download failed ({error}). "
            f"Get {URL} elsewhere and give it with --extractor_weights PATH, or use another "
            "--extractor"
        ) from None


def load(path, model, sources):
    """Load a file of weights into the network. A batch norm is folded into its convolution.

    Args:
      path: path of a file of PyTorch (pytorch-fid's), or of the frozen graph of TensorFlow.
      model, sources: as `network.build` returns them.

    Raises:
      console.Failed: if it cannot be read, or does not have the weights of this network.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        is_torch = start[:2] == b"\x80\x02" or start == b"PK\x03\x04"
        arrays = (torch_file if is_torch else graph_file).read(path)
        for name, source in sources.items():
            layer = model.get_layer(name)
            names = (
                [name + p for p in TORCH_PARTS] if is_torch else [source + p for p in GRAPH_PARTS]
            )
            if missing := [n for n in names if n not in arrays]:
                raise ValueError(f"it has no {missing[0]}, which the network of 2015 has")
            kernel, *norm = (arrays[n].astype(np.float64) for n in names)
            if is_torch and kernel.ndim == 4:
                kernel = kernel.transpose(2, 3, 1, 0)  # [out, in, h, w] → [h, w, in, out]
            shapes = [tuple(layer.kernel.shape)] + 4 * [(layer.filters,)]
            for part, array, shape in zip(names, (kernel, *norm), shapes):
                if array.shape != shape or not np.isfinite(array).all():
                    raise ValueError(f"its {part} is not of finite numbers of the shape {shape}")
            if norm[-1].min() < 0:
                raise ValueError(f"its {names[-1]} has a variance below 0")
            layer.set_weights(fold(kernel, *norm))
    except (OSError, ValueError) as error:
        raise console.Failed(
            f"cannot read the weights in {path}: {console.first_line(error)}"
        ) from None


def fold(kernel, gamma, beta, mean, variance):
    """Return [kernel, bias] of a convolution with the effect of its batch norm."""
    scale = gamma / np.sqrt(variance + EPSILON)
    return [kernel * scale, beta - mean * scale]
