"""The demo as a picture: who had the address, second by second, and where Heartbeat ran."""

import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

WIDTH, LEFT, RIGHT, TOP, LANE, BAR = 900, 100, 24, 80, 64, 24
# Distinct to the colour-blind (Okabe and Ito).
COLOURS = {"server1": "#56b4e9", "server2": "#e69f00", "nobody": "#d55e00"}
GREY = "#999999"


@dataclass
class Scene:
    """All moments are in seconds since the beginning."""
    address: str
    # What was done, and when.
    events: list[tuple[float, str]] = field(default_factory=list)
    # Who came to have the address, and when.
    owners: list[tuple[float, str]] = field(default_factory=list)
    # Where Heartbeat began (True) or ceased (False) to run, and when.
    heartbeats: list[tuple[float, str, bool]] = field(default_factory=list)
    # The word that a node's status ended with, and when.
    answers: list[tuple[float, str, str]] = field(default_factory=list)
    end: float = 0.0


def draw(scene: Scene, where: Path):
    lanes = {name: TOP + LANE * row for row, name in enumerate(COLOURS)}
    bottom = TOP + LANE * len(lanes)
    svg = xml.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {bottom + 44}", width=str(WIDTH),
                      attrib={"font-family": "sans-serif", "font-size": "13"})

    def add(tag: str, text: str | None = None, **attributes):
        shape = xml.SubElement(svg, tag, {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()})
        shape.text = text
        return shape

    def x(at: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * at / scene.end, 1)

    add("title", f"Who has {scene.address} in a failover and a failback")
    add("rect", width=WIDTH, height=bottom + 44, fill="#ffffff")
    for name, y in lanes.items():
        add("text", name, x=12, y=y + 31)
        add("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y + 26, y2=y + 26, stroke="#eeeeee")

    for node in (name for name in lanes if name != "nobody"):
        since = None
        for at, _, runs in [*(beat for beat in scene.heartbeats if beat[1] == node), (scene.end, node, False)]:
            if since is not None:
                add("rect", x=x(since), y=lanes[node] + 44, width=round(x(at) - x(since), 1), height=4, fill=GREY)
            since = at if runs else None
    for (at, name), (until, _) in zip(scene.owners, [*scene.owners[1:], (scene.end, "")]):
        bar = add("rect", x=x(at), y=lanes[name] + 14, width=round(x(until) - x(at), 1), height=BAR, fill=COLOURS[name])
        said = "" if until == scene.end else f"{until - at:.1f} s"
        xml.SubElement(bar, "title").text = f"{name} from {at:.1f} to {until:.1f} s"
        if name == "nobody" or x(until) - x(at) < 50:
            add("text", said, x=x(until) + 4, y=lanes[name] + 31)
        else:
            add("text", said, x=(x(at) + x(until)) / 2, y=lanes[name] + 31, text_anchor="middle")
    for at, node, word in scene.answers:
        add("circle", cx=x(at), cy=lanes[node] + 46, r=4, fill=GREY)
        add("text", word, x=x(at) - 8, y=lanes[node] + 50, text_anchor="end", font_size=12,
            stroke="#ffffff", stroke_width=4, paint_order="stroke")
    for number, (at, text) in enumerate(scene.events):
        # In two rows, for they may be longer than the time between them; one near the end stands before its moment.
        y = TOP - 10 - 18 * (number % 2)
        before = x(at) > WIDTH * 2 / 3
        add("line", x1=x(at), x2=x(at), y1=y - 12, y2=bottom, stroke="#444444", stroke_dasharray="4 3")
        add("text", text, x=x(at) + (-4 if before else 4), y=y, text_anchor="end" if before else "start")
    for at in range(0, int(scene.end) + 1, 5):
        add("line", x1=x(at), x2=x(at), y1=bottom, y2=bottom + 5, stroke="#444444")
        add("text", str(at), x=x(at), y=bottom + 19, text_anchor="middle", font_size=12)
    add("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, stroke="#444444")
    add("text", f"seconds · colour: {scene.address} is here, as EC2 says · grey: Heartbeat runs; a dot: status asked",
        x=LEFT, y=bottom + 38, font_size=12)
    add("text", f"Who has {scene.address}", x=12, y=24, font_size=16)
    xml.indent(svg, " ")
    xml.ElementTree(svg).write(where, encoding="utf-8", xml_declaration=True)
