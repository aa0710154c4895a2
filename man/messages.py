#!/usr/bin/env python3
"""Renders docs/troubleshooting.md as the manual page elastic-ip-messages(7), on stdout."""

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "docs/troubleshooting.md"
HEAD = """\
.\\" Rendered by man/messages.py from docs/troubleshooting.md.
.Dd November 27, 2026
.Dt ELASTIC-IP-MESSAGES 7
.Os
.Sh NAME
.Nm elastic-ip-messages
.Nd the messages of elastic-ip, and what to do about each
.Sh DESCRIPTION
"""
FOOT = """\
.Sh SEE ALSO
.Xr elastic-ip 8
"""


def plain(markdown: str) -> str:
    """Text without marks, in which nothing is a request or an escape of mdoc."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("**", "")
    text = text.replace("\\", "\\e")
    return re.sub(r"`([^`]*)`", r"\\(oq\1\\(cq", text)


def sentences(markdown: str) -> str:
    """A line for each sentence, as mdoc wants it."""
    lines = re.split(r"(?<=[.?!]) +(?=\S)", plain(markdown))
    return "".join(f"\\&{line}\n" if line[0] in ".'" else f"{line}\n" for line in lines)


def item(cell: str) -> str:
    """The tag of a list's item: one of a row's messages."""
    word = cell.replace("`", "").replace("\\", "\\e").replace('"', "\\(dq")
    return f'.It Li "{word}"\n'


def render(markdown: str) -> str:
    page, in_list = [HEAD], False
    for line in markdown.splitlines()[1:]:
        is_row = line.startswith("|")
        if in_list and not is_row:
            page.append(".El\n")
            in_list = False
        if line.startswith("## "):
            page.append(f".Ss {plain(line[3:])}\n")
        elif re.fullmatch(r"\|[|:\- ]+", line):
            page.append(".Bl -tag -width Ds\n")
            in_list = True
        elif in_list:
            messages, meaning = [cell.strip() for cell in line.strip("|").split("|")]
            page += [item(message) for message in messages.split(" · ")]
            page.append(sentences(meaning))
        elif line and not is_row:
            page += [".Pp\n"] if page[-1].endswith((".\n", ")\n")) else []
            page.append(sentences(line))
    return "".join([*page, ".El\n" if in_list else "", FOOT])


if __name__ == "__main__":
    print(render(SOURCE.read_text()), end="")
