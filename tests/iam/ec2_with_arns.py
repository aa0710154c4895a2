"""moto's server, in which IAM is asked about the ARNs of a call, as EC2 and STS do it. By itself moto asks about "*" for every call of
theirs, which no policy that names an ARN allows. Called as moto_server is.
"""

import sys

from moto.ec2.responses import EC2Response
from moto.server import main
from moto.sts.responses import TokenResponse

# The resource types of each action; the others have none
# (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html).
TYPES = {
    "AssociateAddress": {"elastic-ip", "instance", "network-interface"},
    "DisassociateAddress": {"elastic-ip", "network-interface"},
}


def concerned(call: EC2Response) -> dict[str, str]:
    """What the call touches: an id for each resource type."""
    def named(name: str) -> str | None:
        return call.data.get(name, [None])[0]

    ids = {"elastic-ip": named("AllocationId"), "instance": named("InstanceId"), "network-interface": named("NetworkInterfaceId")}
    for address in call.ec2_backend.addresses:
        if address.association_id and address.association_id == named("AssociationId"):
            ids |= {"elastic-ip": address.allocation_id, "network-interface": address.network_interface_id}
    if instance := call.ec2_backend.get_instance_by_id(ids["instance"]):
        ids["network-interface"] = instance.nics[0].id
    return {kind: id for kind, id in ids.items() if id}


def authorize(call: EC2Response, _resource: str):
    """Each resource must be allowed."""
    types = TYPES.get(call._get_action(), set())
    arns = [f"arn:{call.partition}:ec2:{call.region}:{call.current_account}:{kind}/{id}"
            for kind, id in concerned(call).items() if kind in types]
    for resource in arns or ["*"]:
        super(EC2Response, call)._authenticate_and_authorize_normal_action(resource)


def authorize_assume_role(call: TokenResponse, _resource: str):
    """The role must be allowed. moto keeps its trust policy, but asks nothing of it."""
    super(TokenResponse, call)._authenticate_and_authorize_normal_action(call.data.get("RoleArn", ["*"])[0])


EC2Response._authenticate_and_authorize_normal_action = authorize
TokenResponse._authenticate_and_authorize_normal_action = authorize_assume_role
main(sys.argv[1:])
