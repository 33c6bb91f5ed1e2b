"""State dictionaries: shared memory, strict loading, all checks before the first write, and files of them."""

from __future__ import annotations

import os
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_cnn import nn
from tinygrad_cnn.autograd import wrap
from tinygrad_cnn.errors import DataError
from tinygrad_cnn.serialization import load, save


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def values(module: nn.Module) -> dict[str, bytes]:
    return {name: t._array.tobytes() for name, t in module.state_dict().items()}


def test_values_share_memory_and_carry_no_history():
    net = network()
    state = net.state_dict()
    assert list(state) == [
        *("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"),
        *("3.weight", "3.bias"),
    ]
    assert np.shares_memory(state["0.weight"]._array, net[0].weight._array)
    assert not state["0.weight"].requires_grad
    assert net.state_dict(keep_vars=True)["0.weight"] is net[0].weight
    assert set(net[0].state_dict(prefix="conv.")) == {"conv.weight", "conv.bias"}


def test_loading_copies_converts_and_reports():
    net, other = network(), network().double()
    other[1].num_batches_tracked._array[...] = 5
    keys = net.load_state_dict(other.state_dict())
    assert repr(keys) == str(keys) == "<All keys matched successfully>"
    assert net[0].weight._array.dtype == np.float32
    assert np.array_equal(net[0].weight._array, other[0].weight._array.astype(np.float32))
    assert net[1].num_batches_tracked._array == 5
    assert not np.shares_memory(net[0].weight._array, other[0].weight._array)
    assert net[0].weight._array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_loading_is_an_in_place_write():
    net = network()
    before = net[0].weight._counter()[0]
    net.load_state_dict(net.state_dict())
    assert net[0].weight._counter()[0] == before + 1


def test_loading_without_strict_gives_what_does_not_match():
    net = network()
    state = OrderedDict(net[3].state_dict(prefix="3."), extra=wrap(np.zeros(1)))
    keys = net.load_state_dict(state, strict=False)
    assert keys.unexpected_keys == ["extra"]
    assert keys.missing_keys[:2] == ["0.weight", "0.bias"]
    assert "missing_keys=['0.weight'" in repr(keys)


def test_every_problem_is_named_and_nothing_is_written():
    net = network()
    before, state = values(net), network().state_dict()
    del state["1.bias"]
    state["extra"] = state["0.bias"]
    state["3.weight"] = wrap(np.zeros((3, 16), np.float32))
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: the dictionary does not fit Sequential:\n"
        "  missing: 1.bias\n"
        "  unexpected: extra\n"
        "  3.weight: shape (3, 16) in the dictionary, (2, 16) in the module"
    )
    with pytest.raises(RuntimeError, match=r"3.weight: shape \(3, 16\)"):
        net.load_state_dict(state, strict=False)
    with pytest.raises(TypeError, match="must be a dictionary, got list"):
        net.load_state_dict([])
    with pytest.raises(TypeError, match=r"'0.bias' must be a Tensor, got ndarray"):
        net.load_state_dict({**network().state_dict(), "0.bias": np.zeros(4, np.float32)})
    assert values(net) == before


DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_])


@given(
    array=DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))),
    turn=st.randoms(),
)
def test_files_hold_every_dtype_shape_and_order_in_memory(array, turn, tmp_path_factory):
    axes = list(range(array.ndim))
    turn.shuffle(axes)
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save({"turned": wrap(array.transpose(axes)), "reversed": wrap(array[..., ::-1] if array.ndim else array)}, path)
    loaded = load(path)
    assert list(loaded) == ["reversed", "turned"] or list(loaded) == ["turned", "reversed"]
    assert loaded["turned"]._array.dtype == array.dtype
    np.testing.assert_array_equal(loaded["turned"]._array, array.transpose(axes))
    np.testing.assert_array_equal(loaded["reversed"]._array, array[..., ::-1] if array.ndim else array)
    assert loaded["turned"]._array.flags.writeable


def test_a_network_goes_through_a_file(tmp_path):
    net, other = network(), network()
    save(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(load(tmp_path / "net.safetensors"))
    assert values(other) == values(net)
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_other_programs_read_the_files(tmp_path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file

    net = network()
    save(net.state_dict(), tmp_path / "net.safetensors")
    for name, theirs in load_file(tmp_path / "net.safetensors").items():
        assert np.array_equal(theirs.numpy(), net.state_dict()[name]._array)


def test_an_older_file_survives_a_failed_save(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save({"a": wrap(np.ones(2))}, path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save({"a": wrap(np.zeros(2))}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


@pytest.mark.parametrize("cut", [0, 4, 8, 20, -1])
def test_cut_files_are_refused(tmp_path, cut):
    path = tmp_path / "net.safetensors"
    save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "other"
    for content in (b"\x80\x04\x95 pickle", b"\xff" * 100, b"PK\x03\x04" + bytes(60)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a whole safetensors file"):
            load(path)
    from safetensors.numpy import save_file

    save_file({"half": np.zeros(2, np.float16)}, path)
    with pytest.raises(DataError, match=r"'half' in .* has dtype float16"):
        load(path)


ERRORS = [
    (lambda p: load(p / "none"), DataError, "cannot be read: No such file"),
    (lambda p: load(p), DataError, "cannot be read: Is a directory"),
    (lambda p: load(p, "cuda"), ValueError, "map_location must be None or 'cpu', the only device there is, got 'cuda'"),
    (lambda p: load(p, weights_only=False), ValueError, "weights_only must be True"),
    (lambda p: save(network(), p / "x"), TypeError, r"such as model.state_dict\(\), got Sequential"),
    (lambda p: save({"a": 1}, p / "x"), TypeError, "must map names to Tensors, got 'a': int"),
    (lambda p: save({1: wrap(np.ones(1))}, p / "x"), TypeError, "must map names to Tensors, got 1: Tensor"),
    (lambda p: save({}, p / "no" / "x"), OSError, "No such file"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message, tmp_path):
    with pytest.raises(error, match=message):
        call(tmp_path)
    assert os.listdir(tmp_path) == []
