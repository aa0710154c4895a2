"""The table of endpoints that the program is tested against is what AWS publishes."""

from pathlib import Path

from botocore_rules import table

TABLE = Path(__file__).parent / "endpoints.tsv"


def test_the_table_is_what_botocores_rules_say():
    assert TABLE.read_text() == table(), f"run: target/venv/bin/python tests/endpoints/botocore_rules.py > {TABLE}"
