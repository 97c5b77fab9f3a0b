"""The settings: one TOML file, every scalar key of it overridden by ``FACETALLY_KEY``.

Reading them checks everything that can be checked without Kafka or a database, and every error
names the key and says what to do. Unknown keys are errors: a misspelt threshold must not be a
threshold that is not watched. Relative paths are relative to the settings file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from alerts.acknowledging import AckSettings
from alerts.channel import BadSettings
from alerts.deadman.service import DeadmanSettings
from alerts.origin import Origin
from alerts.routing import Routing
from deploy.channels import ChannelSettings, Unready, read_channels
from deploy.reading import BadConfig, Table
from deploy.settings_deadman import read_deadman
from deploy.settings_groups import read_groups
from deploy.settings_people import read_routing
from deploy.settings_rules import located, read_levels
from deploy.settings_telling import read_acknowledging, read_ladder, silence_days
from monitor.approach import Levels
from monitor.groups import Group
from monitor.limits import RejectLimit
from monitor.marks import Marks, SystemMark
from monitor.reminders import Ladder
from monitor.rules import SHIPPED, Rule, RuleError, with_overrides
from monitor.store.engine import BadDatabaseUrl, checked_url
from monitor.store.retention import LEAST_YEARS
from streams.adapters.mapping import BadMapping, SourceMapping, read_mapping
from streams.connection import Sasl, Tls

DEFAULT_FILE = "facetally.toml"
_PREFIX = "FACETALLY_"
_SECOND = 1_000_000
_HOUR = 3_600 * _SECOND
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How records of a source are read: CloudEvents of our own, or a change log with a mapping."""

    name: str
    mapping: SourceMapping | None = None
    offset_is_sequence: bool = False
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSettings:
    """A topic to be read. *processors* None: it may feed any; *silent_after_us* 0: never silent."""

    name: str
    source: str
    processors: frozenset[str] | None = None
    create_partitions: int | None = None
    silent_after_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is configured; times in the units of their names."""

    path: Path | None
    database_url: str = field(repr=False)
    secret_file: Path
    bootstrap_servers: str
    group: str
    instance_id: str | None
    session_timeout_seconds: float
    start_patience_seconds: float
    metrics_address: str
    tolerance_us: int
    unconfirmed_after_us: int
    silent_after_hours: float
    max_batch_records: int
    calendar_dir: Path | None
    retention_years: int
    tls: Tls | None
    sasl: Sasl | None
    rules: Sequence[Rule]
    marks: Marks
    topics: Sequence[TopicSettings]
    sources: Mapping[str, SourceSettings]
    language: str
    origin: Origin
    channels: Sequence[ChannelSettings]
    routing: Routing
    ladder: Ladder
    acknowledging: AckSettings | Unready | None
    deadman: DeadmanSettings | Unready | None
    silence_max_days: int
    limit: RejectLimit
    remind_working_days: int
    far_percent: float
    levels: Levels
    groups: Sequence[Group]

    def feeding(self, processor: str) -> list[str]:
        """Return the topics that can hold facts of *processor*."""
        return [
            topic.name
            for topic in self.topics
            if topic.processors is None or processor in topic.processors
        ]

    def silent_after(self) -> dict[str, int]:
        """Return after how many microseconds without a record a topic is silent, where any are."""
        return {one.name: one.silent_after_us for one in self.topics if one.silent_after_us}

    def incomplete_topics(self) -> list[str]:
        """Return the topics whose source is said to have begun before its first record."""
        return [topic.name for topic in self.topics if not self.sources[topic.source].complete]


def has_settings(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether there are settings though nobody named a file."""
    return bool(environ.get(f"{_PREFIX}CONFIG")) or Path(DEFAULT_FILE).exists()


def load(path: str | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from *path*, else ``facetally.toml`` here. Raises BadConfig."""
    file = Path(path or environ.get(f"{_PREFIX}CONFIG") or DEFAULT_FILE)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise BadConfig(
            f"cannot read the settings {file}: {why}; give --config FILE, or see "
            "deploy/examples for one to start from"
        ) from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise BadConfig(f"{file}: this is not TOML: {exc}") from None
    try:
        return parse(found, file, environ)
    except RuleError as exc:
        raise BadConfig(f"{file}: {located(text, exc)}") from None
    except (BadMapping, BadSettings, BadDatabaseUrl, BadConfig) as exc:
        raise BadConfig(f"{file}: {exc}") from None


def parse(found: Mapping[str, object], path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Check and return the settings in *found*, the parsed TOML."""
    here = path.parent if path is not None else Path()
    root = Table(found, "", environ=environ, prefix=_PREFIX)
    sources = _sources(root)
    tls = _tls(root.table("tls"), here)
    silent = root.number("silent_after_hours", 0.0, least=0.0)
    language = root.text("language", "en")
    origin = Origin(
        installation=root.optional("installation"), runbook_base=root.optional("runbook_base")
    )
    channels = read_channels(root.tables("channels"), here, environ, language, origin)
    rules = with_overrides(SHIPPED, [dict(one.raw()) for one in root.tables("rules")])
    settings = Settings(
        path=path,
        database_url=checked_url(
            root.text("database_url", "sqlite:///facetally.db"),
            here,
            root.secret("database_password", here),
        ),
        secret_file=here / root.text("secret_file", "facetally.secret"),
        bootstrap_servers=root.text("bootstrap_servers", "127.0.0.1:9092"),
        group=root.text("group", "facetally"),
        instance_id=root.optional("instance_id"),
        session_timeout_seconds=root.number("session_timeout_seconds", 6.0, least=1.0),
        start_patience_seconds=root.number("start_patience_seconds", 30.0, least=0.0),
        metrics_address=_address(root.text("metrics_address", "127.0.0.1:9464")),
        tolerance_us=int(root.number("tolerance_seconds", 300, least=0) * _SECOND),
        unconfirmed_after_us=int(
            root.number("unconfirmed_after_minutes", 15, least=0) * 60 * _SECOND
        ),
        silent_after_hours=silent,
        max_batch_records=root.whole("max_batch_records", 20_000, least=1),
        calendar_dir=_path(root.optional("calendar_dir"), here),
        retention_years=_retention(root.whole("retention_years", LEAST_YEARS, least=0)),
        tls=tls,
        sasl=_sasl(root.table("sasl"), here),
        rules=rules,
        marks=Marks(_systems(root.tables("systems"))),
        topics=[_topic(one, sources, silent) for one in root.tables("topics")],
        sources=sources,
        language=language,
        origin=origin,
        channels=channels,
        routing=read_routing(root, channels, [rule.id for rule in rules]),
        ladder=read_ladder(root.table("reminders")),
        acknowledging=read_acknowledging(root.table("acknowledge"), here, environ),
        deadman=read_deadman(root.table("deadman"), here, environ, channels),
        silence_max_days=silence_days(root),
        limit=_limit(root.table("reject_limit")),
        remind_working_days=root.whole("remind_working_days", 5, least=1),
        far_percent=root.number("far_percent", 20, least=1),
        levels=read_levels(root.table("early_warnings")),
        groups=read_groups(root.tables("groups")),
    )
    root.finish()
    _check_topics(settings.topics)
    return settings


def _address(text: str) -> str:
    try:
        found = urlsplit(f"//{text}")
        good = found.hostname is not None and found.port is not None and found.netloc == text
    except ValueError:
        good = False
    if not good or "@" in text:
        raise BadConfig("metrics_address: must be HOST:PORT, such as 127.0.0.1:9464")
    return text


def _retention(years: int) -> int:
    if years < LEAST_YEARS:
        raise BadConfig(
            f"retention_years: must be at least {LEAST_YEARS}: Order No. 19 art. 9 has evidence "
            "kept so long, and facetally never deletes any"
        )
    return years


def _path(text: str | None, here: Path) -> Path | None:
    return None if text is None else here / text


def _sources(root: Table) -> dict[str, SourceSettings]:
    sources = {"cloudevents": SourceSettings(name="cloudevents")}
    for name, table in root.named_tables("sources"):
        adapter = table.peek("adapter")
        if adapter == "debezium":
            sources[name] = SourceSettings(name=name, mapping=read_mapping(name, table.raw()))
        elif adapter == "cloudevents":
            table.text("adapter", "")
            sources[name] = SourceSettings(
                name=name,
                offset_is_sequence=table.flag("offset_is_sequence", default=False),
                complete=table.flag("complete", default=True),
            )
            table.finish()
        else:
            raise BadConfig(f'{table.at}.adapter: must be "cloudevents" or "debezium"')
    return sources


def _topic(
    table: Table, sources: Mapping[str, SourceSettings], silent_after_hours: float
) -> TopicSettings:
    name, source = table.required("name"), table.required("source")
    if source not in sources:
        known = ", ".join(sorted(sources))
        raise BadConfig(
            f"{table.at}.source: there is no source {source!r}; known are {known}, or add "
            f"[sources.{source}]"
        )
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise BadConfig(f"{table.at}.name: Kafka allows A-Z a-z 0-9 . _ - only, at most 249")
    processors = table.texts("processors")
    if processors == []:
        raise BadConfig(f"{table.at}.processors: name one, or leave it out: it may feed any")
    topic = TopicSettings(
        name=name,
        source=source,
        processors=frozenset(processors) if processors is not None else None,
        create_partitions=table.optional_whole("create_partitions", least=1),
        silent_after_us=int(
            table.number("silent_after_hours", silent_after_hours, least=0.0) * _HOUR
        ),
    )
    table.finish()
    return topic


def _check_topics(topics: Sequence[TopicSettings]) -> None:
    names = [topic.name for topic in topics]
    for name in names:
        if names.count(name) > 1:
            raise BadConfig(f"topics: {name!r} is there twice; keep one [[topics]] for it")


def _systems(tables: Sequence[Table]) -> list[SystemMark]:
    marks = [_system(table) for table in tables]
    places = [(mark.processor, mark.system, mark.gallery) for mark in marks]
    for table, place in zip(tables, places, strict=True):
        if places.count(place) > 1:
            raise BadConfig(f"{table.at}: is there twice; keep one [[systems]] for it")
    whole = {(m.processor, m.system): m.namespace for m in marks if m.gallery is None}
    return [replace(m, namespace=whole.get((m.processor, m.system), m.namespace)) for m in marks]


def _system(table: Table) -> SystemMark:
    purpose = table.text("purpose", "operation")
    if purpose not in {"operation", "research"}:
        raise BadConfig(f'{table.at}.purpose: must be "operation" or "research"')
    mark = SystemMark(
        processor=table.required("processor"),
        system=table.required("system"),
        gallery=table.optional("gallery"),
        research=purpose == "research",
        reason=table.text("reason", ""),
        by=table.text("by", ""),
        namespace=table.text("namespace", "default"),
    )
    if mark.research and not (mark.reason and mark.by):
        raise BadConfig(
            f"{table.at}: purpose 'research' takes people out of the statutory number (Art. 2): "
            "say who decided it (by) and why (reason)"
        )
    if mark.gallery is not None and mark.namespace != "default":
        raise BadConfig(f"{table.at}.namespace: belongs to a whole system, not to a gallery")
    table.finish()
    return mark


def _limit(table: Table | None) -> RejectLimit:
    if table is None:
        return RejectLimit()
    limit = RejectLimit(
        rejects=table.whole("rejects", 1_000, least=0),
        share=table.number("share", 0.01, least=0.0),
        window=table.whole("window", 10_000, least=1),
    )
    table.finish()
    return limit


def _tls(table: Table | None, here: Path) -> Tls | None:
    if table is None:
        return None
    cert, key = table.file("cert_file", here), table.file("key_file", here)
    tls = Tls(
        ca_file=_text(table.file("ca_file", here)),
        cert_file=_text(cert),
        key_file=_text(key),
        key_password=table.secret("key_password", here) or "",  # None would ask on the terminal
        check_host_name=table.flag("check_host_name", default=True),
    )
    table.finish()
    if key is not None and cert is None:
        raise BadConfig("tls.cert_file: is missing; a key_file needs it")
    try:
        tls.context()
    except OSError as exc:  # SSLError is one
        raise BadConfig(
            f"tls: the certificates or the key cannot be used ({type(exc).__name__}); give PEM "
            "files that belong together, and the key's password"
        ) from None
    return tls


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _sasl(table: Table | None, here: Path) -> Sasl | None:
    if table is None:
        return None
    password = table.secret("password", here)
    if password is None:
        raise BadConfig("sasl.password: give password or password_file")
    username, mechanism = table.required("username"), table.text("mechanism", "SCRAM-SHA-512")
    table.finish()
    try:
        return Sasl(username=username, password=password, mechanism=mechanism)
    except ValueError as exc:
        raise BadConfig(f"sasl.mechanism: {exc}") from None
