"""docs/reliability.md and SECURITY.md name tests; they exist."""

import re

import pytest

from documents import REPOSITORY, Document, rows

NAME = re.compile(r"`((?:test_)?[a-z0-9]+(?:_[a-z0-9]+){3,})`")
DEFINITION = re.compile(r"^\s*(?:def|fn|async fn) (\w+)\(", re.MULTILINE)
IN_A_MACRO = re.compile(r"^\s+fn (\w+)\(sequential", re.MULTILINE)


def named(document):
    return set(NAME.findall((REPOSITORY / document).read_text()))


def defined():
    sources = [*(REPOSITORY / "tests").rglob("*.rs"), *(REPOSITORY / "tests").rglob("test_*.py"), *(REPOSITORY / "src").rglob("*.rs")]
    texts = [source.read_text() for source in sources]
    return {name for text in texts for pattern in (DEFINITION, IN_A_MACRO) for name in pattern.findall(text)}


@pytest.mark.parametrize("document, least", [("docs/reliability.md", 25), ("SECURITY.md", 25)])
def test_every_test_it_names_exists(document, least):
    assert named(document) - defined() == set()
    assert len(named(document)) > least


@pytest.mark.parametrize("heading", ["The secret", "Who can do what"])
def test_each_promise_of_security_has_a_test(heading):
    promises = rows(Document("SECURITY.md").section(heading))
    assert promises and all(NAME.findall(row[1]) for row in promises)


def test_each_property_has_a_test():
    rows = re.findall(r"^\| P(\d+) \|.*$", (REPOSITORY / "docs/reliability.md").read_text(), re.MULTILINE)
    assert rows == [str(number) for number in range(1, 16)]


def test_each_property_has_a_test_beside_which_it_says_what_to_break_to_see_it_fail():
    comments = [comment for source in (REPOSITORY / "tests").rglob("*.rs")
                for comment in re.findall(r"// (P\d.*(?:\n +// .*)*)", source.read_text()) if "Fails when" in comment]
    properties = {number for comment in comments for number in re.findall(r"\bP(\d+)", comment)}
    assert properties == {str(number) for number in range(1, 16)}
    for comment in comments:
        source = "".join((REPOSITORY / name).read_text() for name in re.findall(r"src/[\w/]+\.rs", comment))
        names = [re.findall(r"\w+", quoted)[-1] for quoted in re.findall("`([^`]+)`", comment)]
        assert names and [name for name in names if not re.search(rf"\b{name}\b", source)] == [], comment
