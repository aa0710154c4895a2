"""Debian's own test runner accepts debian/tests, and the installed package passes them."""

import subprocess

from conftest import REPOSITORY


def test_autopkgtest_passes_on_a_fresh_debian(fresh, deb, tmp_path):
    # What is not there already cannot be fetched.
    fresh.path("/etc/apt/sources.list").unlink()
    source = tmp_path / "source"
    source.mkdir()
    subprocess.run(["cp", "-a", "debian", source], cwd=REPOSITORY, check=True)
    done = subprocess.run(
        ["autopkgtest", "--no-built-binaries", deb, f"{source}/", "--", "chroot", fresh.path("/")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "contract             PASS" in done.stdout + done.stderr
