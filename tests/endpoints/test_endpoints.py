"""The table of endpoints that the program is tested against is what AWS publishes, and so are the partitions in its policies."""

import json
import subprocess
from pathlib import Path

from botocore import session
from botocore_rules import regions, table

TABLE = Path(__file__).parent / "endpoints.tsv"
PROGRAM = Path(__file__).resolve().parents[2] / "target/debug/elastic-ip"
ALLOCATION = "eipalloc-0123456789abcdef0"


def test_the_table_is_what_botocores_rules_say():
    assert TABLE.read_text() == table(), f"run: target/venv/bin/python tests/endpoints/botocore_rules.py > {TABLE}"


def resources(root, region):
    """What the program's policy lets an associate touch."""
    done = subprocess.run([PROGRAM, "--root", root, ALLOCATION, "policy"], env={"AWS_REGION": region},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    statements = json.loads(done.stdout)["Statement"]
    return next(statement["Resource"] for statement in statements if statement["Action"] == ["ec2:AssociateAddress"])


def test_the_policy_of_every_region_is_of_its_partition(tmp_path):
    assert PROGRAM.exists(), f"{PROGRAM} is missing: run `cargo build`"
    aws = session.Session()
    assert len(regions()) > 40
    for region in regions():
        partition = aws.get_partition_for_region(region)
        start = f"arn:{partition}:ec2:{region}:*:"
        assert resources(tmp_path, region) == [f"{start}elastic-ip/{ALLOCATION}", f"{start}network-interface/*", f"{start}instance/*"]
