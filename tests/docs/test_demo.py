"""docs shows one run of the demo, as text and as a picture."""

import re
import xml.etree.ElementTree as xml

from documents import REPOSITORY

TEXT = (REPOSITORY / "docs/demo.txt").read_text()


def test_the_text_fits_a_hundred_columns():
    assert max(map(len, TEXT.splitlines())) <= 100


def test_the_picture_shows_the_same_run_as_the_text():
    moves = re.findall(r"^ *([\d.]+) .*EC2: .*?(?:gave the (address) up|to (\w+))$", TEXT, re.M)
    told = [(at, "nobody" if gave else to) for at, gave, to in moves]
    assert [owner for _, owner in told] == ["server1", "server2", "nobody", "server1"]
    bars = [title.text for title in xml.parse(REPOSITORY / "docs/demo.svg").iterfind(".//{*}rect/{*}title")]
    shown = [(bar.split()[2], bar.split()[0]) for bar in bars]
    assert shown == [("0.0", "nobody"), *told]


def test_the_program_said_the_truth_in_it():
    words = re.findall(r"^ +(running|stopped|unknown)\n +\(exit code (\d)\)$", TEXT, re.M)
    assert words == [("running", "0"), ("stopped", "3"), ("unknown", "4"), ("running", "0"), ("running", "0"), ("stopped", "3")]
