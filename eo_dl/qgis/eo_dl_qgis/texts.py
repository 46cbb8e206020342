"""The words of the dialogs: the label and the help of every parameter. No QGIS in here.

Help comes from `commands.json`, so it is written once, in the command line; where it names an option
(`--class-field`), the dialog names its own label ('Class field'). Arguments have no help on the command line,
so theirs is here.
"""

import re

from .menu import ENTRIES

# Label of a parameter by its name; COMMAND_LABELS overrides it for one command.
LABELS = {
    "accept_shift_m": "Accepted accuracy of a change of datum (m)",
    "add_empty": "Chips without objects to add (share)",
    "accuracies": "Expected user's accuracy of each class (NAME=NUMBER, with commas)",
    "allocation": "How strata share the units",
    "annotated": "Area in which the labels are complete",
    "area_error": "Wanted standard error of the area (ha)",
    "area_of": "Class whose area is wanted",
    "at_least": "Least number of units per stratum",
    "aoi": "Only in these polygons (AOI)",
    "backbone": "Backbone",
    "backbone_lr_scale": "Learning rate of the backbone (fraction of the base rate)",
    "bands": "Bands",
    "batch_size": "Batch size (chips)",
    "block_m": "Side of a block (m)",
    "buffer_m": "Buffer around points and lines (m)",
    "by": "Measure of uncertainty",
    "cache": "Keep chips that were read",
    "chips": "Chip set (folder)",
    "class_field": "Class field",
    "class_map": "Matching classes (REFERENCE=PREDICTION, one per line)",
    "classes": "Classes",
    "colors": "Colours of the classes",
    "config": "Training configuration (YAML file)",
    "corrected": "Corrected labels",
    "count": "Number of chips",
    "crowds": "Objects marked as crowds or difficult",
    "crs": "CRS of the scene",
    "device": "Device",
    "devices": "GPUs on this computer",
    "distance_m": "Largest distance of centres (m)",
    "diversity": "Weight of diversity (0 to 1)",
    "dry_run": "Only estimate time and memory",
    "minutes": "Time for training, minutes",
    "epochs": "Number of epochs",
    "first": "First map",
    "find_lr": "Only look for a learning rate",
    "fix": "Repaired copy of the labels",
    "folds": "Folds for cross-validation",
    "force": "Use scenes that differ widely (values, GSD)",
    "format": "Format of the labels",
    "freeze": "Freeze the backbone",
    "functions": "Rules (YAML file)",
    "geometry": "Geometry",
    "gsd_m": "Resample to this GSD (m)",
    "guard_px": "Guard between splits (px)",
    "images": "Images",
    "index": "Index of the exported images (eo_dl_index.json)",
    "iou": "Overlap from which an object counts as found (IoU)",
    "join": "Join objects that were split between images",
    "kinds": "Kinds of alterations (with commas; default: all)",
    "keep_empty": "Chips without objects to keep (share)",
    "keep_gsd": "Do not resample the scene to the model's GSD",
    "label_crs": "CRS of the labels",
    "labels": "Labels",
    "lr": "Peak learning rate",
    "applicability": "Write where the model may be used, too",
    "certainty": "Write how certain the model is, too",
    "set_coverage": "Write the classes that a pixel may have, for this share of the ground",
    "chip_px": "Side of a chip (px)",
    "blend": "Blending at seams",
    "further_models": "Models to average with",
    "backend": "Engine",
    "margin_px": "Context around each chip (px)",
    "method": "How votes are combined",
    "max_inside": "Share of a box inside another from which both are one object",
    "max_overlap": "Overlap of two boxes from which they are one object (IoU)",
    "fill_holes_m2": "Fill holes below (m²)",
    "means": "Rasters to take means of",
    "min_area_m2": "Minimum area (m²)",
    "min_score": "Minimum score",
    "min_valid": "Minimum share of valid pixels",
    "model": "Model",
    "most_px": "Side of the piece (px)",
    "start": "Model to start from",
    "network": "Network",
    "drop_dead_bands": "Leave out bands that hold nothing",
    "nodata": "Nodata value of the scene",
    "bounds": "West, south, east, north (degrees), in place of an area",
    "map_layer": "Layer of the WMS or WMTS",
    "matrix_set": "Set of tiles of the WMTS",
    "pause_s": "Pause between two requests (s)",
    "most_requests": "Most requests",
    "mask": "Ground that is not used, e.g. clouds (SCL in 3,8,9,10; one rule per line)",
    "derive": "Bands to make from others (ndvi, slope, relief(12m); one per line)",
    "valid": "Valid pixels: measured in all bands, any, or N",
    "new": "Later map or layer",
    "new_crs": "CRS of the later layer",
    "new_layer": "Layer of the later file",
    "new_probabilities": "Class probabilities of the later map",
    "nodes": "Computers that train together",
    "offset": "Offset of stored values",
    "old": "Earlier map or layer",
    "old_class": "Class field of the earlier layer",
    "old_crs": "CRS of the earlier layer",
    "old_id": "Field with the name of an earlier object",
    "old_layer": "Layer of the earlier file",
    "old_probabilities": "Class probabilities of the earlier map",
    "out_format": "Output format",
    "overlap": "Common area from which two objects are one (share of the smaller)",
    "overlap_px": "Overlap of chips (px)",
    "overwrite": "Overwrite existing results",
    "page": "Page with the numbers (HTML)",
    "precision": "Precision",
    "prediction": "Prediction",
    "predictions": "Predicted objects to start from",
    "probabilities": "Class probabilities (NAME_prob.tif)",
    "regularize_px": "Straight walls and right angles, within (px)",
    "resume": "Resume a stopped run",
    "sample": "Interpreted sample",
    "same_iou": "Overlap below which an object has changed (IoU)",
    "sampling": "Sampling of chips",
    "scale": "Scale of stored values",
    "scene": "Scene of the prediction",
    "scenes": "Scenes",
    "second": "Second map",
    "seed": "Random seed",
    "settings": "Further training options (KEY=VALUE, one per line)",
    "short": "Rules (CLASS: CONDITION, one per line)",
    "sieve_px": "Sieve: smallest connected area (px)",
    "simplify_px": "Simplification tolerance (px)",
    "smooth_px": "Rounding of corners (px)",
    "size": "Chip size (pixels, or metres as in 128m)",
    "size_px": "Chip size (px)",
    "source": "Labels",
    "split": "Split",
    "split_by": "Unit that is never divided between splits",
    "splits": "Splits to export",
    "split_like": "Hold out the same ground as this chip set (folder)",
    "strata": "Strata (default: classes of the map)",
    "strategy": "Strategy for several GPUs",
    "task": "Task",
    "truth": "Reference labels",
    "truth_class": "Class field of the reference labels",
    "unfreeze_epoch": "Unfreeze the backbone after this many epochs",
    "unlabelled": "Unlabelled ground",
    "values": "Values in place of classes (name:unit:low..high)",
    "val_fold": "Fold for validation",
    "views": "Views per chip",
    "voc_origin": "First pixel of Pascal VOC boxes",
    "weights": "Pretrained weights",
    "where": "Only labels with FIELD=VALUE",
    "with_same": "Also list objects that are the same",
    "workers": "Reader processes",
    "zone_layer": "Layer of the zones",
    "zones": "Zones (polygons)",
    "write_chips": "Write chips as files",
}
COMMAND_LABELS = {
    ("assess", "prediction"): "Map (default: the one that was sampled)",
    ("labels convert", "images"): "Images of the labels",
    ("labels export", "images"): "Type of the images",
    ("fetch", "source"): "Address of XYZ tiles, a WMTS or a WMS",
    ("labels import", "source"): "Labels of the other tool",
    ("labels merge", "corrected"): "Reviewed prediction, or corrected pre-labels",
    ("labels weak", "truth"): "Hand labels to score the rules with",
    ("predict", "probabilities"): "Write class probabilities, too",
    ("predict", "scenes"): "Scene",
    ("retrain", "corrected"): "Reviewed prediction, or corrected pre-labels",
    ("retrain", "scenes"): "Corrected scenes that are not in the chip set",
    ("sample", "chip_px"): "Side of a unit (px)",
    ("sample", "class_field"): "Class field of the strata",
    ("sample", "count"): "Number of units",
    ("sample", "method"): "Method",
    ("sample", "prediction"): "Map",
    ("sample", "scene"): "Scene of predicted objects",
    ("stress", "scene"): "Scene",
    ("tile", "split"): "Shares of train, val and test (%)",
    ("summary", "by"): "Field with the name of a zone",
    ("summary", "layer"): "Layer of the map",
    ("summary", "source"): "Map",
    ("vectorize", "source"): "Class map",
}
RESULT, RESULT_FOLDER = "Result", "Result (folder)"

# Help of arguments, which the command line explains in its usage only.
ARGUMENT_HELP = {
    "chips": "A folder that 'Create training chips' has written.",
    "corrected": (
        "A prediction whose objects were accepted, changed or rejected in the review panel, "
        "or pre-labels that were edited."
    ),
    "labels": "A layer or file of labels.",
    "model": "A model file (.eodl) that 'Train model' has written.",
    "new": "The later class map, or layer of objects.",
    "old": "The earlier class map, or layer of objects: a prediction, a cadastre, OpenStreetMap.",
    "prediction": "A class map, or a layer of predicted objects.",
    "scene": "A raster layer of the project, or a file.",
    "scenes": "Raster layers of the project, or files.",
    "sample": "A sample that 'Sample to interpret' has drawn, with answers.",
    "first": "A class map, or a layer of predicted objects.",
    "second": "Another one of the same ground.",
    "source": "A layer or file.",
    "truth": "A layer or label raster with the true classes.",
}

_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)")
_COMMAND = re.compile(r"`?eo-dl ([a-z]+(?: [a-z]+)?)`?")


def label(command, parameter):
    """The label of a parameter (its dict in `commands.json`) in the dialog of a command ("labels queue")."""
    name = parameter["name"]
    known = COMMAND_LABELS.get((command, name)) or LABELS.get(name)
    return known or name.replace("_", " ").capitalize()


def parameter_help(command, parameter, parameters):
    """The help of a parameter in the words of the dialog; `parameters`: all of the command."""
    return help_in_dialog_words(
        parameter["help"] or ARGUMENT_HELP.get(parameter["name"], ""), command, parameters
    )


def command_help(texts):
    """The paragraphs of a command's help that are not examples for a terminal."""
    return [text for text in texts if not text.startswith("eo-dl ")]


def help_in_dialog_words(text, command, parameters):
    """A text of help with labels in place of flags and arguments (CHIPS), and titles in place of commands
    (`eo-dl labels merge`).
    """
    text = in_dialog_words(text, command, parameters)
    for parameter in parameters:
        argument = (parameter["metavar"] or "").strip("[].")
        if parameter["flag"] is None and argument.isupper():
            text = re.sub(rf"\b{argument}\b", f"'{label(command, parameter)}'", text)
    return _COMMAND.sub(_title_of, text)


def in_dialog_words(text, command, parameters):
    """A text of the command line with the labels of the dialog in place of its flags; flags of other
    commands stay.
    """
    labels = {
        flag.lstrip("-"): label(command, parameter)
        for parameter in parameters
        for flag in (parameter["flag"], parameter["off"])
        if flag
    }

    def replaced(match):
        known = labels.get(match.group(1))
        return match.group(0) if known is None else f"'{known}'"

    return _FLAG.sub(replaced, text)


def _title_of(match):
    """The title of a command; of "tile cuts" only the first word is one."""
    titles = {entry.command: entry.title for entry in ENTRIES}
    words = match.group(1).split()
    for known in (" ".join(words), words[0]):
        if known in titles:
            rest = match.group(1)[len(known) :]
            return f"'{titles[known]}'{rest}"
    return match.group(0)
