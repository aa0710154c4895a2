"""docs/performance.md, its plots and the README's figures, rendered out of bench/results."""

import importlib
import re
import sys

import record

# Each is a module beside this one with `section(figures) -> str`, which embeds `NAME.svg`, and
# `plot(figures, path)`, if it has a plot at all, and only that imports matplotlib. One with `summaries(figures) -> dict[str, str]` fills the README's
# blocks of these names.
PARTS = ("calls", "instructions", "zone", "failovers", "building")
PAGE = record.REPOSITORY / "docs" / "performance.md"
README = record.REPOSITORY / "README.md"
BLOCK = re.compile(r"(<!-- bench/report: (\w+) -->\n).*?(<!-- its end -->\n)", re.DOTALL)
HEAD = """# How fast it is

`make bench` measures all of this, on Debian 12, as root, within half an hour, and writes this page; `bench/run NAME` measures one
part of it. `bench/report` renders it again out of what is kept in `bench/results`. What is slower than it should be by a ratio
to something else in the same run fails `make bench-quick`, and with it `make test`.
"""


def measured() -> dict[str, tuple[dict, dict]]:
    return {part: kept for part in PARTS if (kept := record.load(part))}


def trial(about: dict) -> str:
    """What to say of a run that others disturbed."""
    return " **These are figures of a trial: the machine had other work to do.**" if about["load"] > record.QUIET else ""


def page(kept: dict) -> str:
    parts = [HEAD]
    for name, (about, figures) in kept.items():
        parts.append(importlib.import_module(name).section(figures).strip() + "\n")
        parts.append(f"Measured on {about['date']} by `bench/run {name}` in {about['seconds']} s, at commit {about['commit']}, "
                     f"on {about['machine']}.{trial(about)}\n")
    return "\n".join(parts)


def summaries(kept: dict) -> dict[str, str]:
    """What each block of the README says."""
    modules = [(importlib.import_module(name), *about_and_figures) for name, about_and_figures in kept.items()]
    return {block: text.strip() + trial(about) + "\n" for module, about, figures in modules if hasattr(module, "summaries")
            for block, text in module.summaries(figures).items()}


def readme(kept: dict, text: str) -> str:
    said = summaries(kept)
    return BLOCK.sub(lambda block: block[1] + said[block[2]] + block[3], text)


def rendered(kept: dict) -> dict:
    """The text of each document."""
    return {PAGE: page(kept), README: readme(kept, README.read_text())}


def draw(kept: dict):
    import matplotlib
    # The same figures make the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "elastic-ip", "svg.fonttype": "none", "font.family": "sans-serif"})
    for name, (_, figures) in kept.items():
        module = importlib.import_module(name)
        if hasattr(module, "plot"):
            module.plot(figures, PAGE.parent / f"{name}.svg")


def main():
    kept = measured()
    stale = [path for path, text in rendered(kept).items() if not path.exists() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        sys.exit(f"bench/report: not what bench/results says: {' '.join(map(str, stale))}; run bench/report" if stale else 0)
    for path, text in rendered(kept).items():
        path.write_text(text)
    draw(kept)


if __name__ == "__main__":
    main()
