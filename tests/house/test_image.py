"""The image's build context: `bin/prove-image` builds it, and what it would stumble over at once is seen here."""

from pathlib import Path

import pytest

from bench import prove_image

COPIED = [
    source
    for line in (prove_image.PROJECT / "Dockerfile").read_text("utf-8").splitlines()
    if line.startswith("COPY ") and "--from" not in line
    for source in line.split()[1:-1]
]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prove_image.allowed_context(tmp_path_factory.mktemp("context"))


@pytest.mark.parametrize("source", COPIED)
def test_what_the_image_copies_is_let_through_to_it(context: Path, source: str) -> None:
    assert (context / source).exists()


def test_nothing_else_gets_near_the_image(context: Path) -> None:
    there = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    strange = {name for name in there if not any(name == c or name.startswith(f"{c}/") for c in COPIED)}
    assert strange == set()
    assert not [name for name in there if name.endswith((".pyc", ".key", ".pem"))]
