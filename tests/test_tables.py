"""The tables: that their rows name what there is, and hold all that is needed."""

import ast
import dataclasses
import inspect
import itertools
import re

import pytest

from commands import build
from config import fields, network_rows, presets, rows, tables
from config.resolve import resolve
from tests.conftest import ROOT

ALL = {n: v for m in (tables, presets) for n, v in vars(m).items() if n.isupper() and n[0] != "_"}
KINDS = {
    "MODES": rows.Mode,
    "ARCHS": network_rows.Architecture,
    "AUGMENTATIONS": rows.Augmentation,
    "DATASETS": rows.Dataset,
    "PRESETS": rows.Preset,
    "OPTIMIZERS": rows.Optimizer,
    "LATENTS": rows.Latents,
    "EXPORTS": rows.Export,
    "STRATEGIES": rows.Strategy,
    "PRECISIONS": rows.Precision,
    "EXTRACTORS": rows.Extractor,
    "MEASURES": rows.Measure,
}


def strings(value):
    """Every text inside a table."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain(*map(strings, [*value, *value.values()]))
    elif isinstance(value, tuple):
        yield from itertools.chain(*map(strings, value))
    elif dataclasses.is_dataclass(value):
        yield from strings(vars(value))


@pytest.mark.parametrize("table", KINDS)
def test_rows_are_frozen_dataclasses(table):
    for row in ALL[table].values():
        assert type(row) is KINDS[table]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(row, dataclasses.fields(row)[0].name, "x")
    for penalties in tables.PENALTIES.values():
        assert all(type(penalty) is rows.Penalty for penalty in penalties)


@pytest.mark.parametrize(
    "kind", [*KINDS.values(), rows.Penalty, network_rows.Task, network_rows.Growth]
)
def test_every_attribute_of_a_row_is_documented(kind):
    for field in dataclasses.fields(kind):
        assert re.search(rf"\b{field.name}\b", inspect.getsource(kind).partition('"""')[2]), field


def test_an_attribute_is_of_several_rows():
    """What a single row needs is behind one of its members."""
    for kind, table in ((rows.Mode, tables.MODES), (network_rows.Architecture, tables.ARCHS)):
        for field in dataclasses.fields(kind):
            users = [n for n, r in table.items() if getattr(r, field.name) != field.default]
            assert len(users) > 1 or field.name in ("paired", "clip", "growth"), (field.name, users)


@pytest.mark.parametrize("wrong", [{"no_field": 1}, {"learning_rate": "x"}, {"critic_norm": "no"}])
def test_wrong_rows_are_found_at_import(monkeypatch, wrong):
    row = dataclasses.replace(tables.MODES["gp"], defaults={**tables.MODES["gp"].defaults, **wrong})
    monkeypatch.setitem(tables.MODES, "wrong", row)
    with pytest.raises((TypeError, ValueError)):
        fields._check_tables()


def test_there_is_a_row_for_every_choice():
    choices = {"mode": "MODES", "arch": "ARCHS", "preset": "PRESETS", "optimizer": "OPTIMIZERS"}
    for field, table in {**choices, "z_distribution": "LATENTS"}.items():
        assert fields.FIELDS[field].metadata["choices"] is ALL[table]
    for alias, mode in tables.MODE_ALIASES.items():
        assert mode in tables.MODES
        assert alias not in tables.MODES


def test_datasets_settle_what_depends_on_them():
    for row in (*tables.DATASETS.values(), tables.FOLDER):
        given = {**row.defaults, **row.colour}
        assert {"output_height", "conditional", "mirror", "extractor"} <= set(given)
        assert row.defaults["extractor"] in tables.EXTRACTORS
    for row in tables.LATENTS.values():
        low, high = row.sweep
        assert low < high


def test_every_name_is_that_of_something_to_call():
    names = {s for s in strings(ALL) if ":" in s and not s[0].isdigit()}  # as 128:16 is no name
    names -= {row.numpy_truncation for row in tables.LATENTS.values()}
    texts = {row.code for row in tables.EXPORTS.values()}
    assert {"losses:wasserstein_critic", "model:GANTrainer", "datasets.folders:read_lsun"} <= names
    assert {"training.randomness:normal_latents", "keras.optimizers:SGD"} <= names
    for name in names:
        assert re.fullmatch(r"[\w.]+:[\w.]+", name), name
        assert callable(rows.import_object(name)) or name in texts, name


@pytest.mark.parametrize("name", tables.DATASETS)
def test_a_reader_takes_the_part_of_its_row(name):
    row = tables.DATASETS[name]
    parameters = inspect.signature(rows.import_object(row.reader)).parameters
    assert {"path", "pattern", "conditional"} <= set(parameters)
    assert "part" in parameters or row.test_part is None
    assert ("outputs" in parameters) == row.in_folder


@pytest.mark.parametrize("name", tables.PENALTIES)
def test_a_penalty_takes_the_weights_of_its_row(name):
    for part in tables.PENALTIES[name]:
        parameters = inspect.signature(rows.import_object(part.of)).parameters.values()
        assert {w.name for w in parameters if w.kind is w.KEYWORD_ONLY} == set(part.weights)
        assert list(inspect.signature(rows.import_object(part.at)).parameters) == [
            *("real", "fake", "key")
        ]


@pytest.mark.parametrize("name", tables.MODES)
def test_a_modes_losses_take_both_scores(name):
    row = tables.MODES[name]
    for part in (row.critic_loss, row.generator_loss):
        assert list(inspect.signature(rows.import_object(part)).parameters) == ["real", "fake"]
    assert len(row.clip) in (0, 2)
    assert row.gap not in ("critic_loss", "generator_loss", "penalty", "gradient_norm")


@pytest.mark.parametrize("name", tables.ARCHS)
def test_a_builder_takes_the_fields_of_its_row(name):
    row = tables.ARCHS[name]
    known = set(fields.FIELDS)
    parameters = inspect.signature(rows.import_object(row.builder)).parameters.values()
    assert {w.name for w in parameters if w.kind is w.KEYWORD_ONLY} == set(row.network)
    classes = rows.import_object(row.trainer).__mro__[:-1]
    parameters = {name for cls in classes for name in inspect.signature(cls).parameters}
    assert set(row.training) <= parameters & known
    assert set(row.task.facts) <= parameters
    assert set(row.fixed) <= set(row.training)
    decays = {"decay_steps", "decay_after"}
    assert row.trainer != "model:GANTrainer" or decays <= set(row.training)
    assert {*row.task.asks, *row.task.refuses, *row.task.settles} <= known
    assert "fid" in row.task.measures and set(row.task.measures) <= set(tables.MEASURES)
    takes = {"evaluation": ["c", "data"], "measure": ["c", "folder"]}
    for field, names in {**takes, "measure_bytes": ["shape", "count"]}.items():
        function = rows.import_object(getattr(row.task, field))
        assert list(inspect.signature(function).parameters)[:2] == names
    if row.growth:
        assert row.growth.size in row.network
        taken = inspect.signature(rows.import_object(row.growth.batches)).parameters
        assert list(taken) == list(row.growth.batch_fields)
    c = resolve({"arch": name, "output_height": 64})
    assert [n for n in row.network if getattr(c, n) is None] == []
    assert c.z_distribution in tables.LATENTS


@pytest.mark.parametrize("name", tables.MODES)
def test_a_mode_has_its_optimisers_settings(name):
    row = tables.MODES[name].defaults
    assert {"optimizer", "learning_rate", "critic_num", "critic_norm", "penalty"} <= set(row)
    kwargs = tables.OPTIMIZERS[row["optimizer"]].kwargs
    assert set(kwargs) - {"momentum"} <= set(row)  # no paper here has momentum: 0 unless given
    for optimizer in tables.OPTIMIZERS:  # and with any other that a flag names
        c = resolve({"mode": name, "optimizer": optimizer})
        rates = (c.learning_rate, c.d_learning_rate)
        assert rates == (row["learning_rate"],) * 2
        built = build.build_optimizer(c.optimizer, c.learning_rate, vars(c)).get_config()
        assert built["learning_rate"] == pytest.approx(c.learning_rate)
        for field, kwarg in tables.OPTIMIZERS[optimizer].kwargs.items():
            assert built[kwarg] == pytest.approx(getattr(c, field)), field


@pytest.mark.parametrize("penalty", [None, *tables.PENALTIES])
@pytest.mark.parametrize("name", tables.MODES)
def test_an_objective_is_built_of_a_mode_and_a_penalty(name, penalty):
    row, c = tables.MODES[name], resolve({"mode": name, "penalty": penalty})
    built = build.build_objective(name, vars(c))
    assert built.critic_loss is rows.import_object(row.critic_loss)
    assert built.generator_loss is rows.import_object(row.generator_loss)
    assert (built.clip is None) == (row.clip == ())
    parts = tables.PENALTIES[penalty or row.defaults["penalty"]]
    assert [p.weights for p in built.penalties] == [
        {w: getattr(c, f) for w, f in part.weights.items()} for part in parts
    ]
    assert [p.at for p in built.penalties] == [rows.import_object(part.at) for part in parts]


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


PUBLISHED = [
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
    ("gp", "adam", 1e-3, (0.0, 0.9), 1, "none", {"LAMBDA": 10, "penalty_fraction": 0.25}),  # ours
    ("rpgan", "adam", 1e-3, (0.0, 0.99), 1, "none", {"penalty": "r1r2", "penalty_every": 8}),
]


def test_every_mode_has_published_settings():
    assert set(tables.MODES) <= {row[0] for row in PUBLISHED}


@pytest.mark.parametrize("name, optimizer, rate, decays, critic_num, norm, more", PUBLISHED)
def test_the_published_settings(name, optimizer, rate, decays, critic_num, norm, more):
    c = resolve({"mode" if name in tables.MODES else "preset": name})
    assert (c.optimizer, c.learning_rate, c.critic_num) == (optimizer, rate, critic_num)
    assert c.critic_norm == norm
    assert ((c.beta1, c.beta2) if optimizer == "adam" else (c.rho,)) == decays
    assert {n: getattr(c, n) for n in more} == more


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_resolves_to_its_values(name):
    row = dict(presets.PRESETS[name].settings)
    c = resolve({"preset": name})
    assert {n: getattr(c, n) for n in row} == row
    assert row["dataset"] in tables.DATASETS
    assert c.mode in tables.MODES
    assert c.arch in tables.ARCHS
    assert "preset" not in row


LITERALS = (ast.Module, ast.Assign, ast.Name, ast.Constant, ast.Dict, ast.Tuple, ast.List)
LITERALS += (ast.UnaryOp, ast.USub, ast.Load, ast.Store, ast.Starred, ast.AugAssign, ast.BitOr)
LITERALS += (ast.ImportFrom, ast.alias, ast.keyword)


def code_in(source):
    """What in a source is more than literals and rows under names, a docstring aside."""
    tree = ast.parse(source)
    tree.body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    found = []
    for node in ast.walk(tree):
        kind = getattr(getattr(node, "func", None), "id", None)
        is_row = any(hasattr(module, str(kind)) for module in (rows, network_rows))
        if not isinstance(node, LITERALS) and not is_row:
            found.append(type(node).__name__)
    return found


def test_the_presets_are_data():
    assert code_in((ROOT / "config" / "presets.py").read_text()) == []
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
    assert code_in('"""Text."""\na = {"b": (1, -2.0), **c, "d": Mode(1, e=2)}') == []


def test_the_tables_are_data():
    """The helper for the rows of folders is the one function."""
    source = (ROOT / "config" / "tables.py").read_text()
    start = source.index("def _folder")
    end = source.index("\n\n\n", start)
    assert code_in((source[:start] + source[end:]).replace("_folder(", "Dataset(")) == []
