"""A Sequential that records nothing runs as one program, with the bits of its layers one by one."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_cnn
from tinygrad_cnn import Tensor, kernels, nn, optim
from tinygrad_cnn.errors import ShapeError
from tinygrad_cnn.ops import replay


def network() -> nn.Sequential:
    tinygrad_cnn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 9, 3), nn.ReLU(inplace=True),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(9 * 4 * 4, 7), nn.ReLU(), nn.Identity(), nn.Linear(7, 3),
    ).eval()  # fmt: skip


def images(count: int = 5, seed: int = 0) -> Tensor:
    return tinygrad_cnn.from_numpy(np.random.default_rng(seed).standard_normal((count, 2, 12, 12)).astype(np.float32))


def in_turn(model: nn.Sequential, x: Tensor) -> np.ndarray:
    """The output of the layers one by one, because operations are recorded."""
    with tinygrad_cnn.enable_grad():
        return model(x).detach().numpy()


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many programs were replayed: a list that grows by one with each."""
    calls: list[int] = []
    run = replay._Replay.__call__

    def counted(self: replay._Replay, memory: np.ndarray) -> Tensor:
        calls.append(1)
        return run(self, memory)

    monkeypatch.setattr(replay._Replay, "__call__", counted)
    return calls


@pytest.mark.parametrize("count", [1, 3, 5, 70])
@pytest.mark.parametrize("mode", [tinygrad_cnn.no_grad, tinygrad_cnn.inference_mode])
def test_same_bits(count: int, mode: Callable, programs: list[int]) -> None:
    model = network()
    for seed in range(3):
        x = images(count, seed)
        with mode():
            out = model(x)
        assert out._inference == (mode is tinygrad_cnn.inference_mode)
        assert out.numpy().tobytes() == in_turn(model, x).tobytes()
    assert len(programs) == 2  # all but the first


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Conv2d(2, 4, 3)],
        lambda: [nn.Conv2d(2, 4, 3), nn.ReLU()],
        lambda: [nn.Conv2d(2, 4, 3, stride=2, groups=2, bias=False), nn.MaxPool2d(3, 1, 1)],
        lambda: [nn.MaxPool2d(2), nn.ReLU()],
        lambda: [nn.Flatten(), nn.Linear(288, 5, bias=False)],
        lambda: [nn.Conv2d(2, 4, 3), nn.Flatten()],
        lambda: [nn.MaxPool2d(5, ceil_mode=True), nn.Flatten()],
        lambda: [nn.Conv2d(2, 40, 3, padding=1), nn.ReLU(), nn.Conv2d(40, 64, 3), nn.Conv2d(64, 1, 1)],
        lambda: [nn.MaxPool2d(12), nn.Flatten(), nn.Linear(2, 1), nn.ReLU()],
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kinds_of_layers(layers: Callable, dtype: type, programs: list[int]) -> None:
    tinygrad_cnn.manual_seed(0)
    model = nn.Sequential(*layers()).to(tinygrad_cnn.float64 if dtype is np.float64 else tinygrad_cnn.float32)
    array = np.random.default_rng(0).standard_normal((5, 12, 12, 2)).astype(dtype).transpose(0, 3, 1, 2)
    for x in (tinygrad_cnn.from_numpy(array), tinygrad_cnn.from_numpy(np.ascontiguousarray(array))):
        for _ in range(2):
            with tinygrad_cnn.no_grad():
                out = model(x)
            assert out.numpy().tobytes() == in_turn(model, x).tobytes()
            assert out._array.flags.c_contiguous == model._in_turn(x)._array.flags.c_contiguous
    assert len(programs) == 2


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()],
        lambda: [nn.MaxPool2d(2), nn.ReLU(), nn.ReLU(inplace=True), nn.Conv2d(2, 4, 3)],
        lambda: [nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3)],
        lambda: [nn.Conv2d(2, 4, 2, padding="same"), nn.ReLU()],
        lambda: [nn.MaxPool2d(2, return_indices=True)],
        lambda: [nn.MaxPool2d(5, ceil_mode=True), nn.Flatten(2)],
        lambda: [nn.MaxPool2d([2, 2])],
        lambda: [nn.Flatten()],
        lambda: [nn.Identity()],
        list,
    ],
)
def test_what_cannot_be_replayed_runs_in_turn(layers: Callable, programs: list[int]) -> None:
    model = nn.Sequential(*layers()).eval()
    for _ in range(3):
        x = images()
        with tinygrad_cnn.no_grad():
            out = model(x.clone())
        expected = model._in_turn(x.clone().requires_grad_(False))
        for a, b in zip(
            (out,) if isinstance(out, Tensor) else out, (expected,) if isinstance(out, Tensor) else expected
        ):
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    assert not programs


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "a parameter written in place": lambda model: model[0].weight.data.mul_(2),
    "a parameter's memory replaced": lambda model: setattr(model[0].weight, "data", model[0].weight.data * 2),
    "a parameter replaced": lambda model: setattr(model[7], "bias", nn.Parameter(tinygrad_cnn.ones(7))),
    "a parameter taken away": lambda model: setattr(model[7], "bias", None),
    "a state loaded": lambda model: model.load_state_dict({k: v * 2 for k, v in model.state_dict().items()}),
    "a step of an optimizer": lambda model: optim.SGD(model.parameters(), lr=0.1).minimize(model(images()).sum()),
    "a layer replaced": lambda model: model.__setitem__(1, nn.Identity()),
    "a layer inserted": lambda model: model.insert(9, nn.Linear(7, 7)),
    "a layer removed": lambda model: model.pop(1),
    "a setting": lambda model: setattr(model[2], "kernel_size", (1, 2)),
    "a hook": lambda model: model[0].register_forward_hook(lambda module, args, out: out * 2),
    "training mode": lambda model: model.train(),
    "the precision": lambda model: tinygrad_cnn.set_float32_matmul_precision("highest"),
}


@pytest.mark.parametrize("chunk", [replay.CHUNK, 1 << 15])
@pytest.mark.parametrize("change", CHANGES)
def test_changes_show(change: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CHUNK", chunk)
    model, x = network(), images(20)
    with tinygrad_cnn.no_grad():
        before = [model(x).numpy() for _ in range(2)]
    try:
        CHANGES[change](model)
        for _ in range(3):
            tinygrad_cnn.manual_seed(1)
            expected = in_turn(model, x)
            tinygrad_cnn.manual_seed(1)
            with tinygrad_cnn.no_grad():
                assert model(x).numpy().tobytes() == expected.tobytes()
        if change != "the precision":
            assert before[0].tobytes() == before[1].tobytes() != expected.tobytes()
    finally:
        tinygrad_cnn.set_float32_matmul_precision("high")


def run_in_chunks(model: nn.Sequential) -> bool:
    """Whether all that it remembers goes in chunks."""
    found = [isinstance(way, replay._InChunks) for way in model._replays._programs.values()]
    assert found
    return all(found)


def winograd() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 32, 3), nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(64 * 8 * 8, 3))


IN_CHUNKS: dict[str, tuple[Callable, int, int]] = {  # a network, images, bytes of a chunk
    "layers of the lecture": (network, 20, 1 << 15),
    "chunks of two sizes": (network, 23, 1 << 15),
    "no layer for the whole batch": (lambda: nn.Sequential(nn.Conv2d(2, 40, 3, padding=1), nn.ReLU()), 6, 1 << 16),
    "Winograd": (winograd, 40, 1 << 20),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(2, 2, 3, groups=2, bias=False), nn.MaxPool2d(2, 1)), 30, 1 << 15),
}


@pytest.mark.parametrize("case", IN_CHUNKS)
@pytest.mark.parametrize("dtype", [tinygrad_cnn.float32, tinygrad_cnn.float64])
def test_a_large_batch_goes_in_chunks(case: str, dtype: object, monkeypatch: pytest.MonkeyPatch) -> None:
    make, count, chunk = IN_CHUNKS[case]
    monkeypatch.setattr(replay, "CHUNK", chunk)
    model = make().to(dtype)
    before = tinygrad_cnn.get_num_threads()
    try:
        for threads in range(1, kernels._jit.max_threads() + 1):
            tinygrad_cnn.set_num_threads(threads)
            for seed in range(3):
                x = images(count, seed).to(dtype)
                for mode in (tinygrad_cnn.no_grad, tinygrad_cnn.inference_mode):
                    with mode():
                        out = model(x)
                    assert out._inference == (mode is tinygrad_cnn.inference_mode)
                    expected = in_turn(model, x)
                    assert out.shape == expected.shape
                    assert out.numpy().tobytes() == expected.tobytes()
    finally:
        tinygrad_cnn.set_num_threads(before)
    assert run_in_chunks(model)


NOT_IN_CHUNKS: dict[str, tuple[Callable, tuple[int, ...]]] = {
    "one image": (lambda: nn.Sequential(nn.Conv2d(2, 9, 3)), (1, 2, 60, 60)),
    "an image without a batch": (lambda: nn.Sequential(nn.MaxPool2d(2)), (30, 60, 60)),
    "images mixed": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.Flatten(0), nn.Linear(30 * 2 * 36, 3)), (30, 2, 12, 12)),
    "rows": (lambda: nn.Sequential(nn.Linear(50, 900)), (70, 50)),
    "other algorithms": (lambda: nn.Sequential(nn.Conv2d(64, 64, 3, padding=1)), (16, 64, 8, 8)),
}


@pytest.mark.parametrize("case", NOT_IN_CHUNKS)
def test_what_does_not_go_in_chunks(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one: 64 tiles of 4x4 are enough for Winograd's F(4x4), those of a few images are not."""
    make, shape = NOT_IN_CHUNKS[case]
    monkeypatch.setattr(replay, "CHUNK", 1 << 15)
    model, array = make(), np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for _ in range(3):
        x = tinygrad_cnn.from_numpy(array)
        with tinygrad_cnn.no_grad():
            assert model(x).numpy().tobytes() == in_turn(model, x).tobytes()
    assert not run_in_chunks(model)


def test_a_copy_has_programs_of_its_own() -> None:
    model, x = network(), images()
    with tinygrad_cnn.no_grad():
        kept = model(x).numpy().copy()
        assert model(x).numpy().tobytes() == kept.tobytes()
        other = copy.deepcopy(model)
        for parameter in other.parameters():
            parameter.mul_(0.5)
        for _ in range(3):
            assert other(x).numpy().tobytes() == in_turn(other, x).tobytes()
            assert model(x).numpy().tobytes() == kept.tobytes()


def test_results_do_not_show_through() -> None:
    model = network()
    with tinygrad_cnn.no_grad():
        held = [(x, model(x)) for x in (images(seed=seed) for seed in range(30))]
    for x, out in held:
        assert out.numpy().tobytes() == in_turn(model, x).tobytes()


def test_other_threads_and_thread_counts(programs: list[int]) -> None:
    model, x = network(), images(40)
    expected = in_turn(model, x).tobytes()
    found: list[bytes] = []

    def work() -> None:
        with tinygrad_cnn.no_grad():
            for _ in range(20):
                found.append(model(x).numpy().tobytes())

    before = tinygrad_cnn.get_num_threads()
    try:
        for count in range(1, kernels._jit.max_threads() + 1):
            tinygrad_cnn.set_num_threads(count)
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        tinygrad_cnn.set_num_threads(before)
    assert set(found) == {expected}
    assert programs


def test_an_error_on_the_way_leaves_nothing_behind(programs: list[int]) -> None:
    model, wrong = network(), tinygrad_cnn.ones(5, 3, 12, 12)
    with tinygrad_cnn.no_grad():
        for _ in range(2):
            with pytest.raises(ShapeError, match="3 channels"):
                model(wrong)
        assert tinygrad_cnn.tracing.tracing.get() is None
        x = images()
        for _ in range(2):
            assert model(x).numpy().tobytes() == in_turn(model, x).tobytes()
    assert len(programs) == 1


def test_few_shapes_are_remembered() -> None:
    model = network()
    with tinygrad_cnn.no_grad():
        for count in range(1, 3 * replay.REMEMBERED):
            x = images(count)
            assert model(x).numpy().tobytes() == in_turn(model, x).tobytes()
    assert len(model._replays._programs) == replay.REMEMBERED


def test_large_results_are_not_kept(monkeypatch: pytest.MonkeyPatch, programs: list[int]) -> None:
    monkeypatch.setattr(replay, "LIMIT", 1000)
    model, x = network(), images()
    with tinygrad_cnn.no_grad():
        for _ in range(3):
            assert model(x).numpy().tobytes() == in_turn(model, x).tobytes()
    assert not programs


def test_gradients_pass_where_they_are_wanted() -> None:
    model, x = network(), images().requires_grad_()
    with tinygrad_cnn.no_grad():
        model(x), model(x)
    model(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is not None for parameter in model.parameters())
