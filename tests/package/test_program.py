"""What is linked into the packaged program, what is not, and the list of crates that it carries."""

import json
import os
import re
import subprocess
import tomllib

import linked_crates
import pytest
from root import REPOSITORY

# rusoto's own HTTP client, which the program does not use: reqwest carries each request.
OLD_CRATES = {"h2", "hyper_tls", "native_tls", "openssl", "openssl_sys", "tokio_native_tls"}


# Modules that hyper had before 1.0. Symbols name no version.
OLD_HYPER = re.compile(r"\bhyper::(body::body|client::client|client::connect|client::pool)::")


def old_http_stack(program):
    """What of the old HTTP stack is in the program."""
    paths = linked_crates.by_paths(program)
    found = OLD_CRATES & (linked_crates.by_symbols(program) | {name.replace("-", "_") for name, _ in paths})
    found |= {f"hyper {version}" for name, version in paths if name == "hyper" and version.startswith("0.")}
    found |= {f"hyper::{module}" for module in OLD_HYPER.findall(linked_crates.symbols(program))}
    return found


def libraries(program):
    return subprocess.check_output(["ldd", program], text=True)


@pytest.fixture(scope="session")
def unstripped(deb):
    return REPOSITORY / "target/release/elastic-ip"


@pytest.fixture(scope="session")
def control():
    subprocess.run([REPOSITORY / "tests/package/old_http_stack/build"], check=True)
    return REPOSITORY / "target/package/old_http_stack/program"


def test_the_packaged_program_is_the_one_examined(contents, unstripped, tmp_path):
    subprocess.run(["strip", "--remove-section=.comment", "--remove-section=.note", "-o", tmp_path / "stripped", unstripped], check=True)
    assert (tmp_path / "stripped").read_bytes() == (contents / "usr/sbin/elastic-ip").read_bytes()


def test_the_crates_it_is_made_of_are_found(unstripped):
    assert {"reqwest", "hyper", "rustls", "ring", "rusoto_core"} <= linked_crates.by_symbols(unstripped)
    assert {"reqwest", "hyper", "rustls"} <= {name for name, _ in linked_crates.by_paths(unstripped)}


def test_no_crate_of_the_old_http_stack_is_linked(unstripped):
    assert old_http_stack(unstripped) == set()


def test_the_old_http_stack_would_be_found_by_its_symbols_and_by_its_paths(control):
    found = old_http_stack(control)
    assert {"h2", "hyper_tls", "native_tls", "openssl", "hyper::client::connect"} <= found
    assert any(name.startswith("hyper 0.14") for name in found)


# In the form of RustSec's database: each version of hyper that the program has has a hole.
ADVISORY = """```toml
[advisory]
id = "RUSTSEC-2000-0001"
package = "hyper"
date = "2000-01-01"
[versions]
patched = [">= 99"]
```
# A hole
Made up.
"""


def versions(packages):
    return {(package["name"], package["version"]) for package in packages}


def test_the_program_lists_each_crate_that_goes_into_it(contents):
    listed = linked_crates.listed(contents / "usr/sbin/elastic-ip")
    locked = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]
    tree = subprocess.check_output(
        ["cargo", "tree", "--locked", "--offline", "--edges=normal,build", "--prefix=none", "--format={p}"], cwd=REPOSITORY, text=True)
    built = {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in tree.splitlines() if line}
    assert len(built) > 100
    assert built <= versions(listed) <= versions(locked)
    own, = [package for package in listed if package["source"] == "local"]
    assert own["name"] == "elastic-ip" and own["root"]
    # Those of other systems and of the tests alone are not in it.
    assert {"windows-sys", "proptest"} <= {name for name, _ in versions(locked) - versions(listed)}


def test_the_crates_that_the_program_names_by_itself_are_listed(contents, unstripped):
    assert linked_crates.by_paths(unstripped) <= versions(linked_crates.listed(contents / "usr/sbin/elastic-ip"))


def test_cargo_audit_finds_an_advisory_for_a_crate_in_the_installed_program(contents, tmp_path):
    advisories = tmp_path / "advisories/crates/hyper"
    advisories.mkdir(parents=True)
    (advisories / "RUSTSEC-2000-0001.md").write_text(ADVISORY)
    program = contents / "usr/sbin/elastic-ip"
    audit = [REPOSITORY / "target/venv/bin/cargo-audit", "audit", "--no-fetch", "--db", tmp_path / "advisories", "--json", "bin", program]
    done = subprocess.run(audit, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    listed = linked_crates.listed(program)
    assert said["lockfile"]["dependency-count"] == len(listed)
    found = [vulnerability["package"] for vulnerability in said["vulnerabilities"]["list"]]
    assert versions(found) == {(name, version) for name, version in versions(listed) if name == "hyper"}


def test_the_commands_of_the_page_on_installation_show_the_list(contents, tmp_path):
    program = contents / "usr/sbin/elastic-ip"
    text = (REPOSITORY / "docs/installation.md").read_text().split("\n## What is in the program\n")[1]
    commands = text.split("```sh\n")[2].split("```")[0].replace("/tmp/", f"{tmp_path}/").replace("/usr/sbin/elastic-ip", str(program))
    assert json.loads(subprocess.check_output(["sh", "-euc", commands]))["packages"] == linked_crates.listed(program)


def test_no_libssl_is_loaded(contents):
    assert "libc.so" in libraries(contents / "usr/sbin/elastic-ip")
    assert "ssl" not in libraries(contents / "usr/sbin/elastic-ip")


def test_a_loaded_libssl_would_be_found(control):
    assert "libssl" in libraries(control)


def test_no_path_of_the_machine_that_built_it_is_in_the_program(unstripped):
    program = unstripped.read_bytes()
    assert str(REPOSITORY).encode() not in program
    assert b"/.cargo/" not in program


@pytest.mark.parametrize("action, said, code", [("start", "", 6), ("stop", "", 6), ("status", "unknown\n", 4)])
def test_a_secret_of_another_user_is_refused(contents, tmp_path, action, said, code):
    # Only root can give a file away, so this stands here and not beside the other tests of secrets.
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/elastic-ip").write_text(
        "ELASTIC_IP=203.0.113.25\nMY_ID=i-0123456789abcdef0\nAWS_REGION=eu-west-1\nAWS_ENDPOINT_URL_EC2=http://127.0.0.1:9\n")
    secret = tmp_path / "root/.awssecret"
    secret.parent.mkdir()
    secret.write_text("AKIDEXAMPLE\nsEcReTcAnArY-of-the-package\n")
    secret.chmod(0o600)
    os.chown(secret, 65534, 0)
    done = subprocess.run([contents / "usr/sbin/elastic-ip", "--root", tmp_path, action],
                          env={"HOME": "/root"}, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (said, code)
    assert f"{secret} belongs to user id 65534 and is not taken for user id 0; put what it holds into root's own file" in done.stderr
