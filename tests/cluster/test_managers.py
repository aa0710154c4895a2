"""`check` reads haresources and keepalived.conf as Heartbeat and keepalived themselves read them, on made-up files.

Heartbeat's own ResourceManager and keepalived's own `--config-test` are the oracles. Neither is started.
"""

import json
import os
import random
import re
import subprocess

import pytest

import base
from cluster import package

pytestmark = pytest.mark.central
SEED, GROUPS, INCLUDES = 20261130, 300, 200
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# The machine's own need not fit the nodes' C library.
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
# What is in ResourceManager of the groups, one a line, then each resource's script, with its own functions.
LIST = """
. "$FUNCTIONS"
ipres | while read -r node resources; do
    for resource in $resources; do resource2script "$resource"; done
done
"""
# A word that only keepalived's parser complains of, where it has read it.
MARK = "mark_of_the_test /usr/libexec/elastic-ip/follow-keepalived\n"


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """Heartbeat's script, keepalived with its libraries, and the program."""
    where = tmp_path_factory.mktemp("tools")
    base.unpack(where, LIBRARIES, "etc/keepalived", "usr/sbin/keepalived", "usr/share/heartbeat")
    # keepalived 2.3 will not begin without what it was built with, which it also looks for beside itself.
    for options in (where / "etc/keepalived").glob("keepalived.config-opts"):
        options.rename(where / "usr/sbin" / options.name)
    subprocess.run(["dpkg", "-x", package(), where], check=True)
    return where


def names_it(tools, root) -> bool:
    environment = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/root"}
    done = subprocess.run([tools / "usr/sbin/elastic-ip", "--root", root, "--json", "check"], env=environment, capture_output=True, check=False)
    fact, = (fact for fact in json.loads(done.stdout)["facts"] if fact["name"] == "manager")
    assert re.search("(names|does not name) elastic-ip$|passes over", fact["what"]), fact
    return fact["verdict"] == "ok"


def test_haresources(tools, tmp_path):
    script = (tools / "usr/share/heartbeat/ResourceManager").read_text()
    functions = tmp_path / "functions"
    functions.write_text("".join(re.findall(r"^(?:isip|ipres|canonname|resource2script)\(\) \{\n.*?^\}\n", script, re.DOTALL | re.MULTILINE)))
    made = random.Random(SEED)
    pieces = ["server1", "apache", "elastic-ip", " elastic-ip", " elastic-ip", " elastic-ip::203.0.113.25", "::203.0.113.25", " ", " ", "\t",
              " \\\n", "\\\n", "\n", "\n", " # ", "#", "\r\n", "\\", "10.0.0.9", "server1 elastic", "-ip"]
    found = []
    for number in range(GROUPS):
        folder = tmp_path / str(number) / "etc/ha.d"
        folder.mkdir(parents=True)
        text = "server1 " * (made.random() < 0.8) + "".join(made.choices(pieces, k=made.randint(2, 12)))
        (folder / "haresources").write_bytes(text.encode())
        listed = subprocess.run(["sh", "-euc", LIST], env={"HA_DIR": folder, "FUNCTIONS": functions, "PATH": os.environ["PATH"]},
                                capture_output=True, check=True)
        assert listed.stderr == b""
        found.append(b"elastic-ip" in listed.stdout.split(b"\n"))
        assert names_it(tools, tmp_path / str(number)) == found[-1], (text, listed.stdout)
    assert 0.1 < sum(found) / GROUPS < 0.9


def test_keepalived(tools, tmp_path):
    made = random.Random(SEED)
    # The files of a folder include those below it only: keepalived goes round in a ring until it may open no more files.
    places = {"conf.d": ["a.conf", "b.conf", ".c.conf", "e f.conf", "a*.conf", "#g.conf"], "conf.d/d": ["a.conf", "b.conf"], "conf.d/d/e": ["a.conf"]}
    patterns = ["{}/*.conf", "{}/?.conf", "./{}/a.conf", "{}/*", "?*/a.conf", "*/*.conf", "**/b.conf", "{}/{{b,e f}}.conf", "{{{},x,}}{{/,/d/}}a.conf",
                "{}/[ab].conf", "{}/[!b].conf", "{}/[^a].conf", "{}", "{}/../{}/b.conf", "{}/e f.conf", "{}/a\\*.conf", "{}/\\#g.conf", "{}/#g.conf",
                "{}/.*.conf", "{}/x.conf", "\"{}/a.conf\"", "{}/a.conf b.conf", "{}/[a.conf", "*/*/a.conf"]
    befores = ["", "", "", "", "  ", "\t", "# ", "! ", "vrrp_sync_group v {{\n}}\n", "vrrp_sync_group v {{ }} ", "global_defs {{\n}} ", "notify \"# {{\" }} "]
    words = ["include ", "include ", "include ", "include\t", "includer ", "includea ", "includeb  ", "includex ", "includes ", "Include ", "include"]
    afters = ["", "", "", "", " ", " # a", " ! a", "\r", " \\"]

    def line(below):
        before, word, pattern, after = (made.choice(choices) for choices in (befores, words, patterns, afters))
        # With these, one missing alternative stands for all, which keepalived itself tells.
        if "{{" in pattern:
            word = word.replace("includea", "include").replace("includeb", "include")
        return f"{before}{word}{pattern}{after}\n".replace("{}", below).replace("{{", "{").replace("}}", "}")

    found = []
    for number in range(INCLUDES):
        folder = tmp_path / str(number) / "etc/keepalived"
        marked = made.choice(["conf.d/a.conf", *(f"{below}/{name}" for below, names in places.items() for name in names)])
        for below, names in places.items():
            (folder / below).mkdir(parents=True)
            for name in names:
                text = line("e" if below.endswith("d/d") else "d") if made.random() < 0.4 and not below.endswith("e") else ""
                (folder / below / name).write_text(text + MARK * (f"{below}/{name}" == marked), newline="")
        main = folder / "keepalived.conf"
        main.write_text(line("conf.d") + line(made.choice(["conf.d", "conf.d/d"])), newline="")
        test = subprocess.run([tools / LOADER, "--library-path", tools / LIBRARIES, tools / "usr/sbin/keepalived", "--config-test", "--use-file", main],
                              env={}, capture_output=True, text=True, timeout=30, check=False)
        found.append("mark_of_the_test" in test.stderr + test.stdout)
        assert names_it(tools, tmp_path / str(number)) == found[-1], (number, main.read_text(), marked)
    assert 0.05 < sum(found) / INCLUDES < 0.9
