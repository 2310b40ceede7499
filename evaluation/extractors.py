"""Feature extractors: the networks through which images are measured."""

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np

import console
import utils
from runs import trained

BATCH, SIDE = 250, 128  # images at a time, of at most this height and width; fewer of larger ones
RANDOM_CHANNELS, RANDOM_FEATURES = (64, 128, 256), 128  # of the untrained network


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that extracts features from images.

    Attributes:
      counted: True if the names of measures have the number of samples, if it is not 10,000.
      name: suffix of every measure of its features, so that different networks are not compared.
      model: Keras model of images [N, H, W, 1 or 3] in [-1, 1]. It returns a dict of "features"
        [N, D] and, if it is a classifier, the probabilities "classes" [N, K].
    """

    counted: ClassVar[bool] = False

    name: str
    model: keras.Model

    def __call__(self, images, show=None):
        """Extract features.

        Args:
          images: uint8 [N, H, W, C], of any size. They are resized to the model's input, and
            converted between gray and colour as it needs.
          show: called with the number of images done, or None.

        Returns:
          (features [N, D], class probabilities [N, K] or None), float arrays.
        """
        sizes = (images.shape[1:3], self.model.inputs[0].shape[1:3])
        pixels = max(int(np.prod(size)) for size in sizes if None not in size)
        parts, batch = [], max(1, min(BATCH, BATCH * SIDE**2 // pixels))
        for i in range(0, len(images), batch):
            found = self.apply(self.prepare(images[i : i + batch]))
            parts.append({k: np.asarray(v) for k, v in found.items()})
            if show:
                show(min(i + batch, len(images)))
        outputs = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        return outputs["features"], outputs.get("classes")

    def prepare(self, images):
        """Return a batch of uint8 images as the network takes them, float32."""
        return self._fit(utils.to_float(images))

    def apply(self, x):
        """Return the network's outputs for a prepared batch, a dict."""
        return self.model(x, training=False)

    def of(self, x):
        """Return the features [N, D] of float images [N, H, W, C] in [-1, 1], as a tensor.

        They can be differentiated with respect to the images.
        """
        return self.apply(self._fit(x))["features"]

    def _fit(self, x):
        """Convert a batch to the channels and size of the model's input."""
        height, width, channels = self.model.inputs[0].shape[1:]
        if channels == 3 and x.shape[-1] == 1:
            x = keras.ops.repeat(x, 3, -1)
        elif channels == 1 and x.shape[-1] == 3:
            x = keras.ops.image.rgb_to_grayscale(x)
        if height and (height, width) != tuple(x.shape[1:3]):
            x = keras.ops.image.resize(x, (height, width), antialias=True)
        return x

    @property
    def width(self):
        """The number of features of an image, D."""
        return self.model.output["features"].shape[-1]

    @property
    def key(self):
        """Hash of the network and its weights. It ignores the numbers in Keras' layer names."""
        parts = (self.model, *self.model.operations)
        numbers = {part.name: str(i) for i, part in enumerate(parts)}
        names = r'(?<="name": ")[^"]+|(?<=\[")[^"]+'
        text = re.sub(names, lambda m: numbers.get(m[0], m[0]), self.model.to_json())
        weights = b"".join(w.tobytes() for w in self.model.get_weights())
        return hashlib.sha256(text.encode() + weights).hexdigest()


def load_extractor(path):
    """Load an `Extractor` from a saved Keras model of images in [-1, 1].

    The features are the output of the layer named "features", or else the model's first output.
    The classes are the output of the layer named "classes", if there is one.

    Args:
      path: a .keras file, whose name becomes the extractor's.

    Raises:
      Failed: if the file cannot be loaded, or the model takes no images, or its features have no
        fixed size.
    """
    model = trained.load_network(path)
    shapes = [x.shape for x in getattr(model, "inputs", ())]  # a model never built has none
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] not in (1, 3):
        raise console.Failed(
            f"{path} takes no images [N, H, W, 1 or 3]: it cannot extract features"
        )
    layers = {layer.name: layer.output for layer in model.layers}
    features = layers.get("features", model.outputs[0])
    if None in features.shape[1:]:
        raise console.Failed(f"{path} has features of no fixed size {features.shape[1:]}")
    flat = (-1, int(np.prod(features.shape[1:])))
    outputs = {"features": keras.ops.reshape(features, flat)}
    if "classes" in layers:
        outputs["classes"] = layers["classes"]
    return Extractor(Path(path).stem, keras.Model(model.inputs[0], outputs))


def mnist_cnn(shape):
    """Load the MNIST classifier that `benchmarks/mnist_cnn.py` trained. `shape` is ignored."""
    del shape
    return load_extractor(Path(__file__).with_name("mnist-cnn.keras"))


def inception_v3(shape, weights="imagenet"):
    """Build Keras' InceptionV3 without its last layer: 2,048 features of 299x299 colour images.

    Published FIDs use TensorFlow's InceptionV3 of 2015, whose weights differ. Hence the name
    "inception-v3-keras".

    Args:
      shape: ignored.
      weights: "imagenet" to download them, or the path of their .h5 file (without the top).

    Raises:
      Failed: if the weights cannot be downloaded or read.
    """
    del shape
    try:
        model = keras.applications.InceptionV3(
            include_top=False, pooling="avg", weights=weights, input_shape=(299, 299, 3)
        )
    except Exception as error:  # a failed download or a wrong file raises errors of many types
        raise console.Failed(
            f"no weights of InceptionV3 ({console.first_line(error)}): give their file with "
            "--extractor PATH.h5, or use --extractor random-cnn"
        ) from None
    return Extractor("inception-v3-keras", keras.Model(model.inputs[0], {"features": model.output}))


def random_cnn(shape):
    """Build an untrained network with weights from a fixed seed, for images of any kind.

    On images unlike ImageNet's, its features rank generators at least as well as trained ones
    (2002.09797, section 5). Measures are comparable only between images of the same shape.

    Args:
      shape: (height, width, channels) of the images.
    """
    rng = np.random.default_rng(0)
    images = keras.Input(shape)
    x = images
    for channels in RANDOM_CHANNELS:
        x = keras.layers.Conv2D(channels, 3, 2, padding="same", activation="relu")(x)
    x = keras.layers.Dense(RANDOM_FEATURES)(keras.layers.Flatten()(x))
    model = keras.Model(images, {"features": x})
    for weight in model.weights:
        fan_in = np.prod(weight.shape[:-1])
        bias = len(weight.shape) == 1
        scale = 0 if bias else np.sqrt(2 / fan_in)
        weight.assign(scale * rng.standard_normal(weight.shape, np.float32))
    return Extractor("random-cnn", model)
