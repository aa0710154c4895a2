"""What docs/performance.md and the README say of the calls."""

from pathlib import Path

from subjects import ACTIONS, API_DELAY, ARTICLE, AWSEIP, LIMIT, OURS, SUBJECTS
from table import table


def section(figures: dict) -> str:
    costs, settings, subjects = figures["costs"], figures["settings"], figures["subjects"]
    https = [one for one in settings if one["scheme"] == "https"]
    http = [one for one in settings if one["scheme"] == "http"]
    slow, fast = https[0]["times"][next(iter(AWSEIP))]["status"]["wall"]["n"], https[0]["times"][OURS]["status"]["wall"]["n"]
    lengths = ", ".join(f"{one['measured']:.2f} ms for {one['rtt']:g}" for one in https)
    pauses = {action: API_DELAY * sum("Describe" not in call for call in costs[next(iter(AWSEIP))][action]["calls"]) for action in ACTIONS}
    paused = "; ".join(f"`{action}`" for action, pause in pauses.items() if pause)
    return f"""## One call, side by side

![Time of a call over the round trip, for each action and each subject](calls.svg)

{OURS} {subjects[OURS]} out of the package; resource-agents' `awseip` ({subjects["resource-agents"]}) and the article's script in today's form
([bench/article](../bench/article)), each with Debian's AWS CLI ({subjects["Debian"]}) and PyPI's ({subjects["PyPI"]}). **The limit**
([bench/limit.rs](../bench/limit.rs)) sends the bytes that elastic-ip sent, over one connection, and does nothing else. *Round trips*
are those that even it must wait for: of the connection, of TLS 1.3 and of each request.

All took turns in one run: {fast} rounds of elastic-ip and the limit, {slow} of the others. Shown are medians, and the 10th to the
90th percentile. `awseip` sleeps for its `api_delay` of {API_DELAY} s where it changes something ({paused}); that is in its times.

EC2 is a stand-in ([bench/endpoint.py](../bench/endpoint.py)) that answers in {figures["answer"]} µs: what EC2 takes comes on top, for all alike.
It is behind a wire ([bench/wire.py](../bench/wire.py)) that holds each packet for half of the round trip; measured: {lengths}. The
instance's id comes from the firmware or, for those who do not look there, from a metadata service without delay; the keys come
from a file; all trust the system's authorities, the bench's own among them. Each of the {figures["moto"]} pairs of a subject and an action
made the same calls against moto, which then named the right owner.

### Wall time over HTTPS, in ms, by round trip

{walls(https, costs, SUBJECTS)}

### Above the limit, in ms

What elastic-ip takes longer than the limit, median less median, over HTTPS and (plain HTTP).

{above(https, http)}

### What was aimed at

{goals(figures, https + http)}

Where this node has asked for the address since its boot, as Heartbeat does before each start, and where the configuration names the
allocation id, a start is one request, and so is the stop of what this node has: they act on what EC2 has said before. A start or a
stop that knows nothing asks first.

### Wall time over plain HTTP, in ms, by round trip

{walls(http, costs, (LIMIT, OURS))}

### What it costs the machine

One call over HTTPS without delay: CPU is the median; memory is that of the largest process.

{machine_costs(https[0], costs)}
"""


def walls(settings: list[dict], costs: dict, subjects) -> str:
    rows = []
    for action in ACTIONS:
        trips = costs[OURS][action]["connections"] * (2 if settings[0]["scheme"] == "https" else 1) + len(costs[OURS][action]["calls"])
        rows.append([f"**{action}**", f"*{trips} round trips*", *(f"{trips * one['rtt']:g}" for one in settings)])
        for subject in subjects:
            walls = [one["times"][subject][action]["wall"] for one in settings]
            rows.append(["", subject, *(f"{digits(wall['median'])} ({digits(wall['p10'])} to {digits(wall['p90'])})" for wall in walls)])
    return table(["", "", *(f"{one['rtt']:g} ms" for one in settings)], rows)


def digits(ms: float) -> str:
    return f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def over(setting: dict, action: str) -> float:
    return setting["times"][OURS][action]["wall"]["median"] - setting["times"][LIMIT][action]["wall"]["median"]


def above(https: list[dict], http: list[dict]) -> str:
    return table(["", *(f"{one['rtt']:g} ms" for one in https)],
                 [[action, *(f"{over(one, action):.1f} ({over(plain, action):.1f})" for one, plain in zip(https, http))] for action in ACTIONS])


def goals(figures: dict, settings: list[dict]) -> str:
    def worst(*actions: str) -> float:
        return max(over(one, action) for one in settings for action in actions)
    start, mine, first_start, stop, first_stop, status = ACTIONS
    close = [one for one in settings if one["scheme"] == "https" and one["rtt"] == 20]
    ours, subjects = figures["costs"][OURS], figures["subjects"]
    cpu = max(one["times"][OURS][status]["cpu"]["median"] for one in settings)
    aims = [
        ("status above the limit, at the worst round trip", worst(status), 5, "ms"),
        ("start of a known address above the limit, at 20 ms", max(over(one, start) for one in close), 5, "ms"),
        ("start and stop above the limit, at the worst round trip", worst(start, mine, first_start, stop, first_stop), 8, "ms"),
        ("status, CPU, at the worst round trip", cpu, 8, "ms"),
        ("peak memory", max(cost["peak"] for cost in ours.values()), 10, "MiB"),
        ("EC2 requests of a start that has the allocation id", len(ours[start]["calls"]), 1, ""),
        ("connections to EC2", max(cost["connections"] for cost in ours.values()), 1, ""),
        ("the program", subjects["program"] / 1e6, 3, "MB"),
        ("the package", subjects["package"] / 1e6, 1.2, "MB"),
    ]
    return table(["", "at most", "measured", ""], [[what, f"{most} {unit}".strip(), f"{found:.3g} {unit}".strip(), "yes" if found <= most else "**no**"]
                                                   for what, found, most, unit in aims])


def machine_costs(setting: dict, costs: dict) -> str:
    rows = []
    for action in ACTIONS:
        for subject in SUBJECTS:
            cost = costs[subject][action]
            rows.append([f"**{action}**" if subject == LIMIT else "", subject, digits(setting["times"][subject][action]["cpu"]["median"]),
                         f"{cost['peak']:.1f}", *map(str, (cost["processes"], len(cost["calls"]), cost["connections"], cost["metadata"]))])
    return table(["", "", "CPU, ms", "peak memory, MiB", "processes started", "EC2 requests", "EC2 connections", "metadata requests"], rows)


def summaries(figures: dict) -> dict[str, str]:
    """For the README."""
    setting = next(one for one in figures["settings"] if one["scheme"] == "https" and one["rtt"] == 20)

    def times_as_long(subjects, action: str) -> str:
        walls = {subject: setting["times"][subject][action]["wall"]["median"] for subject in (OURS, *subjects)}
        return f"{min(walls[subject] for subject in subjects) / walls[OURS]:.0f} ×"
    rows = [[action, f"{setting['times'][OURS][action]['wall']['median']:.0f} ms", f"{round(over(setting, action))} ms",
             times_as_long(AWSEIP, action), times_as_long(ARTICLE, action)] for action in ACTIONS]
    head = ["20 ms to EC2, HTTPS", "elastic-ip takes", "above the limit of the wire", "`awseip` takes", "the article's script takes"]
    return {"calls": f"""{table(head, rows)}

The others are with the faster of two AWS CLIs; {API_DELAY} s of `awseip`'s start and stop are a pause that it makes by default. How this was measured, plots, and what a call costs the machine: [docs/performance.md](docs/performance.md).
"""}


def plot(figures: dict, path: Path):
    from matplotlib.figure import Figure
    https = [one for one in figures["settings"] if one["scheme"] == "https"]
    colours = dict(zip(SUBJECTS, ("#888888", "#d62728", "#1f77b4", "#7fb2dd", "#2ca02c", "#98d894")))
    figure = Figure(figsize=(14, 7.2))
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for panel, action in zip(panels.flat, ACTIONS):
        for subject in SUBJECTS:
            walls = [one["times"][subject][action]["wall"] for one in https]
            medians = [wall["median"] for wall in walls]
            spreads = [[wall["median"] - wall["p10"] for wall in walls], [wall["p90"] - wall["median"] for wall in walls]]
            panel.errorbar(range(len(https)), medians, yerr=spreads, label=subject, color=colours[subject], marker="o", markersize=4,
                           capsize=3, linestyle="--" if subject == LIMIT else "-", linewidth=2 if subject == OURS else 1.2)
        panel.set_title(action)
        panel.set_yscale("log")
        panel.set_yticks([1, 10, 100, 1000, 10000], ["1 ms", "10 ms", "0.1 s", "1 s", "10 s"])
        panel.set_xticks(range(len(https)), [f"{one['rtt']:g} ms" for one in https])
        panel.grid(axis="y", alpha=0.3)
    for panel in panels[1]:
        panel.set_xlabel("round trip to EC2")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, metadata={"Date": None})
