"""Calling a command line: in this process, as a process, or in a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import pytest

from qunn.command import run


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.out)


Command = Callable[..., Outcome]


def called_here(
    main: click.Command, module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command line in this process: arguments -> exit status and both streams."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            run(main, module)
        out, err = capsys.readouterr()
        return Outcome(leaving.value.code, out, err)

    return call


def process(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[Any]:
    given = {"capture_output": True, "text": True, "timeout": 120} | options
    return subprocess.run([sys.executable, "-m", module, *arguments], **given)


def in_terminal(module: str, *arguments: str, **environment: str) -> str:
    """What it writes to a terminal."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=child,
        stderr=child,
        env={**os.environ, "TERM": "xterm", **environment},
    ) as running:
        os.close(child)
        text = b""
        while True:
            try:
                data = os.read(parent, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            text += data
    assert running.returncode == 0
    return text.decode()
