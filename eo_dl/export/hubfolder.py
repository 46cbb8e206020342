"""A model as a folder to push to Hugging Face."""

from __future__ import annotations

from pathlib import Path

from ..bundle import CARD, ITEM, ONNX, PREVIEW, Bundle, member_specs
from ..io.atomic import atomic_folder, write_bytes
from ..modeladdress import HUB_FILE
from ..modelcard import model_card
from ..modelitem import model_item
from .modelcontract import plain_graph

# Hugging Face states the SHA-256 of files in Git LFS, by which a download is checked.
_GIT_ATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in ("*.eodl", "*.onnx", "*.png")
)
_USE = f"""
Straight from the hub, for a repository OWNER/NAME:

```
eo-dl predict hf://OWNER/NAME scene.tif -o map.tif
```

`{ONNX}` is the network for other programs; how stored values become its input is JSON under its metadata key
`eo_dl`.
"""


def write_hub_folder(bundle: Bundle, graph: bytes, out: Path, *, overwrite: bool = False) -> None:
    """Write the card, the model, its graph, its STAC item and its preview into a folder.

    Args:
        bundle: The model.
        graph: Its graph.
        out: The new folder.
        overwrite: Replace a folder that was written by this function.

    Raises:
        OutputExistsError: The folder exists.
        WriteError: The folder cannot be written.
    """
    files = {
        CARD: (model_card(bundle.spec) + _USE).encode(),
        HUB_FILE: bundle.path.read_bytes(),
        ONNX: plain_graph(bundle, graph),
    }
    if PREVIEW in bundle.members:
        files[PREVIEW] = bundle.read(PREVIEW)
    item = model_item(bundle.spec, member_specs(files))
    if item is not None:
        files[ITEM] = item
    files[".gitattributes"] = _GIT_ATTRIBUTES.encode()
    with atomic_folder(out, overwrite=overwrite, marker=HUB_FILE) as folder:
        for name, content in files.items():
            write_bytes(folder / name, content)
