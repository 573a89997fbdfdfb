"""`external`: a server that is there already. Nothing is started and nothing stopped."""

from __future__ import annotations

from pathlib import Path

from assay.errors import ConfigError, DeploymentFailed, Problem
from assay.files import digest_of
from assay.models.deployed import names_in
from assay.models.deployment import Deployed, Now
from assay.models.endpoint import checked
from assay.release.deployers.base import Deployer, Deployment, Settings
from assay.release.deployers.server import get


class External(Deployer):
    """Any OpenAI-compatible endpoint, as its owner describes it. Which weights it serves cannot be seen from here."""

    name = "external"
    formats = ("gguf", "safetensors")
    serves = False
    understands = frozenset({"url", "api_key_env", "served", "choices"})

    def describe(self, checkpoint: Path, settings: Settings) -> Deployed:
        """The endpoint and its name for the model stand for the weights: their digest is of what was declared."""
        self.check(settings)
        if not settings.url or not settings.served:
            raise ConfigError(Problem("external needs to know the server", key="serving", allowed="url and served"))
        url = base_url(settings.url)
        return Deployed(
            name=settings.name or settings.served,
            digest=digest_of({"endpoint": url, "served": settings.served}),
            format="remote",
            deployer=self.name,
            api="openai",
            slots=settings.slots,
            choices=bool(settings.choices),
            structured=True,
            shaping={"endpoint": url, "served": settings.served},
        )

    def deploy(self, checkpoint: Path, settings: Settings, log: Path) -> Deployment:
        """See that the server is there and has the model."""
        model = self.describe(checkpoint, settings)
        now = Now(base_url(settings.url or ""), settings.served or "", key_env=settings.api_key_env)
        names = list(names_in(get(now.url, "/v1/models", now.key())))
        if now.served not in names:
            shown = ", ".join(map(repr, names[:5])) or "no model, or does not answer"
            raise DeploymentFailed(f"{now.url} serves {shown}; asked for was {now.served!r}")
        return Deployment(model, now, None, facts={"deployer": self.name})


def base_url(url: str) -> str:
    """The server's address without `/v1`. Raises ConfigError for one that cannot be used."""
    return checked(url).removesuffix("/v1")


DEPLOYER = External()
