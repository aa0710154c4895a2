"""The documents name the releases and versions that the nodes have."""

import re
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
    section = Document("docs/reliability.md").section("On two releases")
    column = 1 + list(base.RELEASES).index(base.RELEASE)
    told = {cells[0].lower(): cells[column] for cells in rows(section)}
    assert {name: told.get(name) for name in versions} == versions
