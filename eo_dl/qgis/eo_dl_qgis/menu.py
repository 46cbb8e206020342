"""The algorithms: which command each runs, what is asked first, and what is loaded afterwards. No QGIS in
here.

Everything else about a parameter (its type, choices, default, help) comes from `commands.json`, so it is said
once, in the command line. A test holds that every command is here or in `ELSEWHERE`, and every option is
shown or in `NOT_ASKED`.
"""

from dataclasses import dataclass

LABEL, LEARN, MAP = "1 Label", "2 Learn", "3 Map"

# Commands that are no algorithm, and why.
ELSEWHERE = {
    "demo": "runs on the sample scenes of the repository",
    "doctor": "Settings > Options > eo_dl > Check",
    "model show": "prints a table; the result page of Train has the scores",
    "model backbones": "prints a table",
    "inspect": "the Layer Properties of QGIS and the model's own page tell it",
    "qgis install": "has put this plug-in here",
    "qgis package": "for plug-in servers",
}

# Options that no dialog asks for, and why.
NOT_ASKED = {
    "progress_mode": "the plug-in reads JSON",
    "as_json": "the plug-in reads JSON",
    "quiet": "QGIS has a log",
    "verbose": "QGIS has a log",
    "layer": "comes with the layer that is chosen",
    "print_config": "prints text",
    "trust_vrt": "a file that is open in QGIS is opened on the user's word, so it is always given",
}


@dataclass(frozen=True)
class Load:
    """A layer to show when a command is done: `path` and `layer` may hold {out}; `kind` is "raster", "vector"
    or "any" (by suffix).
    """

    path: str
    layer: str = ""
    title: str = ""
    edit: bool = False


@dataclass(frozen=True)
class Entry:
    """One algorithm.

    `shown` parameters are asked first, the others lie under Advanced. `output`: "folder", "file" or "" for
    none, `filter` its file types. `widgets` overrides how a parameter is asked: see `parameters.KINDS`.
    `empty`: the word that the command takes for a layer that is not chosen.
    """

    id: str
    command: str
    title: str
    group: str
    shown: tuple
    output: str = "file"
    filter: str = ""
    widgets: tuple = ()
    empty: tuple = ()
    loads: tuple = ()
    report: str = ""


GPKG = "GeoPackage (*.gpkg)"
MODEL = "eo_dl model (*.eodl)"
VECTORS = "GeoPackage (*.gpkg);;GeoJSON (*.geojson);;FlatGeobuf (*.fgb);;GeoParquet (*.parquet)"
MAPS = "GeoTIFF (*.tif);;" + VECTORS

ENTRIES = (
    Entry("start_labelling", "labels start", "Start labelling", LABEL, ("scenes", "classes", "geometry"), filter=GPKG,
          loads=(Load("{out}", "annotated", "annotated"), Load("{out}", "labels", "labels", edit=True))),
    Entry("label_status", "labels status", "What is drawn so far", LABEL, ("labels", "scenes"), output=""),
    Entry("check_labels", "labels check", "Check labels", LABEL, ("labels", "scenes", "class_field"), filter=GPKG, loads=(Load("{out}", "", "findings"),)),
    Entry("tile", "tile", "Tile: cut scenes and labels into chips", LEARN, ("scenes", "labels", "class_field", "size", "annotated"), output="folder",
          loads=(Load("{out}/chips.gpkg", "chips", "chips by split"),)),
    Entry("train", "train", "Train a model", LEARN, ("chips", "task", "epochs", "weights"), filter=MODEL),
    Entry("retrain", "retrain", "Retrain with corrections", LEARN, ("model", "chips", "labels", "class_field", "corrected", "scenes"), filter=MODEL,
          empty=(("labels", "none"),)),
    Entry("predict", "predict", "Predict: a map of a scene", MAP, ("model", "scenes", "bands", "aoi"), filter=MAPS, widgets=(("scenes", "raster"), ("bands", "bands")), loads=(Load("{out}"),)),
    Entry("evaluate", "evaluate", "Evaluate a map against the truth", MAP, ("prediction", "truth", "class_field", "aoi"), output="folder", report="report.html"),
    Entry("vectorize", "vectorize", "Vectorize a class map", MAP, ("source", "min_area_m2"), filter=VECTORS, loads=(Load("{out}", "", "polygons"),)),
    Entry("next_to_label", "labels queue", "What to label next", LABEL, ("model", "scenes", "count", "labels"), filter=GPKG, loads=(Load("{out}", "", "label next"),)),
    Entry("weak_labels", "labels weak", "Weak labels from rules", LABEL, ("scenes", "functions", "short"), filter="GeoTIFF (*.tif)",
          widgets=(("functions", "yaml"), ("short", "lines"), ("truth", "layer")), loads=(Load("{out}"),)),
    Entry("prelabel", "labels prelabel", "A prediction as labels to correct", LABEL, ("prediction",), filter=GPKG, loads=(Load("{out}", "labels", "to review"),)),
    Entry("merge_labels", "labels merge", "Merge corrected labels", LABEL, ("labels", "corrected"), filter=GPKG, empty=(("labels", "none"),), loads=(Load("{out}", "labels", "labels"),)),
    Entry("export_labels", "labels export", "Export labels to another tool", LABEL, ("chips", "format", "labels"), output="folder"),
    Entry("import_labels", "labels import", "Import labels from another tool", LABEL, ("source", "index"), filter=VECTORS, widgets=(("source", "file"), ("index", "file")), loads=(Load("{out}", "labels", "labels"),)),
    Entry("convert_labels", "labels convert", "Convert labels", LABEL, ("source", "format", "images"), filter=VECTORS, widgets=(("source", "layer"), ("images", "raster")), loads=(Load("{out}"),)),
)  # fmt: skip
