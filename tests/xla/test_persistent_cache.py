"""The persistent cache: what it stores and reads back, and everything that can be wrong with a file or a directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.jaxlib_compat import configuration, executors
from functrans.xla import compilation
from functrans.xla import persistent_cache as cache
from functrans.xla.compilation import compile_or_load, compile_text

ROOT = Path(__file__).resolve().parents[2]
KEY = "0" * 64
SETTINGS = {
    "jax_compilation_cache_dir": None,
    "jax_enable_compilation_cache": True,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
    "jax_compilation_cache_max_size": -1,
    "jax_raise_persistent_cache_errors": False,
}


@pytest.fixture
def settings() -> Iterator[Callable[..., None]]:
    """Set JAX's settings of the cache for one test."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    cache._warned.clear()
    cache._swept.clear()

    def change(**changes: Any) -> None:
        for name, value in {**SETTINGS, **changes}.items():
            jax.config.update(name, value)

    yield change
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def folder(tmp_path: Path, settings: Callable[..., None]) -> Path:
    """A directory of the user's own, in use."""
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    settings(jax_compilation_cache_dir=str(path))
    return path


def program(number: float = 2.0) -> str:
    """A module; another one for each number."""
    return (
        "module @f { func.func public @main(%0: tensor<3xf32>) -> (tensor<3xf32>) {\n"
        f"%1 = stablehlo.constant dense<{number:e}> : tensor<3xf32>\n"
        "%2 = stablehlo.multiply %0, %1 : tensor<3xf32>\nreturn %2 : tensor<3xf32> } }"
    )


def result(number: float = 2.0) -> tuple[list[float], bool]:
    """Compile (or load) and run the program: what it returns for ones, and whether it was loaded."""
    device = configuration.default_device()
    executable, loaded = compile_or_load(program(number), device)
    type_ = ft.ArrayType((3,), np.dtype(np.float32))
    (out,) = executors.executor(executable, [type_], [type_], device, "f")(np.ones(3, np.float32))
    return np.asarray(out).tolist(), loaded


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(".executable"))


def unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(".unfinished")]


def recompiles(number: float = 2.0, *, warns: str) -> None:
    """The program runs, compiled anew, with one warning of that text."""
    with pytest.warns(UserWarning, match=warns) as caught:
        assert result(number) == ([number] * 3, False)
    about = [w for w in caught if "compilation cache" in str(w.message)]
    assert [w.filename for w in about] == [__file__]
    assert "Programs are compiled instead" in str(about[0].message)


# -- stored and read back ---------------------------------------------------------------------------------------------


def test_an_executable_is_stored_and_loaded(folder: Path) -> None:
    assert result() == ([2.0] * 3, False)
    assert result() == ([2.0] * 3, True)
    (entry,) = entries(folder)
    assert re.fullmatch(r"functrans-[0-9a-f]{64}\.executable", entry.name)
    assert entry.stat().st_mode & 0o777 == 0o600
    assert not unfinished(folder)
    assert result(3.0) == ([3.0] * 3, False), "another program has another entry"
    assert len(entries(folder)) == 2


@pytest.mark.parametrize("expression", ["fnp.sin(x) * 2", "fnp.linalg.eigvalsh(fnp.array([[x, 1.0], [1.0, 0.0]]))[1]"])
def test_a_new_process_loads_what_another_has_compiled(folder: Path, expression: str) -> None:
    text = (
        "import jax, numpy as np, functrans as ft, functrans.numpy as fnp\n"
        f"step = ft.jit(lambda x: {expression})\n"
        "print(float(step(np.float32(1.0))), ft.compilation_count(), ft.compilation_log()[-1].reason)\n"
    )
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    first, second = (
        subprocess.run(
            [sys.executable, "-c", text],
            check=True,
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.split(" ", 2)
        for _ in range(2)
    )
    assert first[0] == second[0]
    assert first[1] == "1" and "loaded" not in first[2]
    assert second[1] == "0" and "loaded from the persistent cache" in second[2]


def test_gradients_loops_and_compiled_stages_go_through_the_cache(folder: Path) -> None:
    def function(x: Any) -> Any:
        return fnp.sum(ft.lax.fori_loop(0, 3, lambda _, c: fnp.sin(c) * 2, x))

    values = []
    for _ in range(2):
        ft.clear_caches()
        compiled = ft.jit(ft.grad(function)).lower(np.ones(3, np.float32)).compile()
        values.append(
            [np.asarray(compiled(np.ones(3, np.float32))), np.asarray(ft.grad(function)(np.ones(3, np.float32)))]
        )
    assert ft.compilation_log()[-1].reason.endswith("loaded from the persistent cache")
    np.testing.assert_array_equal(values[0], values[1])


def test_the_name_holds_everything_that_the_executable_depends_on(folder: Path) -> None:
    device = configuration.default_device()
    compile_text(program(), device)
    compile_text(program(), device, disable_fusion=True)
    compile_text(program(), device, extra_options={"xla_cpu_enable_fast_math": True})
    compile_text(program(5.0), device)
    assert len(entries(folder)) == 4
    assert len({cache.entry_key("ab", "c"), cache.entry_key("a", "bc"), cache.entry_key("abc", "")}) == 3
    assert compilation._machine(device)[:2] == (jax.__version__, jax.lib.__version__)
    if sys.platform == "linux":
        assert len(compilation._processor()) > 50, "the processor's features are in it"


# -- settings ---------------------------------------------------------------------------------------------------------


def test_without_a_directory_nothing_is_stored(settings: Callable[..., None]) -> None:
    settings()
    assert cache.directory() is None
    assert [result()[1] for _ in range(2)] == [False, False]


def test_a_directory_that_is_not_there_is_made_for_the_user_alone(
    tmp_path: Path, settings: Callable[..., None]
) -> None:
    path = tmp_path / "new" / "cache"
    settings(jax_compilation_cache_dir=str(path))
    assert [result()[1] for _ in range(2)] == [False, True]
    assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "change",
    [
        {"jax_enable_compilation_cache": False},
        {"jax_compilation_cache_max_size": 0},
        {"jax_compilation_cache_max_size": 100},
        {"jax_persistent_cache_min_compile_time_secs": 3600.0},
        {"jax_persistent_cache_min_entry_size_bytes": 10**9},
    ],
    ids=str,
)
def test_settings_of_jax_keep_entries_out(change: Any, folder: Path, settings: Callable[..., None]) -> None:
    settings(jax_compilation_cache_dir=str(folder), **change)
    assert [result()[1] for _ in range(2)] == [False, False]
    assert not entries(folder)


def test_the_entry_used_longest_ago_leaves_when_the_directory_is_full(
    folder: Path, settings: Callable[..., None]
) -> None:
    (folder / "something-else-cache").write_bytes(b"x" * 100_000)  # JAX's entries are JAX's to count
    result(2.0)
    size = entries(folder)[0].stat().st_size
    settings(jax_compilation_cache_dir=str(folder), jax_compilation_cache_max_size=int(3.5 * size))
    for number in (3.0, 4.0):
        result(number)
    for age, path in enumerate(sorted(entries(folder), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (age + 1000, age + 1000))
    assert result(2.0)[1], "used now"
    assert not result(5.0)[1]
    assert [result(number)[1] for number in (2.0, 4.0, 5.0)] == [True] * 3
    assert len(entries(folder)) == 3 and (folder / "something-else-cache").exists()


def test_errors_are_raised_where_the_setting_asks_for_it(folder: Path, settings: Callable[..., None]) -> None:
    folder.chmod(0o777)
    settings(jax_compilation_cache_dir=str(folder), jax_raise_persistent_cache_errors=True)
    with pytest.raises(cache.CacheError, match="chmod go-w"):
        result()


# -- damaged files ----------------------------------------------------------------------------------------------------


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every way in which a file may be damaged, by name."""
    for length in sorted({0, 1, 10, len(cache._MAGIC), len(cache._MAGIC) + 31, len(data) // 2, len(data) - 1}):
        yield f"cut to {length}", data[:length]
    for place in [*range(0, 80, 3), *range(80, len(data), max(1, len(data) // 60)), len(data) - 1]:
        yield (
            f"bit {place % 8} of byte {place}",
            data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :],
        )
    yield "longer", data + b"\0"
    yield "zeros", bytes(len(data))
    yield "foreign", b"PK\x03\x04" + os.urandom(1000)
    yield "of another format", data.replace(b"executable 1", b"executable 9")


def test_no_damaged_entry_is_ever_read(folder: Path) -> None:
    payload = os.urandom(3000) + bytes(5000)
    path = folder / cache._name(KEY)
    cache.write(str(folder), KEY, payload, 1.0)
    data = path.read_bytes()
    assert cache.read(str(folder), KEY) == payload
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for what, wrong in damaged(data):
            path.write_bytes(wrong)
            assert cache.read(str(folder), KEY) is None, what
    assert len(caught) == 1, "said once, not for each file"
    path.write_bytes(data)
    assert cache.read(str(folder), KEY) == payload


@pytest.mark.parametrize("what", ["cut", "flipped", "empty", "of another program"])
def test_a_damaged_entry_is_compiled_and_written_anew(what: str, folder: Path) -> None:
    result()
    (entry,) = entries(folder)
    data = entry.read_bytes()
    if what == "of another program":
        result(3.0)
        (other,) = set(entries(folder)) - {entry}
        wrong = other.read_bytes()
    else:
        wrong = {"cut": data[:-100], "flipped": data[:99] + bytes([data[99] ^ 1]) + data[100:], "empty": b""}[what]
    entry.write_bytes(wrong)
    recompiles(warns="is damaged or is not what its name says")
    assert result() == ([2.0] * 3, True)


def test_an_executable_that_the_runtime_refuses_is_compiled_anew(folder: Path) -> None:
    result()
    (entry,) = entries(folder)
    key = entry.name.removeprefix("functrans-").removesuffix(".executable")
    entry.write_bytes(cache._pack(b"no executable at all", key))
    recompiles(warns="could not be loaded")
    assert result() == ([2.0] * 3, True)


# -- what other users could have written ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o770, 0o702, 0o1777])
def test_a_directory_that_others_can_write_is_not_used(mode: int, folder: Path) -> None:
    result()
    (entry,) = entries(folder)
    before = entry.stat().st_mtime_ns
    folder.chmod(mode)
    recompiles(warns=f"can be written by other users .mode {mode:o}.*chmod go-w {folder}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert result(7.0) == ([7.0] * 3, False), "warned once"
    assert entries(folder) == [entry] and entry.stat().st_mtime_ns == before
    folder.chmod(0o755)
    assert result() == ([2.0] * 3, True)


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_can_write_is_not_used(mode: int, folder: Path) -> None:
    result()
    (entry,) = entries(folder)
    entry.chmod(mode)
    recompiles(warns="can be written by other users")
    assert entry.stat().st_mode & 0o777 == 0o600, "written anew"
    assert result() == ([2.0] * 3, True)


as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")


@as_root
@pytest.mark.parametrize("what", ["directory", "file"])
def test_what_belongs_to_another_user_is_not_used(what: str, folder: Path) -> None:
    result()
    (entry,) = entries(folder)
    os.chown(folder if what == "directory" else entry, 12345, -1)
    recompiles(warns="belongs to the user with number 12345")
    assert result()[1] is (what == "file"), "the file is replaced by one of our own"


def test_a_user_who_is_not_root_may_read_what_root_has_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned_by = lambda user: os.stat_result((0o100600, 0, 0, 1, user, 0, 0, 0, 0, 0))
    monkeypatch.setattr(cache.os, "geteuid", lambda: 1000)
    for user in (0, 1000):
        cache._check_owner(owned_by(user), "file")
    with pytest.raises(cache.CacheError, match="belongs to the user with number 1001, not to this one"):
        cache._check_owner(owned_by(1001), "file")


@pytest.mark.parametrize("what", ["link", "pipe", "directory"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(what: str, folder: Path, tmp_path: Path) -> None:
    result()
    (entry,) = entries(folder)
    data = entry.read_bytes()
    entry.unlink()
    if what == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        entry.symlink_to(tmp_path / "elsewhere")
    elif what == "pipe":
        os.mkfifo(entry)
    else:
        entry.mkdir()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert result() == ([2.0] * 3, False)
    assert caught
    assert result()[1] is (what != "directory"), "a rename replaces links and pipes"


# -- a file system in trouble -----------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_the_directory_is_said_once(tmp_path: Path, settings: Callable[..., None]) -> None:
    (tmp_path / "cache").write_text("not a directory")
    settings(jax_compilation_cache_dir=str(tmp_path / "cache"))
    recompiles(warns="Not a directory")


@pytest.mark.parametrize("function", ["rename", "open", "write"])
def test_a_full_disk_leaves_nothing_behind(function: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.open

    def full(*args: Any, **kwargs: Any) -> Any:
        if function == "open" and not (len(args) > 1 and args[1] & os.O_CREAT):
            return original(*args, **kwargs)
        raise OSError(28, "No space left on device")

    if function == "write":
        monkeypatch.setattr(cache, "open", full, raising=False)
    else:
        monkeypatch.setattr(cache.os, function, full)
    recompiles(warns="No space left on device")
    monkeypatch.undo()
    assert not entries(folder) and not unfinished(folder)


def test_a_remote_directory_is_refused(settings: Callable[..., None]) -> None:
    settings(jax_compilation_cache_dir="gs://bucket/cache")
    recompiles(warns="only local directories")


# -- processes that are killed, and that meet -------------------------------------------------------------------------

KILLED = """
import os, random, signal, sys, time
from functrans.xla import persistent_cache as cache
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
folder, rounds = sys.argv[1], int(sys.argv[2])
payload = lambda n: bytes([n]) * (200_000 + 10_000 * n) + os.urandom(100_000)
stored, killed, torn = 0, 0, 0
for number in range(rounds):
    writers = []
    for _ in range(2):  # two at a time, on the same names
        child = os.fork()
        if child == 0:
            while True:
                for n in range(5):
                    cache.write(folder, f"{n:064}", payload(n), 1.0)
        writers.append(child)
    time.sleep(random.uniform(0.005, 0.06))
    for child in writers:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
    for n in range(5):
        found = cache.read(folder, f"{n:064}")
        stored += found is not None
        torn += found is not None and not (found[0] == n and len(found) == 300_000 + 10_000 * n)
left = [name for name in os.listdir(folder) if name.endswith(".unfinished")]
for name in left:
    os.utime(os.path.join(folder, name), (0, 0))
cache.write(folder, f"{9:064}", payload(9), 1.0)
still = [name for name in os.listdir(folder) if name.endswith(".unfinished")]
print(killed, stored, torn, len(left), len(still))
"""


def test_a_writer_that_is_killed_leaves_no_torn_entry(folder: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", KILLED, str(folder), "40"],
        check=True, cwd=ROOT, capture_output=True, text=True, timeout=90,
    ).stdout  # fmt: skip
    killed, stored, torn, left, still = map(int, out.split())
    assert killed == 80 and stored > 40, "entries were there to be torn"
    assert torn == 0
    assert left > 0 and still == 0, "what the killed have left unfinished is removed an hour later"


MEETING = """
import sys, numpy as np, functrans as ft, functrans.numpy as fnp
print("ready", flush=True)
sys.stdin.readline()
for k in range(4):
    found = ft.jit(lambda x: fnp.sin(x) * (k + 1.5))(np.arange(4, dtype=np.float32))
    assert np.allclose(found, np.sin(np.arange(4)) * (k + 1.5), atol=1e-6)
print("done")
"""


def test_two_processes_that_compile_the_same_programs_meet_in_one_directory(folder: Path) -> None:
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONWARNINGS": "error::UserWarning",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MEETING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=60)[0])
        assert process.returncode == 0
    assert outputs == ["done\n"] * 2
    assert len(entries(folder)) == 4 and not unfinished(folder)
