"""Measures of a generator: its samples beside real images, through a named extractor.

The formulas are in `metrics.py`.
"""

import dataclasses
import hashlib
import re
from pathlib import Path

import keras
import numpy as np

import console
from runs import trained

BATCH = 250
RANDOM_CHANNELS, RANDOM_FEATURES = (64, 128, 256), 128


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that images are measured through.

    Attributes:
      name: which every measure taken through it carries.
      model: images in [-1, 1] → {"features": [N, D], and perhaps "classes": [N, K]}.
    """

    name: str
    model: keras.Model

    def __call__(self, images):
        """uint8 images [N, H, W, C] → (features [N, D], class probabilities [N, K] or None).

        Resized to what the model takes, gray repeated as colour or colour weighed to gray.
        """
        parts = []
        for i in range(0, len(images), BATCH):
            x = self._fit(keras.ops.cast(images[i : i + BATCH], "float32") / 127.5 - 1)
            parts.append({k: np.asarray(v) for k, v in self.model(x, training=False).items()})
        found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        return found["features"], found.get("classes")

    def _fit(self, x):
        height, width, channels = self.model.inputs[0].shape[1:]
        if channels == 3 and x.shape[-1] == 1:
            x = keras.ops.repeat(x, 3, -1)
        elif channels == 1 and x.shape[-1] == 3:
            x = keras.ops.image.rgb_to_grayscale(x)
        if height and (height, width) != tuple(x.shape[1:3]):
            x = keras.ops.image.resize(x, (height, width), antialias=True)
        return x

    @property
    def key(self):
        """Changes when the network or its weights do, and not with Keras' numbering of layers."""
        parts = (self.model, *self.model.operations)
        numbers = {part.name: str(i) for i, part in enumerate(parts)}
        names = r'(?<="name": ")[^"]+|(?<=\[")[^"]+'
        text = re.sub(names, lambda m: numbers.get(m[0], m[0]), self.model.to_json())
        weights = b"".join(w.tobytes() for w in self.model.get_weights())
        return hashlib.sha256(text.encode() + weights).hexdigest()


def load_extractor(path):
    """A saved Keras model of images in [-1, 1], named after its file.

    Its features are the layer named "features", or its first output; its classes the layer
    "classes", if there is one.
    """
    model = trained.load_network(path)
    shapes = [x.shape for x in getattr(model, "inputs", ())]  # none where it was never built
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] not in (1, 3):
        raise console.Failed(
            f"{path} takes no images [N, H, W, 1 or 3]: it cannot extract features"
        )
    layers = {layer.name: layer.output for layer in model.layers}
    features = layers.get("features", model.outputs[0])
    if None in features.shape[1:]:
        raise console.Failed(f"{path} has features of no fixed size {features.shape[1:]}")
    flat = (-1, int(np.prod(features.shape[1:])))
    found = {"features": keras.ops.reshape(features, flat)}
    if "classes" in layers:
        found["classes"] = layers["classes"]
    return Extractor(Path(path).stem, keras.Model(model.inputs, found))


def mnist_cnn(shape):
    """The classifier of MNIST that comes with the project; `benchmarks/mnist_cnn.py` made it."""
    del shape
    return load_extractor(Path(__file__).with_name("mnist-cnn.keras"))


def inception_v3(shape, weights="imagenet"):
    """Keras' InceptionV3 before its last layer, 2,048 features of 299x299.

    Not the network that published FIDs go by (that is TensorFlow's of 2015): the name says so.
    `weights` is the path of its .h5 file without the top, where there is no network.
    """
    del shape
    try:
        model = keras.applications.InceptionV3(
            include_top=False, pooling="avg", weights=weights, input_shape=(299, 299, 3)
        )
    except Exception as error:  # a download fails in many ways, as does a file that is another's
        raise console.Failed(
            f"no weights of InceptionV3 ({console.first_line(error)}): give their file, "
            "--extractor PATH.h5, or take --extractor random-cnn"
        ) from None
    return Extractor("inception-v3-keras", keras.Model(model.inputs, {"features": model.output}))


def random_cnn(shape):
    """Features of an untrained network, drawn from a fixed seed, for images of any kind.

    They order generators of images unlike ImageNet's at least as well as trained ones
    (2002.09797, section 5), and need no file. Comparable between images of one shape alone.
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
