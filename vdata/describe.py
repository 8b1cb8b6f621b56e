"""How a plan is printed: a line a stage, the fields where they change, and which guarantees hold or why not."""

from __future__ import annotations

import math
import textwrap

from vdata import plan, survey

_VERB, _NOTES, _WIDTH = 14, 46, 118


def describe(stage: plan.Stage, title: str = "DataPipe") -> str:
    """The text of `print(pipe)`."""
    lines = [f"{title} · {length(stage)} · {' · '.join(guarantees(stage))}"]
    lines += _lines(stage, "  ")
    for reason in reasons(stage):
        lines.append(f"  {reason}")
    return "\n".join(lines)


def length(stage: plan.Stage) -> str:
    """"200 samples", "25 batches of 8", "endless", "length not known"."""
    count = stage.length
    if count is None:
        scans = any(isinstance(s, plan.Filter) and s.scan for s in plan.chain(stage))
        return "length not known" if stage.access != "dense" else "length known after its scan" if scans else "length known when it runs"
    batch = next((s for s in plan.line(stage) if isinstance(s, plan.Batch)), None)
    many = "" if count == 1 else "s" if batch is None else "es"
    what = f"sample{many}" if batch is None else f"batch{many} of {batch.size}"
    return f"endless {what}" if count == math.inf else f"{int(count):,} {what}"


def guarantees(stage: plan.Stage) -> list[str]:
    """The short names of what holds."""
    held = []
    if not survey.not_elastic(stage):
        held.append("elastic")
    buffered = any(isinstance(s, plan.Shuffle) and s.buffer_size for s in plan.chain(stage))
    held.append("resume replays the epoch" if buffered else "exact resume" if held else "exact resume at the same world size")
    if stage.length is not None and stage.length != math.inf:
        held.append("len")
    held.append(f"seed {survey.seed_of(stage)}")
    return held


def reasons(stage: plan.Stage) -> list[str]:
    """One line for each guarantee that does not hold."""
    out = []
    why = survey.not_elastic(stage)
    if why:
        out.append(f"not elastic: {why}")
    if stage.access == "stream" and stage.length is None:
        out.append("no len, no pipe[i]: there is no index here")
    if stage.access == "holes":
        out.append("no len, no pipe[i]: how many samples pass the filter is not known")
    return out


def _lines(stage: plan.Stage, indent: str) -> list[str]:
    lines: list[str] = []
    for kid in plan.children(stage):
        deeper = indent + "  " if isinstance(stage, plan.Several) else indent
        lines += _lines(kid, deeper)
    margin = " " * (len(indent) + _VERB)
    said = textwrap.wrap(stage.arguments(), _WIDTH - len(margin), break_long_words=False, break_on_hyphens=False) or [""]
    shown = [f"{indent}{stage.name:<{_VERB}}{said[0]}".rstrip(), *(margin + more for more in said[1:])]
    return [*lines, *shown[:-1], *_beside(shown[-1], _changed(stage), margin)]


def _changed(stage: plan.Stage) -> list[str]:
    """The fields that a stage brings or changes."""
    known = stage.fields
    before = plan.children(stage)[0].fields if len(plan.children(stage)) == 1 else {}
    if known is None:
        return ["fields: whatever the function returns"] if before is not None and len(plan.children(stage)) < 2 else []
    return [f"{name}: {field}" for name, field in known.items() if before is None or before.get(name) != field]


def _beside(shown: str, notes: list[str], margin: str) -> list[str]:
    """The notes behind a line where they fit, else beneath it."""
    together = "  ".join(notes)
    if not notes or max(len(shown), _NOTES) + 2 + len(together) <= _WIDTH:
        return [f"{shown:<{_NOTES}}  {together}".rstrip()]
    lines = [shown]
    for note in notes:
        if lines[-1] != shown and len(lines[-1]) + 2 + len(note) <= _WIDTH:
            lines[-1] += f"  {note}"
        else:
            lines.append(margin + note)
    return lines
