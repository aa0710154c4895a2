"""The documents name the releases and versions that the nodes have."""

import os
import re
import subprocess
import sys

import pytest

import base

sys.path.append(str(base.REPOSITORY / "tests/docs"))
from documents import Document, rows  # noqa: E402

pytestmark = pytest.mark.central


@pytest.fixture
def versions(machines):
    """As the project writes them: those of upstream; of Heartbeat, which upstream maintains no more, with Debian's revision; and
    of systemd the first number, since Debian goes on to the next of the rest."""
    full = {name: version.partition(":")[2] or version for name, version in machines.software().items() if name in (*base.MANAGERS, "systemd")}
    forms = {"heartbeat": r"[^-]+-\d+", "systemd": r"\d+"}
    return {name: re.match(forms.get(name, "[^-]+"), version)[0] for name, version in full.items()}


@pytest.mark.parametrize("name", ["README.md", "man/elastic-ip.8"])
def test_the_readme_and_the_manual_page_name_the_release_and_its_managers(versions, name):
    sentence = "{0} (Heartbeat {heartbeat}, keepalived {keepalived}, Pacemaker {pacemaker} with corosync {corosync})"
    text = " ".join((base.REPOSITORY / name).read_text().split())
    assert sentence.format(base.RELEASES[base.RELEASE], **versions) in text


def test_the_table_of_the_two_releases_has_each_version(versions):
    table = Document("docs/reliability.md").section("On two releases").split("\n\n| what ran")[0]
    column = 1 + list(base.RELEASES).index(base.RELEASE)
    told = {cells[0]: cells[column] for cells in rows(table)}
    assert {name: told.get(name) for name in versions} == versions


def test_a_release_that_is_not_known_is_refused_in_one_line():
    done = subprocess.run([base.REPOSITORY / "tests/cluster/sandbox", "true"], env=os.environ | {"RELEASE": "sid"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "tests/cluster/base.py: RELEASE=sid is not known: use bookworm or trixie\n")
