"""The names in the documents are the names that the program reads."""

import re

import pytest

from documents import REPOSITORY

DOCUMENTS = ["README.md", "man/elastic-ip.8", "etc/default/elastic-ip", "CHANGELOG.md", "docs/architecture.md", "docs/configuration.md",
             "docs/heartbeat.md", "docs/installation.md", "docs/keepalived.md", "docs/migrating.md", "docs/monit.md", "docs/network.md",
             "docs/pacemaker.md"]
NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
# Other words for AWS_REGION and AWS_PROFILE: the SDKs know both.
SYNONYMS = {"AWS_DEFAULT_REGION", "AWS_DEFAULT_PROFILE"}


def read(name):
    return (REPOSITORY / name).read_text()


def configuration_names():
    listed = re.search(r"const NAMES: \[&str; \d+\] = \[(.*?)\];", read("src/config.rs"), re.DOTALL)[1]
    return {name for name in re.findall(r'"(\w+)"', listed) if name.isupper()}


def every_name_in_the_source():
    code = "".join(path.read_text().split("#[cfg(test)]")[0] for path in (REPOSITORY / "src").rglob("*.rs"))
    return set(re.findall(r'"([A-Z_0-9]+)"', code))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_only_what_the_program_reads(name):
    assert set(NAME.findall(read(name))) - every_name_in_the_source() == set()


def test_the_names_are_found():
    assert {"ELASTIC_IP", "RELEASE_ON_STOP", "EC2_URL"} <= configuration_names() <= every_name_in_the_source()
    assert NAME.findall("set AWS_PARMAS and MY_ID in EC2") == ["AWS_PARMAS", "MY_ID"]


def test_the_manual_page_has_every_name():
    assert configuration_names() - set(NAME.findall(read("man/elastic-ip.8"))) == set()


def shipped_assignments():
    return re.findall(r"^#?([A-Z_0-9]+)=.*$", read("etc/default/elastic-ip"), re.MULTILINE)


def test_the_shipped_configuration_shows_every_name_once():
    assert sorted(shipped_assignments()) == sorted(configuration_names() - SYNONYMS)


def test_each_line_of_the_shipped_configuration_may_be_uncommented(machine):
    assignments = re.findall(r"^#([A-Z_0-9]+=.*)$", read("etc/default/elastic-ip"), re.MULTILINE)
    assert len(assignments) == len(shipped_assignments())
    # The last assignment counts. A file of keys that is missing ends the call before it asks the network.
    end = ["ELASTIC_IP=203.0.113.25", "MY_ID=i-0123456789abcdef0", 'AWS_PARAMS="--region=eu-west-1 --secrets-file=/nowhere"']
    for assignment in assignments:
        machine.configure(assignment, *end)
        said = machine.run("start")
        assert said.code == 6
        assert [line for line in said.lines() if "AWS_PARAMS names it with --secrets-file" not in line] == [], assignment


@pytest.mark.parametrize("name, seconds", [("START_TIMEOUT", "120"), ("STOP_TIMEOUT", "10"), ("STATUS_TIMEOUT", "5")])
def test_the_deadlines_are_the_programs(name, seconds):
    assert f'seconds("{name}", {seconds})' in read("src/config.rs")
    assert f"#{name}={seconds}\n" in read("etc/default/elastic-ip")
    assert f"| `{name}` | {seconds} |" in read("docs/configuration.md")
    assert "Defaults: 120, 10 and 5" in read("man/elastic-ip.8")


def test_a_throttled_start_goes_on_for_an_hour():
    assert 'seconds("START_TIMEOUT", 3600)' in read("src/config.rs")
    assert "const START_TIMEOUT: Duration = Duration::from_secs(3600);" in read("bench/zone.rs")


@pytest.mark.parametrize("name", ["RELEASE_ON_STOP", "ALLOW_REASSOCIATION"])
def test_the_default_is_yes(name):
    assert f'truth("{name}", true)' in read("src/config.rs")
    assert f"#{name}=no\n" in read("etc/default/elastic-ip")
