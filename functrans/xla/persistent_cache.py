"""Executables kept on disk between processes, where ``jax_compilation_cache_dir`` says so.

JAX's own settings hold: ``jax_enable_compilation_cache``, ``jax_compilation_cache_dir`` and ``_max_size``,
``jax_persistent_cache_min_compile_time_secs`` and ``_min_entry_size_bytes``, ``jax_raise_persistent_cache_errors``. Our
entries (``functrans-<key>.executable``) stand beside JAX's in one directory and neither touches the other's.

An executable is machine code: who can write one can run anything as the user who reads it. So the directory, and each
file, must belong to the user (or root) and be writable by nobody else. That is asked of the open descriptors, and files
are reached through the directory's, so that nothing can be exchanged in between. What does not pass is left alone: the
program is compiled, and a warning says once what to do. The checksum is against accidents (a truncated, damaged or
renamed file), not against people. A file appears under its name by an atomic rename, whole or not at all.

The key is that of the text, so a program is traced, transformed and lowered before it is found. Of the first call of a
warm process (CPU time after the import) linearize, transpose and lowering are 7 of 124 ms for the jitted gradient of 50
dense layers, 3 of 107 for the Hessian of a transformer layer, 16 of 45 and 70 of 200 for gradients nested six and eight
times; loading the executable is 44, 58, 50 and 130. A second key of what the user's function traces to could save the
outermost transform of an un-jitted call alone: inside ``jit`` transforms run while the user's function is traced.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import stat
import time
import zlib
from collections.abc import Iterator
from typing import Final

import jax

from functrans.errors import warn

_MAGIC: Final = b"functrans executable 1\n"
_DIGEST: Final = 32
_PREFIX: Final = "functrans-"
_SUFFIX: Final = ".executable"
_UNFINISHED: Final = ".unfinished"
_ABANDONED_AFTER: Final = 3600.0  # seconds: nobody writes for an hour
_POSSIBLE: Final = hasattr(os, "geteuid") and os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")

logger = logging.getLogger("functrans.compile")
_warned: set[tuple[str, str]] = set()
_swept: set[str] = set()


class CacheError(Exception):
    """Why an entry or the directory is not used; the message becomes a warning, once for each ``kind``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def directory() -> str | None:
    """The directory in use, or None."""
    config = jax.config
    path: str | None = config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if not path or not config.jax_enable_compilation_cache or config.jax_compilation_cache_max_size == 0:  # type: ignore[attr-defined]
        return None
    if not _POSSIBLE or "://" in path:
        _refuse(
            path, CacheError("place", "only local directories of POSIX systems hold compiled programs of functrans")
        )
        return None
    return path


def entry_key(*parts: bytes | str) -> str:
    """The name of an entry: a digest of everything that the executable depends on."""
    digest = hashlib.sha256(_MAGIC)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def read(path: str, key: str) -> bytes | None:
    """The executable stored under a key; None where there is none that can be trusted."""
    try:
        with _opened(path, create=False) as folder:
            if folder is None:
                return None
            raw = _read_file(folder, _name(key))
            if raw is None:
                return None
            payload = _unpack(raw, key, os.path.join(path, _name(key)))
            with contextlib.suppress(OSError):  # used now: the least recently used goes first
                os.utime(_name(key), dir_fd=folder)
            return payload
    except (OSError, CacheError) as error:
        _refuse(path, error)
        return None


def write(path: str, key: str, executable: bytes, seconds: float) -> None:
    """Store an executable that took so long to compile, if that is worth it; no error leaves this function, unless
    ``jax_raise_persistent_cache_errors`` is set.
    """
    config = jax.config
    if seconds < config.jax_persistent_cache_min_compile_time_secs:  # type: ignore[attr-defined]
        return
    entry = _pack(executable, key)
    if len(entry) < config.jax_persistent_cache_min_entry_size_bytes:  # type: ignore[attr-defined]
        return
    limit: int = config.jax_compilation_cache_max_size  # type: ignore[attr-defined]
    if 0 <= limit < len(entry):
        return
    try:
        with _opened(path, create=True) as folder:
            if folder is None:
                return
            _sweep(path, folder)
            if limit >= 0:
                _evict(folder, limit - len(entry))
            _write_file(folder, _name(key), entry)
            logger.debug("stored %s in %s", _name(key), path)
    except (OSError, CacheError) as error:
        _refuse(path, error)


def reject(path: str, key: str, error: Exception) -> None:
    """An entry that came from disk whole and that the runtime did not take: warn; the caller compiles."""
    _refuse(path, CacheError("loading", f"{os.path.join(path, _name(key))} could not be loaded ({error})"))


def _name(key: str) -> str:
    return f"{_PREFIX}{key}{_SUFFIX}"


# -- entries ----------------------------------------------------------------------------------------------------------


def _pack(executable: bytes, key: str) -> bytes:
    body = zlib.compress(executable, 1)
    return b"".join([_MAGIC, hashlib.sha256(key.encode() + body).digest(), body])


def _unpack(raw: bytes, key: str, file: str) -> bytes:
    head = len(_MAGIC) + _DIGEST
    body = raw[head:]
    whole = raw[: len(_MAGIC)] == _MAGIC and raw[len(_MAGIC) : head] == hashlib.sha256(key.encode() + body).digest()
    if not whole:
        raise CacheError("damage", f"{file} is damaged or is not what its name says; it will be written anew")
    try:
        return zlib.decompress(body)
    except zlib.error as error:
        raise CacheError("damage", f"{file} cannot be unpacked ({error})") from error


# -- files and the directory ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: str, create: bool) -> Iterator[int | None]:
    """The directory's descriptor, checked; None where there is no directory and none is to be made."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not create:
            yield None
            return
        os.makedirs(path, mode=0o700, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_owner(os.fstat(folder), path)
        yield folder
    finally:
        os.close(folder)


def _check_owner(found: os.stat_result, path: str) -> None:
    """Raise CacheError where another user could have written."""
    me = os.geteuid()
    if found.st_uid not in (me, 0):
        raise CacheError("owner", f"{path} belongs to the user with number {found.st_uid}, not to this one ({me})")
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise CacheError(
            "mode", f"{path} can be written by other users (mode {mode:03o}); make it yours alone: chmod go-w {path}"
        )


def _read_file(folder: int, name: str) -> bytes | None:
    try:
        # Not blocking: a pipe in the place of the file must not hold us up.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CacheError("kind", f"{name} is not a file")
        _check_owner(found, name)
        return file.read()


def _write_file(folder: int, name: str, data: bytes) -> None:
    unfinished = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{_UNFINISHED}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise


def _ours(folder: int, suffix: str) -> Iterator[tuple[str, os.stat_result]]:
    for name in os.listdir(folder):
        if name.startswith(_PREFIX) and name.endswith(suffix):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                yield name, os.stat(name, dir_fd=folder, follow_symlinks=False)


def _sweep(path: str, folder: int) -> None:
    """Remove, once a process, what killed processes have left unfinished."""
    if path in _swept:
        return
    _swept.add(path)
    for name, found in _ours(folder, _UNFINISHED):
        if time.time() - found.st_mtime > _ABANDONED_AFTER:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _evict(folder: int, room: int) -> None:
    """Remove the entries used longest ago until the rest fits."""
    entries = sorted(_ours(folder, _SUFFIX), key=lambda entry: entry[1].st_mtime)
    total = sum(found.st_size for _, found in entries)
    for name, found in entries:
        if total <= room:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        total -= found.st_size


def _refuse(path: str, error: Exception) -> None:
    """Say once for each reason why the cache was not used."""
    if jax.config.jax_raise_persistent_cache_errors:  # type: ignore[attr-defined]
        raise error
    text = f"the compilation cache {path} was not used: {error}. Programs are compiled instead."
    kind = error.kind if isinstance(error, CacheError) else str(getattr(error, "errno", ""))
    if (path, kind) not in _warned:
        _warned.add((path, kind))
        warn(text)
