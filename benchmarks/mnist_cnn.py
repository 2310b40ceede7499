"""Train the MNIST classifier whose features `--extractor mnist-cnn` uses.

`python -m benchmarks.mnist_cnn` takes about three minutes on two cores. It writes
evaluation/mnist-cnn.keras, and prints the accuracy on the 10,000 test images.
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
    """Build the classifier: images [B, 28, 28, 1] in [-1, 1] → features and class probabilities.

    Its outputs are {"features": [B, 128], "classes": [B, 10]}.
    """
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
    """Read a part of MNIST: (images float32 [N, 28, 28, 1] in [-1, 1], labels [N])."""
    source = known.read_mnist(data_dir / "mnist", part=part)
    return source.images.astype(np.float32) / 127.5 - 1, source.labels


def save_small(model, path):
    """Save a Keras model as a compressed zip file. Keras itself does not compress it."""
    with files.atomic_path(path) as part, tempfile.TemporaryDirectory() as folder:
        plain = utils.Path(folder) / "model.keras"
        model.save(plain)
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(part, "w") as target:
            for entry in source.namelist():
                target.writestr(entry, source.read(entry), zipfile.ZIP_DEFLATED, 9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default=Config.data_dir)
    parser.add_argument("--output", default="evaluation/mnist-cnn.keras")
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
