"""What hatchling asks when it builds the package: its README, as an index shows it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ReadmeHook(MetadataHookInterface):
    """Makes the README's links absolute; ``docs/package_readme.py`` tells how."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the README into the metadata."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        ours = root / "docs/package_readme.py"
        if ours.exists():  # images are built without: nobody reads it there
            text = runpy.run_path(str(ours))["for_an_index"](
                text,
                source=metadata.get("urls", {}).get("Source"),
                version=metadata["version"],
            )
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
