"""The table of a sweep: JSON Lines, a line a finished point, written by one process.

A line is on the disk before the next begins. A line without its end was cut off by a kill:
its point is not finished, and the line is removed when the table is opened again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, final

from hamiltonians.errors import InputError
from hamiltonians.files import check_target
from qunn.sweeping.columns import KEY, STATUS

_BEGIN = b'{"' + KEY.encode()  # of every line


@final
class Table:
    """A table that only this process can write, and the keys in it.

    Attributes
    ----------
    path : the file. statuses : the exit status of every finished point, by its key.

    Raises
    ------
    InputError : it cannot be written, is no table of a sweep, or is in use by another sweep.
    """

    def __init__(self, path: Path) -> None:
        check_target(path)
        self.path = path
        self._file = _locked(path)
        try:
            self.statuses = self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, row: dict[str, Any]) -> None:
        """Write a point's row; when this returns it is on the disk."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            _write(self._file, row)
            os.fsync(self._file.fileno())
        except OSError as error:  # a full disk
            self._file.truncate(end)
            raise InputError(f"{self.path}: `--out` could not be written: {error.strerror}", "--out") from error
        self.statuses[row[KEY]] = row[STATUS]

    def read_again(self) -> None:
        """Make `statuses` those in the file, where writing was interrupted."""
        self.statuses = self._read()

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, one after the other."""
        with open(self.path, "rb") as file:
            for line in file:
                yield json.loads(line)

    def remove(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        """Take rows out, in a new file under the same name; a kill leaves the old one or the new one."""
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        file = open(new, "w+b", buffering=0)  # noqa: SIM115 - the table's file from here on
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # before it has the name by which others look for it
            for row in self.rows():
                if unwanted(row):
                    del self.statuses[row[KEY]]
                else:
                    _write(file, row)
            os.fsync(file.fileno())
            os.chmod(new, os.fstat(self._file.fileno()).st_mode & 0o777)
            os.replace(new, self.path)
        except BaseException as error:
            file.close()
            new.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise InputError(f"{self.path}: `--out` could not be written: {error.strerror}", "--out") from error
            raise
        _sync_folder(self.path.parent)
        self._file.close()
        self._file = file

    def _read(self) -> dict[str, int]:
        statuses: dict[str, int] = {}
        whole = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    if not _BEGIN.startswith(line[: len(_BEGIN)]):
                        raise self._no_table(number)
                    self._file.truncate(whole)
                    break
                key, status = self._key(line, number)
                if key in statuses:
                    raise InputError(f"{self.path}: `line {number}` must be another point, but {key} came before")
                statuses[key] = status
                whole += len(line)
        return statuses

    def _key(self, line: bytes, number: int) -> tuple[str, int]:
        try:
            row = json.loads(line)
            key, status = row[KEY], row[STATUS]
        except (ValueError, KeyError, TypeError):
            raise self._no_table(number) from None
        if not isinstance(key, str) or not isinstance(status, int):
            raise self._no_table(number)
        return key, status

    def _no_table(self, number: int) -> InputError:
        return InputError(
            f"{self.path}: `--out` must be a new file or a sweep's table, but line {number} is no row of one"
        )


def _locked(path: Path) -> IO[bytes]:
    """The file, made where there is none, that no other process has under its name."""
    try:
        new = not path.exists()
        file = open(path, "a+b", buffering=0)  # noqa: SIM115 - open as long as the table
        if new:
            _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path}: `--out` must be a file that can be written, but {error.strerror}", "--out") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = os.path.samestat(os.fstat(file.fileno()), os.stat(path))  # not one that was just replaced
    except OSError:
        free = False
    if not free:
        file.close()
        raise InputError(f"{path}: `--out` must be a table that no other sweep is writing, but one is", "--out")
    return file


def _write(file: IO[bytes], row: dict[str, Any]) -> None:
    line = memoryview(json.dumps(row, allow_nan=False).encode() + b"\n")
    while line:  # a disk that is almost full takes a part, and refuses the rest
        line = line[file.write(line) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
