from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import certifi
import pytest
from sqlalchemy import make_url

from alerts.acknowledging import AckSettings
from alerts.channels.alertmanager import AlertmanagerSettings
from alerts.channels.apprise_channel import AppriseSettings
from alerts.channels.log import LogSettings
from alerts.channels.webhook import WebhookSettings
from alerts.deadman.pulse import Patience
from alerts.deadman.service import DeadmanSettings
from alerts.people import Hours, Person
from alerts.routing import Escalation, Route, Routing, Step
from deploy.channels import Unready
from deploy.reading import BadConfig
from deploy.settings import Settings, load
from deploy.settings_deadman import hasty
from monitor.approach import Levels
from monitor.facts import Place
from monitor.groups import Group
from monitor.notices import Kind, Severity
from monitor.rules import SHIPPED
from tests.conftest import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "deploy" / "examples").glob("*.toml"))
GUIDE = REPOSITORY / "docs" / "settings.md"
PASSWORD = "hunter2-canary"
WEBHOOK = "whsec_" + "bXkgdmVyeSBzZWNyZXQga2V5IGZvciB0ZXN0cw=="


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with certificates that may be named, and other files to name."""
    end = "-----END CERTIFICATE-----\n"
    (tmp_path / "ca.pem").write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    (tmp_path / "calendars").mkdir()
    (tmp_path / "empty").write_text("")
    return tmp_path


def read(here: Path, text: str, **environ: str) -> Settings:
    file = here / "facetally.toml"
    file.write_text(text)
    return load(str(file), environ)


def refusal(here: Path, text: str, **environ: str) -> str:
    with pytest.raises(BadConfig) as refused:
        read(here, text, **environ)
    assert "Traceback" not in str(refused.value)
    return str(refused.value)


TOPIC = '[[topics]]\nname = "t"\nsource = "cloudevents"\n'
SYSTEM = '[[systems]]\nprocessor = "acme"\nsystem = "lab"\n'
GROUP = '[[groups]]\nname = "city"\nmembers = ["acme", "beta"]\n'
TABLE = (
    '[[sources.db.tables]]\ntable = "public.face"\nface = "id"\nsubject = "person"\n'
    'processor = "acme"\nsystem = "gate"\n'
)
DEBEZIUM = '[sources.db]\nadapter = "debezium"\n'
APPRISE = '[[channels]]\nkind = "apprise"\nurl = "dingtalk://c4fa1c4fa1c4fa1c4fa1c4fa1"\n'
HOOK = f'[[channels]]\nkind = "webhook"\nurl = "https://example.org/hook"\nsecret = "{WEBHOOK}"\n'
ALERTMANAGER = '[[channels]]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
LOG = '[[channels]]\nkind = "log"\n'
GOES_ON = '[[routes]]\nchannels = ["log"]\ncontinue = true\n'
STEP = '{ after = "0m", people = ["ann"] }'
ANN = '[[people]]\nname = "ann"\nchannels = ["webhook"]\n'
PEOPLE = HOOK + ANN
ESCALATION = (
    f'{PEOPLE}[[escalations]]\nname = "e"\nsteps = [\n  {{ after = "0m", people = ["ann"] }},\n'
    '  { after = "1h", channels = ["webhook"] },\n]\n'
)
ROUTE = '[[routes]]\nescalation = "e"\n'
SASL = f'[sasl]\nusername = "u"\npassword = "{PASSWORD}"\n'


def test_an_empty_file_is_enough(here: Path) -> None:
    settings = read(here, "")

    assert settings.database_url == f"sqlite:///{here}/facetally.db"
    assert settings.secret_file == here / "facetally.secret"
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert settings.group == "facetally"
    assert settings.metrics_address == "127.0.0.1:9464"
    assert settings.rules == SHIPPED
    assert settings.channels == [LogSettings()]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_loaded_and_reads_its_topics_by_its_own_source(example: Path) -> None:
    settings = load(str(example), {})

    assert settings.topics
    assert {topic.source for topic in settings.topics} == {example.stem}
    assert settings.rules == SHIPPED


def test_a_topic_is_silent_by_its_own_hours_or_by_those_of_the_root(here: Path) -> None:
    topics = "".join(
        f'[[topics]]\nname = "{name}"\nsource = "cloudevents"\n{more}\n'
        for name, more in (
            ("gate", ""),
            ("door", "silent_after_hours = 0.5"),
            ("off", "silent_after_hours = 0"),
        )
    )
    hour = 3_600_000_000

    assert read(here, "silent_after_hours = 26\n" + topics).silent_after() == {
        "gate": 26 * hour,
        "door": hour // 2,
    }
    assert read(here, topics).silent_after() == {"door": hour // 2}


TABLES = {
    "acknowledge",
    "channels",
    "deadman",
    "early_warnings",
    "escalations",
    "groups",
    "people",
    "reject_limit",
    "reminders",
    "routes",
    "rules",
    "sasl",
    "sources",
    "systems",
    "tls",
    "topics",
}
SCALARS: Mapping[str, tuple[str, str, Callable[[Settings], object]]] = {
    "database_url": ('"sqlite:////a.db"', "sqlite:////b.db", lambda s: s.database_url),
    "secret_file": ('"/a"', "/b", lambda s: str(s.secret_file)),
    "bootstrap_servers": ('"a:1"', "b:1,c:2", lambda s: s.bootstrap_servers),
    "group": ('"a"', "b", lambda s: s.group),
    "instance_id": ('"a"', "b", lambda s: s.instance_id),
    "session_timeout_seconds": ("7", "8.5", lambda s: s.session_timeout_seconds),
    "start_patience_seconds": ("7", "8.5", lambda s: s.start_patience_seconds),
    "metrics_address": ('"127.0.0.1:1"', "[::1]:2", lambda s: s.metrics_address),
    "tolerance_seconds": ("7", "8.5", lambda s: s.tolerance_us / 1e6),
    "unconfirmed_after_minutes": ("7", "8.5", lambda s: s.unconfirmed_after_us / 6e7),
    "silent_after_hours": ("7", "8.5", lambda s: s.silent_after_hours),
    "max_batch_records": ("7", "8", lambda s: s.max_batch_records),
    "language": ('"zh-CN"', "en", lambda s: s.language),
    "installation": ('"a"', "b", lambda s: s.origin.installation),
    "runbook_base": ('"https://a/"', "https://b/c/", lambda s: s.origin.runbook_base),
    "calendar_dir": ('"/a"', "/b", lambda s: str(s.calendar_dir)),
    "silence_max_days": ("4", "5", lambda s: s.silence_max_days),
    "retention_years": ("4", "5", lambda s: s.retention_years),
    "remind_working_days": ("7", "8", lambda s: s.remind_working_days),
    "far_percent": ("7", "8.5", lambda s: s.far_percent),
}


@pytest.mark.parametrize("key", SCALARS)
def test_a_variable_overrides_the_file(here: Path, key: str) -> None:
    written, override, get = SCALARS[key]
    said = tomllib.loads(f"x = {written}")["x"]
    of_file = get(read(here, f"{key} = {written}"))
    of_variable = get(read(here, f"{key} = {written}", **{f"FACETALLY_{key.upper()}": override}))

    assert str(of_file) in {str(said), f"{float(said)}" if not isinstance(said, str) else said}
    assert str(of_variable) == override


@pytest.mark.parametrize("key", SCALARS)
def test_a_variable_counts_where_the_file_lacks_the_key(here: Path, key: str) -> None:
    _, override, get = SCALARS[key]

    assert str(get(read(here, "", **{f"FACETALLY_{key.upper()}": override}))) == override


@pytest.mark.parametrize("key", SCALARS)
def test_an_empty_variable_is_none(here: Path, key: str) -> None:
    written, _, get = SCALARS[key]
    text = f"{key} = {written}"

    assert get(read(here, text, **{f"FACETALLY_{key.upper()}": ""})) == get(read(here, text))


PASSWORD_OF_DATABASE = {"database_password", "database_password_file"}  # only with a URL: below


def test_every_single_value_of_the_root_is_tried_above(here: Path) -> None:
    assert known_in(refusal(here, "nonsense = 1")) == set(SCALARS) | TABLES | PASSWORD_OF_DATABASE


def test_the_file_may_be_named_by_a_variable(here: Path) -> None:
    (here / "other.toml").write_text('group = "other"')

    assert load(None, {"FACETALLY_CONFIG": str(here / "other.toml")}).group == "other"


def test_a_relative_path_is_relative_to_the_settings_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "deep").mkdir()
    (here / "deep" / "facetally.toml").write_text(
        'database_url = "sqlite:///../data/x.db"\nsecret_file = "s"\ncalendar_dir = "../calendars"'
    )
    monkeypatch.chdir(here)
    settings = load("deep/facetally.toml", {})

    assert settings.database_url == f"sqlite:///{here}/deep/../data/x.db"
    assert (here / settings.secret_file) == here / "deep" / "s"
    assert settings.calendar_dir is not None
    assert (here / settings.calendar_dir).resolve() == here / "calendars"


def test_secrets_may_be_in_files_beside_the_settings(here: Path) -> None:
    (here / "pw").write_text(f"{PASSWORD}\n")
    (here / "hook").write_text(f"{WEBHOOK}\n")
    settings = read(
        here,
        '[sasl]\nusername = "u"\npassword_file = "pw"\n'
        '[[channels]]\nkind = "webhook"\nurl = "https://example.org"\nsecret_file = "hook"\n',
    )

    assert settings.sasl is not None
    assert settings.sasl.password == PASSWORD
    assert isinstance(settings.channels[0], WebhookSettings)
    assert settings.channels[0].secret == WEBHOOK


POSTGRES = 'database_url = "postgresql+psycopg://worker@db:5432/facetally"\n'


def test_the_password_of_the_database_may_stand_in_a_file_of_its_own(here: Path) -> None:
    (here / "password").write_text("a/b@c:d %41\n")
    found = read(here, POSTGRES + 'database_password_file = "password"\n')
    by_variable = read(
        here, POSTGRES, FACETALLY_DATABASE_PASSWORD_FILE=str((here / "password").absolute())
    )

    assert make_url(found.database_url).password == "a/b@c:d %41"
    assert by_variable.database_url == found.database_url
    assert "a/b@c" not in repr(found)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///x.db", "SQLite has none"),
        ("postgresql+psycopg://worker:one@db/facetally", "without a password"),
        ("postgresql+psycopg://db/facetally", "with a user"),
    ],
)
def test_a_password_of_the_database_that_has_no_place_is_refused(
    here: Path, url: str, why: str
) -> None:
    said = refusal(here, f'database_url = "{url}"\ndatabase_password = "{PASSWORD}"\n')

    assert why in said
    assert PASSWORD not in said


def test_no_password_or_secret_is_in_the_repr(here: Path) -> None:
    settings = read(
        here,
        f'database_url = "postgresql+psycopg://u:{PASSWORD}@h/db?password={PASSWORD}"\n{SASL}{HOOK}'
        f'authorization = "Bearer {PASSWORD}"\n',
    )

    assert PASSWORD not in repr(settings)
    assert WEBHOOK not in repr(settings)


def test_tls_and_login_come_together(here: Path) -> None:
    settings = read(here, f'[tls]\nca_file = "ca.pem"\ncheck_host_name = false\n{SASL}')

    assert settings.tls is not None
    assert settings.tls.ca_file == str(here / "ca.pem")
    assert not settings.tls.check_host_name
    assert settings.sasl is not None
    assert settings.sasl.mechanism == "SCRAM-SHA-512"


def test_a_gallery_that_is_marked_stays_in_the_namespace_of_its_system(here: Path) -> None:
    gallery = f'{SYSTEM}gallery = "g"\npurpose = "research"\nreason = "r"\nby = "b"\n'
    settings = read(here, f'{SYSTEM}namespace = "shared/group"\n{gallery}')

    assert settings.marks.namespace("acme", "lab") == "shared/group"
    assert settings.marks.research(Place("acme", "lab", "g"))
    assert not settings.marks.research(Place("acme", "lab", ""))


def test_a_group_has_its_members_and_who_files_for_them(here: Path) -> None:
    other = '[[groups]]\nname = "land"\nmembers = ["acme", "beta", "cafe"]\nfiled_by = "holding"\n'

    assert read(here, GROUP + other).groups == (
        Group(name="city", members=("acme", "beta")),
        Group(name="land", members=("acme", "beta", "cafe"), filed_by="holding"),
    )


def test_a_gallery_in_operation_within_a_research_system_counts(here: Path) -> None:
    whole = f'{SYSTEM}purpose = "research"\nreason = "r"\nby = "b"\n'
    settings = read(here, f'{whole}{SYSTEM}gallery = "visitors"\npurpose = "operation"\n')

    assert settings.marks.research(Place("acme", "lab", ""))
    assert not settings.marks.research(Place("acme", "lab", "visitors"))


def test_a_rule_is_changed_by_its_id_and_its_legacy_row_follows(here: Path) -> None:
    settings = read(here, '[[rules]]\nid = "frt.file"\nat_least = 5\n')
    numbers = {rule.id: rule.at_least for rule in settings.rules}

    assert numbers["frt.file"] == 5
    assert numbers["frt.file.legacy"] == 5
    assert numbers["pio.report"] == 1_000_000


def test_a_rule_is_added_under_a_new_id(here: Path) -> None:
    settings = read(here, '[[rules]]\nid = "own.warning"\nat_least = 90000\nperiod = 10\n')

    assert [rule.at_least for rule in settings.rules if rule.id == "own.warning"] == [90_000]


def test_a_topic_may_be_restricted_to_processors(here: Path) -> None:
    other = '[[topics]]\nname = "o"\nsource = "cloudevents"\n'
    settings = read(here, f'{TOPIC}processors = ["acme"]\ncreate_partitions = 3\n{other}')

    assert settings.feeding("acme") == ["t", "o"]
    assert settings.feeding("beta") == ["o"]
    assert settings.topics[0].create_partitions == 3


def test_a_source_that_began_before_its_first_record_makes_its_topics_incomplete(
    here: Path,
) -> None:
    source = '[sources.late]\nadapter = "cloudevents"\ncomplete = false\n'
    settings = read(here, f'{source}[[topics]]\nname = "t"\nsource = "late"\n')

    assert settings.incomplete_topics() == ["t"]


def test_all_kinds_of_channels_are_read(here: Path) -> None:
    settings = read(
        here,
        f'{HOOK}ca_file = "ca.pem"\n{ALERTMANAGER}every_s = 30\n{APPRISE}'
        'language = "zh-CN"\n[[channels]]\nkind = "log"\n',
    )
    hook, alertmanager, apprise, log = settings.channels

    assert isinstance(hook, WebhookSettings)
    assert hook.ca_file == here / "ca.pem"
    assert isinstance(alertmanager, AlertmanagerSettings)
    assert alertmanager.every_s == 30
    assert alertmanager.allow_private
    assert isinstance(apprise, AppriseSettings)
    assert apprise.language == "zh-CN"
    assert not hook.allow_private
    assert not apprise.allow_private
    assert log == LogSettings()


# Each line: what is written, and what the answer must name.
REFUSED: Mapping[str, tuple[str, str]] = {
    "a misspelt key": ("grup = 'x'", "grup: no such setting"),
    "a text where a number belongs": ("max_batch_records = '5'", "max_batch_records: must be"),
    "true where a number belongs": ("tolerance_seconds = true", "tolerance_seconds: must be"),
    "not a number": ("tolerance_seconds = nan", "tolerance_seconds: must be"),
    "below the least": ("max_batch_records = 0", "max_batch_records: must be"),
    "negative patience": ("start_patience_seconds = -1", "start_patience_seconds: must be"),
    "a number where a text belongs": ("group = 5", "group: must be a text"),
    "a text of two lines": ("group = 'a\\nb'\ngroup2 = 1", "group2: no such setting"),
    "a table where a value belongs": ("[group]\nx = 1", "group: must be a text"),
    "an address without a port": ("metrics_address = 'localhost'", "metrics_address: must be"),
    "an impossible port": ("metrics_address = 'h:70000'", "metrics_address: must be"),
    "a URL of another database": ("database_url = 'mysql://u@h/d'", "database_url: must begin"),
    "no URL": ("database_url = 'facetally.db'", "database_url: is no database URL"),
    "an impossible database port": (
        f"database_url = 'postgresql+psycopg://u:{PASSWORD}@h:abc/d'",
        "database_url: is no database URL",
    ),
    "a database in memory": ("database_url = 'sqlite://'", "database_url: give SQLite a file"),
    "a value for a table": ("tls = true", "tls: must be a table"),
    "a value for tables": ("topics = 'x'", "topics: must be tables, [[topics]]"),
    "one table for tables": ("[topics]\nname = 'x'", "topics: must be tables, [[topics]]"),
    # topics
    "a topic without a name": ('[[topics]]\nsource = "cloudevents"', "topics[0].name: is missing"),
    "a topic without a source": ('[[topics]]\nname = "t"', "topics[0].source: is missing"),
    "a name that Kafka refuses": (TOPIC.replace('"t"', '"a b"'), "topics[0].name: Kafka allows"),
    "a topic twice": (TOPIC + TOPIC, "topics: 't' is there twice"),
    "an unknown source": ('[[topics]]\nname = "t"\nsource = "x"', "[sources.x]"),
    "a misspelt key of a topic": (f"{TOPIC}partitions = 3", "topics[0].partitions: no such"),
    "no processors": (f"{TOPIC}processors = []", "topics[0].processors: name one"),
    "a processor that is no text": (f"{TOPIC}processors = [1]", "topics[0].processors: must be"),
    "no partitions": (f"{TOPIC}create_partitions = 0", "topics[0].create_partitions: must be"),
    # sources
    "an unknown adapter": ("[sources.x]\nadapter = 'avro'", "sources.x.adapter: must be"),
    "a source that is no table": ("[sources]\nx = 1", "sources.x: must be a table"),
    "a misspelt key of a source": (
        "[sources.x]\nadapter = 'cloudevents'\nepoch = 1",
        "sources.x.epoch: no such setting",
    ),
    "a flag that is no flag": (
        "[sources.x]\nadapter = 'cloudevents'\ncomplete = 'no'",
        "sources.x.complete: must be true or false",
    ),
    "a change log without tables": (DEBEZIUM, "sources.db.tables: add at least one"),
    "a misspelt column": (f"{DEBEZIUM}{TABLE}subjct = 'x'", "sources.db.tables[0].subjct: is not"),
    # systems
    "research without by": (
        f'{SYSTEM}purpose = "research"\nreason = "r"',
        "systems[0]: purpose 'research'",
    ),
    "research without reason": (
        f'{SYSTEM}purpose = "research"\nby = "b"',
        "say who decided it (by) and why (reason)",
    ),
    "another purpose": (f'{SYSTEM}purpose = "test"', "systems[0].purpose: must be"),
    "a system twice": (SYSTEM + SYSTEM, "systems[0]: is there twice"),
    "a namespace of a gallery": (
        f'{SYSTEM}gallery = "g"\nnamespace = "n"',
        "systems[0].namespace: belongs to a whole system",
    ),
    "a system without processor": ('[[systems]]\nsystem = "x"', "systems[0].processor: is missing"),
    # groups
    "a group without members": (
        '[[groups]]\nname = "city"',
        "groups[0].members: a group has at least two members, each of them once, such as",
    ),
    "a group of one": (
        '[[groups]]\nname = "city"\nmembers = ["acme"]',
        "groups[0].members: a group has at least two members",
    ),
    "a member twice": (
        '[[groups]]\nname = "city"\nmembers = ["acme", "beta", "acme"]',
        "groups[0].members: a group has at least two members, each of them once",
    ),
    "a group without a name": ('[[groups]]\nmembers = ["a", "b"]', "groups[0].name: is missing"),
    "a group twice": (GROUP + GROUP, "groups[0].name: 'city' is there twice"),
    "a misspelt key of a group": (f'{GROUP}filed = "acme"', "groups[0].filed: no such setting"),
    # rules
    "a rule without id": ("[[rules]]\nat_least = 5", "every [[rules]] table needs an id"),
    "a misspelt field of a rule": (
        '[[rules]]\nid = "frt.file"\natleast = 5',
        "rule 'frt.file': atleast: cannot be set",
    ),
    "a threshold of nobody": (
        '[[rules]]\nid = "frt.file"\nat_least = 0',
        "at_least: give a number",
    ),
    "a threshold that is a text": (
        '[[rules]]\nid = "frt.file"\nat_least = "5"',
        "at_least: must be of type int",
    ),
    "the threshold of a legacy row": (
        '[[rules]]\nid = "frt.file.legacy"\nat_least = 5',
        "rule 'frt.file.legacy': at_least: cannot be set",
    ),
    "a rule twice": ('[[rules]]\nid = "a"\nat_least = 5\nperiod = 3\n' * 2, "id: is there twice"),
    "a rule that cannot run": (
        '[[rules]]\nid = "own"\nat_least = 5\nperiod = 3\nunit = "hours"\nrecurring = true',
        "only years and calendar_days recur",
    ),
    "a warning at the threshold": (
        "[early_warnings]\npercent = [80, 100]",
        "early_warnings.percent: a level is 1 to 99 per cent of the threshold, such as",
    ),
    "warnings out of order": (
        "[early_warnings]\npercent = [90, 80]",
        "early_warnings.percent: levels ascend, each is there once, such as [80, 90, 95]",
    ),
    "warnings that are no numbers": (
        '[early_warnings]\npercent = ["80"]',
        "early_warnings.percent: must be a list of whole numbers",
    ),
    "a warning that is always armed": (
        "[early_warnings]\nrearm_points = 0",
        "early_warnings.rearm_points: must be a whole number of at least 1",
    ),
    # channels
    "an unknown kind": ('[[channels]]\nkind = "pigeon"', "channels[0].kind: must be"),
    "a channel without kind": ('[[channels]]\nname = "x"', "channels[0].kind: is missing"),
    "no address": ('[[channels]]\nkind = "alertmanager"', "channels[0].url: is missing"),
    "a bad address": (ALERTMANAGER.replace("http:", "ftp:"), "channels[0].url: must be http"),
    "an unsigned webhook": (
        '[[channels]]\nkind = "webhook"\nurl = "https://example.org"',
        "channels[0].secret: is missing; give secret, secret_file or secret_env",
    ),
    "a weak webhook secret": (HOOK.replace(WEBHOOK, PASSWORD), "channels[0].secret"),
    "two channels of one name": (ALERTMANAGER + ALERTMANAGER, "name them apart"),
    "a bad name": (f'{ALERTMANAGER}name = "A B"', "channels[0].name: 1 to 63"),
    "a webhook on this machine": (
        HOOK.replace("https://example.org", "http://127.0.0.1"),
        "channels[0].url: leads to an address that is not public",
    ),
    "a secret twice": (f'{HOOK}secret_env = "X"', "channels[0].secret: give one of"),
    "no service of apprise": (
        '[[channels]]\nkind = "apprise"\nurl = "x"',
        "channels[0].url: must be",
    ),
    "a service that tells nobody": (
        APPRISE.replace("dingtalk", "syslog"),
        "channels[0].url: that service shows something on this machine",
    ),
    "an unsigned webhook by apprise": (
        APPRISE.replace("dingtalk", "jsons"),
        "channels[0].url: a plain POST is what kind webhook is for",
    ),
    "a language of a channel": (f'{APPRISE}language = "fr"', "channels[0].language: must be one"),
    "a language": ('language = "fr"', "language: must be one of zh-CN, en"),
    "too little time for apprise": (f"{APPRISE}timeout_s = 5", "channels[0].timeout_s: from 10"),
    "too much time for apprise": (f"{APPRISE}timeout_s = 61", "channels[0].timeout_s: from 10"),
    "a proxy that is none": (f'{APPRISE}proxy = "x"', "channels[0].proxy: "),
    "a misspelt key of a channel": (f"{ALERTMANAGER}evry_s = 5", "channels[0].evry_s: no such"),
    "a timeout beyond the lease": (f"{ALERTMANAGER}timeout_s = 90", "channels[0].timeout_s"),
    "authorities that are not there": (f'{HOOK}ca_file = "no"', "channels[0].ca_file: there is no"),
    # who is told what
    "a person without a channel": (
        f'{HOOK}[[people]]\nname = "ann"',
        "people[0].channels: give one that reaches 'ann'",
    ),
    "a person who is only in the log": (
        '[[people]]\nname = "ann"\nchannels = ["log"]',
        "people[0].channels: give one that reaches 'ann'; a log wakes nobody",
    ),
    "an unknown channel of a person": (
        f'{HOOK}[[people]]\nname = "ann"\nchannels = ["phone"]',
        "people[0].channels: there is no channel 'phone'; there are webhook",
    ),
    "a person twice": (PEOPLE + ANN, "people[1].name: 'ann' is there twice"),
    "other hours": (f'{PEOPLE}hours = "night"', "people[0].hours: must be"),
    "hours that end before they begin": (
        f'{PEOPLE}from = "18:00"\nto = "09:00"',
        "people[0].to: must be later than from",
    ),
    "a time that is none": (f'{PEOPLE}from = "9"', "people[0].from: must be a time of the day"),
    "a misspelt key of a person": (f'{PEOPLE}hour = "x"', "people[0].hour: no such setting"),
    "an escalation without steps": (
        f'{PEOPLE}[[escalations]]\nname = "e"',
        "escalations[0].steps: give one",
    ),
    "an escalation that begins late": (
        ESCALATION.replace("0m", "5m"),
        "escalations[0].steps[0].after: the first step is at once",
    ),
    "a step that is no later than the one before": (
        ESCALATION.replace("1h", "0m"),
        "escalations[0].steps[1].after: must be later",
    ),
    "a step without an age": (
        ESCALATION.replace('after = "0m", ', ""),
        "escalations[0].steps[0].after: is missing",
    ),
    "an age that is none": (
        ESCALATION.replace("1h", "1 hour"),
        "escalations[0].steps[1].after: must be a time such as",
    ),
    "a step that tells nobody": (
        ESCALATION.replace('people = ["ann"]', "people = []"),
        "escalations[0].steps[0]: tells nobody",
    ),
    "a step that only tells the log": (
        ESCALATION.replace('people = ["ann"]', 'channels = ["log"]')
        + '[[channels]]\nkind = "log"\n',
        "escalations[0].steps[0]: tells nobody",
    ),
    "an unknown person": (
        ESCALATION.replace('people = ["ann"]', 'people = ["bob"]'),
        "escalations[0].steps[0].people: there is nobody 'bob' in [[people]]; there are ann",
    ),
    "a repeat too often": (
        f'{ESCALATION}repeat = "30s"',
        'escalations[0].repeat: must be at least "1m"',
    ),
    "an escalation that nobody is told by": (ESCALATION, "escalations: no route names 'e'"),
    "an escalation twice": (
        ESCALATION + ESCALATION.removeprefix(PEOPLE),
        "escalations[1].name: 'e' is there twice",
    ),
    "an unknown severity": (
        f'{ESCALATION}severities = ["loud"]',
        "escalations[0].severities: there is no 'loud'; there are info, page, warning",
    ),
    "a route that leads nowhere": (
        '[[routes]]\nprocessors = ["acme"]',
        "routes[0]: leads nowhere; give channels or an escalation",
    ),
    "a route to an unknown channel": (
        '[[routes]]\nchannels = ["phone"]',
        "routes[0].channels: there is no channel 'phone'; there are log",
    ),
    "a route to an unknown escalation": (
        '[[routes]]\nescalation = "x"',
        "routes[0].escalation: there is no 'x' in [[escalations]]",
    ),
    "a route of an unknown rule": (
        '[[routes]]\nrules = ["frt.fille"]\nchannels = ["log"]',
        "routes[0].rules: there is no rule 'frt.fille'",
    ),
    "a route of an unknown kind": (
        '[[routes]]\nkinds = ["duty"]\nchannels = ["log"]',
        "routes[0].kinds: there is no 'duty'",
    ),
    "a route of nobody": (
        '[[routes]]\nprocessors = []\nchannels = ["log"]',
        "routes[0].processors: name one, or leave it out",
    ),
    "a route in no language of ours": (
        '[[routes]]\nchannels = ["log"]\nlanguage = "fr"',
        "routes[0].language: must be one of",
    ),
    "a route of pages to a log": (
        f'{PEOPLE}{LOG}[[routes]]\nprocessors = ["acme"]\nchannels = ["log"]',
        "routes[0].channels: pages would go to a log alone, and wake nobody",
    ),
    "a route of pages to a log that goes on to less than it takes": (
        f"{PEOPLE}{LOG}{GOES_ON}" + '[[routes]]\nrules = ["frt.file"]\nchannels = ["webhook"]',
        "routes[0].channels: pages would go to a log alone, and wake nobody",
    ),
    "a route of pages that goes on to warnings": (
        f"{PEOPLE}{LOG}{GOES_ON}" + '[[routes]]\nseverities = ["warning"]\nchannels = ["webhook"]',
        "routes[0].channels: pages would go to a log alone, and wake nobody",
    ),
    "a route of pages to a log with an escalation of warnings": (
        f'{LOG}{ESCALATION}severities = ["warning"]\n{ROUTE}channels = ["log"]',
        "routes[0].channels: pages would go to a log alone, and wake nobody",
    ),
    "rungs out of order": (
        "[reminders]\nworking_days = [3, 5]",
        "reminders.working_days: rungs descend, each is there once, such as [20, 10, 5, 3, 1]",
    ),
    "reminders at no time": ('[reminders]\nat = "9"', "reminders.at: must be a time of the day"),
    "reminders at night": ('[reminders]\nat = "18:01"', "reminders.at: must leave time to act"),
    "acknowledgements that anybody could send": (
        '[acknowledge]\naddress = "127.0.0.1:1"',
        "acknowledge.secret: is missing; give secret, secret_file or secret_env",
    ),
    "a dead man's receiver whose channel is not there": (
        f'{HOOK}[deadman]\nchannels = ["pager"]',
        "deadman.channels: there is no channel 'pager'; there are webhook",
    ),
    "a dead man's receiver that pages a log": (
        "[deadman]",
        "deadman.channels: give one that reaches somebody by itself",
    ),
    "a dead man's receiver that pages an Alertmanager": (
        f'{HOOK}{ALERTMANAGER}{LOG}[deadman]\nchannels = ["alertmanager", "log"]',
        "an Alertmanager may be what is dead",
    ),
    "a dead man's receiver of nothing": (
        f"{HOOK}[deadman]\ninstallations = []",
        "deadman.installations: name one, or leave it out",
    ),
    "a dead man's receiver that pages nobody": (
        f"{HOOK}[deadman]\nchannels = []",
        "deadman.channels: name one, or leave it out",
    ),
    "a strange installation that is to be heard": (
        f'{HOOK}[deadman]\ninstallations = ["The City"]',
        "deadman.installations: 1 to 63 of a-z",
    ),
    "a silence that is no time": (
        f'{HOOK}[deadman]\nsilence = "soon"',
        'deadman.silence: must be a time such as "30m"',
    ),
    "a silence that is over at once": (
        f'{HOOK}[deadman]\nsilence = "0m"',
        "deadman.silence: must be more than nothing",
    ),
    "a repeat without an end": (
        f'{HOOK}[deadman]\nrepeat = "0s"',
        "deadman.repeat: must be more than nothing",
    ),
    "a dead man's receiver at no address": (
        f'{HOOK}[deadman]\naddress = "localhost"',
        "deadman.address: must be HOST:PORT",
    ),
    "a token that can be guessed": (
        f'{HOOK}[deadman]\ntoken = "secret"',
        "deadman.token: at least 16",
    ),
    "a key of the dead man's receiver that is not there": (
        f'{HOOK}[deadman]\npeople = ["ann"]',
        "deadman.people: no such setting",
    ),
    "a weak secret of acknowledgements": (
        f'[acknowledge]\naddress = "127.0.0.1:1"\nsecret = "{PASSWORD}"',
        "acknowledge.secret: must be whsec_",
    ),
    "acknowledgements at no address": (
        f'[acknowledge]\naddress = "localhost"\nsecret = "{WEBHOOK}"',
        "acknowledge.address: must be HOST:PORT",
    ),
    "silences for months": ("silence_max_days = 31", "silence_max_days: must be 30 at most"),
    "silences of no time": ("silence_max_days = 0", "silence_max_days: must be a whole number"),
    # login
    "a login without a password": ('[sasl]\nusername = "u"', "sasl.password: give password"),
    "a login without a name": (f'[sasl]\npassword = "{PASSWORD}"', "sasl.username: is missing"),
    "an unknown mechanism": (f'{SASL}mechanism = "GSSAPI"', "sasl.mechanism: SASL mechanism must"),
    "a password twice": (f'{SASL}password_file = "x"', "sasl.password: give it or password_file"),
    "a password file that is not there": (
        '[sasl]\nusername = "u"\npassword_file = "no"',
        "sasl.password_file: cannot be read",
    ),
    "a password file without a password": (
        '[sasl]\nusername = "u"\npassword_file = "empty"',
        "sasl.password: give password",
    ),
    "certificates that are not there": ('[tls]\nca_file = "no"', "tls.ca_file: there is no file"),
    "certificates that are none": ('[tls]\nca_file = "empty"', "tls: the certificates or the key"),
    "a key without a certificate": ('[tls]\nkey_file = "empty"', "tls.cert_file: is missing"),
    # limit
    "a negative limit": ("[reject_limit]\nrejects = -1", "reject_limit.rejects: must be"),
    "a misspelt limit": ("[reject_limit]\nreject = 1", "reject_limit.reject: no such setting"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_refused_by_its_name_and_without_any_secret(here: Path, what: str) -> None:
    text, named = REFUSED[what]
    said = refusal(here, text)

    assert named in said
    assert said.startswith(str(here / "facetally.toml"))
    assert "\n" not in said
    assert PASSWORD not in said


def test_broken_toml_is_refused_with_its_line(here: Path) -> None:
    assert "line 2" in refusal(here, 'group = "x"\ngroup = \n')


def test_a_file_that_is_no_text_is_refused(here: Path) -> None:
    (here / "facetally.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig, match="not UTF-8"):
        load(str(here / "facetally.toml"), {})


def test_a_missing_file_is_refused_with_where_to_begin(here: Path) -> None:
    with pytest.raises(BadConfig, match="--config FILE, or see deploy/examples"):
        load(str(here / "no.toml"), {})


@pytest.mark.parametrize("key", ["rules", "topics", "tls", "sources"])
def test_a_variable_for_what_only_the_file_can_hold_is_refused(here: Path, key: str) -> None:
    variable = f"FACETALLY_{key.upper()}"

    assert f"{variable}: only the settings file" in refusal(here, "", **{variable: "x"})


def test_a_wrong_value_of_a_variable_is_refused(here: Path) -> None:
    assert "max_batch_records: must be" in refusal(here, "", FACETALLY_MAX_BATCH_RECORDS="many")


# The guide. Each of its tables is compared with what the code accepts.

SECTIONS: Mapping[str, str] = {
    "The root": "",
    "[tls]": "[tls]\n",
    "[sasl]": SASL,
    "[reject_limit]": "[reject_limit]\n",
    "[early_warnings]": "[early_warnings]\n",
    "[[topics]]": TOPIC,
    "[sources.NAME] of events": '[sources.x]\nadapter = "cloudevents"\n',
    "[sources.NAME] of a change log": DEBEZIUM
    + TABLE
    + DEBEZIUM.replace("sources.db", "sources.db2"),
    "[[sources.NAME.tables]]": DEBEZIUM + TABLE,
    "[[systems]]": SYSTEM,
    "[[groups]]": GROUP,
    "[[rules]]": '[[rules]]\nid = "own.rule"\nat_least = 5\nperiod = 3\n',
    "[[channels]] of kind alertmanager": ALERTMANAGER,
    "[[channels]] of kind webhook": HOOK,
    "[[channels]] of kind apprise": APPRISE,
    "[[people]]": PEOPLE,
    "[[escalations]]": ROUTE + ESCALATION,
    "[[escalations.steps]]": f'{ROUTE}{PEOPLE}[[escalations]]\nname = "e"\n'
    '[[escalations.steps]]\nafter = "0m"\npeople = ["ann"]\n',
    "[[routes]]": '[[routes]]\nchannels = ["log"]\n',
    "[reminders]": "[reminders]\n",
    "[acknowledge]": f'[acknowledge]\naddress = "127.0.0.1:1"\nsecret = "{WEBHOOK}"\n',
    "[deadman]": f"{HOOK}[deadman]\n",
    "[[channels]] of kind log": '[[channels]]\nkind = "log"\n',
}


def test_a_route_may_have_a_language(here: Path) -> None:
    given = f'{PEOPLE}[[routes]]\nchannels = ["webhook"]\nlanguage = "zh-CN"'

    assert [one.language for one in read(here, given).routing.routes] == ["zh-CN"]
    assert [one.language for one in read(here, f"{ROUTE}{ESCALATION}").routing.routes] == [None]


@pytest.mark.parametrize(
    "routes",
    [
        '[[routes]]\nseverities = ["warning", "info"]\nchannels = ["log"]',
        '[[routes]]\nchannels = ["log", "webhook"]',
        f'{GOES_ON}rules = ["frt.file"]\n[[routes]]\nchannels = ["webhook"]',
        f'{ROUTE}channels = ["log"]\n[[escalations]]\nname = "e"\nsteps = [{STEP}]',
    ],
)
def test_a_log_may_be_told_beside_somebody(here: Path, routes: str) -> None:
    settings = read(here, f"{PEOPLE}{LOG}{routes}")

    assert settings.routing.routes


@pytest.mark.parametrize("key", ["secret", "previous_secret"])
def test_a_secret_of_acknowledgements_that_is_not_here_stops_nobody_who_takes_none(
    here: Path, key: str
) -> None:
    other = "" if key == "secret" else f'secret = "{WEBHOOK}"\n'
    given = f'[acknowledge]\naddress = "127.0.0.1:1"\n{other}{key}_file = "no"\n'
    settings = read(here, given)

    assert isinstance(settings.acknowledging, Unready)
    assert settings.acknowledging.why.startswith(f"acknowledge.{key}_file: cannot be read")


def test_the_dead_mans_receiver_listens_here_and_pages_everybody_without_more(here: Path) -> None:
    found = read(here, f"{HOOK}{APPRISE}[deadman]\n").deadman

    assert isinstance(found, DeadmanSettings)
    assert found.address == "127.0.0.1:9466"
    assert found.channels == ("webhook", "apprise")
    assert found.patience == Patience(silence=300_000_000, repeat=3_600_000_000)
    assert (found.installations, found.token) == ((), None)


@pytest.mark.parametrize(
    ("silence", "warned"), [("4s", True), ("179s", True), ("3m", False), ("5m", False)]
)
def test_a_silence_within_which_the_watchdog_need_not_be_told_is_warned_of(
    here: Path, silence: str, *, warned: bool
) -> None:
    found = read(here, f'{HOOK}[deadman]\nsilence = "{silence}"\n').deadman

    assert isinstance(found, DeadmanSettings)
    assert bool(hasty(found)) is warned


def test_a_token_that_is_not_here_stops_nobody_who_hears_no_watchdog(here: Path) -> None:
    found = read(here, f'{HOOK}[deadman]\ntoken_file = "no"\n').deadman

    assert isinstance(found, Unready)
    assert found.why.startswith("deadman.token_file: cannot be read")


def test_a_secret_of_acknowledgements_may_be_in_the_environment(here: Path) -> None:
    given = '[acknowledge]\naddress = "127.0.0.1:1"\nsecret_env = "ACK"\n'
    settings = read(here, given, ACK=WEBHOOK)

    assert isinstance(settings.acknowledging, AckSettings)
    assert settings.acknowledging.secret == WEBHOOK


def test_a_secret_of_acknowledgements_that_anybody_may_write_is_refused(here: Path) -> None:
    (here / "ack").write_text(WEBHOOK)
    (here / "ack").chmod(0o666)

    assert "acknowledge.secret_file: anybody may write that file" in refusal(
        here, '[acknowledge]\naddress = "127.0.0.1:1"\nsecret_file = "ack"\n'
    )


def test_a_wrong_name_of_a_channel_whose_secret_is_not_here_is_named_with_its_key(
    here: Path,
) -> None:
    said = refusal(here, '[[channels]]\nkind = "apprise"\nname = " "\nurl_file = "no"\n')

    assert "channels[0].name: " in said


def known_in(said: str) -> set[str]:
    listed = re.search(r"(?:known here are|known are|use one of) ([\w, ]+)$", said)
    assert listed is not None, said
    return set(listed[1].split(", "))


def guide() -> dict[str, dict[str, str]]:
    """Return the tables of the guide: key -> default, by section."""
    sections: dict[str, dict[str, str]] = {}
    for part in re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", body, flags=re.MULTILINE)
        sections[title.replace("`", "").strip()] = dict(rows)
    return sections


@pytest.mark.parametrize("section", SECTIONS)
def test_the_guide_lists_every_setting(here: Path, section: str) -> None:
    known = known_in(refusal(here, f"{SECTIONS[section]}nonsense = 1\n"))
    if section == "[[rules]]":
        known |= {"id"}
    if not SECTIONS[section]:
        known -= TABLES  # they have sections of their own

    assert set(guide()[section]) == known


def test_the_channels_in_the_guide_can_be_used_as_they_are(here: Path) -> None:
    [example, _] = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    for name, secret in (("duty-phone.url", "dingtalk://S@T"), ("tickets.secret", WEBHOOK)):
        (here / name).write_text(secret)
    mail = "mailto://10.0.0.5:25?from=facetally@example.org&to=a@example.org"
    settings = read(here, example, PRIVACY_OFFICE_MAIL=mail)

    phone, office, tickets = settings.channels
    assert isinstance(phone, AppriseSettings)
    assert isinstance(office, AppriseSettings)
    assert isinstance(tickets, WebhookSettings)
    assert (phone.language, office.language) == ("zh-CN", "en")


def test_the_guide_has_no_other_sections() -> None:
    assert set(guide()) == {*SECTIONS, "Where a value comes from"}


def same(settings: Settings) -> dict[str, object]:
    fields = {name: getattr(settings, name) for name in Settings.__slots__}
    return {**fields, "marks": settings.marks.rows}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_defaults_in_the_guide_are_those_of_the_code(here: Path, section: str) -> None:
    base = SECTIONS[section].replace(DEBEZIUM.replace("sources.db", "sources.db2"), "")
    plain = same(read(here, base))
    for key, default in guide()[section].items():
        value = re.fullmatch(r"`(.*)`", default)
        if value is None or re.search(rf"^{key} =", base, re.MULTILINE):
            continue
        text = f"{base}{key} = {value[1]}\n"
        if section == "[sources.NAME] of a change log":
            text = base.replace(DEBEZIUM, f"{DEBEZIUM}{key} = {value[1]}\n")

        assert same(read(here, text)) == plain, key


WRONG_RULES = {
    "a field": ('group = "g"\n\n[[rules]]\nid = "frt.file"\nat_least = 0\n', 5),
    "a field of the second table": (
        '[[rules]]\nid = "frt.file"\n\n\n# ours\n[[rules]]\nid = "own"\nat_least = 5\nperiod = 0\n',
        9,
    ),
    "an unknown field": ('[[rules]]\nid = "frt.file"\natleast = 5\n', 3),
    "a missing field: its table": ('\n\n[[rules]]\nid = "own"\nperiod = 3\n', 3),
    "a missing id": ("\n[[rules]]\nperiod = 3\n", 2),
    "the second of two": ('[[rules]]\nid = "a"\nat_least = 5\nperiod = 3\n' * 2, 6),
    "a value of several lines": (
        '[[rules]]\nid = "frt.file"\naddressee = """\na\n"""\nsource = [\n1,\n2,\n]\n',
        6,
    ),
    "a text that looks like a table": (
        '[[rules]]\nid = "frt.file"\nsource = """\n[[rules]]\nat_least = 0\n"""\nat_least = 0\n',
        7,
    ),
    "inline tables": ('rules = [\n  { id = "frt.file" },\n  { id = "own", period = 3 },\n]\n', 1),
}


@pytest.mark.parametrize("case", WRONG_RULES)
def test_a_wrong_rule_is_named_with_its_file_line_and_field(here: Path, case: str) -> None:
    text, line = WRONG_RULES[case]
    said = refusal(here, text)

    assert f"facetally.toml: line {line}: rule " in said


def test_early_warnings_are_at_80_90_and_95_per_cent(here: Path) -> None:
    assert read(here, "").levels == Levels(percent=(80, 90, 95), rearm=5)


def test_early_warnings_can_be_set_and_switched_off(here: Path) -> None:
    chosen = read(here, "[early_warnings]\npercent = [50]\nrearm_points = 10\n").levels
    none = read(here, "[early_warnings]\npercent = []\n").levels

    assert chosen == Levels(percent=(50,), rearm=10)
    assert none.percent == ()


def test_who_is_told_what_is_read_as_it_is_written(here: Path) -> None:
    more = (
        '[[people]]\nname = "bob"\nchannels = ["webhook"]\nhours = "working"\nto = "17:30"\n'
        '[[routes]]\nprocessors = ["acme"]\nrules = ["frt.file"]\nkinds = ["gap"]\n'
        'severities = ["info"]\nchannels = ["webhook"]\ncontinue = true\n'
    )
    written = f'{ESCALATION}repeat = "2h"\nseverities = ["page", "warning"]\n{more}{ROUTE}'
    routing = read(here, written).routing
    minute = 60_000_000

    assert routing == Routing(
        channels=("webhook",),
        people=(
            Person(name="ann", channels=("webhook",)),
            Person(name="bob", channels=("webhook",), hours=Hours(begins=540, ends=1050)),
        ),
        escalations=(
            Escalation(
                name="e",
                steps=(
                    Step(after=0, people=("ann",)),
                    Step(after=60 * minute, channels=("webhook",)),
                ),
                repeat=120 * minute,
                severities=frozenset({Severity.PAGE, Severity.WARNING}),
            ),
        ),
        routes=(
            Route(
                processors=frozenset({"acme"}),
                rules=frozenset({"frt.file"}),
                kinds=frozenset({Kind.GAP}),
                severities=frozenset({Severity.INFO}),
                channels=("webhook",),
                continues=True,
            ),
            Route(escalation="e"),
        ),
    )


def test_the_people_in_the_guide_are_told_by_the_channels_in_the_guide(here: Path) -> None:
    channels, people = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    for name, secret in (("duty-phone.url", "dingtalk://S@T"), ("tickets.secret", WEBHOOK)):
        (here / name).write_text(secret)
    mail = "mailto://10.0.0.5:25?from=facetally@example.org&to=a@example.org"
    routing = read(here, channels + people, PRIVACY_OFFICE_MAIL=mail).routing

    assert [one.name for one in routing.people] == ["ann", "privacy office"]
    assert len(routing.routes) == 2
