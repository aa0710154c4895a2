"""Made-up machines: the files in ~/.aws, the environment and /etc/default/elastic-ip of each, from a seed."""

import random
from dataclasses import dataclass, field

HOME = "home/me"
REGIONS = ["eu-west-1", "us-east-2", "ap-southeast-1", "us-gov-west-1"]
NAMES = ["default", "failover", "fail over", "Failover", "a.b"]
# White space to Python, and what breaks lines there.
BLANKS = ["\u00a0", "\u3000", "\u2003", "\x0b", "\x0c", "\x1f", "\x85", "\u2028", "\u200b"]
PROCESS = """/bin/echo '{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret/process+"}'"""
# The names that botocore and the program both take from the environment, and the program from its file.
FILES = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
# The names of other places for keys, which botocore knows and the program does not.
ELSEWHERE = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CREDENTIAL_FILE", "BOTO_CONFIG", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
             "AWS_CONTAINER_CREDENTIALS_FULL_URI")


@dataclass
class Case:
    """One machine. Paths are below its root."""

    files: dict[str, bytes] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    # What /etc/default/elastic-ip sets.
    configured: dict[str, str] = field(default_factory=dict)
    # AWS_PARAMS names a profile.
    only_profile: str | None = None
    has_role: bool = False


class Maker:
    """What is rare happens `spice` times as often."""

    def __init__(self, seed, spice=1):
        self.random = random.Random(seed)
        self.keys = 0
        self.spice = spice

    def chance(self, percent):
        return self.random.random() * 100 < (percent * self.spice if percent < 10 else percent)

    def of(self, *choices):
        return self.random.choice(choices)

    def number(self):
        self.keys += 1
        return self.keys

    def case(self):
        case = Case(has_role=self.chance(60))
        self.choose_profile(case)
        credentials, config = f"{HOME}/.aws/credentials", f"{HOME}/.aws/config"
        for name, path, other in ((FILES[0], credentials, "etc/aws/keys"), (FILES[1], config, "etc/aws/settings")):
            if self.chance(8):
                where = case.configured if self.chance(50) else case.environment
                where[name] = self.of("/" + other, "/" + other, f"~/{other.removeprefix('etc/')}")
                moved = other if where[name] == "/" + other else f"{HOME}/{other.removeprefix('etc/')}"
                path = moved
            if self.chance(99 if name in (*case.configured, *case.environment) or (self.wanted(case) and name == FILES[0]) else 85):
                case.files[path] = self.file(name == FILES[0], case)
        if self.chance(0.1):
            case.environment[self.of(*FILES)] = self.of("", "aws/keys", "$HOME/aws/keys", "~root/keys", "~")
        if self.chance(1):
            case.environment[self.of(*ELSEWHERE)] = self.of("", "/nonexistent")
        if self.chance(15):
            self.put_keys_into(case.environment)
        if self.chance(15):
            case.environment["AWS_DEFAULT_REGION"] = self.of(*REGIONS)
        elif self.chance(2):
            case.environment["AWS_DEFAULT_REGION"] = ""
        return case

    def choose_profile(self, case):
        where = self.random.random() * 100
        # A misspelt name, or one with something around it, is nobody's.
        name = self.of(*NAMES) if self.chance(92) else self.of("failovr", " failover", "FAILOVER", "profile failover", "", "f\u00e4il", "DEFAULT")
        if where < 25:
            case.environment[self.of("AWS_PROFILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")] = name
            if self.chance(10):
                case.environment[self.of("AWS_PROFILE", "AWS_DEFAULT_PROFILE")] = self.of(*NAMES)
        elif where < 40 and name:
            case.configured[self.of("AWS_PROFILE", "AWS_DEFAULT_PROFILE")] = name
        elif where < 50 and name:
            case.only_profile = name

    def put_keys_into(self, environment):
        number = self.number()
        if not self.chance(1.5):
            environment["AWS_ACCESS_KEY_ID"] = self.of("", f"AKIDENV{number}") if self.chance(3) else f"AKIDENV{number}"
        if not self.chance(2):
            environment["AWS_SECRET_ACCESS_KEY"] = self.of("", f"secret/env+{number}") if self.chance(2) else f"secret/env+{number}"
        for name in ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
            if self.chance(25):
                environment[name] = "" if self.chance(15) else f"token{name[4:7]}{number}=="

    def file(self, holds_keys, case):
        lines = []
        for heading in self.headings(holds_keys, case):
            # Who names a profile has put keys into it.
            keys = 78 if holds_keys else 25
            if holds_keys and self.wanted(case) and self.wanted(case) in heading:
                keys = 99
            lines += [heading, *self.body(holds_keys, keys), *([""] if self.chance(50) else [])]
        if self.chance(3):
            lines.insert(0, self.of("# settings", "; settings", "", "region = eu-west-1", "  ", "aws_access_key_id"))
        if self.chance(2):
            lines.insert(self.random.randrange(len(lines) + 1), self.of(
                "nonsense", "= x", "[open", "[]", "[x] y", "  # c", "\ttext", ": x", "=", "[default]x=1", "[x]=y", "\u00e9 = \u00fc", "a=b=c",
                "# \u00e9", "key: = x", "]", "[[x]]", "[ ]", f"{self.of(*BLANKS)}x = y", self.of(*BLANKS), f"x{self.of(*BLANKS)}=y"))
        text = self.of("\n", "\n", "\n", "\n", "\r\n", "\r" if self.chance(10) else "\n").join(lines) + self.of("\n", "")
        if self.chance(1):
            text = "\ufeff" + text
        return text.encode() + (b"\xff" if self.chance(0.5) else b"")

    def wanted(self, case):
        """The profile that is named, if one is."""
        named = [case.only_profile]
        named += [where.get(name) for where in (case.configured, case.environment) for name in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")]
        return next(filter(None, named), "default" if any(FILES[0] in where for where in (case.configured, case.environment)) else None)

    def headings(self, holds_keys, case):
        wanted = self.wanted(case) or "default"
        names = [name for name in NAMES if self.chance(30 if name != wanted else 99 if holds_keys else 75)]
        self.random.shuffle(names)
        headings = [self.heading(name, holds_keys, 3 if name == wanted and holds_keys else 14) for name in names]
        session = "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://example.com"
        for heading in ("[DEFAULT]", "[preview]", "[sso-session corp]", session, "[services local]", "[profile]", "[plugins]", "[profile x y]"):
            if self.chance(3):
                headings.insert(self.random.randrange(len(headings) + 1), heading)
        if headings and self.chance(3):
            headings.append(self.heading(self.of(*NAMES), holds_keys))
        return headings

    def heading(self, name, holds_keys, odds=14):
        spaces = " " in name
        if holds_keys:
            plain = f"[{name}]"
            odd = [f"[ {name} ]", f"['{name}']", f"[profile {name}]", f"[{name}] # comment", f" [{name}]", f"[{name}]]"]
        else:
            quoted = self.of(f"[profile '{name}']", f'[profile "{name}"]')
            plain = "[default]" if name == "default" else quoted if spaces else f"[profile {name}]"
            odd = [quoted, f"[profile {name}]", f"[profile\t{name}]", f"[profile  {name}]", f"[{name}]", f"[ profile {name}]",
                   f"[profile {name} ]", f"[Profile {name}]", f'[profile "{name}]', f"[profile {name.replace(' ', chr(92) + ' ')}]",
                   f"[profiles {name}]", f"[profile {name}]  ; comment", f"[profile #{name}]", f"[profile '{name[:2]}'{name[2:]}]"]
        return self.of(*odd) if self.chance(odds) else plain

    def body(self, holds_keys, keys):
        """The lines of a section, with keys in so many of a hundred."""
        lines = []
        if self.chance(keys):
            lines += self.key_lines()
        if self.chance(20 if holds_keys else 75):
            region = self.of(*REGIONS)
            if self.chance(1.5):
                region = self.of("", "EU-WEST-1", "europe", f"{region} # main", "-eu", "eu_west_1", f"{region}.")
            lines.append(self.line("region", region))
        if self.chance(30):
            lines.append(self.line("output", self.of("json", "table", "", "text ; really", "[json]")))
        if self.chance(12):
            nested = ["max_concurrent_requests = 20", "addressing_style=path", "region = us-west-2", "aws_access_key_id = AKIDNESTED"]
            below = [f"{self.of('  ', chr(9), '    ')}{self.of(*nested)}" for _ in range(self.of(1, 2))]
            if self.chance(5):
                below.insert(self.random.randrange(len(below) + 1), self.of("  # c", "# c", "", "   ", "  x", " [y]", "  = z", "      a = b"))
            lines.append("\n".join([self.of("s3 =", "s3=", "S3:", "s3 = x", "region =") if self.chance(3) else "s3 =", *below]))
        if self.chance(2.5):
            lines += self.of(self.role_lines, self.role_lines, self.role_lines, self.other_lines)()
        if self.chance(8):
            lines.append(self.of("# comment", "; comment", "  # indented", "", "   "))
        if lines and self.chance(1):
            lines.append(self.of(lines[0], lines[0].upper(), "  " + lines[0].strip(), "cli_pager =", "\tmore", "key"))
        if self.chance(25):
            self.random.shuffle(lines)
        return lines

    def key_lines(self):
        number = self.number()
        lines = [self.line("aws_access_key_id", f"AKID{number}"), self.line("aws_secret_access_key", f"secret/of+{number}==")]
        for name in ("aws_session_token", "aws_security_token"):
            if self.chance(18):
                lines.append(self.line(name, "" if self.chance(6) else f"token{name[4:7]}{number}=="))
        if self.chance(0.5):
            lines[self.of(0, 1)] = self.of("# a key", self.line(self.of("aws_access_key_id", "aws_secret_access_key"), ""))
        if self.chance(0.3):
            # What somebody may write round a key, or into it.
            index = self.of(0, 1)
            name, _, value = lines[index].partition(self.of("=", ":"))
            value = self.of(f'"{value.strip()}"', f"'{value.strip()}'", f"{value.strip()} # mine", f"{value} ; mine", f"{value[:3]} {value[3:]}",
                            f"{value}\u00e9", f"{value}{self.of(*BLANKS)}", f"{self.of(*BLANKS)}{value}", f"{value}%(x)s")
            lines[index] = f"{name}={value}"
        if self.chance(2):
            # A value goes on in a line that is indented more.
            lines[self.of(0, 1)] += self.of("\n  more", "\n  # comment", "\n\n", "\n  \n")
        return lines

    def role_lines(self):
        lines = [self.line("role_arn", f"arn:aws:iam::123456789012:role/{self.of('failover', 'path/web')}")]
        if self.chance(55):
            lines.append(self.line("source_profile", self.of(*NAMES, "nobody")))
        if self.chance(50):
            source = self.of("Ec2InstanceMetadata", "Ec2InstanceMetadata", "Environment", "EcsContainer", "ec2instancemetadata", "Nothing")
            lines.append(self.line("credential_source", source))
        for name, value in (("role_session_name", "failover"), ("external_id", "x:1/2"), ("duration_seconds", self.of("900", "soon")),
                            ("mfa_serial", "arn:aws:iam::123456789012:mfa/me")):
            if self.chance(15 if name != "mfa_serial" else 4):
                lines.append(self.line(name, value))
        return lines

    def other_lines(self):
        return self.of(
            [self.line("credential_process", self.of("/bin/false", "/nonexistent/keys", PROCESS))],
            [self.line("sso_account_id", "123456789012"), self.line("sso_role_name", "web"), self.line("sso_session", "corp")],
            [self.line("sso_session", "corp")],
            [self.line("login_session", "arn:aws:iam::123456789012:user/me")],
            [self.line("web_identity_token_file", self.of("/nonexistent/token", "")), self.line("role_arn", "arn:aws:iam::1:role/web")],
        )

    def line(self, name, value):
        if self.chance(8):
            name = self.of(name.upper(), name.title())
        separator = self.of(" = ", "=") if not self.chance(14) else self.of(": ", ":", " : ", " =", "= ", "\t=\t", "  =  ")
        return f"{self.of(' ', chr(9), '  ') if self.chance(1.5) else ''}{name}{separator}{value}{self.of(' ', chr(9)) if self.chance(4) else ''}"


def cases(seed, count, spice=1):
    """As many machines; each has a maker of its own, so that one can be made again by its number."""
    for number in range(count):
        yield number, Maker(f"{seed}/{number}", spice).case()
