"""Run a command as a user does, in this process."""

import sys
from typing import NamedTuple

import pytest

from difficulty.cli import main


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self):
        """The one line on standard error that says what is wrong."""
        lines = [line for line in self.err.splitlines() if line and not line.startswith("Usage:")]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs ``difficulty`` with some arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def ran(*arguments, code=None):
        monkeypatch.setattr(sys, "argv", ["difficulty", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        written = capsys.readouterr()
        result = Ran(stopped.value.code or 0, written.out, written.err)
        assert code is None or result.code == code, written.err
        assert "Traceback" not in written.err
        return result

    return ran
