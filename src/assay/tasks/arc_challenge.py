"""ARC-Challenge: the questions that retrieval and co-occurrence answered wrongly."""

from assay.tasks import arc

TASK = arc.task(
    "arc_challenge",
    "ARC-Challenge",
    "grade-school science questions, the harder set: 1,172, four choices",
    sha256="1ae3aeedf1951d881cbd5c2e3a31e78a1993d251479afbe4cb413b6707244636",
    hub_sha256="62f03257e737aed263f55c6abf87c7bb0028a44a6bdd2a26eb1279eb42c1d1e9",
)
