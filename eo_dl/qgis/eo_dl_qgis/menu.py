"""The algorithms: which command each runs, what is asked first, and what is loaded afterwards. No QGIS in
here.

Everything else about a parameter (its type, choices, default, help) comes from `commands.json`, so it is
written once, in the command line; labels are in `texts.py`. A test checks that every command is here or in
`ELSEWHERE`, and that every option is asked for or in `NOT_ASKED`.
"""

from dataclasses import dataclass

LABEL, LEARN, MAP, EXCHANGE = "1 Label", "2 Train", "3 Map", "4 Exchange"

# Commands without an algorithm, and why.
ELSEWHERE = {
    "demo": "runs on the sample scenes, not on the user's",
    "doctor": "Settings > Options > eo_dl > Check shows it",
    "model export": "writes a model for other programs, once; QGIS predicts with the model itself",
    "model import": "reads an ONNX file once; `predict` then takes the model like any other",
    "model show": "prints a table",
    "model backbones": "prints a table",
    "model list": "prints a table; `predict` takes a name from it in place of a file",
    "model get": "copies a file, once",
    "model shelf": "is for those who publish models",
    "inspect": "QGIS shows it in the layer properties",
    "qgis install": "has installed this plug-in",
    "qgis package": "is for plug-in repositories",
}

# Options that no dialog asks for, and why.
NOT_ASKED = {
    "progress_mode": "the plug-in reads JSON",
    "as_json": "the plug-in reads JSON",
    "quiet": "QGIS has a log",
    "verbose": "QGIS has a log",
    "shard": "is for scripts on many machines",
    "assemble": "is for scripts on many machines",
    "cluster": "is for many machines",
    "layer": "is that of the chosen layer",
    "print_config": "prints text",
    "trust_vrt": "set where no chip set is named: the user has chosen the file, or opened it in QGIS",
    "allow_remote": "is for chip sets of other people, which the command line is for",
}


@dataclass(frozen=True)
class Load:
    """A layer to load when a command has finished."""

    # File, and layer within it; both may contain {out}.
    path: str
    layer: str = ""
    # Name in the Layers panel (default: that of the file).
    title: str = ""
    # Start editing it.
    edit: bool = False


@dataclass(frozen=True)
class Entry:
    """One algorithm."""

    id: str
    command: str
    title: str
    group: str
    # Parameters that are asked first, in this order; the others are advanced.
    shown: tuple
    # What the result is: "folder", "file", or "" for none.
    output: str = "file"
    # File types of the result.
    filter: str = ""
    # (parameter, kind) where it is asked for in another way than `parameters.KINDS` says.
    widgets: tuple = ()
    # (parameter, word) that the command takes for a layer that is not chosen.
    empty: tuple = ()
    loads: tuple = ()
    # Name of the report, an HTML page: in the result folder, or where the command says that it is.
    report: str = ""


GPKG = "GeoPackage (*.gpkg)"
GEOTIFF = "GeoTIFF (*.tif)"
MODEL = "eo_dl model (*.eodl)"
VECTORS = f"{GPKG};;GeoJSON (*.geojson);;FlatGeobuf (*.fgb);;GeoParquet (*.parquet)"
MAPS = f"{GEOTIFF};;{VECTORS}"
TABLES = "CSV (*.csv);;Excel (*.xlsx)"

ENTRIES = (
    Entry(
        id="map",
        command="map",
        title="Map from labels (all steps)",
        group=LABEL,
        shown=("scenes", "labels", "class_field", "task", "minutes", "annotated"),
        output="folder",
        loads=(
            Load("{out}/map.tif"),
            Load("{out}/map.gpkg"),
            Load("{out}/chips/chips.gpkg", "chips", "chips by split"),
        ),
        widgets=(("task", "task"),),
        report="index.html",
    ),
    Entry(
        id="start_labelling",
        command="labels start",
        title="Start labelling",
        group=LABEL,
        shown=("scenes", "classes", "geometry"),
        filter=GPKG,
        loads=(
            Load("{out}", "annotated", "annotated"),
            Load("{out}", "labels", "labels", edit=True),
        ),
    ),
    Entry(
        id="label_status",
        command="labels status",
        title="Label statistics",
        group=LABEL,
        shown=("labels", "scenes"),
        output="",
    ),
    Entry(
        id="check_labels",
        command="labels check",
        title="Check labels",
        group=LABEL,
        shown=("labels", "scenes", "class_field"),
        filter=GPKG,
        loads=(Load("{out}", "", "findings"),),
    ),
    Entry(
        id="next_to_label",
        command="labels queue",
        title="Next places to label",
        group=LABEL,
        shown=("model", "scenes", "count", "labels"),
        filter=GPKG,
        loads=(Load("{out}", "", "label next"),),
    ),
    Entry(
        id="weak_labels",
        command="labels weak",
        title="Labels from rules",
        group=LABEL,
        shown=("scenes", "functions", "short"),
        filter=GEOTIFF,
        widgets=(("functions", "yaml"), ("short", "lines"), ("truth", "layer")),
        loads=(Load("{out}"),),
    ),
    Entry(
        id="prelabel",
        command="labels prelabel",
        title="Labels from prediction",
        group=LABEL,
        shown=("prediction",),
        filter=GPKG,
        loads=(Load("{out}", "labels", "to review"),),
    ),
    Entry(
        id="merge_labels",
        command="labels merge",
        title="Merge corrected labels",
        group=LABEL,
        shown=("labels", "corrected"),
        filter=GPKG,
        empty=(("labels", "none"),),
        loads=(Load("{out}", "labels", "labels"),),
    ),
    Entry(
        id="fetch",
        command="fetch",
        title="Web map to GeoTIFF",
        group=LABEL,
        shown=("source", "gsd_m", "aoi", "map_layer"),
        filter=GEOTIFF,
        widgets=(("source", "text"),),
        loads=(Load("{out}"),),
    ),
    Entry(
        id="tile",
        command="tile",
        title="Create training chips",
        group=LEARN,
        shown=("scenes", "labels", "class_field", "size", "annotated"),
        output="folder",
        loads=(Load("{out}/chips.gpkg", "chips", "chips by split"),),
    ),
    Entry(
        id="train",
        command="train",
        title="Train model",
        group=LEARN,
        shown=("chips", "task", "minutes", "weights"),
        filter=MODEL,
        widgets=(("task", "task"),),
        report="report.html",
    ),
    Entry(
        id="retrain",
        command="retrain",
        title="Retrain with corrections",
        group=LEARN,
        shown=("model", "chips", "labels", "class_field", "corrected", "scenes"),
        filter=MODEL,
        empty=(("labels", "none"),),
        report="report.html",
    ),
    Entry(
        id="stress",
        command="stress",
        title="Stress test of a model",
        group=LEARN,
        shown=("model", "scene", "truth", "class_field"),
        output="folder",
        report="stress.html",
    ),
    Entry(
        id="predict",
        command="predict",
        title="Predict",
        group=MAP,
        shown=("model", "scenes", "bands", "aoi"),
        filter=MAPS,
        widgets=(("scenes", "raster"), ("bands", "bands")),
        loads=(Load("{out}"),),
    ),
    Entry(
        id="evaluate",
        command="evaluate",
        title="Accuracy report",
        group=MAP,
        shown=("prediction", "truth", "class_field", "aoi"),
        output="folder",
        report="report.html",
    ),
    Entry(
        id="compare",
        command="compare",
        title="Compare two maps",
        group=MAP,
        shown=("first", "second", "truth", "class_field", "aoi"),
        output="folder",
        widgets=(("first", "layer"), ("second", "layer"), ("scene", "raster")),
        report="compare.html",
    ),
    Entry(
        id="sample",
        command="sample",
        title="Sample to interpret",
        group=MAP,
        shown=("prediction", "count", "method", "strata", "chip_px"),
        filter=GPKG,
        widgets=(("prediction", "layer"), ("strata", "layer")),
        loads=(Load("{out}", "sample", "to interpret", edit=True),),
    ),
    Entry(
        id="assess",
        command="assess",
        title="Accuracy and areas from a sample",
        group=MAP,
        shown=("sample", "prediction"),
        output="folder",
        widgets=(("sample", "vector"), ("prediction", "layer")),
        report="assessment.html",
    ),
    Entry(
        id="vectorize",
        command="vectorize",
        title="Polygons from class map",
        group=MAP,
        shown=("source", "min_area_m2"),
        filter=VECTORS,
        widgets=(("source", "raster"),),
        loads=(Load("{out}", "", "polygons"),),
    ),
    Entry(
        id="diff",
        command="diff",
        title="Changes between two maps",
        group=MAP,
        shown=("old", "new", "distance_m", "old_id"),
        filter=f"{VECTORS};;{GEOTIFF}",
        widgets=(
            ("old", "layer"),
            ("new", "layer"),
            ("old_probabilities", "raster"),
            ("new_probabilities", "raster"),
        ),
        loads=(Load("{out}", "before", "before"), Load("{out}", "changes", "changes")),
    ),
    Entry(
        id="summary",
        command="summary",
        title="Numbers by zone",
        group=MAP,
        shown=("source", "zones", "by", "means"),
        filter=f"{VECTORS};;{TABLES}",
        widgets=(("zones", "area"), ("means", "rasters"), ("truth", "vector")),
        loads=(Load("{out}", "zones", "zones"),),
    ),
    Entry(
        id="export_labels",
        command="labels export",
        title="Export labels",
        group=EXCHANGE,
        shown=("chips", "out_format", "labels"),
        output="folder",
    ),
    Entry(
        id="import_labels",
        command="labels import",
        title="Import labels",
        group=EXCHANGE,
        shown=("source", "index"),
        filter=VECTORS,
        widgets=(("source", "file"), ("index", "file")),
        loads=(Load("{out}", "labels", "labels"),),
    ),
    Entry(
        id="convert_labels",
        command="labels convert",
        title="Convert labels",
        group=EXCHANGE,
        shown=("source", "out_format", "images"),
        filter=VECTORS,
        widgets=(("source", "layer"), ("images", "raster")),
        loads=(Load("{out}"),),
    ),
)


def numbered_title(entry):
    """The title as the Toolbox shows it, which sorts by name: "1.2 Label statistics"."""
    of_group = [other for other in ENTRIES if other.group == entry.group]
    return f"{entry.group.split()[0]}.{of_group.index(entry) + 1} {entry.title}"


def icon(entry):
    """File name of the icon of its group."""
    return f"icon_{entry.group.split()[-1].lower()}.svg"
