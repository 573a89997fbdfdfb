"""`report.html` of a release: the decision first, then why.

One self-contained file without a script; its policy forbids every request. Names, messages and answers come from
checkpoints, logs and models, so every text is escaped, and what would hide or reorder text is named. Written before
the release is sealed, and so covered by its seal. The same files give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from assay.errors import EvidenceError, MachineError
from assay.files import write_atomic
from assay.release import report_candidates, report_changes, report_gates, report_origin, wording
from assay.release.contents import Contents, read
from assay.release.folder import ReleaseFolder
from assay.release.report_parts import Section, badge
from assay.report import markup
from assay.report.markup import Markup, tag
from assay.report.numbers import MISSING, duration

PAGE = "report.html"


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the page of the release in `folder`, whole or not at all; into the release, unless `out` says where.

    Raises ConfigError where nothing was decided yet, EvidenceError where the files are not what assay writes,
    MachineError where the page cannot be written.
    """
    path = out or folder / PAGE
    content = text(ReleaseFolder(folder)).encode("utf-8", "replace")
    try:
        write_atomic(path, content)
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="page", errno=error.errno) from error
    return path


def text(folder: ReleaseFolder) -> str:
    """The page."""
    contents = read(folder)
    try:
        body = _body(contents)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise EvidenceError(f"{folder.path}: not what assay writes ({error!r})") from error
    return wording.legible("\n".join(('<!doctype html>\n<html lang="en">', _head(contents), body, "</html>\n")))


def _head(contents: Contents) -> Markup:
    sha = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{sha}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{contents.decision['verdict']} · {contents.decision['release']} · assay release"),
        tag("style", Markup(_style())),
    )


@cache
def _style() -> str:
    """The style of all pages, that of comparisons, and the release's own."""
    shared = Path(markup.__file__).parent
    files = (shared / "page.css", shared / "comparison.css", Path(__file__).with_name("report.css"))
    return "".join(file.read_text(encoding="utf-8") for file in files)


def _body(contents: Contents) -> Markup:
    sections = list(_sections(contents))
    links = [tag("a", title, href=f"#{name}") for name, title, _ in sections]
    main = [
        tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")
        for name, title, content in sections
    ]
    skip = tag("a", "Skip to the candidates", href="#candidates", class_="skip")
    return tag("body", skip, _header(contents), tag("nav", tag("div", links), aria_label="Sections"), tag("main", main))


def _sections(contents: Contents) -> Iterator[Section]:
    yield "candidates", "Candidates", report_candidates.candidates(contents)
    yield "front", "Size, loss and speed", report_candidates.plots(contents)
    yield "differences", "Differences", report_changes.differences(contents)
    yield "flips", "What changed", report_changes.changed(contents)
    yield "lengths", "Length and latency", report_changes.lengths(contents)
    yield "gates", "Gates", report_gates.gates(contents)
    yield "published", "Published scores", report_gates.published(contents)
    yield "alpha", "Error rates", report_gates.alpha(contents)
    yield "tracking", "Tracking", report_origin.tracking(contents)
    yield "digests", "Digests", report_origin.digests(contents)
    yield "environments", "Environments", report_origin.environments(contents)
    yield "checking", "Verify and repeat", report_origin.checking(contents)
    yield "time", "Time", report_origin.times(contents)


def _header(contents: Contents) -> Markup:
    decision = contents.decision
    return tag(
        "header",
        tag(
            "p",
            f"Release {decision['release']} of {decision['source'].get('model') or 'a source without a name'}",
            class_="kicker",
        ),
        tag("h1", _said(contents)),
        tag("p", badge(str(decision["verdict"])), _kind(contents), class_="lead decision"),
        tag("h2", "Why", class_="why"),
        tag(
            "ul",
            [tag("li", str(reason)) for reason in decision["reasons"]] or tag("li", "no reason is given"),
            class_="lead reasons",
        ),
        _banner(contents),
        tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in _summary(contents)]),
    )


def _said(contents: Contents) -> str:
    """Publish, and which; or not. Never publish where the verdict is another than ACCEPT."""
    decision = contents.decision
    if decision["publish"] is True and decision["verdict"] == "ACCEPT" and decision["recommended"]:
        return f"Publish {decision['recommended']}"
    return "Do not publish"


def _kind(contents: Contents) -> str:
    kind = contents.decision["failure_class"]
    return f" {kind}" if kind else ""


def _banner(contents: Contents) -> Markup | None:
    named = report_origin.synthetic(contents)
    if not named:
        return None
    text = f" Some answers of {', '.join(named)} are recorded or made up: they are no evidence of any model."
    return tag("p", tag("b", "Synthetic."), text, class_="banner", role="note")


def _summary(contents: Contents) -> Iterator[tuple[str, str]]:
    source, best = contents.decision["source"], contents.recommended
    yield "Recommended", str(best["candidate"]) if best else "none"
    yield "Source", wording.size(source.get("bytes"))
    if best:
        yield "Size", wording.size(best["bytes"])
        yield "Of the source", wording.ratio(best["ratio"])
    verdicts = Counter(str(point["verdict"] or "not tried") for point in contents.candidates)
    yield "Candidates", ", ".join(f"{number} {name}" for name, number in verdicts.items()) or "none"
    yield "Architecture", str(source.get("architecture") or MISSING)
    yield "Licence of the source", report_origin.licence(contents) or "not known"
    yield "Time", duration(sum(record.seconds for record in contents.records.values()))
