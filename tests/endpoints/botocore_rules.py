"""Where the APIs of EC2 and STS are, by the rules that AWS publishes with botocore.

    botocore_rules.py > endpoints.tsv
"""

from botocore import session
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import Loader

SERVICES = ("ec2", "sts")
HEADING = ("# region", *(f"{service} {kind}" for service in SERVICES for kind in ("plain", "dual-stack", "FIPS", "FIPS and dual-stack")))


def regions() -> list[str]:
    aws = session.Session()
    return sorted(
        region for partition in aws.get_available_partitions() for region in aws.get_available_regions("ec2", partition))


def table() -> str:
    loader = Loader()
    partitions = loader.load_data("partitions")
    rules = [EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), partitions) for service in SERVICES]
    rows = [HEADING]
    for region in regions():
        urls = [
            service.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual_stack).url
            for service in rules
            for fips in (False, True)
            for dual_stack in (False, True)
        ]
        rows.append((region, *urls))
    return "".join("\t".join(row) + "\n" for row in rows)


if __name__ == "__main__":
    print(table(), end="")
