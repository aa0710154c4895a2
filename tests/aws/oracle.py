"""What botocore makes of a machine: the requests it would send, as it signs them, or that it refuses."""

import functools
import os
import re
from unittest import mock
from urllib.parse import parse_qs

import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.session
import botocore.utils

from cases import HOME

# What the metadata service of each machine tells.
REGION = "sa-east-1"
ROLE_KEYS = {"role_name": "web", "access_key": "AKIDROLE", "secret_key": "secret/role+", "token": "tokenrole==",
             "expiry_time": "2099-01-01T00:00:00Z"}
ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>AKIDASSUMED</AccessKeyId><SecretAccessKey>secret/assumed+</SecretAccessKey><SessionToken>tokenassumed==</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
PARAMETERS = ("RoleArn", "ExternalId", "DurationSeconds", "RoleSessionName")
Acting = botocore.credentials.AssumeRoleProvider
LOADER = botocore.loaders.create_loader()


def signed(authorization, token, body):
    """A request by what signed it: the key, the token, the region, and what an AssumeRole asks for."""
    key, region = re.search(r"Credential=(.*?)/\d{8}/(.*?)/[^/]+/aws4_request", authorization).groups()
    said = {name: values[0] for name, values in parse_qs(body).items()}
    if said["Action"] != "AssumeRole":
        return (key, token, region)
    asked = {name: said[name] for name in PARAMETERS if name in said}
    # Where nobody chooses a name for the session, botocore writes the time.
    if re.fullmatch(r"botocore-session-\d+|elastic-ip", asked["RoleSessionName"]):
        del asked["RoleSessionName"]
    return (key, token, region, asked)


def outcome(case, root):
    """The requests in their order, or the reason of a refusal."""
    environment = {"HOME": str(root / HOME), "AWS_MAX_ATTEMPTS": "1", **case.environment}
    environment |= {name: value for name, value in case.configured.items() if name.startswith("AWS_")}
    named = case.only_profile
    if not named and any(name.endswith("_PROFILE") or name == "AWS_SHARED_CREDENTIALS_FILE" for name in case.configured):
        # What the program's file names wins over the environment's keys, as an option of the AWS CLI does.
        named = next((environment[name] for where in (case.configured, environment)
                      for name in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE") if name in where), "default")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        if environment.get(name, "").startswith("/"):
            environment[name] = f"{root}{environment[name]}"
    requests, secrets = [], []
    role = ROLE_KEYS if case.has_role else {}
    fetch = mock.patch.object(botocore.utils.InstanceMetadataFetcher, "retrieve_iam_role_credentials", lambda _: role)
    # There is no container, and nobody to type a code.
    nobody = mock.Mock(side_effect=OSError("nobody is there"))
    container = mock.patch.object(botocore.utils.ContainerMetadataFetcher, "retrieve_full_uri", nobody)
    prompt = mock.patch.object(Acting, "__init__", functools.partialmethod(Acting.__init__, prompter=nobody))
    with mock.patch.dict(os.environ, environment, clear=True), fetch, container, prompt:
        try:
            return requests_of(session_of(named, requests, secrets), requests, secrets)
        except (botocore.exceptions.BotoCoreError, ValueError, TypeError, AttributeError, OSError) as error:
            return f"refused: {type(error).__name__}: {error}"


def session_of(profile, requests, secrets):
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", LOADER)

    def answer(request, **_):
        token = request.headers.get("X-Amz-Security-Token")
        text = lambda value: value.decode() if isinstance(value, bytes) else value
        requests.append(signed(text(request.headers["Authorization"]), text(token), text(request.body)))
        xml = ASSUMED if "AssumeRole" in text(request.body) else "<R><GetCallerIdentityResult/></R>"
        return botocore.awsrequest.AWSResponse(request.url, 200, {}, Raw(xml.encode()))

    def note_the_secret(request_signer, **_):
        secrets.append(request_signer._credentials.get_frozen_credentials().secret_key)

    session.register("before-sign", note_the_secret)
    session.register("before-send", answer)
    return session


class Raw:
    def __init__(self, content):
        self.content = content

    def stream(self, *_, **__):
        yield self.content


def requests_of(session, requests, secrets):
    region = None if session.get_config_variable("region") is not None else REGION
    session.create_client("sts", region_name=region).get_caller_identity()
    # What cannot go into a header or signs nothing is no key; botocore leaves it to EC2 to say so.
    for part in [part for key, token, *_ in requests for part in (key, token or "none")] + secrets:
        if not re.fullmatch(r"[!-~]+", part):
            return f"refused: {part!r} is no part of a key"
    return requests
