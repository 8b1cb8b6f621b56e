"""The command line: `vdata list | info | download | index | verify | show | preview | report | pack | bench | cache | doctor`. Each says what it does with --help."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict
from typing import Any

import click

from vdata.cache_commands import cache
from vdata.command_source import pipe_of, source_options
from vdata.doctor import doctor
from vdata.errors import DataWarning, VdataError
from vdata.look_commands import preview, report, show


class _Group(click.Group):
    """Errors of the library in one line, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (VdataError, OSError) as error:
            raise click.ClickException(f"{type(error).__name__}: {error}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vdata-vision")
def main() -> None:
    """Vision datasets as pipes of typed samples."""


@main.command("list")
@click.option("--task", help="Only those of one task, for example 'optical flow'.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def list_(task: str | None, as_json: bool) -> None:
    """Names of the catalogue, and which of them are on this machine."""
    from vdata.catalog import home, info, list_datasets

    names = list_datasets(task)
    if as_json:
        click.echo(json.dumps(names))
        return
    width = max(map(len, names), default=0)
    for name in names:
        card = info(name)
        here = "needs no files" if not card.archives else "here" if any((home() / name).glob("*")) else ""
        click.echo(f"{name:<{width}}  {card.title:<48.48}  {card.task:<36.36}  {here}".rstrip())


@main.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
@click.option("--croissant", "as_croissant", is_flag=True, help="The card as Croissant JSON-LD.")
def info(name: str, as_json: bool, as_croissant: bool) -> None:
    """What is known of a dataset: splits, fields, licence, files."""
    from vdata.catalog import info as card_of
    from vdata.croissant import croissant

    card = card_of(name)
    if as_croissant:
        click.echo(json.dumps(croissant(card), indent=2))
    else:
        click.echo(json.dumps(asdict(card), default=str, indent=2) if as_json else str(card))


@main.command()
@click.argument("name")
@click.option("--split", help="The files of one split; else of all.")
@click.option("--root", help="The folder to put its files into.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="The files that this value of an option needs.")
@click.option("--optional", is_flag=True, help="Those files too without which the set works.")
@click.option("--index", "indexed", is_flag=True, help="Then make the seek indexes of compressed archives.")
def download(name: str, split: str | None, root: str | None, options: tuple[str, ...], optional: bool, indexed: bool) -> None:
    """Get the files of a dataset that are missing: resumed where they were cut, checked before they get their names.

    Of files that no server gives to a program it says what to put where.
    """
    from vdata.catalog import build_index
    from vdata.catalog import download as get

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        click.echo(get(name, split, root=root, optional=optional, **_values(name, options)))
    for warning in caught:
        click.echo(warning.message, err=True)
    for path in build_index(name, root) if indexed else ():
        click.echo(path)


def _values(name: str, options: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE as the card has it: "partition=2" is the number 2."""
    from vdata.catalog import check_option
    from vdata.catalog import info as card_of

    out: dict[str, Any] = {}
    for text in options:
        option, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--option takes NAME=VALUE, got {text!r}")
        out[option] = check_option(card_of(name), option, value)
    return out


@main.command()
@source_options
@click.argument("url")
@click.option("--executor", type=click.Choice(["serial", "process", "ray"]), default="serial", show_default=True, help="Who writes the shards.")
@click.option("--workers", type=int, help="How many at once.")
@click.option("--samples-per-shard", default=10_000, show_default=True)
@click.option("--bytes-per-shard", default="256MiB", show_default=True, help="As 500MB or 1GiB.")
@click.option("--longest", type=int, help="Make pictures smaller whose longer side has more pixels, and all that lies on them.")
@click.option("--format", type=click.Choice(["jpeg", "webp", "png"]), help="Encode pictures of other formats anew.")
@click.option("--quality", default=90, show_default=True, help="Of JPEG and WebP, 1 to 100.")
@click.option("--restart-markers", is_flag=True, help="Put markers into JPEGs, without loss, so that windows are decoded faster.")
@click.option("--overwrite", is_flag=True, help="Replace a data set that is already there.")
def pack(source: str, split: str | None, root: str | None, fake: bool, url: str, bytes_per_shard: str, **options: Any) -> None:
    """Write SOURCE to shards in the folder URL. After a kill, the same command finishes what it began."""
    from vdata.shards.cache import parse_size

    click.echo(pipe_of(source, split, root, fake).pack(url, bytes_per_shard=parse_size(bytes_per_shard), **options))


@main.command()
@click.argument("source")
@click.argument("folder", required=False)
@click.option("--root", help="The folder that holds a catalogue dataset's files.")
@click.option("--headers", is_flag=True, help="Walk the tars' headers, whatever index files of DALI or Energon lie beside them.")
def index(source: str, folder: str | None, root: str | None, headers: bool) -> None:
    """Make what gives access to any sample at once.

    SOURCE is a dataset of the catalogue: seek indexes of its compressed archives. Or anybody's webdataset tars
    ("a/{000..12}.tar", or a folder, here or in a bucket): their manifest is written into FOLDER, or beside them if they
    are on this machine. Of tars in a bucket the headers are read, not the data.
    """
    from vdata.catalog import build_index, list_datasets, near
    from vdata.errors import RemoteError, UnknownDatasetError, redact
    from vdata.shards.files import NAME
    from vdata.shards.foreign import is_there
    from vdata.shards.manifest import Manifest
    from vdata.shards.rows import ABSENT
    from vdata.shards.storage import expand
    from vdata.urls import join

    if folder is None and _is_dataset(source):
        made = build_index(source, root)
        click.echo("\n".join(map(str, made)) if made else f"{source}: there is no compressed archive without an index")
        return
    try:
        tars = expand(source)
    except (RemoteError, UnknownDatasetError) as error:
        if is_there(join(source, NAME)):
            raise click.UsageError(f"{redact(source)} has its manifest already: vdata.open reads it") from None
        if isinstance(error, RemoteError):
            raise
        raise click.UsageError(f"{source!r} is no dataset of the catalogue{near(source, list_datasets())}, and {error}") from None
    place = _beside(tars) if folder is None else folder
    manifest = Manifest.index(tars, use_index_files=not headers).save(place)
    click.echo(repr(manifest))
    for name, sizes in zip(manifest.fields, manifest.sizes.T, strict=True):
        there = sizes[sizes != ABSENT]
        click.echo(f"  {name:<16}  {len(there)} files, {int(there.sum(dtype='u8')):,} bytes")


def _beside(tars: list[str]) -> str:
    """The folder of the tars, if a manifest in it would speak of all that are there, and replace none that says more."""
    from vdata.shards.files import NAME
    from vdata.shards.manifest import Manifest
    from vdata.shards.storage import tars_in
    from vdata.urls import common_base, local_path

    base, names = common_base(tars)
    path = local_path(base or ".")
    if path is None or not os.access(path, os.W_OK):
        raise click.UsageError("nothing can be written beside these tars: name a FOLDER for their manifest")
    if not set(names).issuperset(map(os.path.basename, tars_in(path))):
        raise click.UsageError(f"a manifest in {path} would hide the other tars there: name a FOLDER for that of these")
    if os.path.exists(os.path.join(path, NAME)) and Manifest.load(path).crc is not None:
        raise click.UsageError(f"the manifest in {path} has checksums, which an index of tars has not: name another FOLDER")
    return path


@main.command()
@click.argument("source")
@click.option("--root", help="The folder that holds a catalogue dataset's files.")
@click.option("--quick", is_flag=True, help="Of a dataset: archives and numbers only, no sample is read.")
def verify(source: str, root: str | None, quick: bool) -> None:
    """Check a dataset of the catalogue, or the shards at a URL; exit code 1 if something is wrong.

    Of a dataset: archives against sizes and hashes, numbers of samples against the card, every sample of every split
    read and decoded, and the lists of all other options. Of shards: every sample against its checksum.
    """
    from vdata.checking import verify as check

    if not _is_dataset(source):
        _verify_shards(source)
        return
    report = check(source, root, samples=not quick)
    click.echo(report)
    if report.problems:
        sys.exit(1)


def _is_dataset(source: str) -> bool:
    from vdata.catalog import list_datasets

    return source.endswith(".py") or source in list_datasets()


def _verify_shards(url: str) -> None:
    from vdata.errors import DataError
    from vdata.progress import progress
    from vdata.sharded import Sharded

    source = Sharded.open(url, cache=False)  # what lies there, not what was kept of it
    if source.manifest.crc is None:
        raise click.ClickException(f"{url} has no checksums to verify: they are foreign tars, pack them with vdata first")
    broken = 0
    with progress("verify", len(source)) as bar:
        for number in range(len(source)):
            if number % 256 == 0:
                source.prepare(range(number, min(number + 256, len(source))))
            try:
                source.read(number)
            except DataError as error:
                broken += 1
                click.echo(f"sample {number}: {error}", err=True)
            bar.update(1)
    click.echo(f"{len(source) - broken} of {len(source)} samples are as they were written")
    if broken:
        sys.exit(1)


@main.command()
@source_options
@click.option("--workers", type=int, help="How many threads or processes.")
@click.option("--mode", type=click.Choice(["thread", "process"]), default="thread", show_default=True)
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="For each stage.")
def bench(source: str, split: str | None, root: str | None, fake: bool, workers: int | None, mode: str, seconds: float) -> None:
    """How fast a pipe is, stage by stage: SOURCE (a name, a URL or a folder), or a pipe of your own as FILE.py:NAME.

    The file is run, and NAME is a pipe in it, or a function that returns one.
    """
    from vdata.measuring import bench as measured

    pipe = pipe_of(source, split, root, fake)
    click.echo(pipe.explain())
    click.echo(measured(pipe, workers=workers, mode=mode, seconds=seconds))


for command in (cache, doctor, preview, report, show):
    main.add_command(command)

if __name__ == "__main__":
    main()
