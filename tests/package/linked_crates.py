"""Which crates a Rust program holds, by its symbols and by the source paths it names."""

import re
import subprocess


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
