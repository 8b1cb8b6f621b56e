"""What a URL may be, how URLs of files and folders fit together, and what braces in them mean. No I/O.

Only schemes that name plain storage are opened. fsspec itself would also follow `a::b` chains and run what
some of its protocols run, so every URL is checked here before it gets there.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vdata.errors import PlanError, ShardError, UnsafeFormatError, redact

SCHEMES = frozenset({"", "file", "memory", "http", "https", "s3", "gs", "az", "abfs", "hf"})
EXPAND_LIMIT = 10**6
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")


def scheme(url: str) -> str:
    """The URL's scheme ("" for a plain path), if it is one that vdata opens; else UnsafeFormatError."""
    match = _SCHEME.match(url)
    found = match[1].lower() if match else ""
    if found not in SCHEMES or "::" in url or (found and "://" not in url):
        allowed = ", ".join(sorted(s + "://" for s in SCHEMES if s))
        raise UnsafeFormatError(
            "not a kind of URL that vdata opens",
            url=url,
            do=f"use a path (./a:b if it has a colon) or one of {allowed}",
        )
    if found not in ("", "file", "memory") and re.match(r"[^:]*://([/?#]|$)", url):
        raise UnsafeFormatError("no host or bucket is named", url=url, do=f"write {found}://name/path")
    return found


def local_path(url: str) -> str | None:
    """The path of a local URL, None for a remote one."""
    if scheme(url) not in ("", "file"):
        return None
    return os.path.expanduser(url[len("file://") :] if _SCHEME.match(url) else url)


def check_name(name: str, folder: str | None = None) -> str:
    """`name` if it stays inside its folder: relative, no '..', no scheme. A manifest may come from anybody."""
    odd = any(sign in name for sign in ("://", "::", "\\", "\0")) or name.startswith("~")
    if odd or not {"", ".", ".."}.isdisjoint(name.split("/")):
        do = "names are relative, without '..' and without a scheme"
        raise ShardError(f"{name[:200]!r} is not the name of a file inside the folder", url=folder, do=do)
    return name


def join(base: str, name: str) -> str:
    """The URL of the file `name` in the folder `base`; a query (a signature) stays at the end.

    >>> join("https://host/data?sig=1", "a b.tar")
    'https://host/data/a%20b.tar?sig=1'
    """
    check_name(name, base)
    if scheme(base) in ("http", "https"):
        parts = urlsplit(base)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name, safe='/*')}"))
    return f"{base}{'' if base.endswith('/') or not base else '/'}{name}"


def common_base(urls: Sequence[str]) -> tuple[str, list[str]]:
    """The deepest folder that holds all `urls`, and their names in it: `join` gives the URLs back.

    >>> common_base(["s3://b/set/train/0.tar", "s3://b/set/val/0.tar"])
    ('s3://b/set', ['train/0.tar', 'val/0.tar'])
    """
    roots, paths, queries = zip(*map(_pieces, urls), strict=True)
    if len(set(roots)) > 1 or len(set(queries)) > 1:
        rule = "the shards of one index lie in one bucket or host, with one query"
        raise PlanError(f"{rule}: {redact(urls[0])} and {redact(urls[-1])} do not")
    levels = zip(*(path[:-1] for path in paths), strict=False)
    shared = [level[0] for level in itertools.takewhile(lambda level: len(set(level)) == 1, levels)]
    folder = "/" if shared == [""] else "/".join(shared)
    if queries[0] is not None:
        folder = quote(folder)
    base = f"{roots[0]}{folder}{'?' + queries[0] if queries[0] else ''}"
    return base, ["/".join(path[len(shared) :]) for path in paths]


def _pieces(url: str) -> tuple[str, list[str], str | None]:
    """(root, path cut at slashes, query or None where the scheme has none)."""
    path = local_path(url)
    if path is not None:
        return "", path.split("/"), None
    if scheme(url) in ("http", "https"):
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}", unquote(parts.path).split("/"), parts.query
    if scheme(url) == "memory":
        return "memory:/", ["", *url[len("memory://") :].lstrip("/").split("/")], None
    root, _, rest = url.partition("://")
    bucket, _, rest = rest.partition("/")
    return f"{root}://{bucket}", ["", *rest.split("/")], None


def braces(url: str) -> list[str]:
    """Every reading of the braces in `url`, counted before any is made."""
    literals, groups = _BRACES.split(url)[::2], [_choices(group, url) for group in _BRACES.findall(url)]
    if any("{" in literal or "}" in literal for literal in literals):
        raise PlanError(f"braces that do not close, or inside braces: {redact(url)}")
    count = math.prod(count for count, _ in groups)
    if count > EXPAND_LIMIT:
        raise PlanError(f"{redact(url)} means {count} names, more than {EXPAND_LIMIT}")
    template = "{}".join(literals)
    return [template.format(*choice) for choice in itertools.product(*(choices for _, choices in groups))]


def _choices(group: str, url: str) -> tuple[int, Iterable[str]]:
    """(how many, the strings) of one group in braces."""
    ends = _RANGE.fullmatch(group)
    if ends is None:
        if "," not in group:
            raise PlanError(f"{{{group}}} in {redact(url)} is neither a range {{000..146}} nor a list {{a,b}}")
        return group.count(",") + 1, group.split(",")
    low, high = ends.groups()
    if int(high) < int(low):
        raise PlanError(f"{{{group}}} in {redact(url)} is an empty range")
    padded = any(end != "0" and end.startswith("0") for end in (low, high))
    width = max(len(low), len(high)) if padded else 0
    return int(high) - int(low) + 1, (f"{n:0{width}d}" for n in range(int(low), int(high) + 1))
