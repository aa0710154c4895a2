"""What is linked into the packaged program, and what is not."""

import os
import re
import subprocess

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
