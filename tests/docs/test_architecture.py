"""docs/architecture.md is the map of src/."""

import re

import pytest

from documents import REPOSITORY, Document, rows

INTRODUCTION = "How elastic-ip is built"


@pytest.fixture(scope="module")
def layers():
    """The source files from the roof to the ground."""
    map_of_files = Document("docs/architecture.md").section(INTRODUCTION).split("\n## ")[0]
    return [row[0].strip("`") for row in rows(map_of_files)]


def source_files():
    return {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "src").rglob("*.rs")}


def test_every_source_file_is_on_the_map_once_and_nothing_else(layers):
    assert len(layers) == len(set(layers))
    assert set(layers) | {"src/lib.rs"} == source_files()


def uses(file):
    """The files at the top of src/ that a file uses."""
    code = (REPOSITORY / file).read_text().split("#[cfg(test)]")[0]
    code = re.sub(r"//.*$", "", code, flags=re.MULTILINE)
    used = set(re.findall(r"\bcrate::(\w+)", code))
    for listed in re.findall(r"\b(?:crate|elastic_ip)::\{([^}]*)\}", code):
        used |= set(re.findall(r"\w+", listed))
    return {f"src/{name}.rs" for name in used}


def test_a_file_uses_only_files_below_it(layers):
    wrong = [(file, used) for file in layers for used in uses(file) if layers.index(used) <= layers.index(file)]
    # A folder's file may look up at the file that the folder belongs to.
    wrong = [(file, used) for file, used in wrong if not file.startswith(used.removesuffix(".rs") + "/")]
    assert wrong == []


def test_what_the_files_use_is_seen():
    assert uses("src/main.rs") >= {"src/cli.rs", "src/lsb.rs"}
    assert uses("src/takeover/operation.rs") >= {"src/ec2.rs", "src/retry.rs"}
