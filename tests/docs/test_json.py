"""What --json prints has the form that the schema in the package says, and the schema says something."""

import json
import re

import jsonschema
import pytest

from conftest import ADDRESS, NOWHERE, REGION
from documents import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs/elastic-ip.schema.json").read_text())


def definition(name):
    return {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}


def is_valid(document, name):
    return jsonschema.Draft202012Validator(definition(name)).is_valid(document)


@pytest.fixture
def node(machine, ec2):
    def configured(number, *more):
        machine.configure(f"ELASTIC_IP={ADDRESS}", f"AWS_REGION={REGION}", f"MY_ID={ec2.instances[number]}",
                          f"STATE_DIR=/run/{ec2.instances[number]}", f"AWS_ENDPOINT_URL_EC2={ec2.endpoint}", *more)
        return machine
    return configured


def documents(machine, action):
    said = machine.run("--json", action)
    return json.loads(said.stdout), said.code


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_status_has_the_form(node):
    node(0).run("start")
    for number, more, code in [(0, (), 0), (1, (), 3), (0, (f"AWS_ENDPOINT_URL_EC2={NOWHERE}", "STATUS_TIMEOUT=0.3"), 4),
                               (0, ("ELASTIC_IP=nonsense",), 4)]:
        document, actual = documents(node(number, *more), "status")
        assert is_valid(document, "status") and not is_valid(document, "check"), document
        assert actual == code
    assert node(0).run("stop").code == 0


def test_every_check_has_the_form(node, ec2):
    for more, code in [((), 0), ((f"AWS_ENDPOINT_URL_EC2={NOWHERE}",), 1), (("ELASTIC_IP=nonsense",), 1)]:
        document, actual = documents(node(0, *more), "check")
        assert is_valid(document, "check") and not is_valid(document, "status"), document
        assert actual == code


def test_a_check_finds_no_fault_with_the_peer_of_the_owner_but_that_no_cluster_manager_is_set_up(node, ec2):
    def owner():
        return ec2.client.describe_addresses(PublicIps=[ADDRESS])["Addresses"][0]["InstanceId"]
    assert node(1).run("start").code == 0
    document, code = documents(node(0), "check")
    assert code == 0 and document["ready"] is True
    assert [fact["name"] for fact in document["facts"] if fact["verdict"] != "ok"] == ["manager"]
    assert owner() == ec2.instances[1]


def test_the_schema_lists_the_facts_that_the_program_can_tell():
    code = "".join(path.read_text() for path in [REPOSITORY / "src/check.rs", *(REPOSITORY / "src/check").glob("*.rs")])
    told = set(re.findall(r'(?:Fact::(?:ok|warn|fail|message)\(\s*|const [A-Z]+: &str = )"([a-z-]+)"', code))
    assert told == set(SCHEMA["$defs"]["check"]["properties"]["facts"]["items"]["properties"]["name"]["enum"])


@pytest.mark.parametrize("change", [{"ready": "yes"}, {"more": 1}, {"facts": []}, {"fingerprint": "x"}])
def test_another_form_is_not_valid(node, change):
    document, _ = documents(node(0), "check")
    assert not is_valid(document | change, "check")
