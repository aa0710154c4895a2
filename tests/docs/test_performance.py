"""docs/performance.md and the README's figures are what the bench measured."""

import importlib
import sys

from documents import REPOSITORY

sys.path.append(str(REPOSITORY / "bench"))
import report


def test_the_documents_show_the_figures_that_are_kept():
    rendered = report.rendered(report.measured())
    assert len(rendered) == 2
    assert {path: path.read_text() for path in rendered} == rendered


def test_the_readme_has_each_figure_that_the_parts_have_for_it_once():
    blocks = [block[2] for block in report.BLOCK.finditer(report.README.read_text())]
    assert sorted(blocks) == sorted(report.summaries(report.measured()))


def test_another_figure_makes_other_documents():
    kept = report.measured()
    for setting in kept["calls"][1]["settings"]:
        for actions in setting["times"].values():
            for times in actions.values():
                times["wall"]["median"] += 1000
    rendered = report.rendered(kept)
    assert all(path.read_text() != text for path, text in rendered.items())


def test_each_part_has_been_measured_and_its_plot_is_on_the_page():
    text = report.PAGE.read_text()
    assert tuple(report.measured()) == report.PARTS
    for part in ("calls", "zone", "failovers"):
        assert hasattr(importlib.import_module(part), "plot")
        assert (report.PAGE.parent / f"{part}.svg").read_text().startswith("<?xml")
        assert f"]({part}.svg)" in text


def test_another_figure_of_a_zone_makes_another_page():
    kept = report.measured()
    for case in kept["zone"][1]["cases"]:
        case["sent"] += 1000
    assert report.page(kept) != report.PAGE.read_text()
