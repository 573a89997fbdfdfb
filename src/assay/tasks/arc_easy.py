"""ARC-Easy: the questions that simple methods can answer."""

from assay.tasks import arc

TASK = arc.task(
    "arc_easy",
    "ARC-Easy",
    "grade-school science questions, the easier set: 2,376, four choices",
    sha256="d2d12e59543acf9a5ef6079634a72b30215e36c2fd4236fff3bc855d287b87f5",
    hub_sha256="4160597d618ae851c7eb04e281574f3f654776216ac6b6641588d64527b47177",
)
