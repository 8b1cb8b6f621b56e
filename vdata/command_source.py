"""What SOURCE is on the command line, for all commands that take one."""

from __future__ import annotations

from typing import Any

import click

_OPTIONS = [
    click.argument("source"),
    click.option("--split", help="Which split of a catalogue dataset."),
    click.option("--root", help="The folder that holds a catalogue dataset's files."),
    click.option("--fake", is_flag=True, help="Tiny made-up data in the real format."),
]


def source_options(command: Any) -> Any:
    """The argument SOURCE and the options that belong to it."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def pipe_of(source: str, split: str | None, root: str | None, fake: bool) -> Any:
    """The pipe of a name, a URL or a folder; or one of the user's own, FILE.py:NAME, which may be a function that returns it."""
    from vdata.loading import load
    from vdata.pipe import DataPipe

    path, _, name = source.rpartition(":")
    if not path.endswith(".py"):
        return load(source, split, root=root, fake=fake)
    found = named_in(path, name)
    found = found if isinstance(found, DataPipe) or not callable(found) else found()
    if not isinstance(found, DataPipe):
        raise click.UsageError(f"{name!r} of {path} is a {type(found).__name__}, and should be a pipe, or a function that returns one")
    return found


def named_in(path: str, name: str) -> Any:
    """What a file of the user's calls by this name; the file is run."""
    import runpy

    names = runpy.run_path(path, run_name="vdata_command")  # not "__main__": a training script does not begin to train
    if name not in names:
        raise click.UsageError(f"{path} defines no {name!r}")
    return names[name]
