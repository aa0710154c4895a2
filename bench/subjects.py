"""Those who call EC2: elastic-ip, what else people use, and the limit of the wire."""

import re
import shutil
import subprocess
from pathlib import Path

from endpoint import ADDRESS, ALLOCATION
from network import AUTHORITIES, FAR, HERE, ME, PLACE, package
from record import REPOSITORY, output

DEBIAN = REPOSITORY / "target/bench/debian"
VENV = REPOSITORY / "target/bench-venv"
PROGRAM = PLACE / "package/usr/sbin/elastic-ip"
REGION, KEY, SECRET = "eu-west-1", "AKIAEXAMPLEDUMMY0000", "sEcReTcAnArY/of/the/bench/0000000000000"
PEER = "i-0fedcba9876543210"

# Each with its word, who has the address before, who after, and whether this node has asked for it since its boot: so
# it is in a cluster, and elastic-ip remembers what it saw.
ACTIONS = {
    "start, taking it": ("start", PEER, ME, True),
    "start, mine already": ("start", ME, ME, True),
    "start, the first call since the boot": ("start", PEER, ME, False),
    "stop": ("stop", ME, None, True),
    "stop, the first call since the boot": ("stop", ME, None, False),
    "status": ("status", ME, ME, True),
}
LIMIT, OURS = "the limit", "elastic-ip"
AWSEIP = {"awseip, Debian's CLI": "Debian", "awseip, PyPI's CLI": "PyPI"}
ARTICLE = {"the script, Debian's CLI": "Debian", "the script, PyPI's CLI": "PyPI"}
SUBJECTS = (LIMIT, OURS, *AWSEIP, *ARTICLE)
# awseip's default for its parameter `api_delay`: it sleeps that long after each change.
API_DELAY = 3


class Callers:
    """The subjects, set up to call EC2 at `url`; the instance is `me`."""

    def __init__(self, url: str, limit: Path, me: str = ME, allocation: str = ALLOCATION):
        self.limit, self.url, self.allocation = limit, url, allocation
        self.place = PLACE / re.sub(r"\W+", "-", url)
        self.root = self.place / "root"
        write(self.root / "etc/default/elastic-ip",
              f'ELASTIC_IP={ADDRESS}\nAWS_PARAMS="--region={REGION}"\nAWS_ENDPOINT_URL_EC2={url}\nALLOW_PLAIN_HTTP=yes\n')
        write(self.root / AUTHORITIES, Path("/", AUTHORITIES).read_text())
        write(self.root / "root/.awssecret", f"{KEY}\n{SECRET}\n")
        write(self.root / "sys/devices/virtual/dmi/id/board_asset_tag", me + "\n")
        write(self.place / "home/.aws/credentials", f"[default]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")

    def record(self, action: str, requests: list[str]):
        """Keeps what elastic-ip sent, for the limit to send it again."""
        for number, request in enumerate(requests):
            (self.place / f"{action}-{number}").write_bytes(request.encode("latin-1"))

    def boot(self):
        """elastic-ip remembers nothing any more."""
        shutil.rmtree(self.root / "run", ignore_errors=True)

    def ask(self):
        """elastic-ip sees who has the address. It is no failure that this node has not."""
        command, environment = self.call(OURS, "status")
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def call(self, subject: str, action: str) -> tuple[list[str], dict[str, str]]:
        """The command and its environment."""
        word = ACTIONS[action][0]
        system = "/usr/sbin:/usr/bin:/sbin:/bin"
        if subject == OURS:
            return [str(PROGRAM), "--root", str(self.root), word], {"HOME": "/root", "PATH": system}
        if subject == LIMIT:
            secure = self.url.startswith("https:")
            requests = sorted(map(str, self.place.glob(f"{action}-*")))
            return [str(self.limit), f"{FAR}:{443 if secure else 80}", str(PLACE / "authority.pem") if secure else "-", *requests], {}
        debian = (AWSEIP | ARTICLE)[subject] == "Debian"
        cli = DEBIAN / "usr/bin" if debian else VENV / "bin"
        environment = {
            "HOME": str(self.place / "home"), "PATH": f"{cli}:{system}",
            "AWS_DEFAULT_REGION": REGION, "AWS_CA_BUNDLE": f"/{AUTHORITIES}",
        } | ({"PYTHONPATH": str(DEBIAN / "usr/lib/python3/dist-packages")} if debian else {})
        if subject in ARTICLE:
            return [str(HERE / "article"), word], environment | {
                "ELASTIC_IP": ADDRESS, "ALLOCATION_ID": self.allocation, "AWS_PARAMS": f"--endpoint-url {self.url}"}
        return [str(DEBIAN / "usr/lib/ocf/resource.d/heartbeat/awseip"), "monitor" if word == "status" else word], environment | {
            "OCF_ROOT": str(DEBIAN / "usr/lib/ocf"), "OCF_RESOURCE_INSTANCE": "bench", "HA_RSCTMP": str(self.place),
            "OCF_RESKEY_awscli": f"{cli}/aws --endpoint-url {self.url}",
            "OCF_RESKEY_elastic_ip": ADDRESS, "OCF_RESKEY_allocation_id": self.allocation}


def write(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def about_the_subjects() -> dict:
    """Versions, and bytes."""
    unpacked = dict(line.split("\t") for line in (DEBIAN / "versions").read_text().splitlines())
    pinned = dict(line.strip().split("==") for line in (HERE / "requirements.txt").read_text().splitlines() if "==" in line)
    return {"Debian": unpacked["awscli"], "PyPI": pinned["awscli"], "resource-agents": unpacked["resource-agents"],
            OURS: output(str(PROGRAM), "--version").split()[-1], "program": PROGRAM.stat().st_size, "package": package().stat().st_size}
