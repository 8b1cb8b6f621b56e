"""The command line's `vdata cache ls | rm | prune | verify`."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from vdata.sizes import in_words


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """What was kept on this machine of shards that lie far away (VDATA_CACHE, VDATA_CACHE_LIMIT)."""


_ROOT = click.option("--root", type=click.Path(file_okay=False), help="The cache's folder; by default VDATA_CACHE, or the user's own.")


@cache.command("ls")
@_ROOT
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def cache_ls(root: str | None, as_json: bool) -> None:
    """Every file of which something is here, the least recently used first."""
    from vdata.shards import upkeep

    place = upkeep.default_root() if root is None else root
    found = upkeep.listing(place)
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found]))
        return
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used))
        click.echo(f"{in_words(one.on_disk):>9}  {one.present:>4.0%} of {in_words(one.size):>9}  {when}  {one.url}{'  (in use)' if one.in_use else ''}")
    click.echo(f"{in_words(sum(one.on_disk for one in found))} in {_files(len(found))} under {place}")


@cache.command("rm")
@click.argument("pattern")
@_ROOT
def cache_rm(pattern: str, root: str | None) -> None:
    """Remove the files whose URL holds PATTERN (or matches it, with * and ?)."""
    from vdata.shards import upkeep

    _removed(upkeep.remove(upkeep.default_root() if root is None else root, pattern))


@cache.command("prune")
@_ROOT
@click.option("--limit", help="Bytes that may stay, as in 50GB: the least recently used go first.")
@click.option("--days", type=click.FloatRange(min=0), help="Remove what was not used for so many days.")
def cache_prune(root: str | None, limit: str | None, days: float | None) -> None:
    """Make room: by age, by size, or both; and remove what dead writers left."""
    from vdata.shards import upkeep

    if limit is None and days is None:
        raise click.UsageError("say how much: --limit 50GB, --days 30, or both")
    _removed(upkeep.prune(upkeep.default_root() if root is None else root, limit, None if days is None else days * 86_400))


@cache.command("verify")
@_ROOT
def cache_verify(root: str | None) -> None:
    """Read everything that is here against its checksums and drop what is rotten: it is fetched again when it is needed."""
    from vdata.shards import upkeep

    checked, rotten = upkeep.verify(upkeep.default_root() if root is None else root)
    click.echo(f"{checked} blocks, {rotten} of them rotten and dropped")


def _removed(what: Any) -> None:
    stay = f"; {_files(what.in_use)} stayed, being read" if what.in_use else ""
    click.echo(f"{_files(what.count)} removed, {in_words(what.bytes)} freed{stay}")


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
