"""What the sections of a release's report are built of."""

from __future__ import annotations

from collections.abc import Sequence

from assay.report.markup import Child, Markup, tag

Section = tuple[str, str, Markup]
"""Its id, its title, its content."""


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    numbers: Sequence[int] = (),
    wide: Sequence[int] = (),
) -> Markup:
    """A table that scrolls by itself where it does not fit. `numbers`: columns of numbers; `wide`: of sentences."""
    kinds = ["number" if at in numbers else "wide" if at in wide else None for at in range(len(columns))]
    heads = zip(columns, kinds, strict=True)
    head = tag("tr", [tag("th", name, scope="col", class_=kind) for name, kind in heads])
    body = [tag("tr", _cells(row, kinds)) for row in rows]
    inner = tag("table", tag("caption", tag("span", title)), tag("thead", head), tag("tbody", body), class_="cells")
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=title)


def _cells(row: Sequence[Child], kinds: Sequence[str | None]) -> list[Markup]:
    first, *others = row
    cells = [tag("td", part, class_=kind) for part, kind in zip(others, kinds[1:], strict=True)]
    return [tag("th", first, scope="row"), *cells]


def note(*children: Child) -> Markup:
    """A paragraph that explains."""
    return tag("p", *children, class_="note")


def facts(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """Names and what they are."""
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in pairs], class_="facts")


def folded(title: Child, *content: Child) -> Markup:
    """Content that is shown when asked for."""
    return tag("details", tag("summary", title), *content)


def code(text: object) -> Markup:
    """A digest, an id or a command."""
    return tag("code", str(text))


def badge(verdict: str | None) -> Markup:
    """A verdict, or that there is none, so that it does not rest on colour."""
    text = verdict or "not tried"
    kind = {"ACCEPT": "good", "PASS": "good", "INCONCLUSIVE": "open"}.get(text, "open" if verdict is None else "bad")
    return tag("span", text, class_=f"badge {kind}")
