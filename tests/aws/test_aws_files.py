"""~/.aws and the environment are read as botocore reads them: the same key, token and region, or a refusal.

    target/venv/bin/python tests/aws/test_aws_files.py 5000 [SEED [SPICE]]     compares as many made-up machines
    target/venv/bin/python tests/aws/test_aws_files.py SEED/NUMBER [SPICE]     shows one of them

With a spice of 8, what is rare is in most of them, and much more is refused than on machines that work.

AWS_REGION, which only the other SDKs read, ~/.boto and /etc/boto.cfg, which only botocore reads, and blanks around a region in
the environment, which the program drops, are in none of them.
"""

import collections
import concurrent.futures
import re
import sys
import tempfile
from pathlib import Path

import oracle
import program
from cases import Maker, cases

SEED, COUNT = 20261126, 400
MANUAL = Path(__file__).resolve().parents[2] / "man/elastic-ip.8"

# What the program refuses and botocore takes: how it is told, and how the manual page says it.
STRICTER = {
    "no keys": ("no keys for profile", "A profile or a file that is named and gives no keys"),
    "no file": ("does not exist; .* names it", "does not exist"),
    "half": ("is missing; add it|is set but .* is not", "an access key id without its secret key, or the other way round"),
    "region": ("is not a region", "a region of another form"),
    "path": ("not an absolute path|is empty; unset it", "a path that is neither absolute nor below ~/"),
    "characters": ("not made of letters and digits|holds a character that none has", "quotes, blanks or other characters that no key has"),
    "control": ("a control character|holds a character that it cannot have", "a control character, or in what names a role one beyond ASCII"),
    "elsewhere": ("which this program does not (support|read)", "keys from a command, SSO"),
}


def compare(seed, count, spice=1):
    """The outcomes that differ, as (number, botocore's, the program's)."""
    cloud = program.Cloud()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(3) as pool:
        def prepare(number, case):
            root = Path(folder) / str(number)
            program.write(root, case, cloud.url(number))
            return number, case, root

        made = [prepare(*case) for case in cases(seed, count, spice)]
        ours = [pool.submit(program.outcome, cloud, *one) for one in made]
        for (number, case, root), our in zip(made, ours, strict=True):
            theirs, our = oracle.outcome(case, root), our.result()
            if is_refusal(theirs) and is_refusal(our):
                continue
            if theirs != our:
                yield number, theirs, our


def is_refusal(outcome):
    return isinstance(outcome, str)


def judge(differing):
    wrong = [one for one in differing if not is_refusal(one[2])]
    stricter = collections.defaultdict(list)
    for one in differing:
        if is_refusal(one[2]):
            stricter[kind(one[2])].append(one)
    return wrong, stricter


def kind(refusal):
    """The class that a refusal is of."""
    return next((name for name, (told, _) in STRICTER.items() if re.search(told, refusal)), None)


def test_the_program_signs_as_botocore_does_or_refuses():
    """Fails when a rule of Python's configparser or of botocore's chain is read otherwise, or a refusal has no class."""
    wrong, stricter = judge(list(compare(SEED, COUNT)))
    assert wrong == []
    assert stricter.pop(None, []) == []
    assert sum(map(len, stricter.values())) <= COUNT * 0.02, stricter


def test_the_same_holds_where_what_is_rare_is_not():
    wrong, stricter = judge(list(compare(SEED, COUNT // 2, spice=5)))
    assert wrong == []
    assert stricter.pop(None, []) == []


def test_the_manual_page_names_each_class_of_what_is_stricter():
    text = " ".join(re.sub(r"^\.\w+ ", "", line) for line in MANUAL.read_text().splitlines())
    assert [said for _, said in STRICTER.values() if said not in text] == []


def show(seed, number, spice):
    case = Maker(f"{seed}/{number}", spice).case()
    for path, content in case.files.items():
        print(f"--- {path}\n{content.decode(errors='replace')!s}")
    print(case.environment, case.configured, case.only_profile, case.has_role)


if __name__ == "__main__":
    if "/" in sys.argv[1]:
        show(*sys.argv[1].split("/"), float(sys.argv[2]) if len(sys.argv) > 2 else 1)
        sys.exit()
    count, seed, spice = int(sys.argv[1]), *(sys.argv[2:] + [SEED, 1][len(sys.argv) - 2:])
    wrong, stricter = judge(list(compare(seed, count, float(spice))))
    for number, theirs, ours in [*wrong[:40], *stricter.get(None, [])[:20]]:
        print(f"{seed}/{number}: botocore {theirs}\n    but here {ours}")
    print(f"{count} cases, {len(wrong)} wrong, {sum(map(len, stricter.values()))} stricter:",
          {name: len(those) for name, those in stricter.items()})
    sys.exit(bool(wrong or None in stricter))
