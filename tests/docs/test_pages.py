"""What the pages on the cluster managers show is what the package ships. tests/cluster follows the pages."""

import re
import subprocess

import pytest

from documents import REPOSITORY, Document, directives

EXAMPLES = [
    ("docs/heartbeat.md", "/etc/ha.d/ha.cf", "etc/ha.d/ha.cf"),
    ("docs/heartbeat.md", "/etc/ha.d/haresources", "etc/ha.d/haresources"),
    ("docs/keepalived.md", "/etc/keepalived/keepalived.conf", "etc/keepalived/keepalived.conf"),
    ("docs/monit.md", "/etc/monit/conf-enabled/elastic-ip", "etc/monit/monit.conf"),
]


@pytest.mark.parametrize("page, file, example", EXAMPLES)
def test_a_file_is_the_shipped_example_without_its_comments(page, file, example):
    shipped = (REPOSITORY / example).read_text()
    assert directives(Document(page).only_block(file=file)) == directives(shipped)
    assert example in (REPOSITORY / "debian/examples").read_text().split()


def authkeys_commands(name):
    return [block.text for block in Document(name).blocks if "/etc/ha.d/authkeys" in block.text]


def test_authkeys_is_made_as_the_shipped_note_says():
    shown = authkeys_commands("docs/heartbeat.md")
    assert len(shown) == 2 and shown == authkeys_commands("etc/ha.d/authkeys.md")


def test_authkeys_as_it_is_made_is_what_heartbeat_wants(tmp_path):
    commands = authkeys_commands("docs/heartbeat.md")[0]
    path = tmp_path / "authkeys"
    subprocess.run(["sh", "-euc", commands.replace("/etc/ha.d/authkeys", str(path))], check=True)
    assert re.fullmatch(r"auth 1\n1 sha1 [0-9a-f]{64}\n", path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
