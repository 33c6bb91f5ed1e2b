"""The example, run as a user runs it: what it prints, what it refuses, and what a Ctrl-C leaves behind."""

from __future__ import annotations

import gzip
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg

pytest.importorskip("tqdm")

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "train_mnist.py"
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def environment() -> dict[str, str]:
    """Ours without MNIST, so that no test depends on what lies on this machine."""
    return {name: value for name, value in os.environ.items() if name != "TINYGRAD_CNN_DATA"}


def run(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, options)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """A folder with a small MNIST: 40 training and 20 test images whose brightness tells the digit."""
    for part, count in (("train", 40), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.broadcast_to(labels[:, None, None] * np.uint8(25), (count, 28, 28)).copy()
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def test_it_says_what_happens_and_saves_what_it_learned(tmp_path):
    saved, picture = tmp_path / "net.safetensors", tmp_path / "curves.png"
    done = run("--dataset", "digits", "--model", "mlp", "--epochs", 2, "--save", saved, "--plot", picture)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "1,442 images / batch 64 = 23 iterations per epoch" in lines
    assert len([line for line in lines if re.fullmatch(r"epoch \d/2: training loss .* images/s", line)]) == 2
    assert re.fullmatch(r"test accuracy: \d+\.\d\d %", lines[-1])
    assert {name: tuple(t.shape) for name, t in tg.load(saved).items()} == {
        "1.weight": (128, 64),
        "1.bias": (128,),
        "3.weight": (10, 128),
        "3.bias": (10,),
    }
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_result():
    first, second = (run("--dataset", "digits", "--model", "mlp", "--epochs", 1, "--seed", 3) for _ in range(2))
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]


@pytest.mark.parametrize("model", ["cnn", "lenet5", "mlp"])
def test_every_model_trains_on_a_folder_with_mnist(mnist, model):
    done = run("--data", mnist, "--model", model, "--epochs", 1, "--optimizer", "sgd", "--train-images", 30)
    assert done.returncode == 0, done.stderr
    assert "30 images / batch 64 = 1 iterations per epoch" in done.stdout


def spoil(folder: pathlib.Path, name: str, change) -> None:
    path = folder / f"{name}.gz"
    path.write_bytes(change(path.read_bytes()))


def header(*numbers: int) -> bytes:
    return gzip.compress(struct.pack(f">HBB{len(numbers)}I", 0, 8, len(numbers), *numbers))


BAD_DATA = {
    "cut": ("train-images-idx3-ubyte", lambda old: old[: len(old) // 2]),
    "not gzip": ("train-labels-idx1-ubyte", lambda old: b"\x1f\x8bnonsense"),
    "wrong magic": ("t10k-images-idx3-ubyte", lambda old: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(old)[4:])),
    "a header that lies": ("train-images-idx3-ubyte", lambda old: header(2**31, 2**15, 2**15)),
    "other counts": ("train-labels-idx1-ubyte", lambda old: gzip.compress(idx(np.zeros(7, np.uint8)))),
    "a label of 10": ("t10k-labels-idx1-ubyte", lambda old: gzip.compress(idx(np.full(20, 10, np.uint8)))),
    "other sizes": ("t10k-images-idx3-ubyte", lambda old: gzip.compress(idx(np.zeros((20, 8, 8), np.uint8)))),
}


@pytest.mark.parametrize(("name", "change"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_refused_in_one_line(mnist, name, change):
    spoil(mnist, name, change)
    refused(run("--data", mnist, "--dataset", "mnist"), name.split("-")[0])


def test_a_missing_file_and_a_missing_folder_are_refused(mnist, tmp_path):
    refused(run("--data", tmp_path / "nowhere"), "nowhere: no such folder")
    (mnist / f"{FILES[1]}.gz").unlink()
    refused(run("--data", mnist), FILES[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", "0"), "at least 1, got 0"),
        (("--batch-size", "-3"), "at least 1, got -3"),
        (("--lr", "0"), "above 0, got 0"),
        (("--lr", "nan"), "above 0, got nan"),
        (("--model", "vgg"), "invalid choice: 'vgg'"),
        (("--threads", "100000"), "--threads"),
        (("--plot", "curves.txt"), "must end in .png"),
        (("--save", "/nowhere/net.safetensors"), "/nowhere cannot be written to"),
        (("--save", "/"), "that is a folder"),
        (("--train-images", "5000", "--dataset", "digits"), "there are only 1,442"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    refused(run(*options), message)


def test_a_learning_rate_that_explodes_is_named():
    done = run("--dataset", "digits", "--model", "mlp", "--optimizer", "sgd", "--lr", "1e30", "--epochs", 1)
    refused(done, "try a smaller --lr than 1e+30")


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """Exit code 2 and one line that says why."""
    errors = [line for line in done.stderr.splitlines() if "batch/s" not in line and line.strip()]
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("train_mnist.py: ")
    assert message in errors[0]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as SIGINT")
def test_ctrl_c_keeps_the_last_complete_epoch(tmp_path):
    saved = tmp_path / "net.safetensors"
    command = [sys.executable, str(SCRIPT), *("--dataset", "digits", "--model", "mlp", "--epochs", "100000")]
    child = subprocess.Popen(
        [*command, "--save", str(saved)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("epoch 2/"):
            break
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate()
    assert child.returncode == 130, errors
    assert "complete epochs" in errors
    assert "Traceback" not in errors
    assert set(tg.load(saved)) == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert sorted(tmp_path.iterdir()) == [saved]  # nothing half-written beside it
