"""Wrong command lines: each ends with exit status 2 and the one line that is written beside it."""

import json
import re
import shlex
from pathlib import Path

import pytest

import main
from config import fields, presets, tables
from config.resolve import resolve
from runs import trained
from tests.conftest import run_main

pytestmark = pytest.mark.usefixtures("limited")

TEXTS = {  # long or frequent parts of messages
    "MODES": ", ".join(tables.MODES),
    "ARCHS": ", ".join(tables.ARCHS),
    "PENALTIES": ", ".join(tables.PENALTIES),
    "PRESETS": ", ".join(presets.PRESETS),
    "WORD": "(write a setting as --name value)",
    "NONE": "[Errno 2] No such file or directory",
    "LENET": "at least 28 and a multiple of 2 with --arch=lenet",
    "RESNET": "at least 16 and a multiple of 8 with --arch=resnet",
    "CYCLEGAN": f"which {tables.TRANSLATION.does}",
    "TOGETHER": "--translate (A2B or B2A) and --input need each other, and --output needs both",
    "CROP": "--crop needs --input_height, the height of the centre box",
}

VALUES = [  # a flag, what it must be, and what it does not take
    ("resume", "True or False", ["None"]),
    ("dry_run", "True or False", ["2"]),
    ("serve", "True or False", ["2"]),
    ("host", "a printable text that is not empty", ["", " "]),
    ("port", "a whole number, at least 0, at most 65535", ["-1", "65536", "http", "None"]),
    ("list", "True or False", ["2"]),
    ("on_nan", "one of stop, rollback", ["restart"]),
    ("mirror", "True or False", ["x"]),
    ("background", "the name of a colour, or #rrggbb", ["beig", "#12345", "#11223344", ""]),
    ("jit", "True or False", ["gpu"]),
    ("augment", "one of none, color, translation, cutout, ada", ["blur", "color,", ""]),
    ("augment_p", "a finite number, at least 0, at most 1", ["2", "-0.1"]),
    ("export", "one of keras, savedmodel, onnx", ["tflite", "keras,h5"]),
    ("strategy", "one of auto, none, mirrored, multiworker", ["all", "Mirrored", "2", ""]),
    ("precision", "one of float32, bfloat16, float16", ["float64", "16", "half"]),
    ("n_residual_blocks", "a whole number, at least 1, at most 2147483647", ["0", "nine"]),
    ("upsample", "one of deconv, nearest", ["bilinear", "None"]),
    ("patch", "one of 70, 16", ["94", "70x70", "0"]),
    ("lambda_cycle", "a finite number, at least 0", ["-1", "inf", "ten"]),
    ("lambda_identity", "a finite number, at least 0", ["-0.5", "nan"]),
    ("lambda_reconstruction", "a finite number, at least 0", ["-1", "lpips"]),
    ("pool_size", "a whole number, at least 0, at most 65536", ["-1", "inf", "65537"]),
    ("decay_epoch", "a whole number, at least 0, at most 2147483647", ["-1", "half"]),
    ("decay_steps", "a whole number, at least 0, at most 2147483647", ["-1", "all", "None"]),
    ("decay_after", "a whole number, at least 0, at most 2147483647", ["-1", "0.5"]),
    ("translate", "one of A2B, B2A", ["A", "a2b", "True"]),
    ("input", "a printable text that is not empty", [""]),
    ("output", "a printable text that is not empty", [" "]),
    (
        "arch",
        "one of {ARCHS}",
        ["vgg", "None", "DCGAN", "dcgan2"],
    ),
    ("optimizer", "one of adam, rmsprop, sgd", ["lion", "Adam", ""]),
    ("critic_norm", "one of none, layer, instance, batch, spectral", ["sn", "bn"]),
    ("penalty", "one of {PENALTIES}", ["R1", "r1,r2", ""]),
    ("z_distribution", "one of uniform, normal", ["cauchy", "gauss"]),
    ("dataset", "a printable text that is not empty", [""]),
    ("name", "a printable text that is not empty", [" "]),
    ("checkpoint_dir", "a printable text that is not empty", [""]),
    ("input_fname_pattern", "a printable text that is not empty", ["", " "]),
    ("truncation", "a finite number, at least 0.01", ["0", "-1", "half", "nan"]),
    ("latents", "a printable text that is not empty", ["", " "]),
    ("project", "a printable text that is not empty", ["", " "]),
    (
        "mix",
        "ROWS:COLUMNS, each up to 32 seeds, for example 0-7:8-15",
        ["3", "1:2:3", ":", "1:", "0-32:1", "1:2147483648", "1:-1", "a:b", ""],
    ),
    ("directions", "a whole number, at least 0, at most 512", ["-1", "513", "all", "True", ""]),
    (
        "move",
        "NUMBER=STRENGTH or NAME=STRENGTH, several separated by commas, from -1000 to 1000",
        ["2", "2=", "=1", "2=x", "2=1,", "2=nan", "2=1001", "2=inf", "2=1=3", " 2=1", ""],
    ),
    ("visualize", "True, False or 0 to 5", ["6", "-1", "1.5", ""]),
    (
        "g_width",
        "a whole number, or several separated by commas, each at least 1, at most 65536",
        ["0", "8,0", "1,,2", "1,", ",", "x", "", "65537", "64,65537", "64x32"],
    ),
    (
        "d_width",
        "a whole number, or several separated by commas, each at least 1, at most 65536",
        ["64.5", "[64]", "-8", "inf", "9999999999", "64;32", "(64,32)"],
    ),
    (
        "epoch",
        "a whole number, at least 1, at most 2147483647",
        [
            "0",
            "-3",
            "three",
            "inf",
            "",
            "3=4",
            "½",
            "²",
            "2147483648",
            "1_0.5",
            "1_000_",
            "１２ｘ",
            "12；",
            "+-3",
            "3e2",
            "3.0",
            " ",
            "true",
        ],
    ),
    (
        "seeds",
        "up to 100000 seeds, for example 0-31 or 3,7, each at least 0, at most 2147483647",
        [
            "3-1",
            "-1",
            "1-",
            "-",
            "a-b",
            "1,",
            "0-100000",
            "0-2147483648",
            "2147483648",
            "0-99999999999999999999",
            "0..9",
            "9-0",
            "0-9-3",
            "-3",
            "1,,2",
        ],
    ),
    (
        "batch_size",
        "a whole number, at least 1, at most 65536",
        ["1.5", "0", "1e3", "0x10", "1000000000000", "65537"],
    ),
    (
        "train_size",
        "a whole number or inf, at least 0, at most 2147483647",
        ["-1", "nan", "-inf", "all", "1e3", "∞"],
    ),
    ("holdout", "a whole number, at least 0, at most 2147483647", ["-1", "inf", "10%", "0.1"]),
    ("output_height", "a whole number, at least 8, at most 1024", ["7", "1025", "28x28"]),
    ("output_width", "a whole number, at least 8, at most 1024", ["7", "1025"]),
    ("input_height", "a whole number, at least 1, at most 2147483647", ["0"]),
    ("input_width", "a whole number, at least 1, at most 2147483647", ["-1", "wide"]),
    ("critic_num", "a whole number, at least 1, at most 1000", ["0", "1001"]),
    ("z_dim", "a whole number, at least 1, at most 65536", ["0", "65537"]),
    ("fc_width", "a whole number, at least 0, at most 65536", ["-1", "65537"]),
    ("kernel_size", "a whole number, at least 2, at most 15", ["1", "16"]),
    (
        "seed",
        "a whole number, at least 0, at most 2147483647",
        ["-1", "2147483648", "1.5", "-0.0", "99999999999"],
    ),
    ("max_steps", "a whole number, at least 0, at most 2147483647", ["-1"]),
    ("log_every", "a whole number, at least 1, at most 2147483647", ["0"]),
    ("sample_every", "a whole number, at least 1, at most 2147483647", ["0"]),
    ("save_every", "a whole number, at least 1, at most 2147483647", ["0"]),
    ("num_samples", "a whole number, at least 0, at most 2147483647", ["-2"]),
    ("dump_reals", "a whole number, at least 0, at most 2147483647", ["-2"]),
    ("eval_reals", "one of unseen, train", ["test", ""]),
    ("extractor_weights", "a printable text that is not empty", [""]),
    ("num_workers", "a whole number, at least 0, at most 1024", ["two", "-1", "1025"]),
    (
        "learning_rate",
        "a finite number, at least 0",
        [
            "fast",
            "-1e-4",
            "nan",
            "inf",
            "1e400",
            "",
            "1,0",
            "3.5e38",
            "2e-4f",
            "2e",
            "0,001",
            "1e-4,1e-5",
        ],
    ),
    ("d_learning_rate", "a finite number, at least 0", ["-1"]),
    ("beta1", "a finite number, at least 0, at most 0.999999", ["1", "-0.1", "1.0"]),
    ("beta2", "a finite number, at least 0, at most 0.999999", ["1", "-0.1"]),
    ("rho", "a finite number, at least 0, at most 0.999999", ["1", "-0.1", "nan"]),
    ("momentum", "a finite number, at least 0, at most 0.999999", ["1", "-0.1", "1.0"]),
    ("ema", "a finite number, at least 0, at most 0.999999", ["1", "-0.1"]),
    ("epsilon", "a finite number, at least 0", ["-1e-8", "nan"]),
    ("LAMBDA", "a finite number, at least 0", ["ten", "-10", "inf"]),
    ("div_k", "a finite number, at least 0", ["-2", "inf"]),
    ("div_p", "a finite number, at least 1", ["0.5", "0.99"]),
    ("max_minutes", "a finite number, at least 0", ["-1", "nan", "inf", "1:30"]),
    ("fade_kimg", "a finite number, at least 0", ["-1", "nan"]),
    ("stable_kimg", "a finite number, at least 0", ["-1", "inf"]),
    ("final_kimg", "a finite number, at least 0", ["-1", "inf"]),
    ("drift", "a finite number, at least 0", ["-1", "nan"]),
    ("max_res", "a whole number, at least 8, at most 1024", ["4", "2048"]),
    ("fmap_base", "a whole number, at least 1, at most 16777216", ["0", "16777217"]),
    ("fmap_max", "a whole number, at least 1, at most 65536", ["0", "65537"]),
    (
        "batch_dict",
        "size:batch pairs, for example 128:16,256:14; a size is a power of two from 4 to 1024, and "
        "a batch has at least 2 images",
        ["16", "16:8:4", "16:1", "24:8", "2:8", "2048:8", "16:8,", "16:x", ":", "16:99999999999"],
    ),
    ("clip_up", "a finite number", ["np.nan", "inf", "nan", "None", "-1e39"]),
    ("clip_down", "a finite number", ["-inf", "1e400", "1e39"]),
    ("interpolate", "a whole number, at least 0, at most 1000", ["1001", "-1"]),
    ("eval_every", "a whole number, at least 0, at most 2147483647", ["-1"]),
    ("patience", "a finite number, at least 0, at most 0.999999", ["1", "10", "-0.1", "nan"]),
    ("eval_samples", "a whole number, at least 100, at most 2147483647", ["99", "many"]),
    ("label", "a printable text that is not empty", ["", " "]),
    ("penalty_every", "a whole number, at least 1, at most 2147483647", ["0"]),
    ("penalty_fraction", "a finite number, at least 0.01, at most 1", ["0", "1.1", "nan"]),
    ("compare", "one of {MODES}", ["gp,", "gp,xyz", ""]),
    ("bias", "one of all, unnormed, none", ["some"]),
    ("g_norm", "one of none, batch", ["layer"]),
    ("blocks", "one of paper, mimicry", ["sngan", "None"]),
    ("g_head", "one of orig, tanh", ["relu"]),
    ("label_mode", "one of concat, projection", ["one-hot"]),
    ("best_by", "one of fid, kid, swd, cycle, precision, recall", ["accuracy", "FID"]),
    ("extractor", "a printable text that is not empty", [""]),
    ("init_from", "a printable text that is not empty", [""]),
    ("freeze_critic", "a whole number, at least 0, at most 1000", ["-1", "all", "1001"]),
    ("sample_dir", "a printable text that is not empty", [""]),
    ("log_dir", "a printable text that is not empty", [""]),
    ("track", "one of wandb, mlflow", ["tensorboard", "wandb,", "none", ""]),
    ("data_dir", "a printable text that is not empty", [" "]),
    ("cache_dir", "a printable text that is not empty", [""]),
    ("device", "a printable text that is not empty", [""]),
    ("list_presets", "True or False", ["2"]),
]
CALLS = [  # a command line, and the whole line that it ends with
    ("--epochs 3", "there is no flag --epochs: did you mean --epoch?"),
    ("--batchsize 3", "there is no flag --batchsize: did you mean --batch_size?"),
    ("--learning-rat=1", "there is no flag --learning_rat: did you mean --learning_rate?"),
    ("--nonsense", "there is no flag --nonsense: --help lists the flags"),
    (
        "--lambda 3",
        "there is no flag --lambda: did you mean --LAMBDA?",
    ),
    ("--noepoch", "there is no flag --noepoch: did you mean --epoch?"),
    ("--notrain=1", "there is no flag --notrain: did you mean --train?"),
    ("---epoch 3", "there is no flag --_epoch: did you mean --epoch?"),
    ("-e 3", "there is no flag --e: --help lists the flags"),
    ("--=3", "unexpected argument: '--=3' {WORD}"),
    ("--näme x", "there is no flag --näme: did you mean --name?"),
    ("--undefok=zz --zz=3", "there is no flag --undefok: --help lists the flags"),
    ("--help --xyzzy", "there is no flag --xyzzy: --help lists the flags"),
    ("train", "unexpected argument: 'train' {WORD}"),
    ("--epoch 3 4", "unexpected argument: '4' {WORD}"),
    ("-", "unexpected argument: '-' {WORD}"),
    ("''", "unexpected argument: '' {WORD}"),
    ("-0.5", "there is no flag --0.5: --help lists the flags"),
    ("--train maybe", "unexpected argument: 'maybe' {WORD}"),
    ("--train False False", "unexpected argument: 'False' {WORD}"),
    ("--train True -1", "there is no flag --1: --help lists the flags"),
    ("--notrain True", "unexpected argument: 'True' {WORD}"),
    ("--crop 10", "unexpected argument: '10' {WORD}"),
    ("--visualize 12", "unexpected argument: '12' {WORD}"),
    ("—epoch 3", "unexpected argument: '—epoch' {WORD}"),
    ("-- --epoch 3", "unexpected argument: '--epoch=3' {WORD}"),
    ("--train=maybe", "flag --train=maybe: must be True or False"),
    ("--train=", "flag --train=: must be True or False"),
    ("--train 2", "flag --train=2: must be True or False"),
    ("--mode wgangp", "flag --mode=wgangp: must be one of {MODES}"),
    ("--mode GP", "flag --mode=GP: must be one of {MODES}"),
    ("--mode ''", "flag --mode=: must be one of {MODES}"),
    ("--mode 'g\n\u2028p'", "flag --mode=g  p: must be one of {MODES}"),
    ("--preset best", "flag --preset=best: must be one of {PRESETS}"),
    ("--name 'a\nb'", "flag --name=a b: must be a printable text that is not empty"),
    ("--dataset '\udcff'", "flag --dataset=\\udcff: must be a printable text that is not empty"),
    ("--epoch", "flag --epoch needs a value: a whole number, at least 1, at most 2147483647"),
    ("--train --mode", "flag --mode needs a value: one of {MODES}"),
    ("--dataset --train", "flag --dataset needs a value: a printable text that is not empty"),
    ("--name -x", "flag --name needs a value: a printable text that is not empty"),
    ("--flagfile", "--flagfile with no argument"),
    ("--flagfile=", "flag --flagfile needs a value: a path"),
    ("--flagfile ''", "flag --flagfile needs a value: a path"),
    ("--flagfile nowhere/flags", "--flagfile: Unable to open flagfile: {NONE}: 'nowhere/flags'"),
    ("--clip_down 0.02", "--clip_down=0.02 must not be above --clip_up=0.01"),
    ("--clip_up -1 --clip_down -0.5", "--clip_down=-0.5 must not be above --clip_up=-1.0"),
    ("--crop --dataset pictures", "{CROP}"),
    (
        "--train --dataset pictures --eval_every 5 --best_by precision",
        "--best_by=precision cannot be used with --extractor=random-cnn, which gives blurred "
        "images a higher precision: use --best_by fid, or a trained extractor",
    ),
    *(
        (
            f"{flag} --patience 0.33",
            "--patience=0.33 needs --eval_every, which measures the samples",
        )
        for flag in ("--train", "--compare gp,div")
    ),
    ("--arch lenet --output_height 26", "--output_height=26 must be {LENET}"),
    ("--arch lenet --output_width 29", "--output_width=29 must be {LENET}"),
    (
        "--arch resnet --output_height 20",
        "--output_height=20 must be {RESNET}",
    ),
    ("--arch pggan --max_res 48", "--max_res=48 must be a power of two"),
    (
        "--arch pggan --fade_kimg 0 --stable_kimg 0",
        "--fade_kimg and --stable_kimg give a stage no images: raise one of them",
    ),
    *(
        (
            f"{flag} --freeze_critic 2",
            "--freeze_critic=2 needs --init_from, since the frozen layers of a new run would keep "
            "random weights",
        )
        for flag in ("--train", "--dry_run")
    ),
    (
        "--arch pggan --critic_bursts",
        "--critic_bursts cannot be used with --arch=pggan, which grows by a schedule",
    ),
    (
        "--latents z.npy --seeds 3",
        "--latents and --seeds cannot be combined: make one call for each",
    ),
    ("--truncation 1.5", "--truncation=1.5 must be at most 1 with uniform latents"),
    ("--directions 101", "--directions=101 must be at most 100, the length of a latent"),
    ("--batch_size 1", "--batch_size=1 must be at least 2 with --arch=dcgan"),
    ("--arch mlp --batch_size 1", "--batch_size=1 must be at least 2 with --arch=mlp"),
    *(
        (f"--arch cyclegan {words}", f"--{name} cannot be used with --arch=cyclegan, {{CYCLEGAN}}")
        for name, words in (
            *(("conditional", "--conditional"), ("compare", "--compare gp,div")),
            *(("holdout", "--holdout 5"), ("eval_reals", "--eval_reals train")),
            *(("seeds", "--seeds 0-3"), ("num_samples", "--num_samples 5")),
            ("dump_reals", "--dump_reals 5"),
            *(
                ("visualize", "--visualize 0"),
                ("interpolate", "--interpolate 4"),
                ("truncation", "--truncation 0.7"),
                ("mix", "--mix 0:1"),
                ("latents", "--latents z.npy"),
                ("project", "--project photo.png"),
                ("directions", "--directions 8"),
                ("move", "--move 2=1.5"),
                ("label", "--label 0"),
            ),
        )
    ),
    (
        "--arch cyclegan --jit True",
        "--jit cannot be used with --arch=cyclegan: XLA had not compiled its step after six minutes"
        " of a GPU",
    ),
    (
        "--arch cyclegan --best_by swd",
        "--best_by=swd cannot be used with --arch=cyclegan, {CYCLEGAN}: it must be one of fid, "
        "kid, cycle",
    ),
    (
        "--best_by cycle",
        "--best_by=cycle cannot be used with --arch=dcgan, which generates images from latents: it "
        "must be one of fid, kid, swd, precision, recall",
    ),
    (
        "--train --holdout 5",
        "--holdout=5 has no effect with --dataset=mnist, whose test images are never trained on: "
        "leave it out",
    ),
    (
        "--translate A2B --input x --output y",
        "--translate cannot be used with --arch=dcgan, which generates images from latents",
    ),
    (
        "--arch mlp --input x",
        "--input cannot be used with --arch=mlp, which generates images from latents",
    ),
    ("--arch cyclegan --translate A2B", "{TOGETHER}"),
    ("--arch cyclegan --input x", "{TOGETHER}"),
    ("--arch cyclegan --output x", "{TOGETHER}"),
    (
        "--arch cyclegan --output_height 30",
        "--output_height=30 must be at least 24 and a multiple of 4 with --arch=cyclegan",
    ),
    ("--arch cyclegan --d_width 64,32", "--d_width=64,32 must be one width with --arch=cyclegan"),
    (
        "--arch fastgan --output_height 96",
        "--output_height=96 must be at least 64 and a multiple of 64 with --arch=fastgan",
    ),
    ("--device 5", "--device=5 must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--device tpu", "--device=tpu must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--device gpu:", "--device=gpu: must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--device gpu:a", "--device=gpu:a must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--name ../x", "--name=../x must be a folder name without / and without a dot at its start"),
    ("--name .", "--name=. must be a folder name without / and without a dot at its start"),
    ("--name ..", "--name=.. must be a folder name without / and without a dot at its start"),
    (
        "--name .hidden",
        "--name=.hidden must be a folder name without / and without a dot at its start",
    ),
    ("--name a/b", "--name=a/b must be a folder name without / and without a dot at its start"),
    ("--name a/", "--name=a/ must be a folder name without / and without a dot at its start"),
    ("--name /", "--name=/ must be a folder name without / and without a dot at its start"),
    (
        "--train --evaluate --dry_run",
        "--train and --evaluate cannot be combined: make one call for each",
    ),
    (
        "--train --extractor_weights a.pth",
        "--extractor_weights=a.pth needs --extractor inception-2015",
    ),
    (
        "--evaluate --dump_reals 5",
        "--evaluate and --dump_reals cannot be combined: make one call for each",
    ),
    ("--train --list", "--train and --list cannot be combined: make one call for each"),
    ("--train --serve", "--train and --serve cannot be combined: make one call for each"),
    ("--export onnx --serve", "--export and --serve cannot be combined: make one call for each"),
    ("--port 8080", "--port=8080 needs --serve, which opens a page"),
    ("--host 0.0.0.0", "--host=0.0.0.0 needs --serve, which opens a page"),
    ("--list --export onnx", "--list and --export cannot be combined: make one call for each"),
    ("--train --export onnx", "--train and --export cannot be combined: make one call for each"),
    (
        "--train --evaluate --arch cyclegan --translate A2B --input x",
        "--train and --evaluate and --translate cannot be combined: make one call for each",
    ),
    (
        "--train --compare gp,div --evaluate",
        "--compare and --evaluate cannot be combined: make one call for each",
    ),
    ("--augment none,ada", "--augment=none,ada: none cannot be combined"),
    ("--compare gp,gp", "--compare=gp,gp names a mode twice"),
    ("--compare wgan,regular", "--compare=regular,regular names a mode twice"),
    ("--mode gp,div", "flag --mode=gp,div: must be one of {MODES}"),
    ("--mode 'gp '", "flag --mode=gp : must be one of {MODES}"),
    ("--mode ｇｐ", "flag --mode=ｇｐ: must be one of {MODES}"),
    ("--preset None2", "flag --preset=None2: must be one of {PRESETS}"),
    ("--preset ''", "flag --preset=: must be one of {PRESETS}"),
    ("--device GPU", "--device=GPU must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--device cuda", "--device=cuda must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--device gpu:-1", "--device=gpu:-1 must be auto, cpu, gpu, or one GPU such as gpu:0"),
    ("--device cpu:0", "--device=cpu:0 must be auto, cpu, gpu, or one GPU such as gpu:0"),
    (
        "--name 'a\\b/c'",
        "--name=a\\b/c must be a folder name without / and without a dot at its start",
    ),
    (
        "--name a/../b",
        "--name=a/../b must be a folder name without / and without a dot at its start",
    ),
    ("--name ...", "--name=... must be a folder name without / and without a dot at its start"),
    ("--name '\t'", "flag --name=\\t: must be a printable text that is not empty"),
    (
        "--output_height 28 --arch resnet",
        "--output_height=28 must be {RESNET}",
    ),
    (
        "--output_height 30 --arch resnet",
        "--output_height=30 must be {RESNET}",
    ),
    ("--output_width 8 --arch lenet", "--output_width=8 must be {LENET}"),
    ("--output_height 27 --arch lenet", "--output_height=27 must be {LENET}"),
    (
        "--arch resnet --g_width 64,32 --output_height 32",
        "--g_width=64,32 must be one width with --arch=resnet",
    ),
    (
        "--arch resnet --d_width 64,32 --output_height 32",
        "--d_width=64,32 must be one width with --arch=resnet",
    ),
    (
        "--preset resnet_gan --output_height 60",
        "--output_height=60 must be {RESNET}",
    ),
    ("--preset faces --clip_down 1", "--clip_down=1.0 must not be above --clip_up=0.01"),
    ("--crop --dataset mine", "{CROP}"),
    ("--crop --dataset mine --input_width 9", "{CROP}"),
    ("--clip_up -1", "--clip_down=-0.01 must not be above --clip_up=-1.0"),
    ("--visualize five", "unexpected argument: 'five' {WORD}"),
    ("--evaluate maybe", "unexpected argument: 'maybe' {WORD}"),
    ("--train=ja", "flag --train=ja: must be True or False"),
    ("--notrain=False", "there is no flag --notrain: did you mean --train?"),
    ("--nonotrain", "there is no flag --nonotrain: did you mean --train?"),
    ("--noXtrain", "there is no flag --noXtrain: did you mean --train?"),
    ("--no-mode gp", "there is no flag --no_mode: did you mean --mode?"),
    ("--train True True", "unexpected argument: 'True' {WORD}"),
    ("--critic_bursts 25", "unexpected argument: '25' {WORD}"),
    ("--conditional some", "unexpected argument: 'some' {WORD}"),
    ("--mirror left", "unexpected argument: 'left' {WORD}"),
    ("--crop 2", "flag --crop=2: must be True or False"),
    ("--batch-size=", "flag --batch_size=: must be a whole number, at least 1, at most 65536"),
    ("--Epoch 3", "there is no flag --Epoch: did you mean --epoch?"),
    ("--EPOCH=3", "there is no flag --EPOCH: did you mean --epoch?"),
    ("--learningrate 1", "there is no flag --learningrate: did you mean --learning_rate?"),
    ("--dataset=mnist mode=gp", "unexpected argument: 'mode=gp' {WORD}"),
    ("-batch_size x", "flag --batch_size=x: must be a whole number, at least 1, at most 65536"),
    ("-z 5", "there is no flag --z: --help lists the flags"),
    ("---", "there is no flag ---: --help lists the flags"),
    ("--=", "unexpected argument: '--=' {WORD}"),
    ("-=5", "unexpected argument: '--=5' {WORD}"),
    ("--epoch 3 -- train", "unexpected argument: 'train' {WORD}"),
    (
        "--train --epoch",
        "flag --epoch needs a value: a whole number, at least 1, at most 2147483647",
    ),
    (
        "--epoch -X5",
        "flag --epoch needs a value: a whole number, at least 1, at most 2147483647",
    ),
    (
        "--epoch --train 3",
        "flag --epoch needs a value: a whole number, at least 1, at most 2147483647",
    ),
    ("--flagfile --train", "--flagfile: Unable to open flagfile: {NONE}: '--train'"),
    ("--help --epoch x", "flag --epoch=x: must be a whole number, at least 1, at most 2147483647"),
    ("--list_presets --mode x", "flag --mode=x: must be one of {MODES}"),
    ("--gp_lambda 10", "there is no flag --gp_lambda: did you mean --LAMBDA?"),
    ("--n_critic 5", "there is no flag --n_critic: did you mean --critic_num?"),
    ("--lr 0.1", "there is no flag --lr: did you mean --learning_rate?"),
    ("--betas 0.5,0.9", "there is no flag --betas: did you mean --beta2?"),
    ("--undefok epoch", "there is no flag --undefok: --help lists the flags"),
    ("--undefok=", "there is no flag --undefok: --help lists the flags"),
    ("--helpxml", "there is no flag --helpxml: --help lists the flags"),
    ("--only_check_args", "there is no flag --only_check_args: --help lists the flags"),
    ("--pdb", "there is no flag --pdb: --help lists the flags"),
    ("--run_with_pdb", "there is no flag --run_with_pdb: --help lists the flags"),
    ("--verbosity=1", "there is no flag --verbosity: --help lists the flags"),
]

CALLS += [
    (f"--{name}={shlex.quote(value)}", f"flag --{name}={value}: must be {says}")
    for name, says, values in VALUES
    for value in values
]


@pytest.fixture
def end(capsys, monkeypatch, tmp_path):
    """A function of a command line: (exit status, the one line on stderr). Nothing is left."""
    monkeypatch.setattr(trained, "PRETRAINED", tmp_path / "nothing ships")

    def call(line):
        before = list(Path().rglob("*"))
        status = main.main(shlex.split(line))
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith("main.py: "), (out, err)
        assert list(Path().rglob("*")) == before
        return status, err.removeprefix("main.py: ").removesuffix("\n")

    return call


def test_the_table_is_long_and_has_every_flag():
    assert len({line for line, _ in CALLS}) == len(CALLS) > 250
    words = " ".join(line for line, _ in CALLS)
    assert [n for n in fields.FIELDS if f"--{n}" not in words] == []


@pytest.mark.parametrize(("line", "says"), CALLS, ids=range(len(CALLS)))
def test_a_wrong_call(end, line, says):
    for name, text in TEXTS.items():
        says = says.replace(f"{{{name}}}", text)
    status, found = end(line)
    plain = re.sub(r"did you mean [^?]*\? It (?=must)| \(did you mean [^?]*\?\)$", "", found)
    assert (status, plain) == (2, says)
    if says.startswith(("--clip", "--crop", "--name", "--device", "--output", "--g_w", "--d_w")):
        assert end(f"{line} --train") == (2, found)  # before there is a folder


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "x" * 10**5])
def test_a_long_value_is_cut(end, value):
    status, line = end(f"--epoch {value}")
    assert status == 2 and line.startswith(f"flag --epoch={value[:300]}") and len(line) <= 2000


FLAGFILES = {
    "bytes": (b"\xff\xfe\x00", "--flagfile must be a text file: "),
    "a typing mistake": (b"--epoc=3", "there is no flag --epoc: did you mean --epoch?"),
    "a wrong value": (b"--epoch=x\n", "flag --epoch=x: must be a whole number, at least 1"),
    "a word": (b"train\n", "unexpected argument: 'train'"),
    "itself": (b"--epoch=3\n--flagfile=flags\n", "--flagfile names itself: flags"),
    "a circle": (b"--flagfile=other\n", "--flagfile names itself: "),
    "another that is not there": (b"--flagfile=none\n", "--flagfile: Unable to open flagfile: "),
    "python": (b"import os\n", "unexpected argument: 'import os'"),
    "json": (b'{"epoch": 3}', "unexpected argument: "),
}


@pytest.mark.parametrize(("body", "says"), FLAGFILES.values(), ids=FLAGFILES)
def test_a_wrong_flagfile(end, body, says):
    Path("flags").write_bytes(body)
    Path("other").write_text("--flagfile=flags\n")
    status, line = end("--flagfile=flags")
    assert status == 2 and line.startswith(says), line


@pytest.mark.parametrize("name", ["folder", "folder/none", "x" * 5000])
def test_a_flagfile_that_is_none(end, name):
    Path("folder").mkdir()
    status, line = end(f"--flagfile={name}")
    assert status == 2 and line.startswith("--flagfile: Unable to open flagfile: ")


CHANGES = [
    ("--arch mlp", "arch=dcgan, not mlp"),
    ("--mode gan", "mode=gp, not gan"),
    ("--optimizer sgd", "optimizer=adam, not sgd"),
    ("--conditional False", "conditional=True, not False"),
    ("--z_distribution normal", "z_distribution=uniform, not normal"),
    ("--output_height 32", "output_height=28, not 32"),
    ("--output_width 30", "output_width=28, not 30"),
    ("--g_width 64,32", "g_width=32, not 64,32"),
    ("--label_mode concat", "label_mode=projection, not concat"),
    ("--freeze_critic 1", "freeze_critic=0, not 1"),
    ("--dataset pics --holdout 1", "holdout=None, not 1"),
    ("--preset resnet_gan", "arch=dcgan, not resnet"),
]


@pytest.mark.parametrize(("words", "says"), CHANGES)
def test_a_run_does_not_go_on_as_another(words, says, capsys):
    Path("checkpoint/r").mkdir(parents=True)
    Path("checkpoint/r/checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    fields = {**resolve({}).to_json(), "data": {}}
    Path("checkpoint/r/config.json").write_text(json.dumps(fields))
    status = main.main(["--train", "--name=r", *words.split()])
    _, err = capsys.readouterr()
    advice = "leave that flag or preset out, give another --name, or start anew with --resume False"
    assert (status, err) == (2, f"main.py: run r has {says}: {advice}\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--train", "--epoch", "0"],
            "flag --epoch=0: must be a whole number, at least 1, at most",
        ),
        (["--trian"], "there is no flag --trian: did you mean --train?\n"),
        (
            ["--train", "--name", "../x"],
            "--name=../x must be a folder name without / and without a dot at its start\n",
        ),
        (["--epoch", b"\xff"], "flag --epoch=\\udcff: must be a whole number"),
    ],
)
def test_the_program_itself(words, says, tmp_path):
    words = [w.decode(errors="surrogateescape") if isinstance(w, bytes) else w for w in words]
    done = run_main(tmp_path, *words, status=2)
    assert done.stdout == "" and not list(tmp_path.iterdir())
    assert done.stderr.startswith(f"main.py: {says}") and done.stderr.count("\n") == 1
