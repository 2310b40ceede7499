"""The page to play with: what it shows is what the command line makes, and whom it answers."""

import base64
import functools
import http.client
import io
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import urllib.parse
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import console
import utils
from commands import build, generate
from config import tables
from config.flags import parse_flags
from config.rows import import_object
from generation import load
from serving import handler, server, uploads, watch
from steering import named, projection
from tests.conftest import BAD_PICTURES, FORMATS, ROOT, encoded, noise
from tests.test_page import BROWSERS

STATE = {"seed": 3, "label": None, "truncation": None, "moves": {}, "latents": None, "file": None}


def make_page(*words):
    """The page that `--serve` shows with these words."""
    given = parse_flags(["main.py", *words])
    c, folder = build.find(given)
    page = import_object(tables.ARCHS[c.arch].task.page)
    return page(c, folder, generate._words(c, given, folder))


@pytest.fixture
def answering():
    """A function of a page: a `Server` that answers with it, in a thread, until the test ends."""
    running = []

    def start(page):
        made = server.Server("127.0.0.1", 0)
        made.page = page
        running.append((made, threading.Thread(target=made.run)))
        running[-1][1].start()
        return made

    yield start
    for made, thread in running:
        made.ending.set()
        thread.join()


def ask(to, method, path, body=None, **headers):
    """Send a request as the page does; return (status, headers, bytes)."""
    connection = http.client.HTTPConnection(*to.server_address, timeout=60)
    headers = {"Origin": to.url.rstrip("/"), **headers}
    headers = {name: value for name, value in headers.items() if value is not None}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def post(to, call, body, /, **fields):
    """Make a call; return the last line of the answer."""
    body = json.dumps(body) if isinstance(body, dict) else body
    status, _, text = ask(to, "POST", f"/{call}?{urllib.parse.urlencode(fields)}", body)
    result = json.loads(text.splitlines()[-1])
    assert ("error" in result) == (status != 200), result
    return result


def pixels(uri):
    """The image [H, W, C] of a data URI."""
    assert uri.startswith("data:image/png;base64,")
    return utils.read_image(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_command_makes_the_same_picture(cli, answering, tmp_path):
    """With the directions that the user has saved and named, and for projected latents."""
    words = ("--dataset", "mnist", "--batch_size", "2")
    assert cli(*words, "--directions", "3")[0] == 0
    folder = tmp_path / "samples/mnist_64_28_28"
    with np.load(folder / "directions.npz") as saved:
        np.savez(folder / "directions.npz", **{**saved, "directions": saved["directions"][::-1]})
    (folder / "directions.txt").write_text("2 slant\n")
    to = answering(make_page(*words, "--seed", "5"))
    facts = json.loads(ask(to, "GET", "/facts")[2])
    assert facts["classes"] == [*"0123456789"] and facts["reach"] == 2
    assert facts["directions"] == ["", "slant", *[""] * 6]
    moved = {"seed": 3, "label": 7, "truncation": 0.70004, "moves": {"2": 1.5, "8": -0.25, "1": 0}}
    z = load("mnist").sampler().z(9, count=1)[0].tolist()
    states = [moved, {"moves": {"1": 2}, "latents": z, "file": "my_photo.npy", "label": 2}]
    for changes, file in zip(states, ("seed_0003.png", "latent_0000.png")):
        found = post(to, "picture", {**STATE, **changes})
        assert found["file"] == file
        np.save("my_photo.npy", np.array([z], np.float32))
        shown, called = found["command"], shlex.split(found["command"])
        assert called[:2] == ["python", "main.py"]
        assert cli(*called[2:])[0] == 0, shown
        np.testing.assert_array_equal(pixels(found["image"]), utils.read_image(folder / file))
    assert shown.endswith("--name mnist_64_28_28 --latents my_photo.npy --label 2 --move 1=2")
    found = post(to, "picture", {**STATE, **moved})["command"]
    named = "--seed 5 --name mnist_64_28_28 --seeds 3 --truncation 0.7 --label 7"
    assert found == f"python main.py {' '.join(words)} {named} --move 2=1.5,8=-0.25"


def test_the_pictures_are_those_of_python(answering):
    """Also those of the other seeds, one of which is the last that there is."""
    g, to = load("faces_64_48_48"), answering(make_page("--dataset", "faces"))
    found = post(to, "picture", {**STATE, "moves": {"3": -1.5}, "truncation": 0.5})
    image = g.sample(seeds=[3], move={3: -1.5}, truncation=0.5)[0]
    np.testing.assert_array_equal(pixels(found["image"]), image)
    found = post(to, "others", {**STATE, "seed": 2**31 - 1})
    assert found["seeds"] == [*range(2**31 - 8, 2**31)]
    images = np.stack([pixels(image) for image in found["images"]])
    np.testing.assert_array_equal(images, g.sample(seeds=found["seeds"]))


def test_a_generator_without_directions(cli, monkeypatch, capsys):
    def refuse(*_):
        raise console.Failed("no directions: none")

    monkeypatch.setattr(named, "read", refuse)
    page = make_page("--dataset", "mnist")
    assert "note: the page has no directions: no directions: none\n" in capsys.readouterr().out
    assert page.facts["directions"] == []
    assert page.picture({}, json.dumps(STATE), None)["command"].endswith(" --seeds 3")
    with pytest.raises(console.Failed, match=r"^this generator has no directions to move along$"):
        page.picture({}, json.dumps({**STATE, "moves": {"1": 1}}), None)


def test_a_photo_is_projected(answering, monkeypatch):
    """The answer has lines of progress, and latents whose picture is the one that was found."""
    monkeypatch.setattr(projection, "POOL", 64)
    page = make_page("--dataset", "mnist")
    page.generator.project = functools.partial(page.generator.project, steps=3, restarts=1)
    to = answering(page)
    seven = page.generator.sample(1, label=7, seed=1)[0]
    stream = io.BytesIO()
    wide = np.pad(seven, ((0, 0), (14, 14), (0, 0)))  # is cropped at its centre
    utils.to_pillow(wide).save(stream, "PNG")
    status, _, text = ask(to, "POST", "/project?name=my%20s%2Fseven.1.png", stream.getvalue())
    *told, found = map(json.loads, text.splitlines())
    assert status == 200 and told[0] == {"done": 1, "total": 3}
    assert found["label"] == 7 and found["file"] == "seven_1.npy" and 5 < found["psnr"] < 50
    assert found["notes"] == ["the centre crop cuts away 50 % of a picture on average"]
    np.testing.assert_array_equal(pixels(found["photo"]), seven)
    z = np.load(io.BytesIO(base64.b64decode(found["npy"])), allow_pickle=False)
    assert z.dtype == np.float32 and z.tolist() == [found["latents"]]
    asked = {**STATE, **{name: found[name] for name in ("label", "latents", "file")}}
    made = pixels(post(to, "picture", asked)["image"])
    error = np.mean((made.astype(float) - seven) ** 2)
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / error))


def test_translations_are_those_of_the_command_line(cli, answering, eager):
    image = noise(23, 18)
    image.save("my face.png")
    to = answering(make_page("--dataset", "hair"))
    assert json.loads(ask(to, "GET", "/facts")[2])["translations"] == ["A2B", "B2A"]
    with open("my face.png", "rb") as file:
        body = file.read()
    found = post(to, "translate", body, direction="B2A", name="C:\\a\\my face.png")
    assert cli(*shlex.split(found["command"])[2:])[0] == 0
    made = utils.read_image("translated/my face.png")
    np.testing.assert_array_equal(pixels(found["image"]), made)
    np.testing.assert_array_equal(pixels(found["source"]), np.asarray(image))
    assert found["notes"] == [] and found["file"] == "my face_B2A.png"
    assert (
        "--input=-a.png --output"
        in post(to, "translate", body, direction="A2B", name="-a.png")["command"]
    )
    jpeg = post(to, "translate", encoded(image, "JPEG"), direction="A2B", name="a.JPG")
    assert jpeg["notes"] == [
        "the command writes a JPEG, whose pixels differ a little from this PNG"
    ]
    for direction, name in (
        ("C", "direction='C' must be A2B or B2A"),
        ("A2B", "cannot read a.png"),
    ):
        assert name in post(to, "translate", b"text", direction=direction, name="a.png")["error"]


@pytest.mark.parametrize(
    "run, call, fields, body",
    [
        ("mnist_64_28_28", "picture", {}, json.dumps(STATE)),
        ("hair_2_48_48_cyclegan", "translate", {"direction": "A2B"}, encoded(noise(8, 8), "PNG")),
    ],
)
def test_a_run_that_changes_is_told(cli, run, call, fields, body):
    """The page shows the state that was loaded, and the command would use the new one."""
    shutil.copytree(ROOT / "pretrained" / run, f"checkpoint/{run}")
    page = make_page("--dataset", run.partition("_")[0])
    before = page.calls[call](fields, body, None)
    (path, *_) = Path("checkpoint", run).glob("generator*.keras")
    path.write_bytes(path.read_bytes())
    after = page.calls[call](fields, body, None)
    assert before["notes"] == [] and after == {**before, "notes": [watch.CHANGED]}
    shutil.rmtree(f"checkpoint/{run}")
    assert page.calls[call](fields, body, None) == after


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_upload_gets_a_line(name):
    for read, size in ((uploads.read_photo, (8, 8, 3)), (uploads.read_whole, 3)):
        with pytest.raises(console.Failed, match=f"^cannot read {name}: [^\n]+$"):
            read(BAD_PICTURES[name], name, size)


def test_uploads_are_decoded_as_data_are():
    """All formats; transparent pixels get the background, and a note says so."""
    for kind in FORMATS.values():
        image, notes = uploads.read_photo(encoded(noise(16, 16), kind), "a", (8, 8, 1))
        assert image.shape == (8, 8, 1) and notes == []
    box = np.zeros((8, 8, 1), np.uint8)
    box[2:6, 2:6] = 200
    framed = encoded(utils.to_pillow(box), "PNG")
    assert (uploads.read_photo(framed, "a", (4, 4, 1), crop=(4, 4))[0] == 200).all()
    clear = encoded(Image.new("RGBA", (4, 4)), "PNG")
    wide = encoded(Image.fromarray(np.full((4, 4), 1000, np.uint16)), "PNG")
    for read, size in ((uploads.read_photo, (4, 4, 3)), (uploads.read_whole, 3)):
        image, notes = read(clear, "a", size, "#102030")
        assert image.reshape(-1, 3).tolist() == [[16, 32, 48]] * 16
        assert notes[0].startswith("#102030 fills the transparent pixels of 1 picture")
        assert (read(wide, "a", size, value_range=(0, 2000))[0] == 128).all()
    with pytest.raises(console.Failed, match=r"^cannot read a: 4096x1025 are more than 4194304 p"):
        uploads.read_whole(encoded(Image.new("1", (4096, 1025)), "PNG"), "a", 3)


class Page:
    """A page of one call, which notes what it gets."""

    def __init__(self, call=None):
        self.seen, self.facts = [], {"title": "page"}
        self.calls = {"call": call or self.call}

    def call(self, fields, body, tell):
        """Fail with a text, or return the body."""
        self.seen.append((fields, body))
        if body == b"bug":
            raise ZeroDivisionError("a\nb")
        return {"body": body.decode()}


def test_the_files_of_the_page_need_nothing_else(answering):
    to = answering(Page())
    kinds = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}
    for path, kind in kinds.items():
        status, headers, body = ask(to, "GET", path)
        assert status == 200 and headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert not re.search(r"https?:|url\(|@import", body.decode())
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    for path in ("/facts", "/facts?a=1"):
        assert ask(to, "GET", path)[2] == b'{"title": "page"}\n'
    for path in ("/none", "/../server.py", "/page.html", "/facts/"):
        status, _, body = ask(to, "GET", path)
        assert (status, json.loads(body)) == (404, {"error": "there is no such page"})


@pytest.mark.parametrize(
    "method, path, body, headers, status",
    [
        ("GET", "/", None, {"Host": "evil.example:80"}, 403),
        ("GET", "/facts", None, {"Host": "127.0.0.1.evil.example"}, 403),
        ("GET", "/", None, {"Host": "192.168.0.9"}, 403),
        ("GET", "/", None, {"Host": "["}, 403),
        ("GET", "/", None, {"Host": ""}, 403),
        ("POST", "/call", b"a", {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ("POST", "/call", b"a", {"Origin": "http://evil.example"}, 403),
        ("POST", "/call", b"a", {"Origin": "null"}, 403),
        ("POST", "/call", b"a", {"Origin": None}, 403),
        ("POST", "/none", b"a", {}, 404),
        ("POST", "http://[", b"a", {"Host": "localhost", "Origin": "http://localhost"}, 404),
        ("POST", "/call", b"", {"Content-Length": "x"}, 411),
        ("POST", "/call", bytes(handler.MAX_BODY + 1), {}, 413),
        ("POST", "/call", b"bug", {}, 500),
        ("PUT", "/call", b"a", {}, 501),
    ],
)
def test_who_is_refused(answering, capsys, method, path, body, headers, status):
    """Sites elsewhere, which make a name an address of this computer, or send a browser here."""
    page = Page()
    to = answering(page)
    found, _, text = ask(to, method, path, body, **headers)
    assert found == status and text.count(b"\n") == 1 and [*json.loads(text)] == ["error"]
    assert page.seen == ([({}, body)] if status == 500 else [])
    out = "the page had an error: ZeroDivisionError: a\n" if status == 500 else ""
    assert capsys.readouterr() == (out, "")
    assert ask(to, "POST", "/call?a=%26", b"x")[2] == b'{"body": "x"}\n'
    assert page.seen[-1] == ({"a": "&"}, b"x")


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"seed": -1}, "seed=-1 must be a whole number from 0 to 2147483647"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number"),
        ({"label": 10}, "label=10: this generator has the classes 0, 1"),
        ({"truncation": 1.5}, "truncation=1.5 must be a number, at least 0.01, at most 1"),
        ({"truncation": True}, "these are no settings"),
        ({"truncation": "x"}, "these are no settings of this page"),
        ({"moves": {"101": 1}}, "--move=101=1: there is no direction 101"),
        ({"moves": {"1": 1e9}}, "moves must be from -1000 to 1000"),
        ({"moves": {"1": float("nan")}}, "moves must be from"),
        ({"moves": {"a": 1}}, "these are no settings"),
        ({"moves": [1]}, "these are no settings"),
        ({"latents": [1.0, 2.0]}, "latents must be 100 finite numbers"),
        ({"latents": [float("inf")] * 100}, "latents must be 100 finite numbers"),
        ({"latents": [[1.0]] * 100}, "these are no settings"),
        ({"latents": [0.0] * 100, "file": "../a.npy"}, "file must be the name of a .npy file"),
    ],
)
def test_wrong_settings(mnist, changes, says):
    body = json.dumps({**STATE, **changes}).encode()
    with pytest.raises(console.Failed, match=f"^{re.escape(says)}"):
        mnist.picture({}, body, None)


@pytest.fixture(scope="module")
def mnist():
    return make_page("--dataset", "mnist")


@pytest.mark.parametrize("body", [b"", b"[1]", b"{}", b"\xff", b"[" * 100_000])
def test_what_are_no_settings(mnist, body):
    with pytest.raises(console.Failed, match=r"^these are no settings of this page$"):
        mnist.picture({}, body, None)


def test_one_call_runs_at_a_time(answering):
    """One that nobody waits for any more does not run; progress lets others take their turn."""
    held, went, active, most = threading.Event(), threading.Event(), [], []

    def call(fields, body, tell):
        active.append(body)
        most.append(len(active))
        if body == b"long":
            went.set()
            assert held.wait(20)
            for i in range(2):
                tell(i, 2)
        active.remove(body)
        return {"body": body.decode()}

    to, found = answering(Page(call)), {}

    def send(body):
        found[body] = ask(to, "POST", "/call", body)[2].splitlines()

    threads = [threading.Thread(target=send, args=(body,)) for body in (b"long", b"short")]
    threads[0].start()
    assert went.wait(20)
    threads[1].start()
    gone = http.client.HTTPConnection(*to.server_address, timeout=20)
    gone.request("POST", "/call", b"gone", {"Origin": to.url.rstrip("/")})
    gone.close()
    held.set()
    for thread in threads:
        thread.join()
    assert found[b"short"] == [b'{"body": "short"}']
    assert found[b"long"] == [b'{"done": 0, "total": 2}', b'{"body": "long"}']
    assert len(most) == 2


def test_a_call_ends_with_the_server_or_the_browser(answering):
    """At its next sign of progress."""
    begun, errors = threading.Event(), queue.Queue()

    def call(fields, body, tell):
        begun.set()
        try:
            while True:
                tell(1, 2)
        except BaseException as error:
            errors.put(error)
            raise

    to = answering(Page(call))

    def send():
        connection = http.client.HTTPConnection(*to.server_address, timeout=20)
        connection.request("POST", "/call", b"x", {"Origin": to.url.rstrip("/")})
        assert begun.wait(20)
        return connection

    gone = send()
    gone.getresponse()
    gone.close()
    assert isinstance(errors.get(timeout=20), ConnectionError)
    begun.clear()
    stays = send()
    to.ending.set()
    assert isinstance(errors.get(timeout=20), console.Stopped)
    stays.close()


def test_the_address(monkeypatch):
    with server.Server("127.0.0.1", 0) as first:
        port = first.server_address[1]
        assert first.lines(0) == [f"the page is at http://127.0.0.1:{port}/ (Ctrl-C ends it)"]
        with pytest.raises(console.Failed, match=f"^port {port} is taken on 127.0.0.1: give anoth"):
            server.listen("127.0.0.1", port, fixed=True)
        with server.listen("127.0.0.1", port, fixed=False) as second:
            other = second.server_address[1]
            assert port < other < port + server.PORTS
            assert second.lines(port)[0] == f"port {port} is taken: the page has the port {other}"
        monkeypatch.setattr(server, "PORTS", 1)
        with pytest.raises(console.Failed, match=f"^the ports {port} to {port} are taken on 127"):
            server.listen("127.0.0.1", port, fixed=False)
    with server.Server("0.0.0.0", 0) as everywhere:
        line = "--host=0.0.0.0: other computers that reach this address can use the page, without"
        assert everywhere.lines(0)[0].startswith(line)
        assert everywhere.url.startswith("http://127.0.0.1:")
        assert everywhere.knows("192.168.0.9:1") and not everywhere.knows("evil.example:1")
    with server.Server("127.0.0.2", 0) as second:
        assert second.knows("127.0.0.2") and second.knows("[::ffff:127.0.0.2]")
        assert second.knows("127.0.0.1") and not second.knows("127.0.0.3")
    for host in ("256.1.1.1", "no such host", "203.0.113.1", "a" * 70):
        with pytest.raises(
            console.Failed, match=f"^cannot serve a page on --host={host}, --port=1"
        ):
            server.listen(host, 12345, fixed=True)


def test_the_spellings_of_an_address():
    try:
        server.Server("::1", 0).server_close()
    except OSError:
        pytest.skip("no IPv6 here")
    with server.Server("[0:0::1]", 0) as six:
        assert six.url.startswith("http://[0:0::1]:") and len(six.lines(0)) == 1
        assert six.knows("[::1]:80") and not six.knows("[::2]")
    with server.Server("::FFFF:127.0.0.1", 0) as mapped:
        assert len(mapped.lines(0)) == 1 and mapped.knows("[::ffff:7f00:1]:80")


def test_a_signal_ends_it(monkeypatch, handlers):
    with server.Server("127.0.0.1", 0) as to:
        to.page = Page()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        assert to.run() == "SIGINT"


def test_the_browser_is_opened_if_there_is_one(monkeypatch):
    opened = threading.Event()

    def show(url):
        opened.set()
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "open", show)
    for name in server.WINDOWS:
        monkeypatch.delenv(name, raising=False)
    server.open_browser("http://127.0.0.1:1/")
    assert not opened.wait(0.2)
    monkeypatch.setenv("DISPLAY", ":0")
    server.open_browser("http://127.0.0.1:1/")
    assert opened.wait(20)


def test_the_program(tmp_path):
    """It prints the address, answers, writes no file, and ends on SIGTERM."""
    words = ["--dataset", "mnist", "--serve", "--port", "0", "--label", "3"]
    environment = {n: v for n, v in os.environ.items() if n not in server.WINDOWS}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith("run ")
        note = "note: --label has no effect with --serve: the page has its own settings\n"
        assert process.stdout.readline() == note
        line = process.stdout.readline()
        address = re.fullmatch(r"the page is at http://(127.0.0.1:\d+)/ \(Ctrl-C ends it\)\n", line)
        connection = http.client.HTTPConnection(address[1], timeout=60)
        headers = {"Origin": f"http://{address[1]}"}
        connection.request("POST", "/picture", json.dumps(STATE), headers)
        assert json.load(connection.getresponse())["file"] == "seed_0003.png"
        connection.close()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and err == ""
    assert out.startswith("stopped by SIGTERM\ngo on with\n")
    assert not list(tmp_path.iterdir())


# Moves a slider, chooses a class, and gives a file that is no picture. Notes what the page shows
# after each.
HOOK = """
(async () => {
  const seen = [];
  const until = async (is) => { while (!is()) await new Promise((done) => setTimeout(done, 20)); };
  const note = () => seen.push([picture.src, at("caption").textContent, at("command").textContent]);
  await until(() => at("picture").naturalWidth && at("others").children.length);
  const picture = at("picture");
  note();
  let before = picture.src;
  for (const value of [0.5, 1, 2]) {
    at("move1").value = value;
    at("move1").dispatchEvent(new Event("input"));
  }
  await until(() => picture.src !== before);
  note();
  before = picture.src;
  at("buttons").children[7].click();
  await until(() => picture.src !== before);
  note();
  const files = new DataTransfer();
  files.items.add(new File(["This is a text."], "notes.txt"));
  at("photo").dispatchEvent(new DragEvent("drop", {dataTransfer: files}));
  await until(() => !at("error").hidden);
  seen.push(at("error").textContent, at("others").children.length, picture.width);
  seen.push(at("file").textContent);
  document.body.dataset.seen = JSON.stringify(seen);
})();
"""


def test_a_browser_shows_the_page(mnist, answering, tmp_path, monkeypatch):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser to look with: one of {', '.join(BROWSERS)}")
    read = handler.read_file
    monkeypatch.setattr(mnist.watch, "lines", lambda: ["it has changed"])
    hooked = {"page.js": HOOK.encode()}
    monkeypatch.setattr(handler, "read_file", lambda name: read(name) + hooked.get(name, b""))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options += ["--virtual-time-budget=60000", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [browser, *options, answering(mnist).url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r'data-seen="(.*?)"', done.stdout)
    assert found, (done.stdout, done.stderr[-2000:])
    *shown, error, others, width, note = json.loads(found[1].replace("&quot;", '"'))
    states = [{"label": 0}, {"label": 0, "move": {1: 2}}, {"label": 7, "move": {1: 2}}]
    for (uri, caption, command), state in zip(shown, states):
        made = mnist.generator.sample(seeds=[0], **state)[0]
        np.testing.assert_array_equal(pixels(uri), made)
        assert caption == f"Seed 0, class {state['label']}"
        assert command.endswith("--move 1=2" if "move" in state else "--label 0")
    assert error == "cannot read notes.txt: it is no picture of a known kind"
    assert note == "It has changed."
    assert others == 12 and width % 28 == 0 and width > 100
