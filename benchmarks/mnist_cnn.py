"""Train the classifier of MNIST that `--extractor mnist-cnn` takes its features from.

`python -m benchmarks.mnist_cnn` writes extractors/mnist-cnn.keras, in about three minutes on two
cores, and prints its accuracy on the 10,000 test images.
"""

import argparse
import tempfile
import zipfile

import keras
import numpy as np

import files
import utils
from config.fields import Config
from datasets import known

EPOCHS, BATCH, RATE = 6, 128, 2e-3


def build_classifier():
    """Images [B, 28, 28, 1] in [-1, 1] → (features [B, 128], class probabilities [B, 10])."""
    images = keras.Input((28, 28, 1), name="images")
    x = images
    for channels, stride in [(16, 1), (32, 2), (48, 1), (64, 2), (64, 1)]:
        x = keras.layers.Conv2D(channels, 3, stride, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(128, use_bias=False)(keras.layers.Flatten()(x))
    x = keras.layers.BatchNormalization()(x)
    features = keras.layers.ReLU(name="features")(x)
    x = keras.layers.Dropout(0.4)(features)
    classes = keras.layers.Dense(10, activation="softmax", name="classes")(x)
    return keras.Model(images, {"features": features, "classes": classes}, name="mnist-cnn")


def read(part, data_dir):
    """(images [N, 28, 28, 1] float32 in [-1, 1], labels [N]) of a part of MNIST."""
    source = known.read_mnist(data_dir / "mnist", part=part)
    return source.images.astype(np.float32) / 127.5 - 1, source.labels


def save_small(model, path):
    """Save a Keras model with its zip deflated, which Keras itself does not do."""
    with files.atomic_path(path) as part, tempfile.TemporaryDirectory() as folder:
        plain = utils.Path(folder) / "model.keras"
        model.save(plain)
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(part, "w") as target:
            for entry in source.namelist():
                target.writestr(entry, source.read(entry), zipfile.ZIP_DEFLATED, 9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default=Config.data_dir)
    parser.add_argument("--output", default="extractors/mnist-cnn.keras")
    call = parser.parse_args()
    keras.utils.set_random_seed(0)
    data_dir = utils.Path(call.data_dir)
    images, labels = read("train", data_dir)
    model = build_classifier()
    steps = EPOCHS * -(-len(images) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    classifier = keras.Model(model.inputs, model.output["classes"])
    classifier.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    classifier.fit(images, labels, BATCH, EPOCHS, verbose=2)
    images, labels = read("test", data_dir)
    right = classifier.predict(images, 500, verbose=0).argmax(1) == labels
    save_small(model, call.output)
    print(f"{right.mean():.2%} of {len(labels)} test images right; wrote {call.output}")


if __name__ == "__main__":
    main()
