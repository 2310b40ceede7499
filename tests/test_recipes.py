"""The tables: that their rows name what there is, and hold all that is needed."""

import ast
import inspect
import itertools
import re

import pytest

from commands import build
from config import fields, presets, tables
from config.resolve import resolve
from tests.conftest import ROOT

ALL = {n: v for m in (tables, presets) for n, v in vars(m).items() if n.isupper() and n[0] != "_"}
TABLES = {  # the keys of a row that are no Config fields: those it must have, those it may
    "MODES": (
        {"critic_loss", "generator_loss", "gap"},
        {"points", "penalty", "weights", "clip", "probabilities"},
    ),
    "ARCHS": (
        {"builder", "trainer", "network", "min_size", "multiple_of", "asks", "does"},
        {
            *("one_width", "square", "training", "schedule", "stages", "facts", "min_batch"),
            "batches",
            *("reader", "load", "look", "pictures", "testing", "without", "settles", "by_size"),
        },
    ),
    "DATASETS": ({"reader"}, {"part"}),
    "PRESETS": ({"source"}, set()),
}
ROWS = [(table, name) for table in TABLES for name in ALL[table]]
CODE = (
    "critic_loss",
    "generator_loss",
    "points",
    "penalty",
    "builder",
    "trainer",
    "reader",
    "load",
    "look",
    "pictures",
    "stages",
    "function",
)


def strings(value):
    """Every text inside a table."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain(*map(strings, [*value, *value.values()]))
    elif isinstance(value, tuple):
        yield from itertools.chain(*map(strings, value))


@pytest.mark.parametrize("table, name", ROWS)
def test_a_row_holds_fields_and_the_known_parts(table, name):
    row = ALL[table][name]
    must, may = TABLES[table]
    assert must <= set(row)
    settings = set(row) - must - may
    assert settings <= set(fields.FIELDS)
    for field in settings:
        fields.check_value(field, row[field])
        assert row[field] is not None  # that is what a field without a row is


def test_there_is_a_row_for_every_choice():
    choices = {"mode": "MODES", "arch": "ARCHS", "preset": "PRESETS", "optimizer": "OPTIMIZERS"}
    for field, table in {**choices, "z_distribution": "LATENTS"}.items():
        assert fields.FIELDS[field].metadata["choices"] is ALL[table]
    for alias, mode in tables.MODE_ALIASES.items():
        assert mode in tables.MODES
        assert alias not in tables.MODES


def test_datasets_settle_what_depends_on_them():
    for row in (*tables.DATASETS.values(), tables.FOLDER):
        assert {"reader", "output_height", "conditional", "mirror", "extractor"} <= set(row)
        assert row["extractor"] in tables.EXTRACTORS
    for row in tables.MEASURES.values():
        assert set(row) == {"higher"}
    for row in tables.LATENTS.values():
        assert set(row) == {"function", "sweep", "numpy"}
        low, high = row["sweep"]
        assert low < high


def test_every_name_is_that_of_something_to_call():
    names = {s for s in strings(ALL) if ":" in s and not s[0].isdigit()}  # as 128:16 is no name
    texts = {row["code"] for row in tables.EXPORTS.values()}
    rows = [r for n, r in ALL.items() if n not in ("FOLDER", "MODE_ALIASES")]
    for row in [tables.FOLDER, *itertools.chain(*(table.values() for table in rows))]:
        if isinstance(row, dict):  # a part that is code is named as such
            assert {row[k] for k in CODE if k in row} <= names
    assert {"losses:wasserstein_critic", "model:GANTrainer", "datasets.lsun:read_lsun"} <= names
    assert {"training.randomness:normal_latents", "keras.optimizers:SGD"} <= names
    for name in names:
        assert re.fullmatch(r"[\w.]+:[\w.]+", name), name
        assert callable(tables.import_object(name)) or name in texts, name


@pytest.mark.parametrize("name", tables.MODES)
def test_a_mode_has_the_words_of_its_parts(name):
    row = tables.MODES[name]
    known = set(fields.FIELDS)
    weights = row.get("weights", {})
    assert set(weights.values()) <= known
    assert set(row.get("clip", ())) <= known
    assert len(row.get("clip", "12")) == 2
    if "penalty" in row:
        words = inspect.signature(tables.import_object(row["penalty"])).parameters.values()
        assert {w.name for w in words if w.kind is w.KEYWORD_ONLY} == set(weights)
    assert ("penalty" in row) == ("points" in row) == bool(weights)
    assert row["gap"] not in ("critic_loss", "generator_loss", "penalty", "gradient_norm")


@pytest.mark.parametrize("name", tables.ARCHS)
def test_a_builder_takes_the_fields_of_its_row(name):
    row = tables.ARCHS[name]
    words = inspect.signature(tables.import_object(row["builder"])).parameters.values()
    assert {w.name for w in words if w.kind is w.KEYWORD_ONLY} == set(row["network"])
    assert set(row["network"]) <= set(fields.FIELDS)
    own = row.get("training", ())
    words = set(inspect.signature(tables.import_object(row["trainer"])).parameters)
    assert set(own) <= words & set(fields.FIELDS)
    assert set(row.get("facts", ())) <= words
    assert set(row.get("schedule", ())) <= set(own)
    for part in ("asks", "without", "testing", "settles", "by_size"):
        assert set(row.get(part, ())) <= set(fields.FIELDS)
    if "pictures" in row:
        words = inspect.signature(tables.import_object(row["pictures"])).parameters.values()
        assert [w.name for w in words if w.kind is w.KEYWORD_ONLY] == list(row["testing"])
    assert row.get("square", "max_res") in row["network"] or "square" not in row
    assert row["mode"] in tables.MODES
    c = resolve({"arch": name, "output_height": 64})
    assert [n for n in row["network"] if getattr(c, n) is None] == []
    assert c.z_distribution in tables.LATENTS


@pytest.mark.parametrize("name", tables.MODES)
def test_a_mode_has_its_optimisers_settings(name):
    row = tables.MODES[name]
    assert {"optimizer", "learning_rate", "critic_num", "critic_norm"} <= set(row)
    words = tables.OPTIMIZERS[row["optimizer"]][1]
    assert set(words) - {"momentum"} <= set(row)  # no paper here has momentum: 0 unless given
    for optimizer in tables.OPTIMIZERS:  # and with any other that a flag names
        c = resolve({"mode": name, "optimizer": optimizer})
        rates = (c.learning_rate, c.d_learning_rate)
        assert rates == (row["learning_rate"],) * 2
        built = build.build_optimizer(c.optimizer, c.learning_rate, vars(c)).get_config()
        assert built["learning_rate"] == pytest.approx(c.learning_rate)
        for field, word in tables.OPTIMIZERS[optimizer][1].items():
            assert built[word] == pytest.approx(getattr(c, field)), field


@pytest.mark.parametrize("name", tables.MODES)
def test_an_objective_is_built_of_a_mode(name):
    row, c = tables.MODES[name], resolve({"mode": name})
    built = build.build_objective(name, vars(c))
    assert built.critic_loss is tables.import_object(row["critic_loss"])
    assert built.generator_loss is tables.import_object(row["generator_loss"])
    assert (built.penalty is None) == ("penalty" not in row)
    assert (built.clip is None) == ("clip" not in row)
    assert built.weights == {w: getattr(c, f) for w, f in row.get("weights", {}).items()}


def test_pggans_published_settings():
    """PGGAN 1710.10196, appendix A.1, and the authors' code."""
    for given in ({"arch": "pggan"}, {"preset": "pggan_1024"}):
        c = resolve(given)
        assert (c.mode, c.LAMBDA, c.drift, c.critic_num, c.penalty_fraction) == (
            "gp",
            10,
            1e-3,
            1,
            1,
        )
        assert (c.optimizer, c.learning_rate, c.d_learning_rate) == ("adam", 1e-3, 1e-3)
        assert (c.beta1, c.beta2, c.epsilon, c.ema) == (0.0, 0.99, 1e-8, 0.999)
        assert (c.fade_kimg, c.stable_kimg, c.fmap_base, c.fmap_max) == (800, 800, 8192, 512)
        assert (c.batch_size, c.batch_dict) == (16, "256:14,512:6,1024:3")
        assert (c.z_dim, c.z_distribution) == (512, "normal")
        assert c.output_height == c.output_width == c.max_res
    assert resolve({"arch": "dcgan"}).drift == 0


@pytest.mark.parametrize(
    "name, optimizer, rate, decays, critic_num, norm, more",
    [
        ("lenet_mnist", "adam", 5e-4, (0.9, 0.99), 5, "none", {"LAMBDA": 10}),
        ("wgan_mnist", "rmsprop", 5e-5, (0.99,), 5, "instance", {"clip_up": 0.01}),
        ("wgan_gp_mnist", "adam", 1e-4, (0.0, 0.9), 5, "instance", {"LAMBDA": 10}),
        ("mnist_conditional", "rmsprop", 2e-4, (0.9,), 5, "none", {"kernel_size": 5}),
        ("faces", "rmsprop", 2e-4, (0.9,), 5, "none", {"kernel_size": 5}),
        ("regular", "rmsprop", 5e-5, (0.99,), 5, "batch", {"clip_down": -0.01, "clip_up": 0.01}),
        ("div", "adam", 2e-4, (0.5, 0.999), 5, "none", {"div_k": 2, "div_p": 6}),
        ("gan", "adam", 2e-4, (0.5, 0.999), 1, "batch", {}),
        ("lsgan", "adam", 2e-4, (0.5, 0.999), 1, "batch", {}),
        ("hinge", "adam", 2e-4, (0.5, 0.999), 1, "none", {}),
        ("dragan", "adam", 2e-4, (0.5, 0.999), 1, "none", {"LAMBDA": 10}),
        ("r1", "adam", 2e-4, (0.5, 0.999), 1, "none", {"LAMBDA": 10}),
    ],
)
def test_the_published_settings(name, optimizer, rate, decays, critic_num, norm, more):
    c = resolve({"mode" if name in tables.MODES else "preset": name})
    assert (c.optimizer, c.learning_rate, c.critic_num) == (optimizer, rate, critic_num)
    assert c.critic_norm == norm
    assert ((c.beta1, c.beta2) if optimizer == "adam" else (c.rho,)) == decays
    assert {n: getattr(c, n) for n in more} == more


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_resolves_to_its_values(name):
    row = {n: v for n, v in presets.PRESETS[name].items() if n in fields.FIELDS}
    c = resolve({"preset": name})
    assert {n: getattr(c, n) for n in row} == row
    assert row["dataset"] in tables.DATASETS
    assert c.mode in tables.MODES
    assert c.arch in tables.ARCHS
    assert "preset" not in row


LITERALS = (ast.Module, ast.Assign, ast.Name, ast.Constant, ast.Dict, ast.Tuple, ast.List)
LITERALS += (ast.UnaryOp, ast.USub, ast.Load, ast.Store, ast.Starred, ast.AugAssign, ast.BitOr)


def code_in(source):
    """What in a source is more than literals under names, a docstring aside."""
    tree = ast.parse(source)
    tree.body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    return [type(node).__name__ for node in ast.walk(tree) if not isinstance(node, LITERALS)]


def test_the_tables_are_data():
    assert code_in((ROOT / "config" / "tables.py").read_text()) == []
    for source in (
        "import os",
        "a = f(1)",
        "def f(): 1",
        "a = 1 + 1",
        "a = [b for b in c]",
        "a = b if c else d",
        "a = b.c",
        "class A: 1",
    ):
        assert code_in(source), source
    assert code_in('"""Text."""\na = {"b": (1, -2.0), **c}') == []
