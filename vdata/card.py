"""What is known of a dataset without reading it: `Card`, and of the files it comes in: `Archive`.

Cards are data. Everything else (what `load` opens, what `download` fetches, what `verify` counts, what `print` shows
and `croissant` exports) is read from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vdata.errors import redact
from vdata.field import Field


@dataclass(frozen=True)
class Archive:
    """One file as its authors publish it.

    name      the file's name below `root`
    url       where to get it; "" where there is no working address
    mirrors   other addresses of the same bytes, in the order to try them
    bytes     its size; 0 where it is not known
    sha256    or `md5`: "" where no trusted one is known
    manual    how a person gets it, where no server gives it to a program: a login, a form, a dead host
    optional  the set works without it, with fewer fields
    when      option (or "split") -> the values for which the file is needed; an option not named here does not matter
    group     what the file brings, where other files bring it too ("pictures"): of each group one file will do
    tree      a path that the extracted files have; of several any one; or one for each split. Where it is there, the
              archive is not needed
    strip     a leading part of the members' names that the extracted layout lacks
    into      a folder of the extracted layout that the members' names lack
    nested    a tar of tars, or a zip of zips: "a.tar" has a member "b.jpg", named "a/b.jpg"
    held      patterns of members that are read into memory as a whole, where the archive is compressed: annotations
    """

    name: str
    url: str = ""
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    mirrors: tuple[str, ...] = ()
    manual: str = ""
    optional: bool = False
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    group: str | tuple[str, ...] = ()
    tree: str | tuple[str, ...] | Mapping[str, str] = ()
    strip: str = ""
    into: str = ""
    nested: bool = False
    held: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses of it, in the order to try them."""
        return (self.url, *self.mirrors) if self.url else self.mirrors

    @property
    def groups(self) -> tuple[str, ...]:
        """What it brings: itself, where no other file brings the same."""
        return (self.group,) if isinstance(self.group, str) else self.group or (self.name,)

    def trees(self, split: str | None = None) -> tuple[str, ...]:
        """Paths of the extracted files, each of which shows that the archive is not needed (for this split)."""
        if isinstance(self.tree, Mapping):
            return tuple(self.tree.values()) if split is None else (self.tree[split],) if split in self.tree else ()
        return (self.tree,) if self.tree and isinstance(self.tree, str) else tuple(self.tree)

    def wanted(self, settings: Mapping[str, Any]) -> bool:
        """Whether these settings (options, and the split under "split") need the file."""
        return all(settings[name] in values for name, values in self.when.items() if name in settings)


@dataclass(frozen=True)
class Option:
    """A keyword of `load` for one dataset: its default, the values it takes (empty: any), and what it does."""

    default: Any
    choices: tuple[Any, ...] = ()
    doc: str = ""


@dataclass(frozen=True)
class Card:
    """What is known of a dataset without reading it.

    splits   name -> number of samples as published; None where nobody says, or where it depends on options
    unsure   splits whose number was not confirmed by anybody's real files: fewer samples warn, and do not raise
    fields   what samples hold; a field is in every sample of a split, but for those that `absent` takes from it and
             those marked optional, which hang on an option or on an optional file
    absent   split -> fields that its samples do not have (labels that are withheld)
    folder   the folder below `root` in which torchvision keeps the extracted files ("" for none)
    default  the split of `load(name)`; "" for "train", else the only one
    notes    what a user should know: unverified facts, traps, how to get it where no server helps
    """

    name: str
    title: str
    task: str
    home: str
    licence: str
    citation: str
    splits: Mapping[str, int | None]
    fields: Mapping[str, Field]
    archives: tuple[Archive, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    folder: str = ""
    notes: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of `label`'s classes (else of `labels`'): () where there are none.

        >>> vdata.info("oxford_iiit_pet").classes[:2]
        ('Abyssinian', 'American Bulldog')
        """
        for name in ("label", "labels"):
            if name in self.fields:
                return tuple(self.fields[name].meta.get("categories") or ())
        return ()

    def fields_of(self, split: str) -> dict[str, Field]:
        """The fields of one split."""
        return {n: f for n, f in self.fields.items() if n not in self.absent.get(split, ())}

    def wanted(self, settings: Mapping[str, Any]) -> list[Archive]:
        """The files that these settings need, optional ones too."""
        return [a for a in self.archives if a.wanted(settings)]

    def __str__(self) -> str:
        rows = [
            f"{self.name}: {self.title}",
            f"  task      {self.task}",
            f"  home      {self.home}",
            f"  licence   {self.licence}",
            f"  splits    {', '.join(self._count(n) for n in self.splits)}",
        ]
        if self.classes:
            rows.append(f"  classes   {_some(self.classes)}")
        rows += [f"  field     {n}: {f}" + (f"  {f.doc}" if f.doc else "") for n, f in self.fields.items()]
        rows += [f"  option    {n}={o.default!r}" + (f" of {list(o.choices)}" if o.choices else "") + (f"  {o.doc}" if o.doc else "") for n, o in self.options.items()]
        rows += [f"  file      {a.name}" + (f"  {a.bytes:,} bytes" if a.bytes else "") + ("  optional" if a.optional else "") + f"  {a.manual or redact(a.url)}" for a in self.archives]
        return "\n".join([*rows, f"  cite      {self.citation}", *(f"  note      {n}" for n in self.notes)])

    def _repr_html_(self) -> str:
        from vdata.notebook import card_html  # floors up: only a notebook needs what draws

        return card_html(self)

    def _count(self, split: str) -> str:
        count = self.splits[split]
        return split if count is None else f"{split} ({'about ' if split in self.unsure else ''}{count:,})"


def _some(words: Iterable[str], most: int = 6) -> str:
    words = list(words)
    return f"{len(words)}: " + ", ".join(words[:most]) + (", ..." if len(words) > most else "")
