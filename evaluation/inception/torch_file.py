"""Reads the tensors of a file of PyTorch, without PyTorch and without unpickling. NumPy only.

A file of weights is a pickle that describes tensors, and their numbers beside it: in a zip file, or
one after the other in files from before PyTorch 1.6. A pickle is a program, and Python's `pickle`
runs what it names. Here its instructions are read by `pickletools`, and a small machine carries out
those that build dicts, tuples and numbers. It calls nothing: the few names that a file of weights
needs are marks, and any other name or instruction ends in an error.
"""

import collections
import contextlib
import math
import os
import pickletools
import struct
import zipfile

import numpy as np

import files

DICT, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
TYPES = {  # name of a storage's type → that of its numbers
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
}
NAMES = {DICT, TENSOR, *TYPES}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the older format
MAX_INSTRUCTIONS = 1_000_000  # the network of 2015 needs tens of thousands
MAX_NUMBERS = 2**28  # in all tensors: 1 GB of float32
MAX_RANK, MAX_WHOLE = 8, 2**40  # of a tensor, and of a size, stride or offset
VALUES = {  # instructions that push their argument
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINFLOAT"),
}

Name = collections.namedtuple("Name", "text")
Storage = collections.namedtuple("Storage", "dtype key count")
Tensor = collections.namedtuple("Tensor", "storage offset shape strides")


class _Machine:
    """Carries out the instructions of a pickle. `run` returns the value that it ends with."""

    def __init__(self):
        self.stack, self.marks, self.memo = [], [], {}

    def run(self, stream):
        """Return the value that the next pickle of a binary stream describes.

        Raises:
          ValueError: if it is no pickle, or needs more than a file of weights does.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_INSTRUCTIONS:
                raise ValueError("its pickle is too long")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in VALUES:
                self.stack.append(argument)
            elif opcode.name in INSTRUCTIONS:
                INSTRUCTIONS[opcode.name](self, argument)
            else:
                raise ValueError(f"its pickle has {opcode.name}, which no file of weights needs")
        raise ValueError("its pickle has no end")

    def push(self, value):
        """Put a value on the stack."""
        self.stack.append(value)

    def take(self, count):
        """Take the last values from the stack."""
        if len(self.stack) < count:
            raise ValueError("its pickle takes more values than there are")
        return self._from(len(self.stack) - count)

    def marked(self):
        """Take the values above the last mark."""
        return self._from(self.marks.pop())

    def _from(self, place):
        found = self.stack[place:]
        del self.stack[place:]
        return found

    def mark(self):
        """Mark the top of the stack."""
        self.marks.append(len(self.stack))

    def name(self, text):
        """Push a name, which is a mark and not what it names."""
        if text not in NAMES:
            raise ValueError(f"its pickle names {text}, which no file of weights needs")
        self.push(Name(text))

    def keep(self, place):
        """Note the last value under a number."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def set(self, found):
        """Put pairs of keys and values into the dict on the stack."""
        for key in found[::2]:
            _expect(key, str)  # to hash nested tuples can take forever
        _expect(self.stack[-1], dict).update(zip(found[::2], found[1::2]))

    def extend(self, found):
        """Append values to the list on the stack."""
        _expect(self.stack[-1], list).extend(found)

    def make(self):
        """Replace a name and its arguments by what `_make` returns."""
        name, arguments = self.take(2)
        self.push(_make(_expect(name, Name).text, _expect(arguments, tuple)))

    def storage(self):
        """Replace the description of a storage by a `Storage`."""
        kind, dtype, key, _, count, *view = _expect(self.take(1)[0], tuple)
        if kind != "storage" or _expect(dtype, Name).text not in TYPES or any(view):
            raise ValueError("its pickle has an unknown storage")
        self.push(Storage(TYPES[dtype.text], _expect(key, str), _whole(count)))


INSTRUCTIONS = {  # name → function of (machine, argument)
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": lambda m, _: m.mark(),
    "GLOBAL": lambda m, text: m.name(text),
    "BINPUT": lambda m, place: m.keep(place),
    "LONG_BINPUT": lambda m, place: m.keep(place),
    "MEMOIZE": lambda m, _: m.keep(None),
    "BINGET": lambda m, place: m.push(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.push(m.memo[place]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.push(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.take(3))),
    "SETITEM": lambda m, _: m.set(m.take(2)),
    "SETITEMS": lambda m, _: m.set(m.marked()),
    "APPEND": lambda m, _: m.extend(m.take(1)),
    "APPENDS": lambda m, _: m.extend(m.marked()),
    "BUILD": lambda m, _: m.take(1),  # the attributes of a dict: the versions of layers
    "REDUCE": lambda m, _: m.make(),
    "BINPERSID": lambda m, _: m.storage(),
}


def _make(name, arguments):
    """Return the dict or the `Tensor` that a pickle makes."""
    if name == DICT and not arguments:
        return {}
    if name == TENSOR:
        storage, offset, shape, strides, *_ = arguments
        tensor = Tensor(_expect(storage, Storage), _whole(offset), shape, strides)
        for numbers in (shape, strides):
            if len(_expect(numbers, tuple)) > MAX_RANK:
                raise ValueError("its pickle has a tensor of too many axes")
            list(map(_whole, numbers))
        return tensor
    raise ValueError(f"its pickle calls {name}, which no file of weights needs")


def _expect(value, kind):
    if type(value) is not kind:
        raise ValueError(f"its pickle has a {type(value).__name__} instead of a {kind.__name__}")
    return value


def _whole(number):
    if _expect(number, int) < 0:
        raise ValueError("its pickle has a size below 0")
    if number > MAX_WHOLE:
        raise ValueError("its pickle has a size that no file has")
    return number


def read(path):
    """Read the tensors of a state dict that PyTorch has saved.

    Args:
      path: path of the file, in the zip format or the older one.

    Returns:
      A dict of name → array.

    Raises:
      OSError: if it cannot be read.
      ValueError: if it is broken, holds something else than tensors, or tensors of more numbers
        than the file has.
    """
    try:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_older(path)
    except (OSError, ValueError):
        raise
    except Exception as error:  # of zipfile, zlib, struct and a machine without its values
        raise ValueError(f"it is broken ({type(error).__name__})") from None


def _read_zip(path):
    """Read the format of PyTorch 1.6 and newer: NAME/data.pkl and NAME/data/KEY in a zip file."""
    files.check_zip(path)
    with zipfile.ZipFile(path) as parts:
        names = [name for name in parts.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("it has no data.pkl")
        top = names[0].removesuffix("data.pkl")
        with contextlib.suppress(KeyError):
            if parts.read(f"{top}byteorder") != b"little":
                raise ValueError("its numbers are big-endian")
        with parts.open(names[0]) as stream:
            found = _Machine().run(stream)
        return _arrays(found, lambda storage: parts.read(f"{top}data/{storage.key}"))


def _read_older(path):
    """Read the format from before PyTorch 1.6: pickles, and the storages in the order of a list."""
    with open(path, "rb") as stream:
        if _Machine().run(stream) != MAGIC or _Machine().run(stream) != PROTOCOL:
            raise ValueError("it is no file of PyTorch")
        if _expect(_Machine().run(stream), dict).get("little_endian") is not True:
            raise ValueError("its numbers are big-endian")
        found, places = _Machine().run(stream), {}
        tensors, end = _tensors(found), os.path.getsize(path)
        sizes = {t.storage.key: t.storage.dtype.itemsize for t in tensors.values()}
        for key in _expect(_Machine().run(stream), list):
            _expect(key, str)
            (count,) = struct.unpack("<q", stream.read(8))
            start = stream.tell()
            places[key] = start, _whole(count) * sizes[key]
            if start + places[key][1] > end:
                raise ValueError("its numbers are cut off")
            stream.seek(places[key][1], os.SEEK_CUR)

        def body(storage):
            stream.seek(places[storage.key][0])
            return stream.read(places[storage.key][1])

        return _arrays(found, body)


def _tensors(found):
    """Return a state dict. Raises ValueError if it has other entries than tensors."""
    for name, tensor in _expect(found, dict).items():
        if type(tensor) is not Tensor:
            raise ValueError(f"its entry {name[:60]!r} is no tensor")
    if sum(math.prod(tensor.shape) for tensor in found.values()) > MAX_NUMBERS:
        raise ValueError("its tensors are too large")
    return found


def _arrays(found, body):
    """Return a dict of name → array. `body` is a function of a `Storage` that returns its bytes."""
    arrays, bodies = {}, {}
    for name, (storage, offset, shape, strides) in _tensors(found).items():
        if storage.key not in bodies:
            bodies[storage.key] = body(storage)
        numbers, count = np.frombuffer(bodies[storage.key], storage.dtype), math.prod(shape)
        if not _in_order(shape, strides):
            raise ValueError(f"the numbers of {name[:60]!r} are not in their order")
        if len(numbers) < offset + count:
            raise ValueError(f"the numbers of {name[:60]!r} are cut off")
        arrays[name] = numbers[offset : offset + count].reshape(shape)
    return arrays


def _in_order(shape, strides):
    """True if the strides, in numbers, are those of an array of this shape in C order."""
    step = 1
    for size, stride in zip(shape[::-1], strides[::-1], strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True
