"""The broker of the compose file, as Kafka's own tool reads its variables."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY
from tests.services import kafka as kafkas
from tests.services.presence import require

# Of the image and of Java, not of Kafka's settings.
OTHERS = {"CLUSTER_ID", "KAFKA_HEAP_OPTS"}
HERE = "127.0.0.1:"  # in place of the broker's name, which nothing here resolves


def format_storage(properties: Path, cluster: str) -> subprocess.CompletedProcess[str]:
    jars = max(kafkas.JARS.glob("[0-9]*"))
    tool = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "kafka.tools.StorageTool"]
    return subprocess.run(
        [*tool, "format", "--cluster-id", cluster, "--config", str(properties)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_kafka_formats_its_storage_by_them_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    require(kafkas.available())
    services = yaml.safe_load((REPOSITORY / "deploy" / "compose" / "compose.yml").read_text())
    variables = services["services"]["kafka"]["environment"]
    given = {
        # As the image does: KAFKA_LOG_DIRS is log.dirs.
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value).replace("kafka:", HERE)
        for name, value in variables.items()
        if name not in OTHERS
    } | {"log.dirs": str(tmp_path / "data")}
    properties = tmp_path / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    good = format_storage(properties, variables["CLUSTER_ID"])
    kept = (tmp_path / "data" / "meta.properties").read_text()
    shutil.rmtree(tmp_path / "data")
    properties.write_text(properties.read_text().replace("=INSIDE\n", "=ELSEWHERE\n"))
    bad = format_storage(properties, variables["CLUSTER_ID"])

    assert good.returncode == 0, good.stderr
    assert f"cluster.id={variables['CLUSTER_ID']}" in kept
    assert bad.returncode != 0
