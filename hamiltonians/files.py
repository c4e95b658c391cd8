"""Files that are whole or not there: written to a temporary name and renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hamiltonians.errors import InputError


@contextmanager
def written_atomically(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name only when everything is written.

    Raises
    ------
    InputError : the folder cannot be written to; the message names it.
    """
    target = Path(path)
    check_target(target)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"{target}: `file` could not be written: {error.strerror}", "file") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a file that cannot be written, before anything is computed for it.

    Raises
    ------
    InputError : no such folder, one that cannot be written to, or a name that is too long or that of a folder, a
        device or a pipe, which a rename would replace.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target}: `file` must be the name of a file, but is a folder", "file")
        if target.exists() and not target.is_file():  # a name that is too long fails here
            raise InputError(f"{target}: `file` must be the name of a file, but is a device or a pipe", "file")
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part"):
            pass
    except OSError as error:
        raise InputError(f"{target}: `file` must be one that can be written, but {error.strerror}", "file") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
