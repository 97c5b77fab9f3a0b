"""The wire contract, published from the code: JSON Schema of the events, and AsyncAPI around it.

``python -m deploy.contract`` writes both into ``docs/contract``; a test holds them to the code.
"""

from __future__ import annotations

import json
from pathlib import Path

from streams.adapters.contract import json_schema

FOLDER = Path(__file__).parents[1] / "docs" / "contract"


def asyncapi() -> dict[str, object]:
    """Return the AsyncAPI 3.0 document of the topics that facetally reads."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "facetally",
            "version": "1",
            "description": "Enrolment and deletion events of face-recognition systems. facetally "
            "only receives. No image, template or vector is accepted.",
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "faceEvents": {
                "address": "face-events",
                "description": "Any topic of the settings whose source is 'cloudevents'; any "
                "number of partitions, any key, any compression.",
                "messages": {"event": {"$ref": "#/components/messages/event"}},
                "bindings": {"kafka": {"bindingVersion": "0.5.0"}},
            }
        },
        "operations": {
            "receive": {"action": "receive", "channel": {"$ref": "#/channels/faceEvents"}}
        },
        "components": {
            "messages": {
                "event": {
                    "contentType": "application/cloudevents+json",
                    "summary": "CloudEvents 1.0, structured mode; binary mode (ce_ headers) too.",
                    "payload": {"$ref": "events.schema.json"},
                }
            }
        },
    }


def documents() -> dict[str, str]:
    """Return the text of each document by its file name."""
    found = {"events.schema.json": json_schema(), "asyncapi.json": asyncapi()}
    return {name: json.dumps(value, indent=2) + "\n" for name, value in found.items()}


def write(folder: Path = FOLDER) -> None:
    """Write the documents into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
