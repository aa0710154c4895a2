"""Which crates a Rust program holds, by its symbols, by the source paths it names, and by the list that it carries."""

import json
import re
import subprocess
import tempfile
import zlib


def symbols(program):
    """The program's symbols as Rust writes them, with generic arguments and all."""
    return subprocess.check_output(["nm", "--demangle", program], text=True)


def by_symbols(program):
    """The names at the beginning of a path, such as `hyper` in `<hyper::Error as …>::source`."""
    return set(re.findall(r"(?<![\w:])(\w+)::", symbols(program)))


def by_paths(program):
    """(name, version) of each crate that a panic's location names."""
    paths = re.findall(rb"/registry/src/[^/\0]+/([A-Za-z0-9_-]+?)-([0-9][A-Za-z0-9.+-]*)/", program.read_bytes())
    return {(name.decode(), version.decode()) for name, version in paths}


def listed(program):
    """The packages of the list that cargo-auditable put in."""
    with tempfile.NamedTemporaryFile() as section:
        subprocess.run(["objcopy", f"--dump-section=.dep-v0={section.name}", program, "/dev/null"], check=True)
        return json.loads(zlib.decompress(section.read()))["packages"]
