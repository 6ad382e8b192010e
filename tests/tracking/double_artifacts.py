"""The double's artifacts: versions of named collections of files, told apart by their digest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

UPLOAD = re.compile(r"/artifact/([^/]+)/(.*)")


@dataclass
class Version:
    """One version of a collection. ``files`` holds what was uploaded, by path, once committed."""

    name: str
    type: str
    digest: str
    run: str
    committed: bool = False
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Artifacts:
    """All versions by id, in the order of their making."""

    url: str = ""
    versions: dict[str, Version] = field(default_factory=dict)

    def of_type(self, kind: str) -> list[Version]:
        return [one for one in self.versions.values() if one.type == kind and one.committed]

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a query on artifacts; None to any other."""
        if "query ArtifactType" in query:
            return {"project": {"artifact": None}}
        if "mutation CreateArtifact " in query:
            return {"createArtifact": {"artifact": self._create(variables["input"])}}
        if "mutation CreateArtifactManifest " in query:
            name = f"{variables['artifactID']}/{variables['name']}"
            file = {"id": name, **self._upload(name)}
            return {"createArtifactManifest": {"artifactManifest": {"id": name, "file": file}}}
        if "mutation UpdateArtifactManifest " in query:
            name = variables["artifactManifestID"]
            file = {"id": name, **self._upload(name)}
            return {"updateArtifactManifest": {"artifactManifest": {"id": name, "file": file}}}
        if "mutation CreateArtifactFiles " in query:
            edges = [{"node": self._file(one)} for one in variables["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if "mutation CommitArtifact " in query:
            version = self.versions[variables["artifactID"]]
            version.committed = True
            return {"commitArtifact": {"artifact": {"id": "a", "digest": version.digest}}}
        return None

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The version of this name and digest that was committed before, or a new one."""
        name = (asked.get("artifactCollectionNames") or [asked.get("artifactCollectionName")])[0]
        known = {
            number: one
            for number, one in self.versions.items()
            if one.committed and (one.name, one.digest) == (name, asked["digest"])
        }
        number = next(iter(known), f"a{len(self.versions)}")
        if not known:
            self.versions[number] = Version(
                name=name,
                type=asked["artifactTypeName"],
                digest=asked["digest"],
                run=asked["runName"],
            )
        return {
            "id": number,
            "state": "COMMITTED" if known else "PENDING",
            "artifactSequence": {"latestArtifact": None},
        }

    def _upload(self, name: str) -> dict[str, Any]:
        return {"uploadUrl": f"{self.url}/artifact/{name}", "uploadHeaders": []}

    def _file(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"{asked['artifactID']}/{asked['name']}"
        return self._upload(name) | {
            "storagePath": name,
            "uploadMultipartUrls": None,
            "artifact": {"id": asked["artifactID"]},
        }

    def take(self, number: str, path: str, data: bytes) -> None:
        """A file was uploaded."""
        self.versions[number].files[path] = data
