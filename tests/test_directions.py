"""Directions of latents: closed forms, their files and their pictures."""

from pathlib import Path

import keras
import numpy as np
import pytest

import console
from steering import directions, named


def generator(first, classes=0):
    """A generator of latents [N, 3] whose first layer with weights is `first`."""
    z = keras.Input((3,))
    inputs, x = [z], z
    if classes:
        inputs.append(keras.Input((classes,)))
        x = keras.layers.Concatenate()(inputs)
    if isinstance(first, keras.layers.Conv2DTranspose):
        x = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    x = keras.layers.Flatten()(first(x))
    x = keras.layers.Dense(4)(x)
    return keras.Model(inputs, keras.layers.Reshape((2, 2, 1))(x))


@pytest.mark.parametrize("classes", [0, 2])
def test_the_weights_are_what_the_first_layer_adds_for_a_latent(classes):
    """Its output for the latent i alone, less that for latents of 0, is row i."""
    for first in (keras.layers.Dense(5), keras.layers.Conv2DTranspose(2, 4)):
        network = generator(first, classes)
        weights = directions.first_weights(network)
        kernel = first.kernel.numpy()
        rows = kernel if kernel.ndim == 2 else kernel.transpose(3, 0, 1, 2).reshape(3 + classes, 32)
        np.testing.assert_array_equal(weights, rows[:3])
        x = np.eye(3 + classes, dtype=np.float32)
        x = x if kernel.ndim == 2 else x[:, None, None]
        made = np.asarray(first(x)).reshape(len(x), -1)  # the bias is 0
        np.testing.assert_allclose(weights, made[:3], atol=1e-6)


def test_a_generator_without_such_a_layer():
    z = keras.Input((4,))
    plain = keras.Model(z, keras.layers.Reshape((2, 2, 1))(z))
    x = keras.layers.Conv2D(1, 1)(keras.layers.Reshape((2, 2, 1))(z))
    convolution = keras.Model(z, x)
    inner = keras.layers.Dense(4)(keras.layers.Reshape((2, 2))(z))
    inner = keras.Model(z, keras.layers.Reshape((2, 4, 1))(inner))
    for network, found in ((plain, "has no weights"), (convolution, "conv"), (inner, "dense")):
        with pytest.raises(console.Failed, match=f"^no directions: .* and this one .*{found}"):
            directions.first_weights(network)


def test_directions_are_the_eigenvectors():
    """Of W = U S V^T, known orthogonal U and V: the columns of U, by falling S."""
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    weights = turn.T @ np.diag([1.0, 3.0, 2.0]) @ np.eye(3, 5)
    found, values = directions.find_directions(weights)
    np.testing.assert_allclose(values, [9, 4, 1], atol=1e-12)
    expected = [[0.8, -0.6, 0], [0, 0, 1], [0.6, 0.8, 0]]  # the largest entry is positive
    np.testing.assert_allclose(found, expected, atol=1e-7)
    weights = np.random.default_rng(0).normal(size=(40, 7))  # rank 7
    found, values = directions.find_directions(weights)
    assert found.dtype == np.float32 and found.shape == (40, 40)
    np.testing.assert_allclose(found @ found.T, np.eye(40), atol=1e-5)
    moved = np.square(found @ weights).sum(1)
    np.testing.assert_allclose(moved, values, atol=1e-4)
    assert (np.diff(values) <= 1e-12).all() and (values[7:] < 1e-9).all() and (values >= 0).all()
    for same in (weights, weights[:, ::-1], -weights):  # W W^T is the same but for rounding
        np.testing.assert_allclose(directions.find_directions(same)[0][:7], found[:7], atol=1e-5)
    assert directions.find_directions(weights.copy())[0].tobytes() == found.tobytes()


def test_moves_stay_within_the_latents_of_the_training():
    z = np.float32([[0.5, -0.9, 0.0], [1.5, -2.0, 0.0]])  # the second from a file of a user
    shift = np.float32([0.3, -0.3, 0.2])
    np.testing.assert_array_equal(directions.move(z, shift), z + shift)
    expected = [[0.8, -1, 0.2], [1.5, -2, 0.2]]
    np.testing.assert_allclose(directions.move(z, shift, 1.0), expected, atol=1e-6)
    np.testing.assert_allclose(
        directions.move(z, -shift, 1.0), [[0.2, -0.6, -0.2], [1.2, -1.7, -0.2]], atol=1e-6
    )


def names_of(found):
    return [line.rpartition("/")[2] for line in found.lines]


def test_an_edited_file_of_names_stays(tmp_path):
    one, other = generator(keras.layers.Dense(5)), generator(keras.layers.Dense(5))
    found = named.write(tmp_path, one, 3)
    assert names_of(found) == ["directions.npz", "directions.txt"] and found.names == {}
    np.testing.assert_array_equal(
        found.vectors, directions.find_directions(directions.first_weights(one))[0]
    )
    path = tmp_path / "directions.txt"
    text = path.read_text()
    assert text.endswith("\n1\n2\n3\n")
    assert names_of(named.write(tmp_path, other, 2)) == ["directions.npz", "directions.txt"]
    changed = path.read_text()
    assert changed.endswith("\n1\n2\n") and changed != text  # not edited: written anew
    path.write_text(f"\ufeff{text}", "utf-8")  # saved by another editor, and not edited
    assert names_of(named.write(tmp_path, one, 3)) == ["directions.npz", "directions.txt"]
    path.write_text("\ufeff" + text.replace("\n2\n", "\n2\t big smile \n"), "utf-8")
    found = named.write(tmp_path, one, 2)
    assert names_of(found) == ["directions.npz"] and found.names == {2: "big smile"}
    assert "big smile" in path.read_text()
    found = named.write(tmp_path, other, 2)
    assert len(found.lines) == 2
    assert found.lines[1].startswith(f"note: {path} names directions of another state of the gen")
    assert "big smile" in path.read_text()
    # To read does not write. The note of another generator is of the names, then of both files.
    assert named.read(tmp_path, other).lines == found.lines[1:]
    named.write(tmp_path, one, 2)
    kept = named.read(tmp_path, other)
    np.testing.assert_array_equal(kept.vectors, named.read(tmp_path, one).vectors)
    assert kept.lines == [
        f"note: {tmp_path}/directions.npz is of another state of the generator; --directions "
        "writes it anew"
    ]
    (tmp_path / "directions.npz").unlink()
    found = named.read(tmp_path, one)
    assert found.lines == [] and found.names == {2: "big smile"}
    np.testing.assert_array_equal(found.vectors, kept.vectors)
    assert [p.name for p in tmp_path.iterdir()] == ["directions.txt"]


def test_moves_by_number_and_name():
    found = named.Directions(np.eye(3, dtype=np.float32), {2: "smile", 3: "a b"}, [])
    np.testing.assert_array_equal(found.shift("2=1.5"), [0, 1.5, 0])
    np.testing.assert_array_equal(found.shift("smile=-1,1=2,2=0.5,a b=1e1"), [2, -0.5, 10])
    for name in ("0", "4", "9" * 30, "-1", "Smile", "²"):
        with pytest.raises(console.Failed, match=f"^--move={name}=1: there is no direction {name}"):
            found.shift(f"{name}=1")


def test_files_of_directions_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network, folder = generator(keras.layers.Dense(5)), Path()
    named.write(folder, network, 2)
    names, arrays = Path("directions.txt"), Path("directions.npz")
    for line in ("4 a", "0 a", "x", "1 a=b", "1 a,b", "1 7", "2 b\n2 c", "1 a\n2 a", "² a", "1\t7"):
        names.write_text(f"# names\n\n{line}\n")
        number = 2 + len(line.splitlines())
        for use in (named.read, lambda *words: named.write(*words, 2)):
            with pytest.raises(
                console.Failed, match=rf"^cannot use directions.txt: line {number} "
            ):
                use(folder, network)
    names.write_bytes(b"1 \xff")
    with pytest.raises(console.Failed, match=r"^cannot read directions.txt: "):
        named.read(folder, network)
    names.unlink()
    whole = arrays.read_bytes()
    np.savez("other.npz", a=np.zeros(3))
    np.savez("object.npz", directions=np.array([[1, 2, "x"]], object))
    for content in (b"", whole[:-30], Path("other.npz").read_bytes(), b"x" * 99):
        arrays.write_bytes(content)
        with pytest.raises(console.Failed, match=r"^cannot read directions.npz: .+") as error:
            named.read(folder, network)
        assert len(str(error.value).splitlines()) == 1
    for wrong in (np.zeros((2, 4)), np.zeros(3), np.zeros((0, 3)), [[0, np.nan, 1]]):
        np.savez(arrays, directions=wrong)
        with pytest.raises(console.Failed, match=r"^directions.npz must have finite directions"):
            named.read(folder, network)
    np.savez(arrays, directions=np.float64([[0, 3, 4]]))  # a user's own
    found = named.read(folder, network)
    np.testing.assert_array_equal(found.shift("1=2"), [0, 6, 8])
