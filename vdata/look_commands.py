"""The command line's `vdata show | preview | report`."""

from __future__ import annotations

from typing import Any

import click

from vdata.command_source import named_in, pipe_of, source_options


@click.command()
@source_options
def show(source: str, split: str | None, root: str | None, fake: bool) -> None:
    """Print the pipe over SOURCE (a name, a URL, a folder, or a pipe of your own as FILE.py:NAME) and its first sample."""
    pipe = pipe_of(source, split, root, fake)
    click.echo(pipe)
    for item in pipe.take(1):
        for name, value in item.items() if isinstance(item, dict) else [("", item)]:
            click.echo(f"  {name:<16}  {value!r}")


@click.command()
@source_options
@click.option("-o", "--output", default="preview.png", show_default=True, help="Where to write the picture, a PNG or JPEG.")
@click.option("-n", "--count", default=4, type=click.IntRange(min=1), show_default=True, help="How many samples.")
@click.option("--height", default=240, type=click.IntRange(min=16), show_default=True, help="Of each picture, in pixels.")
@click.option("--augment", metavar="WHAT", help="Before and after: flip,crop,color,...; FILE.py:NAME; FILE.json as T.to_json writes it.")
@click.option("--draws", default=3, type=click.IntRange(min=1), show_default=True, help="Of the augmentation, for each sample.")
def preview(
    source: str, split: str | None, root: str | None, fake: bool, output: str, count: int, height: int, augment: str | None, draws: int
) -> None:  # fmt: skip
    """A contact sheet of the first samples of SOURCE: boxes, masks, key points and flow drawn, also before and after augmentation.

    SOURCE is a name, a URL, a folder, or a pipe of your own as FILE.py:NAME. What --augment can name: flip, crop, color, rotate,
    perspective, blur, erase, auto, with commas between them; a transform of your own; or one written as JSON.
    """
    from vdata import viz
    from vdata.progress import progress
    from vdata.reporting.reading import samples_of
    from vdata.viz.augmented import before_and_after

    pipe = samples_of(pipe_of(source, split, root, fake))
    found = pipe.take(count) if augment is None else before_and_after(pipe, _augmentation(augment), count, draws)
    held = []
    with progress("preview", count) as bar:
        for one in found:
            held.append(one)
            bar.update(1)
    if not held:
        raise click.ClickException(f"{source} has no samples")
    drawn = viz.sheet if augment is None else viz.sheet_of_groups
    viz.save(drawn(held, height=height, fields=pipe.plan.fields), output)
    click.echo(output)


def _augmentation(text: str) -> Any:
    from vdata import transforms as T
    from vdata.viz.augmented import augmentation

    path, _, name = text.rpartition(":")
    if not path.endswith(".py"):
        return augmentation(text)
    found = named_in(path, name)
    found = found() if callable(found) and not isinstance(found, T.Transform) else found
    made = T.Compose(list(found)) if isinstance(found, (list, tuple)) else found
    if not isinstance(made, T.Transform):
        raise click.UsageError(f"{name!r} of {path} is a {type(found).__name__}, and should be a transform, a list of some, or a function that returns one")
    return made


@click.command()
@source_options
@click.option("-o", "--output", default="report.html", show_default=True, help="Where to write the page.")
@click.option("-n", "--samples", default=1000, type=click.IntRange(min=1), show_default=True, help="How many to look at, in equal steps.")
@click.option("--all", "every", is_flag=True, help="Look at all of them.")
@click.option("--gallery", default=24, type=click.IntRange(min=0), show_default=True, help="How many to show.")
@click.option("--title", default="", help="What the page is called.")
def report(source: str, split: str | None, root: str | None, fake: bool, output: str, samples: int, every: bool, gallery: int, title: str) -> None:
    """One page about SOURCE that needs no network: a gallery, statistics, and what is wrong with which samples.

    SOURCE is a name, a URL, a folder, or a pipe of your own as FILE.py:NAME.
    """
    from vdata.reporting import report as look

    pipe = pipe_of(source, split, root, fake)
    made = look(pipe, samples=None if every else samples, gallery=gallery, title=title, name=source)
    click.echo(f"{made}\n{made.save(output)}")
