"""docs/reliability.md names tests; they exist."""

import re

from documents import REPOSITORY

NAME = re.compile(r"`((?:test_)?[a-z0-9]+(?:_[a-z0-9]+){3,})`")
DEFINITION = re.compile(r"^\s*(?:def|fn|async fn) (\w+)\(", re.MULTILINE)
IN_A_MACRO = re.compile(r"^\s+fn (\w+)\(sequential", re.MULTILINE)


def named():
    return set(NAME.findall((REPOSITORY / "docs/reliability.md").read_text()))


def defined():
    sources = [*(REPOSITORY / "tests").rglob("*.rs"), *(REPOSITORY / "tests").rglob("test_*.py"), *(REPOSITORY / "src").rglob("*.rs")]
    texts = [source.read_text() for source in sources]
    return {name for text in texts for pattern in (DEFINITION, IN_A_MACRO) for name in pattern.findall(text)}


def test_every_test_it_names_exists():
    assert named() - defined() == set()


def test_each_property_has_a_test():
    rows = re.findall(r"^\| P(\d+) \|.*$", (REPOSITORY / "docs/reliability.md").read_text(), re.MULTILINE)
    assert rows == [str(number) for number in range(1, 13)]
    assert len(named()) > 25
