"""Compilation, threads, forks and the cache of compiled code."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import prange

from tests.kernels.test_conv_kernels import python
from tinygrad_cnn import kernels
from tinygrad_cnn.kernels import _cache, _jit
from tinygrad_cnn.kernels._jit import kernel

PRODUCT = (
    "import sys, warnings\n"
    "import numpy as np\n"
    "from tinygrad_cnn import kernels\n"
    "compiled = []\n"
    "kernels._jit.on_compile.append(compiled.append)\n"
    "a = np.arange(12, dtype=np.float32).reshape(3, 4)\n"
    "def product():\n"
    "    run = kernels.matmul.prepare(a.shape, a.shape, False, True, a.dtype)\n"
    "    out = np.empty((3, 3), np.float32)\n"
    "    none = np.empty(0, np.float32)\n"
    "    run(a, a, none, np.empty(run.workspace, np.float32), out, none)\n"
    "    return out\n"
    "with warnings.catch_warnings(record=True) as caught:\n"
    "    warnings.simplefilter('always')\n"
    "    out = product()\n"
    "assert np.array_equal(out, a @ a.T), out\n"
    "faults = [w for w in caught if w.category is kernels._cache.CacheWarning]\n"
    "print(len(compiled), len(faults))\n"
)
"""Prints how many kernels were compiled for a product, and how many warnings about the cache there were."""


@kernel
def double(x, out):
    """``out = 2·x``."""
    for i in prange(x.size):
        out[i] = 2 * x[i]


def product_in_new_process(cache: Path) -> list[int]:
    """[kernels compiled, cache warnings] in a process with this cache."""
    return [int(number) for number in python(PRODUCT, NUMBA_CACHE_DIR=str(cache)).split()]


def test_numba_is_imported_by_the_first_kernel_module() -> None:
    script = (
        "import sys\n"
        "import tinygrad_cnn\n"
        "from tinygrad_cnn import kernels\n"
        "assert 'conv' in dir(kernels)\n"
        "assert 'numba' not in sys.modules\n"
        "kernels.conv\n"
        "assert 'numba' in sys.modules\n"
    )
    python(script)


def test_unknown_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'convolutions'"):
        _ = kernels.convolutions


def test_serial_version_below_the_threshold() -> None:
    small, large = np.arange(10.0), np.arange(10.0) + 1
    out = np.empty(10)
    double.run(_jit.SERIAL_WORK - 1, small, out)
    np.testing.assert_array_equal(out, 2 * small)
    assert double.compiled()["serial"]
    assert not double.compiled()["parallel"]
    double.run(_jit.SERIAL_WORK, large, out)
    np.testing.assert_array_equal(out, 2 * large)
    assert double.compiled()["parallel"]


def test_kernels_of_a_module_are_found() -> None:
    assert _jit.kernels_in(sys.modules[__name__]) == [double]
    assert repr(double) == "<kernel test_jit.double>"


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_number_of_threads_is_checked(count: int) -> None:
    with pytest.raises(ValueError, match=f"must be between 1 and .*, got {count}"):
        _jit.set_num_threads(count)


def test_number_of_threads_holds_in_every_python_thread() -> None:
    script = (
        "import threading\n"
        "import numba\n"
        "import numpy as np\n"
        "from numba import prange\n"
        "from tinygrad_cnn.kernels import _jit\n"
        "@_jit.kernel\n"
        "def note(out):\n"
        "    for i in prange(out.size):\n"
        "        out[i] = numba.get_num_threads()\n"
        "seen = []\n"
        "def call():\n"
        "    out = np.zeros(64, np.int64)\n"
        "    note(out)\n"
        "    seen.append(set(out.tolist()))\n"
        "for count in (3, 1, 2):\n"
        "    _jit.set_num_threads(count)\n"
        "    assert _jit.get_num_threads() == count\n"
        "    call()\n"
        "    other = threading.Thread(target=call); other.start(); other.join()\n"
        "assert seen == [{3}, {3}, {1}, {1}, {2}, {2}], seen\n"
    )
    path = Path(os.environ.get("TMPDIR", "/tmp"))
    python(script_with_source(script, path), NUMBA_NUM_THREADS="4")


def script_with_source(script: str, folder: Path) -> str:
    """Run ``script`` from a file: Numba's cache wants the source of what it compiles."""
    return (
        "import pathlib, runpy, sys, tempfile\n"
        f"folder = tempfile.mkdtemp(dir={str(folder)!r})\n"
        "path = pathlib.Path(folder) / 'script.py'\n"
        f"path.write_text({script!r})\n"
        "try:\n"
        "    runpy.run_path(str(path), run_name='script')\n"
        "finally:\n"
        "    path.unlink(); path.parent.rmdir()\n"
    )


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_calls_from_several_python_threads(layer: str) -> None:
    """Numba's fallback threading layer aborts the process at two launches at once; the lock prevents it."""
    script = (
        "import threading\n"
        "import numpy as np\n"
        "from tests.kernels.test_conv_kernels import Case, filled\n"
        "from tests.kernels.geometries import run\n"
        "from tinygrad_cnn import kernels\n"
        "case = Case(8, (10, 10), 8, 16, (3, 3))\n"
        "expected = filled(case, np.float32, 0)\n"
        "run(kernels.conv, case, expected)\n"
        "same = []\n"
        "def work():\n"
        "    for _ in range(20):\n"
        "        arrays = filled(case, np.float32, 0)\n"
        "        run(kernels.conv, case, arrays)\n"
        "        same.append(all(np.array_equal(arrays[n], expected[n]) for n in ('out', 'out_x', 'out_weight')))\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert same == [True] * 80\n"
    )
    python(script, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child() -> None:
    """After the parent used threads, a child computes the same, on one."""
    script = (
        "import os\n"
        "import numpy as np\n"
        "from tests.kernels.test_conv_kernels import Case, filled\n"
        "from tests.kernels.geometries import run\n"
        "from tinygrad_cnn import kernels\n"
        "case = Case(8, (10, 10), 8, 16, (3, 3))\n"
        "expected = filled(case, np.float32, 0)\n"
        "run(kernels.conv, case, expected)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    arrays = filled(case, np.float32, 0)\n"
        "    run(kernels.conv, case, arrays)\n"
        "    same = [np.array_equal(arrays[n], expected[n]) for n in ('out', 'out_x', 'out_weight')]\n"
        "    os._exit(0 if all(same) else 7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    )
    python(script, NUMBA_NUM_THREADS="2")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_a_kernel_runs() -> None:
    """The lock that another thread of the parent holds doesn't stay locked in the child."""
    script = (
        "import os, threading\n"
        "import numpy as np\n"
        "from tests.kernels.test_conv_kernels import Case, filled\n"
        "from tests.kernels.geometries import run\n"
        "from tinygrad_cnn import kernels\n"
        "case = Case(4, (6, 6), 8, 16, (3, 3))\n"
        "run(kernels.conv, case, filled(case, np.float32, 0))\n"
        "held, done = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with kernels._jit._lock:\n"
        "        held.set(); done.wait()\n"
        "thread = threading.Thread(target=hold); thread.start(); held.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    run(kernels.conv, case, filled(case, np.float32, 0))\n"
        "    os._exit(0)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "done.set(); thread.join()\n"
        "assert os.waitstatus_to_exitcode(status) == 0\n"
    )
    python(script, NUMBA_NUM_THREADS="2")


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache that a first process leaves."""
    folder = tmp_path_factory.mktemp("cache")
    compiled, faults = product_in_new_process(folder)
    assert compiled > 0
    assert faults == 0
    return folder


@pytest.fixture
def cache(filled_cache: Path, tmp_path: Path) -> Path:
    """A copy of it, to break."""
    return shutil.copytree(filled_cache, tmp_path / "cache")


def test_second_process_compiles_nothing(cache: Path) -> None:
    assert product_in_new_process(cache) == [0, 0]


def test_cache_folder_is_private(filled_cache: Path) -> None:
    (folder,) = (filled_cache / "tinygrad_cnn").rglob(_cache.key())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("suffix", "size"), [("nbi", 0), ("nbi", 100), ("nbc", 7), ("nbc", 100)])
def test_truncated_cache_file_is_replaced(cache: Path, suffix: str, size: int) -> None:
    """One warning, the right result, and the next process finds a whole cache again."""
    files = list(cache.rglob(f"*.{suffix}"))
    assert files
    for file in files:
        os.truncate(file, size)
    compiled, faults = product_in_new_process(cache)
    assert compiled > 0
    assert faults == 1
    assert product_in_new_process(cache) == [0, 0]


def test_cache_that_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    compiled, faults = product_in_new_process(file)
    assert compiled > 0
    assert faults == 1


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_cache_that_others_may_write_to(cache: Path) -> None:
    """What lies in the cache is run, so a folder open to others is not used."""
    (folder,) = (cache / "tinygrad_cnn").rglob(_cache.key())
    folder.chmod(0o777)
    compiled, faults = product_in_new_process(cache)
    assert compiled > 0
    assert faults == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_full_disk(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    script = limit + PRODUCT.replace("print(", "sys.stderr.write('') or print(")
    compiled, faults = (int(n) for n in python(script, NUMBA_CACHE_DIR=str(tmp_path)).split())
    assert compiled > 0
    assert faults == 1


def test_key_covers_every_kernel_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in Path(_cache.__file__).parent.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(_cache, "__file__", str(tmp_path / "_cache.py"))
    before = _cache.key()
    assert before == _cache.key()
    with open(tmp_path / "_simd.py", "a") as file:
        file.write("# changed\n")
    assert _cache.key() != before


@pytest.mark.parametrize(
    ("name", "value"),
    [("BOUNDSCHECK", 1), ("CPU_NAME", "x86-64-v2"), ("CPU_FEATURES", "+sse4.2"), ("CPU_FEATURES", ""), ("OPT", 1)],
)
def test_key_covers_the_settings_that_change_machine_code(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, plain in (("BOUNDSCHECK", None), ("CPU_NAME", "x86-64"), ("CPU_FEATURES", None), ("OPT", 3)):
        monkeypatch.setattr(_cache._config, setting, plain)
    before = _cache.key()
    monkeypatch.setattr(_cache._config, name, value)
    assert _cache.key() != before


def test_old_folders_are_pruned(tmp_path: Path) -> None:
    for age in range(_cache.FOLDERS_KEPT + 3):
        folder = tmp_path / f"{age:02}"
        folder.mkdir()
        os.utime(folder, (1e9 - age, 1e9 - age))
    _cache._prune(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{age:02}" for age in range(_cache.FOLDERS_KEPT)]
