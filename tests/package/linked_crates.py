"""Which crates a Rust program holds, by its symbols and by the source paths it names."""

import re
import subprocess


def by_symbols(program):
    """The crates' names, each with the disambiguators that tell its versions apart.

    In Rust's symbols a crate is `Cs`, a disambiguator, `_`, and the name with its length first:
    https://doc.rust-lang.org/rustc/symbol-mangling/v0.html#crate-root
    """
    symbols = subprocess.check_output(["nm", program], text=True)
    crates = {}
    for found in re.finditer(r"Cs([0-9A-Za-z]+)_([1-9][0-9]*)_?", symbols):
        name = symbols[found.end() : found.end() + int(found[2])]
        crates.setdefault(name, set()).add(found[1])
    return crates


def by_paths(program):
    """(name, version) of each crate that a panic's location names."""
    paths = re.findall(rb"/registry/src/[^/\0]+/([A-Za-z0-9_-]+?)-([0-9][A-Za-z0-9.+-]*)/", program.read_bytes())
    return {(name.decode(), version.decode()) for name, version in paths}
