"""The network of published FIDs, and the files of its weights."""

import io
import os
import re
import struct
import zipfile
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import console
from commands.evaluate import build_extractor
from commands.evaluate import numbers as numbers_of
from evaluation.inception import extractor, graph_file, network, torch_file, weights
from tests.conftest import damaged, noise

NORM = ("weight", "bias", "running_mean", "running_var")

# ---- files of PyTorch, written without it


def text(value):
    """The instruction that pushes a text."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(values):
    """The instructions that push a tuple of whole numbers."""
    return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values) + b"t"


def named(name):
    """The instruction that pushes a name."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def tensor(key, shape, offset=0, strides=None, dtype="Float", count=0, view=b""):
    """The instructions that push a tensor of a storage."""
    strides = strides or [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    storage = b"(" + text("storage") + named(f"torch {dtype}Storage") + text(key) + text("cpu")
    storage += numbers([count])[1:-1] + view + b"tQ"
    made = named("torch._utils _rebuild_tensor_v2") + b"(" + storage + numbers([offset])[1:-1]
    made += numbers(shape) + numbers(strides) + b"\x89" + named("collections OrderedDict") + b")R"
    return made + b"tR"


def state(entries):
    """A pickle of a state dict. `entries` is a dict of name → instructions."""
    body = b"".join(text(name) + value for name, value in entries.items())
    versions = b"}" + text("_metadata") + b"}s"  # PyTorch adds attributes to the dict
    return (
        b"\x80\x02"
        + named("collections OrderedDict")
        + b")Rq\x00("
        + body
        + b"u"
        + versions
        + b"b."
    )


def zipped(pickle, storages, byteorder="little"):
    """The bytes of a file in PyTorch's zip format."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as parts:
        parts.writestr("a/data.pkl", pickle)
        parts.writestr("a/byteorder", byteorder)
        for key, array in storages.items():
            parts.writestr(f"a/data/{key}", array.tobytes())
    return stream.getvalue()


def older(pickle, storages):
    """The bytes of a file in PyTorch's older format."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    system = b"\x80\x02}" + text("little_endian") + b"\x88s."
    keys = b"\x80\x02](" + b"".join(map(text, storages)) + b"e."
    bodies = [struct.pack("<q", len(x)) + x.tobytes() for x in storages.values()]
    return magic + system + pickle + keys + b"".join(bodies)


FORMATS = {"zip": zipped, "older": older}


def convolutions(model):
    """Name and shape [height, width, in, out] of each convolution."""
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return {layer.name: tuple(layer.kernel.shape) for layer in layers}


def random_weights(shapes):
    """Two storages of random numbers, and the place in them of each weight.

    All kernels begin in the same storage, which keeps the file small.
    """
    rng, norms, places = np.random.default_rng(0), [], {}
    kernels = rng.uniform(-1, 1, 1_600_000).astype(np.float32)
    for i, (name, (height, width, of, to)) in enumerate(shapes.items()):
        places[f"{name}.conv.weight"] = "0", (to, of, height, width), i
        gain = np.sqrt(6 / (height * width * of))  # keeps the size of activations
        limits = ((0.5 * gain, 1.5 * gain), (-0.5, 0.5), (-0.5, 0.5), (0.5, 1.5))
        for part, (low, high) in zip(NORM, limits):
            places[f"{name}.bn.{part}"] = "1", (to,), sum(map(len, norms))
            norms.append(rng.uniform(low, high, to).astype(np.float32))
        places[f"{name}.bn.num_batches_tracked"] = "2", (), 0
    count = np.zeros(1, np.int64)
    return {"0": kernels, "1": np.concatenate(norms), "2": count}, places


def encoded(storages, places, form="older"):
    """The bytes of a file of these weights."""
    entries = {
        name: tensor(key, shape, offset, dtype="Long" if key == "2" else "Float")
        for name, (key, shape, offset) in places.items()
    }
    return FORMATS[form](state(entries), storages)


@pytest.fixture
def small(monkeypatch):
    """The network without most of its blocks: (model, sources, storages, places)."""
    monkeypatch.setattr(network, "BLOCKS", {"Mixed_5b": network.BLOCKS["Mixed_5b"]})
    model, sources = network.build()
    return model, sources, *random_weights(convolutions(model))


# ---- the network


def test_features_are_those_of_an_independent_network(tmp_path):
    """PyTorch, in float64, with the same weights: see `benchmarks.audit.inception`."""
    shapes = convolutions(network.build()[0])
    assert len(shapes) == 94
    path = tmp_path / "a.pth"
    path.write_bytes(encoded(*random_weights(shapes)))
    found = build_extractor("inception-2015", None, path, tmp_path)
    assert found.name == f"inception-2015-{weights.checksum(path)[:8]}"
    assert found.width == 2048 and found.counted
    features, classes = found(np.asarray(noise(32, 24))[None])
    assert features.shape == (1, 2048) and classes is None
    at = [0, 320, 700, 1088, 1500, 2047]  # of the branches of the last block
    expected = [1.2741, 19.2578, 31.2968, 3.20525, 0.478248, 4.86895]
    np.testing.assert_allclose(features[0, at], expected, rtol=1e-4)
    np.testing.assert_allclose(features.mean(), 6.2248491, rtol=1e-5)


def test_images_are_resized_as_in_2015():
    """Without antialiasing. The first pixel is in the corner: pixel i is at i · size / 299."""
    image = np.array([[0, 100], [200, 255]], np.uint8)[None, ..., None]
    found = extractor.Inception("a", None).prepare(image)
    assert found.shape == (1, 299, 299, 3)
    place = np.arange(299) * 2 / 299
    share = np.minimum(place, 1)  # right of the last pixel's corner there is none to mix
    top, bottom = 100 * share, 200 + 55 * share
    expected = top + share[:, None] * (bottom - top)
    np.testing.assert_allclose(found[0], (expected[..., None] - 128).repeat(3, -1) / 128, atol=1e-5)
    whole = noise(299, 299)
    same = extractor.Inception("a", None).prepare(np.asarray(whole)[None])
    np.testing.assert_allclose(same[0], (np.float32(whole) - 128) / 128, atol=1e-6)


# ---- the weights


@pytest.mark.parametrize("form", FORMATS)
def test_a_batch_norm_is_folded_into_its_convolution(small, tmp_path, form):
    model, sources, storages, places = small
    path = tmp_path / "a.pth"
    path.write_bytes(encoded(storages, places, form))
    weights.load(path, model, sources)
    arrays = torch_file.read(path)
    assert arrays["Mixed_5b.branch1x1.bn.num_batches_tracked"] == 0
    for name, shape in convolutions(model).items():
        for part in (f"{name}.conv.weight", *(f"{name}.bn.{n}" for n in NORM)):
            key, size, offset = places[part]
            stored = storages[key][offset : offset + np.prod(size)].reshape(size)
            np.testing.assert_array_equal(arrays[part], stored)
        x = np.random.default_rng(0).normal(size=(5, shape[2]))
        kernel = arrays[f"{name}.conv.weight"][:, :, 0, 0]
        scale, offset, mean, variance = (arrays[f"{name}.bn.{part}"] for part in NORM)
        expected = (x @ kernel.T - mean) / np.sqrt(variance + 0.001) * scale + offset
        folded, bias = model.get_layer(name).get_weights()
        np.testing.assert_allclose(x @ folded[0, 0] + bias, expected, rtol=1e-3, atol=1e-4)


def graph(model, sources, storages, places, scaled):
    """A frozen graph with the constants of the network, by the names of 2015."""
    found, ends = tf.compat.v1.GraphDef(), ("gamma", "beta", "moving_mean", "moving_variance")
    for name, source in sources.items():
        parts = [f"{source}/conv2d_params", *(f"{source}/batchnorm/{end}" for end in ends)]
        for node, part in zip(parts, (".conv.weight", *(f".bn.{n}" for n in NORM))):
            key, size, offset = places[name + part]
            array = storages[key][offset : offset + np.prod(size)].reshape(size)
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            proto = tf.make_tensor_proto(array)
            found.node.add(name=node, op="Const").attr["value"].tensor.CopyFrom(proto)
        norm = found.node.add(name=f"{source}/batchnorm", op="BatchNormWithGlobalNormalization")
        norm.input.extend([f"{source}/Conv2D", *(parts[i] for i in (3, 4, 2, 1))])
        norm.attr["scale_after_normalization"].b = scaled
    return found.SerializeToString()


@pytest.mark.parametrize("scaled", [True, False])
def test_the_frozen_graph_has_the_same_weights(small, tmp_path, scaled):
    model, sources, storages, places = small
    if not scaled:  # the graph has gammas that have no effect
        shapes = {**places}
        for name, (_, size, _) in shapes.items():
            if name.endswith("bn.weight"):
                places[name] = "3", size, 0
        storages["3"] = np.ones(1000, np.float32)
    (tmp_path / "a.pth").write_bytes(encoded(storages, places))
    weights.load(tmp_path / "a.pth", model, sources)
    expected = model.get_weights()
    if not scaled:
        places = shapes
    (tmp_path / "a.pb").write_bytes(graph(model, sources, storages, places, scaled))
    model.set_weights([0 * w for w in expected])
    weights.load(tmp_path / "a.pb", model, sources)
    for one, other in zip(model.get_weights(), expected):
        np.testing.assert_array_equal(one, other)


def test_a_constant_of_one_number_takes_no_more_memory_than_it_says(tmp_path):
    """TensorFlow repeats it: a file of 40 bytes would take 16 TB."""
    bomb = tf.compat.v1.GraphDef()
    proto = bomb.node.add(name="a", op="Const").attr["value"].tensor
    proto.CopyFrom(tf.make_tensor_proto(1.0, shape=(2, 3)))
    path = tmp_path / "a.pb"
    path.write_bytes(bomb.SerializeToString())
    np.testing.assert_array_equal(graph_file.read(path)["a"], np.ones((2, 3)))
    for sizes in ((2**21, 2**21), (-(2**21), 2**21)):
        for dim, size in zip(proto.tensor_shape.dim, sizes):
            dim.size = size
        path.write_bytes(bomb.SerializeToString())
        with pytest.raises(ValueError, match="its constants are too large"):
            graph_file.read(path)
    os.truncate(path, 2**31)  # a sparse file
    with pytest.raises(ValueError, match="it is too large for a frozen graph"):
        graph_file.read(path)


def fails(function, *args, match):
    with pytest.raises(console.Failed, match=match) as error:
        function(*args)
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_one_line(small, tmp_path):
    model, sources, storages, places = small
    path = tmp_path / "a.pth"
    first = "Conv2d_1a_3x3.conv.weight"
    for change, match in (
        (
            {first: ("0", (32, 3, 3, 4), 0)},
            rf"{first} is not of finite numbers of the shape \(3, 3",
        ),
        ({first: None}, f"has no {first}, which the network of 2015 has"),
        ({first: ("0", (32, 3, 3, 3), 10**6 * 2)}, f"the numbers of '{first}' are cut off"),
    ):
        changed = {n: p for n, p in {**places, **change}.items() if p}
        path.write_bytes(encoded(storages, changed))
        fails(weights.load, path, model, sources, match=match)
    storages["1"][96:128] = -1  # of the first convolution: 32 gammas, betas, means and variances
    path.write_bytes(encoded(storages, places))
    fails(weights.load, path, model, sources, match="running_var has a variance below 0")
    storages["1"][0] = np.nan
    path.write_bytes(encoded(storages, places))
    fails(weights.load, path, model, sources, match="bn.weight is not of finite numbers")
    for body in (b"", b"no weights", tf.compat.v1.GraphDef().SerializeToString()):
        path.write_bytes(body)
        fails(weights.load, path, model, sources, match="cannot read the weights in .*a.pth: it ")


# ---- the strict reader


ONE = {"0": np.arange(6, dtype=np.float32)}
GOOD = tensor("0", (2, 3))
HARM = named("os system") + b"(" + text("touch harmed") + b"tR"
BAD = {  # instructions of the entry of a dict → the message
    HARM: "its pickle names os system",
    named("builtins eval") + b"(" + text("1") + b"tR": "its pickle names builtins eval",
    b"\x8c\x02os\x8c\x06system\x93" + b"(" + text("touch harmed") + b"tR": "has STACK_GLOBAL",
    b"(" + text("touch harmed") + b"ios\nsystem\n": "its pickle has INST",
    b"Pa\n": "its pickle has PERSID",
    named("torch FloatStorage") + b")R": "its pickle calls torch FloatStorage",
    named("collections OrderedDict") + b"(K\x01tR": "its pickle calls collections OrderedDict",
    tensor("0", (2, 3), dtype="Bool"): "its pickle names torch BoolStorage",
    tensor("0", (2, 3), strides=(1, 2)): "are not in their order",
    tensor("0", (2, 3), offset=1): "are cut off",
    tensor("0", (-2, 3)): "a size below 0",
    tensor("0", (2**30, 2**30)): "are too large",
    tensor("0", (2, 3), view=b"K\x01"): "has an unknown storage",
    text("a"): "its entry 'a' is no tensor",
    b"}": "its entry 'a' is no tensor",
    b"K\x01a": "instead of a list",
    b"R": "instead of a",
    b"t": "it is broken",
    b"h\x07": "it is broken",
    b"}K\x01" + 20 * b"q\x01h\x01\x86" + text("a") + b"s": "a tuple instead of a str",  # 2^20 ones
    tensor("0", 9 * (1,)): "of too many axes",
    tensor("0", (1, 1)).replace(
        b"J\x01\0\0\0", b"\x8a\x09" + 8 * b"\xff" + b"\0"
    ): "that no file has",
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_pickle_is_not_run(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pth"
    path.write_bytes(FORMATS[form](state({"a": GOOD}), ONE))
    np.testing.assert_array_equal(torch_file.read(path)["a"], [[0, 1, 2], [3, 4, 5]])
    for instructions, message in BAD.items():
        path.write_bytes(FORMATS[form](state({"a": instructions}), ONE))
        with pytest.raises(ValueError, match=message):
            torch_file.read(path)
    path.write_bytes(FORMATS[form](b"\x80\x02" + HARM + b".", ONE))
    with pytest.raises(ValueError, match="its pickle names os system"):
        torch_file.read(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_of_weights_is_refused_or_read(tmp_path, form):
    path = tmp_path / "a.pth"
    for body in damaged(FORMATS[form](state({"a": GOOD, "b": GOOD}), ONE), 0, 60, 200):
        path.write_bytes(body)
        try:
            assert all(x.size <= 6 for x in torch_file.read(path).values())
        except (OSError, ValueError) as error:
            assert str(error)
    wrong = {"byteorder": "big"} if form == "zip" else {}
    body = FORMATS[form](state({"a": GOOD}), ONE, **wrong)
    path.write_bytes(body.replace(b"little_endian\x88", b"little_endian\x89"))
    with pytest.raises(ValueError, match="big-endian"):
        torch_file.read(path)


# ---- where the weights are


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A published file on a server, and no cache of PyTorch; returns the file."""
    published = tmp_path / "server" / weights.NAME
    published.parent.mkdir()
    published.write_bytes(b"weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "URL", published.as_uri())
    monkeypatch.setattr(weights, "SHA256", weights.checksum(published))
    return published


def test_published_weights_are_downloaded_once_and_not_in_silence(tmp_path, served, capsys):
    cache = tmp_path / "cache"
    target = cache / weights.NAME
    assert weights.find(None, cache) == target
    line = f"downloading 95.6 MB of weights from {served.as_uri()} to {target}"
    assert line in capsys.readouterr().out.splitlines()
    assert [file.name for file in cache.iterdir()] == [weights.NAME]
    assert weights.find(None, cache) == target and capsys.readouterr().out == ""
    target.write_bytes(b"others")
    assert weights.find(None, cache) == target
    found = capsys.readouterr().out
    assert f"note: {target} is not used: its checksum is not that of the published" in found
    assert target.read_bytes() == b"weights" and line in found
    own = tmp_path / "torch" / "hub" / "checkpoints" / weights.NAME
    own.parent.mkdir(parents=True)
    target.rename(own)
    assert weights.find(None, cache) == own and capsys.readouterr().out == ""
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"mine")
    assert weights.find(mine, cache) == mine
    fails(weights.find, tmp_path / "no.pth", cache, match="no file --extractor_weights=.*no.pth")


def test_without_a_network_or_with_a_wrong_file_it_is_one_line(tmp_path, served, monkeypatch):
    looked = (
        rf"no weights of inception-2015: looked for .*{weights.NAME} and .*a download failed \("
    )
    served.write_bytes(b"another file")
    fails(weights.find, None, tmp_path / "cache", match=looked)
    reason = "[Errno -2] Name or service not known"
    with monkeypatch.context() as patch:
        patch.setattr(weights, "URL", url := f"https://{'x' * 100}")
        error = OSError(f"URL fetch failure on {url}: None -- {reason}")
        patch.setattr(keras.utils, "get_file", Mock(side_effect=error))
        fails(weights.find, None, tmp_path / "cache", match=re.escape(f"{reason})"))
    served.unlink()
    fails(weights.find, None, tmp_path / "cache", match=f"{looked}.*--extractor_weights PATH")
    assert list((tmp_path / "cache").iterdir()) == []


def test_long_names_of_measures_keep_their_columns():
    lines = [*numbers_of({"fid_inception-2015-035a4670_8": 2.5, "x" * 40: 1.0})]
    assert lines == ["fid_inception-2015-035a4670_8".ljust(41) + "2.5", "x" * 40 + " 1"]
