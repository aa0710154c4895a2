import dataclasses
import os
import signal
import statistics
import sys

import pytest

import base
from cluster import Cluster, Configuration, Lateness, package

# A shell without job control starts what it runs in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two samples of the owner may not lie further apart, as a rule: a busy machine makes exceptions.
SAMPLING_LIMIT = 0.05


@pytest.fixture(scope="session")
def machines(request):
    """The two machines, which the scenarios use one after the other."""
    if "ELASTIC_IP_SANDBOX" not in os.environ:
        pytest.fail("the scenarios need namespaces of their own: run tests/cluster/run", pytrace=False)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    machines = Cluster(package(), number=int(worker.removeprefix("gw")))
    if worker == "gw0":
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{machines.introduce()}", file=sys.stderr, flush=True)
    yield machines
    machines.close()


@pytest.fixture(params=[Lateness(), Lateness(0.5), Lateness(4), Lateness(4, replicas=True)], ids=str)
def lateness(request):
    """How late EC2 shows to the nodes what is so. Pacemaker asks 20 ms after a start."""
    return request.param


@pytest.fixture
def cluster(machines, request, record_property):
    """`cluster(…)` boots both machines with that configuration, as `Configuration` names it."""
    scenario = Scenario(machines, record_property)
    yield scenario
    # tests/canary searches them as well.
    machines.keep_logs(base.LOGS / request.node.name)
    if not request.node.stash.get(FAILED, False):
        scenario.assert_nothing_is_amiss()


class Scenario:
    def __init__(self, machines: Cluster, record_property):
        self.machines = machines
        self.record_property = record_property
        self.explained = []

    def __call__(self, **configuration) -> Cluster:
        self.machines.reset(dataclasses.replace(Configuration(), **configuration))
        return self.machines

    def explain(self, *complaints: str):
        """Parts of the lines that Heartbeat logs as errors because of what the scenario does."""
        self.explained.extend(complaints)

    def figure(self, text: str):
        """A measured figure, printed at the end of the run."""
        self.record_property("figure", text)

    def figure_without_owner(self, what: str, history) -> float:
        seconds = history.seconds_without_owner()
        steps = history.steps()
        self.figure(f"{what}: {seconds:.2f} s without an owner ({len(steps)} samples, "
                    f"{statistics.median(steps) * 1000:.0f} ms apart, {max(steps) * 1000:.0f} ms at most)")
        assert statistics.median(steps) <= SAMPLING_LIMIT
        return seconds

    def assert_nothing_is_amiss(self):
        if self.machines.garbled:
            self.figure(f"heartbeat garbled its own start {self.machines.garbled} times")
        for node in self.machines.nodes.values():
            assert node.reboots() == [], f"{node.name} rebooted"
        unexplained = [line for line in self.machines.complaints()
                       if not any(known in line for known in self.explained)]
        assert unexplained == []


FAILED = pytest.StashKey[bool]()


def pytest_configure(config):
    config.addinivalue_line("markers", "central: what `make test` also runs on the nodes' newer release")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report


def pytest_terminal_summary(terminalreporter):
    reports = [report for reports in terminalreporter.stats.values() for report in reports
               if getattr(report, "when", None) == "teardown"]
    figures = [(report.nodeid.split("::")[-1], text) for report in reports
               for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("measured")
        for scenario, text in figures:
            terminalreporter.line(f"{scenario}\n    {text}")
