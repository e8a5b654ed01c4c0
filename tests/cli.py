"""The command line, called as a function."""

from __future__ import annotations

from fastkl.cli import main


def run(capsys, *arguments):
    """(exit status, stdout, stderr) of ``fastkl ARGUMENTS``."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:  # argparse leaves this way
        status = stop.code
    return status, *capsys.readouterr()
