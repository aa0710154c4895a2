"""What the package tells its users: the pages, the man page, the completion, the examples."""

import re
import subprocess
import sys

import pytest
from conftest import put_program
from root import REPOSITORY

sys.path.append(str(REPOSITORY / "tests/docs"))
from documents import Document  # noqa: E402

ACTIONS = ["start", "stop", "status", "restart", "try-restart", "force-reload", "check", "policy"]
NAMES = """
    ALLOW_PLAIN_HTTP ALLOW_REASSOCIATION AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_ENDPOINT_URL AWS_ENDPOINT_URL_EC2
    AWS_PARAMS AWS_PROFILE AWS_REGION AWS_USE_DUALSTACK_ENDPOINT AWS_USE_FIPS_ENDPOINT EC2_URL
    ELASTIC_IP HTTPS_PROXY MY_ID NO_PROXY RELEASE_ON_STOP START_TIMEOUT STATE_DIR STATUS_TIMEOUT
    STOP_TIMEOUT
""".split()


@pytest.fixture(scope="session")
def options(contents):
    """The options that the program itself lists."""
    program = contents / "usr/sbin/elastic-ip"
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said))
    assert {"--config", "--help", "--version"} <= found, said
    return found


@pytest.fixture(scope="session")
def manual(contents):
    """The man page as a reader sees it."""
    page = contents / "usr/share/man/man8/elastic-ip.8.gz"
    printed = subprocess.check_output(["mandoc", "-T", "ascii", "-O", "width=200", page], text=True)
    # Bold and underlined letters are printed over one another.
    return re.sub(r".\x08", "", printed)


def words(text):
    return set(re.findall(r"[\w-]+", text))


@pytest.mark.parametrize("name", ["man8/elastic-ip.8.gz", "man7/elastic-ip-messages.7.gz"])
def test_each_man_page_is_clean(contents, name):
    page = contents / "usr/share/man" / name
    linted = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", page], capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    )
    assert (shown.returncode, shown.stderr) == (0, "")


def test_the_man_page_names_each_option_and_no_other(options, manual):
    section = manual.split("\nOPTIONS\n")[1].split("\nCONFIGURATION\n")[0]
    assert set(re.findall(r"^ +(?:-[A-Za-z], )?(--[a-z-]+)", section, re.MULTILINE)) == options


def test_the_man_page_names_each_action_and_configuration_name(manual):
    assert set(ACTIONS + NAMES) - words(manual) == set()


def dead_links(folder):
    """Each link of a page there that leads to no file, or to no heading in it."""
    pages = {page.name: Document(page.name, page.read_text()) for page in folder.glob("*.md")}
    dead = []
    for name, page in pages.items():
        for link in page.links():
            file, _, anchor = link.partition("#")
            if re.match(r"https?:", link):
                continue
            if not (folder / (file or name)).is_file() or (anchor and anchor not in pages[file or name].anchors()):
                dead.append((name, link))
    return dead


def test_each_link_in_the_installed_pages_leads_to_one_of_them(contents):
    folder = contents / "usr/share/doc/elastic-ip"
    assert dead_links(folder) == []
    readme = Document("README.md", (folder / "README.md").read_text())
    assert {"heartbeat.md", "configuration.md#permissions"} <= set(readme.links())
    assert "README.md#install" in Document("installation.md", (folder / "installation.md").read_text()).links()


def test_the_installed_pages_say_what_those_of_the_repository_say(contents):
    def without_links(text):
        for _ in range(2):
            text = re.sub(r"!?\[([^\[\]]+)\]\([^()\s]+\)", r"\1", text)
        return text

    for name in re.findall(r"\S+\.md", (REPOSITORY / "debian/docs").read_text()):
        installed = contents / "usr/share/doc/elastic-ip" / name.rsplit("/", 1)[-1]
        assert without_links(installed.read_text()) == without_links((REPOSITORY / name).read_text())


def test_a_dead_link_would_be_found(tmp_path):
    (tmp_path / "a.md").write_text("# One Two\n[a](nowhere.md) [b](#one-two) [c](a.md#three) [d](https://example.com/)\n")
    assert dead_links(tmp_path) == [("a.md", "nowhere.md"), ("a.md", "a.md#three")]


def test_the_schema_of_the_json_is_where_the_page_on_configuration_says(contents):
    name = "usr/share/doc/elastic-ip/elastic-ip.schema.json"
    assert f"/{name}" in (REPOSITORY / "docs/configuration.md").read_text()
    assert (contents / name).read_bytes() == (REPOSITORY / "docs/elastic-ip.schema.json").read_bytes()


def test_the_completion_offers_each_option_and_action(options, installed):
    assert complete(installed, "elastic-ip -") == options
    assert complete(installed, "elastic-ip ") == set(ACTIONS)


def test_the_completion_offers_the_configured_addresses(installed):
    config = installed.path("/etc/default/elastic-ip")
    config.write_text(config.read_text() + "export ELASTIC_IP='203.0.113.25 203.0.113.26'\n$(touch /ran)\n")
    assert complete(installed, "elastic-ip 203") == {"203.0.113.25", "203.0.113.26"}
    assert not installed.path("/ran").exists()


def complete(root, line):
    """What bash offers at the end of the line, with the completion loaded as a login shell does."""
    script = """
        . /usr/share/bash-completion/bash_completion
        _completion_loader elastic-ip
        COMP_LINE=$1 COMP_POINT=${#1}
        read -ra COMP_WORDS <<<"$1"
        [[ $1 != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _elastic_ip
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    return set(root.run("bash", "-c", script, "bash", line).stdout.split())


def test_the_configuration_explains_each_name_and_sets_none(contents):
    text = (contents / "etc/default/elastic-ip").read_text()
    assert [name for name in NAMES if not re.search(rf"^#{name}=\S", text, re.MULTILINE)] == []
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []


def test_a_shell_can_source_the_configuration_with_each_example_in_force(contents):
    text = (contents / "etc/default/elastic-ip").read_text()
    in_force = re.sub(r"^#([A-Z_0-9]+=)", r"\1", text, flags=re.MULTILINE)
    done = subprocess.run(["sh", "-eu"], input=f"{in_force}\nset\n", capture_output=True, text=True, env={})
    assert (done.returncode, done.stderr) == (0, "")
    assert set(NAMES) <= {line.split("=")[0] for line in done.stdout.splitlines()}


def test_the_commands_for_authkeys_make_a_file_that_heartbeat_takes(installed):
    text = installed.path("/usr/share/doc/elastic-ip/examples/authkeys.md").read_text()
    commands = text.split("```sh\n")[1].split("```")[0]
    installed.run("sh", "-euc", commands)
    first = installed.path("/etc/ha.d/authkeys").read_text()
    assert re.fullmatch(r"auth 1\n1 sha1 [0-9a-f]{64}\n", first)
    assert installed.run("stat", "-c", "%a %U", "/etc/ha.d/authkeys").stdout == "600 root\n"
    installed.run("sh", "-euc", commands)
    assert installed.path("/etc/ha.d/authkeys").read_text() != first


def test_the_examples_name_the_same_nodes_and_the_resource(contents):
    examples = contents / "usr/share/doc/elastic-ip/examples"
    settings = [line for line in (examples / "ha.cf").read_text().splitlines() if line and line[0] != "#"]
    assert "node server1 server2" in settings and "auto_failback on" in settings
    resources = [line for line in (examples / "haresources").read_text().splitlines() if line and line[0] != "#"]
    assert resources == ["server1 elastic-ip"]


@pytest.mark.parametrize(
    ("code", "expected", "answer"),
    [
        (0, "running", (0, "OK")),
        (3, "running", (2, "CRITICAL")),
        (4, "running", (3, "UNKNOWN")),
        (0, "stopped", (2, "CRITICAL")),
        (3, "stopped", (0, "OK")),
        (4, "stopped", (3, "UNKNOWN")),
        (127, "running", (3, "UNKNOWN")),
        (0, "asleep", (3, "UNKNOWN")),
    ],
)
def test_the_nagios_check_says_in_nagios_codes_what_status_says(standing, code, expected, answer):
    put_program(standing, f"echo first; echo 'a|b' >&2; exit {code}")
    check = "/usr/share/doc/elastic-ip/examples/check_elastic_ip"
    done = standing.run(check, expected, check=False)
    assert (done.returncode, done.stdout.split(" - ")[0]) == (answer[0], f"ELASTIC IP {answer[1]}")
    assert done.stdout.count("\n") == 1 and ("asleep" in expected or "|" not in done.stdout)


def test_the_versions_of_the_package_the_program_and_the_source_agree(contents, deb):
    packaged = subprocess.check_output(["dpkg-deb", "--field", deb, "Version"], text=True).strip()
    assert f'\nversion = "{packaged}"\n' in (REPOSITORY / "Cargo.toml").read_text()
    said = subprocess.check_output([contents / "usr/sbin/elastic-ip", "--version"], text=True)
    assert said == f"elastic-ip {packaged}\n"
