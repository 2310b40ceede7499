"""Pictures of any kind as 8-bit sRGB: ranges, transparency, colour profiles; and the notes."""

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

import utils
from datasets import pictures
from tests.conftest import encoded

# The XYZ of red, green and blue as columns, adapted to D50.
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7142]])
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
GAMMA = 563 / 256  # 2.2, as a profile holds it
COLOURS = [(0, 0, 0), (255, 255, 255), (200, 90, 70), (90, 160, 70), (60, 80, 190), (128,) * 3]


def fixed(*values):
    """Numbers as a profile holds them: 16 bits before the point and 16 after it."""
    return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))


def profile(space, tags, kind=b"mntr", pcs=b"XYZ "):
    """The bytes of an ICC profile of version 2."""
    body, table, start = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", start + len(body), 0x02400000, kind, space, pcs, b"acsp")
    return (head + bytes(28) + fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body


def matrix_profile(matrix):
    """A profile of RGB: a power of `GAMMA`, then a matrix to XYZ."""
    curve = struct.pack(">4s4xIH", b"curv", 1, round(GAMMA * 256))
    tags = {f"{c}XYZ".encode(): b"XYZ " + bytes(4) + fixed(*xyz) for c, xyz in zip("rgb", matrix.T)}
    return profile(b"RGB ", tags | {f"{c}TRC".encode(): curve for c in "rgb"})


def ink_profile():
    """A profile of CMYK: paper is white, black ink is black, and cyan ink is gray, L = 50."""
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8) + np.uint8([0, 128, 128])
    corners[0, 0, 0, 0, 0], corners[1, 0, 0, 0, 0] = 255, 127
    straight = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += 4 * straight + corners.tobytes() + 3 * straight
    return profile(b"CMYK", {b"A2B0": table}, b"prtr", b"Lab ")


def gray_profile():
    curve = struct.pack(">4s4xIH", b"curv", 1, 256)  # linear: would change gray much
    return profile(b"GRAY", {b"kTRC": curve, b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.82)})


def in_srgb(colours, matrix):
    """Convert colours of a `matrix_profile` to sRGB by the equations, floats [N, 3]."""
    light = (np.array(colours) / 255) ** GAMMA @ (np.linalg.inv(SRGB) @ matrix).T
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def row(mode, *values):
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def convert(image, channels=3, **options):
    """Return (the pixels of an image's only row, the Seen), by `pictures.to_mode`."""
    seen = pictures.Seen()
    converted = pictures.to_mode(image, channels, seen=seen, **options)
    return np.asarray(converted)[0].astype(int), seen


def reopened(image, kind="PNG", **options):
    import io

    return Image.open(io.BytesIO(encoded(image, kind, **options)))


# ---- colour profiles


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_wide_gamut_is_converted(mode):
    image = row("RGB", *COLOURS)
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    found, seen = convert(reopened(image, icc_profile=matrix_profile(P3)))
    expected = in_srgb(COLOURS, P3)
    assert np.abs(expected - COLOURS).max() > 15
    np.testing.assert_allclose(found, expected, atol=2)
    assert seen.converted and not seen.broken and not seen.transparent


def test_ink_is_converted():
    image = row("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255))
    image.info["icc_profile"] = ink_profile()
    found, seen = convert(image)
    np.testing.assert_allclose(found, [[255] * 3, [119] * 3, [0] * 3], atol=2)  # L = 50 is 119
    assert seen.converted
    found, seen = convert(row("CMYK", (255, 0, 0, 0)))
    assert found.tolist() == [[0, 255, 255]] and not seen.converted


def test_transparent_pixels_keep_their_alpha():
    image = row("RGBA", (200, 90, 70, 255), (200, 90, 70, 0), (200, 90, 70, 128))
    found, seen = convert(reopened(image, icc_profile=matrix_profile(P3)), background="#0000ff")
    (colour,) = in_srgb([(200, 90, 70)], P3)
    mean = colour * 128 / 255 + np.array([0, 0, 255]) * 127 / 255
    np.testing.assert_allclose(found, [colour, [0, 0, 255], mean], atol=2)
    assert seen.converted and seen.transparent


SRGB_PROFILES = {
    "LittleCMS": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "a plain power": matrix_profile(SRGB),
}


@pytest.mark.parametrize("name", SRGB_PROFILES)
def test_srgb_is_left_as_it_is(name):
    near = {"LittleCMS": 0, "a plain power": 6}[name]  # its dark tones differ from sRGB's
    found, seen = convert(reopened(row("RGB", *COLOURS), icc_profile=SRGB_PROFILES[name]))
    np.testing.assert_allclose(found, COLOURS, atol=near)
    assert seen.converted == bool(near) and not seen.broken


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_gray_is_left_as_it_is(mode, channels):
    image = Image.new(mode, (1, 1), {"LA": (77, 255), "I;16": 77, "1": 0}.get(mode, 77))
    found, seen = convert(reopened(image, icc_profile=gray_profile()), channels)
    assert set(found.ravel()) == {0 if mode == "1" else 77}
    assert not seen.converted and not seen.broken


BROKEN = {
    "text": b"no profile",
    "nothing that is one": bytes(500),
    "cut": matrix_profile(P3)[:200],
    "no curves": profile(b"RGB ", {}),
    "of gray": gray_profile(),
    "of ink": ink_profile(),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_profile_is_ignored_and_told(body):
    image = row("RGB", *COLOURS)
    image.info["icc_profile"] = body
    found, seen = convert(image)
    np.testing.assert_array_equal(found, COLOURS)
    assert seen.broken and not seen.converted


def test_threads_share_a_transform():
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (50, 50, 3), np.uint8)) for _ in range(40)]
    for image in images:
        image.info["icc_profile"] = matrix_profile(P3)
    alone = [np.asarray(pictures.to_mode(image.copy(), 3)) for image in images]
    pictures.srgb_transform.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda image: np.asarray(pictures.to_mode(image, 3)), images))
    np.testing.assert_array_equal(together, alone)


# ---- values and transparency


def test_a_given_range_is_used():
    image = row("I", 0, 273, 4095)
    found, seen = convert(image, 1, value_range=[0, 65535])
    assert found.tolist() == [0, 1, 16] and seen.bits == 32
    assert seen.extremes.tolist() == [0, 4095]


@pytest.mark.parametrize(
    ("mode", "colour", "transparent"),
    [
        ("RGBA", (9, 9, 9, 255), False),
        ("RGBA", (9, 9, 9, 254), True),
        ("LA", (9, 0), True),
        ("LA", (9, 255), False),
        ("RGB", (9, 9, 9), False),
        ("L", 9, False),
    ],
)
def test_transparency_counts_if_it_shows(mode, colour, transparent):
    assert convert(reopened(Image.new(mode, (2, 2), colour)))[1].transparent == transparent


def test_a_transparent_colour_of_a_palette():
    image = row("P", 0, 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    found, seen = convert(reopened(image, transparency=1), background="black")
    assert found.tolist() == [[255, 0, 0], [0, 0, 0]] and seen.transparent


def png_16(colour_type, *values):
    """A PNG of one pixel with 16 bits a channel, which Pillow cannot write."""
    from tests.conftest import _png

    return _png(1, 1, 16, colour_type, b"\0" + struct.pack(f">{len(values)}H", *values))


@pytest.mark.parametrize(
    ("kind", "values", "cut"),
    [(2, (0x1280, 0x80FF, 0), True), (6, (0x12FF, 0x8000, 0, 0xFFFF), True), (0, (0x12FF,), False)],
)
def test_the_low_bytes_of_colours_are_told(tmp_path, kind, values, cut):
    (tmp_path / "a.png").write_bytes(png_16(kind, *values))
    with utils.open_image(tmp_path / "a.png") as image:
        found, seen = convert(image)
    assert seen.cut_bits == cut
    if cut:
        assert found.tolist() == [[0x12, 0x80, 0]]


def test_the_aspect_is_that_of_the_upright_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert convert(reopened(Image.new("RGB", (6, 3)), "JPEG", exif=exif))[1].aspect == 0.5


# ---- the notes


def seen(count=1, **facts):
    return [pictures.Seen(**facts) for _ in range(count)]


def test_plain_pictures_have_no_notes():
    assert pictures.summarise([], np.ones(3), (4, 4)) == {} == pictures.summarise([])
    assert pictures.notes({}) == []
    assert not pictures.Seen(aspect=3).is_told()
    assert pictures.Seen(bits=16).is_told() and pictures.Seen(broken=True).is_told()


def test_every_note():
    found = seen(2, transparent=True) + seen(1, converted=True) + seen(3, broken=True)
    found += seen(4, cut_bits=True) + seen(bits=16, extremes=np.uint16([5, 700]))
    found += seen(bits=16, extremes=np.uint16([0, 3000]))
    facts = pictures.summarise(found)
    assert facts["value_range"] == [0, 4095]
    assert pictures.notes(facts, "#102030") == [
        "16-bit pictures: values 0 to 4095 become 0 to 255",
        "the higher 8 of 16 bits a channel are used in 4 pictures",
        "#102030 fills the transparent pixels of 2 pictures (--background chooses another colour)",
        "the colours of 1 picture are converted to sRGB, by the profiles in the files",
        "the colour profiles of 3 pictures cannot be used, and are ignored",
    ]


CUTS = {  # sizes of the pictures, (height, width, multiple) of the output, the note
    "a third": ([(96, 64)], (64, 64, 8), "33 %: --output_width 96"),
    "two thirds": ([(64, 192)], (64, 64, 8), "67 %: --output_height 192"),
    "by the mean": ([(128, 64), (72, 64)], (64, 64, 8), "31 %"),
    "nearest multiple": ([(90, 64)], (64, 64, 16), "29 %: --output_width 96"),
    "a wide output": ([(64, 64)], (64, 128, 8), "50 %: --output_height 128"),
    "too wide": ([(6400, 64)], (64, 64, 8), "99 %"),
    "the nearest is the same": ([(72, 64)], (8, 8, 8), "11 %"),
    "any way": ([(128, 64), (64, 128)], (64, 64, 8), "50 %"),
    "one size alone": ([(96, 64)], (64, 64, 0), "33 %"),
    "little": ([(71, 64)], (64, 64, 8), None),
}


@pytest.mark.parametrize(("sizes", "output", "says"), CUTS.values(), ids=CUTS)
def test_the_note_on_cropping(sizes, output, says):
    aspects = np.array([width / height for width, height in sizes])
    notes = pictures.notes(pictures.summarise([], aspects, output[:2]), output=output)
    share, _, flag = (says or "").partition(": ")
    line = f"the centre crop cuts away {share} of a picture on average"
    assert notes == ([line + (f": {flag} would keep it" if flag else "")] if says else [])
