"""What a document points to is there."""

import re

import pytest

from documents import REPOSITORY, Document, quotes, rows

# What an administrator needs, and the package brings.
PAGES = ["docs/configuration.md", "docs/heartbeat.md", "docs/installation.md", "docs/keepalived.md", "docs/migrating.md", "docs/monit.md",
         "docs/network.md", "docs/pacemaker.md", "docs/troubleshooting.md"]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES, "docs/architecture.md", "docs/performance.md", "docs/reliability.md",
             "SECURITY.md", "etc/ha.d/authkeys.md"]


def test_no_document_is_forgotten():
    found = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("*.md")}
    found |= {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("docs/**/*.md")}
    assert found <= set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading_in_it(name):
    document = Document(name)
    for link in document.links():
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (document.path.parent / file) if file else document.path
        assert target.exists(), link
        if anchor:
            assert anchor in Document(str(target.resolve().relative_to(REPOSITORY))).anchors(), link


def test_a_dead_link_would_be_found():
    document = Document("README.md", "# One Two\n[a](nowhere.md) [b](#one-two)\n```\n[c](in-a-block.md)\n# Three\n```\n")
    assert document.links() == ["nowhere.md", "#one-two"]
    assert document.anchors() == {"one-two"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/configuration.md", "docs/installation.md"])
def test_every_file_of_this_repository_that_a_document_names_exists(name):
    document = Document(name)
    commands = " ".join(block.text for block in document.blocks).split()
    for word in {word for quote in quotes(document.prose) for word in quote.split()} | set(commands):
        if re.match(r"(src|tests|bench|debian|docs|man|etc|\.ci)/", word):
            assert (REPOSITORY / word).exists(), word


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/installation.md"])
def test_every_target_of_make_that_a_document_names_exists(name):
    text = Document(name).text
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {word for line in re.findall(r"(?:^|`)make ([a-z0-9 -]+)", text, re.MULTILINE) for word in line.split()}
    assert named and named <= targets


def test_the_package_has_every_page_that_an_administrator_needs():
    packaged = (REPOSITORY / "debian/docs").read_text().split()
    assert {"README.md", *PAGES} == {name for name in packaged if name.endswith(".md")}


def test_the_manual_page_needs_no_readme():
    text = (REPOSITORY / "man/elastic-ip.8").read_text()
    assert "README" not in text
    installed = {name.rsplit("/", 1)[-1] for name in (REPOSITORY / "debian/docs").read_text().split()} | {"examples"}
    named = set(re.findall(r"/usr/share/doc/elastic-ip/(\S+)", text))
    assert named and named <= installed


def test_an_example_that_the_page_on_configuration_names_is_in_the_package(configuration):
    packaged = {line.rsplit("/", 1)[-1] for line in (REPOSITORY / "debian/examples").read_text().split()}
    assert {"ha.cf", "haresources", "authkeys.md", "check_elastic_ip"} <= packaged
    assert "check_elastic_ip" in quotes(configuration.prose)


def test_the_version_is_the_same_everywhere(readme):
    version = re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert set(re.findall(r"elastic-ip_([^_]+)_amd64\.deb", readme.text)) == {version}
    assert re.search(r"^elastic-ip \((.*)\)", (REPOSITORY / "debian/changelog").read_text())[1] == version
    assert re.search(r"^## \[(\d.*)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_the_functions_that_the_guide_names_are_in_the_files_it_names():
    guide = Document("docs/architecture.md").section("Where to add what")
    named = []
    for row in rows(guide):
        file = None
        for quote in reversed(quotes(row[1])):
            if quote.endswith(".rs"):
                file = quote
            elif re.fullmatch(r"\w+", quote) and file:
                source = (REPOSITORY / file).read_text()
                assert re.search(rf"\b(fn|const|enum|struct) {quote}\b", source), (quote, file)
                named.append(quote)
    assert "remedy" in named and "NAMES" in named
