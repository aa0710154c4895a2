"""The documents, taken apart: their blocks, tables, links and headings."""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What stands for the varying part of a message.
GAP = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block: ```LANGUAGE file=FILE on=NODE."""
    language: str
    file: str
    on: str
    text: str


class Document:
    def __init__(self, name: str, text: str | None = None):
        self.name = name
        self.path = REPOSITORY / name
        self.text = self.path.read_text() if text is None else text
        fences = re.findall(r"^```(\w*)(?: file=(\S+))?(?: on=(\S+))?\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        self.blocks = [Block(*fence) for fence in fences]
        # What is in a block is neither heading nor link.
        self.prose = re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    def only_block(self, **wanted: str) -> str:
        found = [block for block in self.blocks if all(getattr(block, name) == value for name, value in wanted.items())]
        assert len(found) == 1, f"{self.name} has {len(found)} blocks with {wanted}"
        return found[0].text

    def section(self, heading: str) -> str:
        """What stands below the heading, up to the next one of the same rank."""
        found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", self.prose, re.MULTILINE | re.DOTALL)
        assert found, f"{self.name} has no section {heading!r}"
        return found[2]

    def anchors(self) -> set[str]:
        """The headings as GitHub makes anchors of them."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def links(self) -> list[str]:
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)


def rows(markdown: str) -> list[list[str]]:
    """The tables' rows, without their heads."""
    found, in_body = [], False
    for line in markdown.splitlines():
        if not line.startswith("|"):
            in_body = False
        elif re.fullmatch(r"[|:\- ]+", line):
            in_body = True
        elif in_body:
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def quotes(markdown: str) -> list[str]:
    """What is between backticks."""
    return re.findall(r"`([^`]+)`", markdown)


def pattern(quote: str) -> re.Pattern:
    """The quoted message, with anything at all in its gaps."""
    return re.compile(".+".join(re.escape(part) for part in quote.split(GAP)))


def messages(troubleshooting: Document) -> list[str]:
    """Every message that it quotes."""
    return [quote for row in rows(troubleshooting.prose) for quote in quotes(row[0])]


def directives(text: str) -> list[str]:
    """A configuration file's lines without comments."""
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def literals() -> list[str]:
    """The strings in the program's source, tests apart; a placeholder of a format is a gap."""
    found = []
    for path in sorted((REPOSITORY / "src").rglob("*.rs")):
        code = path.read_text().split("#[cfg(test)]")[0]
        code = re.sub(r"^\s*//.*$", "", code, flags=re.MULTILINE).replace("'\"'", "")
        for text in re.findall(r'"((?:[^"\\]|\\.|\\\n)*)"', code):
            text = re.sub(r"\\\n\s*", "", text)
            text = re.sub(r"\\(.)", lambda escape: {"n": "\n", "r": "\r"}.get(escape[1], escape[1]), text)
            found.append(re.sub(r"\{[^{}]*\}", GAP, text))
    return found
