"""MNIST finds its files where they are said to be looked for, checks them, and downloads what is missing."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataLoader
from tinygrad_cnn.errors import DataError
from tinygrad_cnn.vision import transforms
from tinygrad_cnn.vision.datasets import MNIST, DownloadError, find_mnist, mnist
from tinygrad_cnn.vision.idx import read_idx

from . import servers
from .files import idx_bytes, images, labels, mnist_files, place

DATA = os.environ.get("TINYGRAD_CNN_DATA")

# ---------------------------------------------------------------- files in folders


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"])
def test_files_in_the_root(tmp_path, below, compressed):
    place(tmp_path / below, mnist_files(), compressed)
    train = MNIST(tmp_path)
    assert (train.train, len(train), tuple(train.data.shape)) == (True, 12, (12, 4, 4))
    assert (train.data.dtype, train.targets.dtype) == (tg.uint8, tg.int64)
    assert train.data.tolist() == images(12).tolist()
    assert train.targets.tolist() == labels(12).tolist()
    test = MNIST(str(tmp_path), train=False)
    assert (test.train, len(test)) == (False, 3)


def test_the_root_comes_before_the_cache(tmp_path):
    place(mnist.mnist_cache(), mnist_files(train=5))
    assert len(MNIST()) == len(MNIST(tmp_path)) == 5
    place(tmp_path, mnist_files(train=4))
    assert len(MNIST(tmp_path)) == 4
    assert len(MNIST()) == 5


def test_the_cache_is_the_users(tmp_path):
    assert mnist.mnist_cache().is_relative_to(tmp_path / "cache")


def test_find_mnist(tmp_path, monkeypatch):
    assert find_mnist() is None
    assert find_mnist(tmp_path) is None
    cache = place(mnist.mnist_cache(), mnist_files())
    assert find_mnist() == find_mnist(tmp_path) == cache
    named = place(tmp_path / "named" / "mnist", mnist_files())
    monkeypatch.setenv("TINYGRAD_CNN_DATA", str(tmp_path / "named"))
    assert find_mnist() == find_mnist(tmp_path) == named
    root = place(tmp_path / "root" / "MNIST" / "raw", mnist_files(), compressed=True)
    assert find_mnist(tmp_path / "root") == root
    (root / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find_mnist(tmp_path / "root") == named


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        MNIST(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\(.gz\) and .* not there; .*download=True"):
        MNIST()
    files = mnist_files()
    del files["train-labels-idx1-ubyte"]
    place(tmp_path, files)
    with pytest.raises(DataError, match=rf"{tmp_path.name}: train-labels-idx1-ubyte\(.gz\) not there"):
        MNIST(tmp_path)
    assert len(MNIST(tmp_path, train=False)) == 3


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images", idx_bytes(images(11)), "images-idx3-ubyte.* has 11 images, but .*labels-idx1-ubyte.* has 12 labels"),
        ("labels", idx_bytes(labels(13)), "has 12 images, but .* has 13 labels"),
        ("labels", idx_bytes(np.r_[labels(11), 10].astype(np.uint8)), r"label 10 at position 11; .* in 0\.\.9"),
        ("labels", idx_bytes(images(12)), "labels must be uint8 with 1 dimensions, got uint8 with 3"),
        ("images", idx_bytes(labels(12)), "images must be uint8 with 3 dimensions, got uint8 with 1"),
        ("images", idx_bytes(images(12).view(np.int8), 0x09), "must be uint8 .* got int8"),
        ("labels", idx_bytes(np.zeros(12, ">f4"), 0x0D), "must be uint8 .* got float32"),
        ("images", idx_bytes(images(12))[:-1], "192 bytes, but 191 bytes follow"),
        ("labels", idx_bytes(labels(12), shape=(2**32 - 1,)), "4,294,967,295 bytes, but 12 bytes follow"),
        ("images", b"not what it seems", "not an IDX file"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path, name, content, message, compressed):
    files = mnist_files()
    files[f"train-{name}-idx{3 if name == 'images' else 1}-ubyte"] = content
    place(tmp_path, files, compressed)
    with pytest.raises(DataError, match=message):
        MNIST(tmp_path)


def test_no_images_at_all(tmp_path):
    place(tmp_path, mnist_files(train=0))
    dataset = MNIST(tmp_path)
    assert len(dataset) == 0
    assert list(DataLoader(dataset, batch_size=4)) == []


# ---------------------------------------------------------------- downloads


@pytest.fixture
def small(monkeypatch):
    """Lets a small data set pass for MNIST; returns its files."""
    for library in ("filelock", "pooch", "tqdm"):
        pytest.importorskip(library)
    files = mnist_files()
    for name in ("TRAIN", "TEST"):
        parts = [mnist.Part(part.name, hashlib.md5(files[part.name]).hexdigest()) for part in getattr(mnist, name)]
        monkeypatch.setattr(mnist, name, tuple(parts))
    return files


def cached() -> list[str]:
    return sorted(path.name for path in mnist.mnist_cache().iterdir() if path.suffix != ".lock")


def test_download(small, monkeypatch, tmp_path):
    with servers.serve(servers.files(small)) as server:
        monkeypatch.setattr(MNIST, "mirrors", [servers.nobody(), f"{server.address}some/where"])
        with pytest.raises(DataError, match="not there"):
            MNIST(tmp_path)
        test = MNIST(tmp_path, train=False, download=True)
        assert cached() == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
        assert server.asked == ["/some/where/t10k-images-idx3-ubyte.gz", "/some/where/t10k-labels-idx1-ubyte.gz"]
        train = MNIST(download=True)
    assert (len(train), len(test)) == (12, 3)
    assert train.data.tolist() == images(12).tolist()
    assert len(MNIST(tmp_path, download=True)) == 12  # from the cache: there is no server any more
    assert list(tmp_path.glob("*.gz")) == []


def test_no_download_of_what_is_there(small, monkeypatch, tmp_path):
    monkeypatch.setattr(MNIST, "mirrors", [servers.nobody()])
    place(tmp_path, small)
    assert len(MNIST(tmp_path, download=True)) == 12


def test_download_that_fails(small, monkeypatch):
    small["train-labels-idx1-ubyte"] += b"tampered with"
    with servers.serve(servers.files(small)) as server, servers.serve(servers.status(404)) as empty:
        monkeypatch.setattr(MNIST, "mirrors", (empty.address, server.address))
        with pytest.raises(DownloadError) as caught:
            MNIST(download=True)
    message = str(caught.value)
    assert f"{empty.address}train-labels-idx1-ubyte.gz: HTTPError: 404" in message
    assert f"{server.address}train-labels-idx1-ubyte.gz: wrong content" in message
    assert f"place the file in {mnist.mnist_cache()} by hand" in message
    assert cached() == ["train-images-idx3-ubyte.gz"]


def test_the_budget_is_for_all_files_together(small, monkeypatch):
    with servers.serve(servers.trickling(bytes(10_000))) as server:
        monkeypatch.setattr(MNIST, "mirrors", [server.address])
        with pytest.raises(DownloadError, match=r"train-images.*no complete answer within the time allowed"):
            MNIST(download=True, budget=0.8)
    assert cached() == []


def test_addresses_and_checksums():
    assert MNIST.mirrors == mnist.MIRRORS
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in mnist.MIRRORS)
    assert len(mnist.MIRRORS) >= 2


# ---------------------------------------------------------------- the real one


@pytest.fixture(scope="module")
def real() -> Path:
    folder = find_mnist(DATA) if DATA else None
    if folder is None:
        pytest.skip("the environment variable TINYGRAD_CNN_DATA names no folder with MNIST")
    return folder


def test_real_mnist(real):
    train, test = MNIST(real), MNIST(real, train=False)
    assert tuple(train.data.shape) == (60_000, 28, 28)
    assert tuple(test.data.shape) == (10_000, 28, 28)
    train_counts = np.bincount(train.targets.numpy())
    assert train_counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.targets.numpy()).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = train.data.numpy()
    assert pixels.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_real_mnist_has_the_checksums(real):
    for part in (*mnist.TRAIN, *mnist.TEST):
        path = next(path for path in (real / f"{part.name}.gz", real / part.name) if path.exists())
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert hashlib.md5(content).hexdigest() == part.md5
        assert content[4 : 4 + 4] == len(read_idx(path)).to_bytes(4, "big")


def test_real_mnist_in_batches(real):
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.1307, 0.3081)])
    pixels, targets = next(iter(DataLoader(MNIST(real, train=False, transform=steps), batch_size=10_000)))
    assert (tuple(pixels.shape), pixels.dtype, len(targets)) == ((10_000, 1, 28, 28), tg.float32, 10_000)
    assert abs(pixels.numpy().mean()) < 0.02
    assert abs(pixels.numpy().std() - 1) < 0.02
