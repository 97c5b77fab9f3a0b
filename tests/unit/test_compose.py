"""The compose file against its schema, and against everything in the repository that it names.

There is no Docker where the tests run: what can be known without it is checked here.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from alerts.deadman.service import PATH, DeadmanSettings
from deploy.reading import BadConfig
from deploy.settings import Settings, load
from tests.conftest import REPOSITORY
from tests.parsing import parsed
from tests.services.prometheus import Promtool

HERE = REPOSITORY / "deploy" / "compose"
# Which compose-spec.json of the development package check-jsonschema this was judged by: another
# one is looked at by a person, who writes its hash here.
SCHEMA = "builtin_schemas/vendor/compose-spec.json"
SCHEMA_SHA256 = "1f91e091f16b2dd50ab8860e02bb391d22df553d91c145eacedb1b6eff9c3f0e"

COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, one in SERVICES.items() if one["image"].startswith("facetally:"))
ONCE = {"migrate", "grants", "ical"}
KEEPING = [name for name in OURS if name != "deadman"]  # a database, that is
SCRAPED = yaml.safe_load((HERE / "prometheus.yml").read_text("utf-8"))
DOCKERFILE = (HERE / "Dockerfile").read_text("utf-8")


def binds(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for volume in service.get("volumes", ()):
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            yield source, target


def file_of(name: str) -> Path:
    """Return the settings file that the service reads."""
    mounted = {target: HERE / source for source, target in binds(SERVICES[name])}
    return mounted[SERVICES[name]["command"][1]]


def settings_of(name: str, secrets: Path, text: str = "5e" * 32) -> Settings:
    """Load the settings as the service would: its variables, its files, secrets of our own."""
    environ = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    for secret in SERVICES[name]["secrets"]:
        (secrets / secret).write_text(text)
        (secrets / secret).chmod(0o600)
    here = {key: value.replace("/run/secrets", str(secrets)) for key, value in environ.items()}
    file = secrets / "facetally.toml"
    file.write_text(file_of(name).read_text("utf-8").replace("/run/secrets", str(secrets)))
    return load(str(file), here)


def test_the_schema_is_the_one_that_was_judged_by() -> None:
    raw = files("check_jsonschema").joinpath(SCHEMA).read_bytes()

    assert hashlib.sha256(raw).hexdigest() == SCHEMA_SHA256


def test_the_file_keeps_to_the_compose_specification() -> None:
    schema = json.loads(files("check_jsonschema").joinpath(SCHEMA).read_text("utf-8"))
    judge = Draft202012Validator(schema)
    broken = {**COMPOSE, "services": {"kafka": {"imagge": "x"}}}

    assert [f"{error.json_path}: {error.message}" for error in judge.iter_errors(COMPOSE)] == []
    assert list(judge.iter_errors(broken)) != []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["networks"]


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version_and_no_registry(name: str) -> None:
    image = SERVICES[name]["image"]
    path, _, tag = image.rpartition(":")

    assert re.match(r"v?\d+\.\d+", tag), image
    assert "." not in path.partition("/")[0]
    assert ":" not in path


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_and_comes_back_or_ends(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert ("healthcheck" in service) == (name not in ONCE)


def test_ports_are_published_to_this_machine_only() -> None:
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert all("ports" not in SERVICES[name] for name in (*OURS, "postgres"))


def test_what_is_not_for_outside_is_inside_only() -> None:
    inside = {name for name, one in SERVICES.items() if one["networks"] == ["inside"]}

    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {"postgres", "migrate", "worker-1", "worker-2"} <= inside


@pytest.mark.parametrize("name", SERVICES)
def test_every_mounted_file_is_in_the_repository(name: str) -> None:
    missing = [one for one, _ in binds(SERVICES[name]) if not (HERE / one).exists()]
    writable = [one for one in SERVICES[name].get("volumes", ()) if one.startswith(".")]

    assert missing == []
    assert all(one.endswith(":ro") for one in writable)


def test_every_volume_and_secret_is_declared_and_used() -> None:
    volumes = {
        volume.split(":")[0]
        for one in SERVICES.values()
        for volume in one.get("volumes", ())
        if not volume.startswith(".")
    }
    secrets = {secret for one in SERVICES.values() for secret in one.get("secrets", ())}

    assert volumes == set(COMPOSE["volumes"])
    assert secrets == set(COMPOSE["secrets"])


def test_no_secret_is_in_the_repository_or_in_a_variable() -> None:
    kept = [Path(one["file"]) for one in COMPOSE["secrets"].values()]
    said = [
        (name, key)
        for name, one in SERVICES.items()
        for key in one.get("environment", {})
        if "PASSWORD" in key and not key.endswith("FILE")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "deploy/compose/secrets"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {path.parent for path in kept} == {Path("secrets")}
    assert set(listed) <= {"deploy/compose/secrets/.gitignore"}
    assert said == []


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_is_one_that_facetally_has(name: str) -> None:
    service = SERVICES[name]
    command = parsed(service["command"])
    config = PurePosixPath(service["command"][1])

    assert command.info_name == service["command"][-1] or command.info_name == "ical"
    assert str(config) in {target for _, target in binds(service)}


@pytest.mark.parametrize("name", OURS)
def test_its_variables_are_ones_that_the_settings_know(name: str) -> None:
    guide = (REPOSITORY / "docs" / "settings.md").read_text("utf-8")
    root = guide.partition("## The root")[2].partition("\n## ")[0]
    known = {
        f"FACETALLY_{key.upper()}" for key in re.findall(r"^\| `(\w+)` \|", root, re.MULTILINE)
    }

    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", OURS)
def test_its_secrets_are_those_its_variables_name(name: str) -> None:
    service = SERVICES[name]
    named = {
        PurePosixPath(value).name
        for value in service["environment"].values()
        if str(value).startswith("/run/secrets/")
    }
    named |= set(re.findall(r'"/run/secrets/([\w-]+)"', file_of(name).read_text("utf-8")))

    assert named == set(service["secrets"])


@pytest.mark.parametrize("name", KEEPING)
def test_the_settings_of_a_service_name_services_and_their_ports(name: str, tmp_path: Path) -> None:
    settings = settings_of(name, tmp_path)
    kafka = SERVICES["kafka"]["environment"]
    owner = SERVICES["postgres"]["environment"]
    database = urlsplit(settings.database_url)

    assert f"INSIDE://{settings.bootstrap_servers}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert (database.hostname, database.port) == ("postgres", 5432)
    assert database.path == f"/{owner['POSTGRES_DB']}"
    assert database.password == "5e" * 32
    assert database.username == (
        owner["POSTGRES_USER"] if name == "migrate" else "facetally_worker"
    )
    assert settings.secret_file == tmp_path / "facetally-secret"


def test_each_worker_has_a_name_and_a_folder_of_its_own() -> None:
    workers = [SERVICES[name] for name in SERVICES if name.startswith("worker-")]
    names = {one["environment"]["FACETALLY_INSTANCE_ID"] for one in workers}
    folders = {volume for one in workers for volume in one["volumes"] if ":ro" not in volume}

    assert len(names) == len(folders) == len(workers) == 2
    assert {one.split(":")[1] for one in folders} == {"/var/lib/facetally"}
    assert "TMPDIR=/var/lib/facetally" in DOCKERFILE


def test_prometheus_scrapes_every_process_where_it_serves_and_tells_the_alertmanager(
    tmp_path: Path,
) -> None:
    port = settings_of("alerts", tmp_path).metrics_address.rpartition(":")[2]
    jobs = {
        one["job_name"]: one["static_configs"][0]["targets"] for one in SCRAPED["scrape_configs"]
    }
    told = SCRAPED["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    (channel,) = settings_of("alerts", tmp_path).channels

    assert jobs["facetally-worker"] == [f"worker-1:{port}", f"worker-2:{port}"]
    assert jobs["facetally-alerts"] == [f"alerts:{port}"]
    assert told == jobs["alertmanager"] == ["alertmanager:9093"]
    assert getattr(channel, "url", None) == "http://alertmanager:9093"
    assert f"EXPOSE {port}" in DOCKERFILE
    assert all(
        f":{port}/metrics" in SERVICES[name]["healthcheck"]["test"][-1]
        for name in ("worker-1", "worker-2", "alerts")
    )


def test_the_dead_mans_receiver_is_where_alertmanager_posts_and_hears_who_is_there(
    tmp_path: Path,
) -> None:
    settings = settings_of("deadman", tmp_path, "dingtalk://c4fa1c4fa1c4fa1c4fa1c4fa1")
    told = yaml.safe_load((HERE / "../alertmanager/alertmanager.yml").read_text("utf-8"))
    (road,) = [one for one in told["receivers"] if one["name"] == "deadman"]
    url = urlsplit(road["webhook_configs"][0]["url"])

    assert isinstance(settings.deadman, DeadmanSettings)
    assert settings.deadman.address == f"0.0.0.0:{url.port}"
    assert (url.hostname, url.path) == ("deadman", PATH)
    assert settings.deadman.installations == (SCRAPED["global"]["external_labels"]["installation"],)
    assert settings.deadman.channels == ("pager",)
    assert f":{url.port}/health" in SERVICES["deadman"]["healthcheck"]["test"][-1]
    assert set(SERVICES["deadman"]["networks"]) & set(SERVICES["alertmanager"]["networks"])


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_dead_mans_receiver_that_can_page_nobody_does_not_start(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(BadConfig, match="url_file: the file is empty"):
        settings_of("deadman", tmp_path, text)


def test_promtool_takes_the_configuration_with_all_of_our_rules(
    promtool: Promtool, tmp_path: Path
) -> None:
    del promtool  # only whether there is one
    (mounted,) = SCRAPED["rule_files"]
    rules = {target: HERE / source for source, target in binds(SERVICES["prometheus"])}
    folder = rules[str(PurePosixPath(mounted).parent)].resolve()
    config = tmp_path / "prometheus.yml"
    text = (HERE / "prometheus.yml").read_text("utf-8")
    config.write_text(text.replace(str(PurePosixPath(mounted).parent), str(folder)))
    done = subprocess.run(
        ["promtool", "check", "config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert f"{len(list(folder.glob('*.yml')))} rule files found" in done.stdout
    assert re.search(r"SUCCESS: [1-9]\d* rules found", done.stdout)


def test_versions_are_those_that_the_tests_run_against() -> None:
    pom = (REPOSITORY / "scripts" / "kafka" / "pom.xml").read_text("utf-8")
    version = re.search(r"<kafka.version>(.*)</kafka.version>", pom)
    ours = re.search(
        r'^version = "(.*)"', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE
    )

    assert version is not None
    assert ours is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"
    assert {SERVICES[name]["image"] for name in OURS} == {f"facetally:{ours[1]}"}


def test_the_image_is_built_from_the_lock_file_and_from_what_is_there() -> None:
    copied = [
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    ignored = (HERE / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    build = SERVICES["worker-1"]["build"]

    assert [one for one in copied if not (REPOSITORY / one).exists()] == []
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
    assert "deploy/compose/secrets" in ignored
    assert "--require-hashes" in DOCKERFILE
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    assert re.search(r"^USER \d{5}:\d{5}$", DOCKERFILE, re.MULTILINE)
    assert (HERE / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]).is_file()


def test_grafana_reads_what_is_mounted_and_asks_the_prometheus_that_is_there() -> None:
    source = yaml.safe_load((HERE / "grafana" / "datasource.yml").read_text("utf-8"))
    provider = yaml.safe_load((HERE / "grafana" / "dashboards.yml").read_text("utf-8"))
    url = urlsplit(source["datasources"][0]["url"])
    mounted = {target for _, target in binds(SERVICES["grafana"])}

    assert url.hostname in SERVICES
    assert f"127.0.0.1:{url.port}:{url.port}" in SERVICES[str(url.hostname)]["ports"]
    assert provider["providers"][0]["options"]["path"] in mounted
