"""Values that a dialog lists for a parameter that also takes others: devices, backbones, weights. No QGIS in
here.
"""

from . import commands

# Parameters whose value may also be a file: their dialog has a button to choose one.
WITH_FILE = ("weights",)
_DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps")
_STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
_STARTS = (
    ("automatic (ImageNet where the bands allow it)", "auto"),
    ("none (random weights)", "none"),
    ("ImageNet", "imagenet"),
)


def listed(name):
    """The values that are listed for a parameter as (text in the list, value); empty if none are."""
    makers = {
        "device": lambda: [(value, value) for value in _DEVICES],
        "strategy": lambda: [(value, value) for value in _STRATEGIES],
        "network": _networks,
        "backbone": _backbones,
        "weights": _weights,
    }
    maker = makers.get(name)
    return [] if maker is None else maker()


def _networks():
    found = []
    for task, networks in commands.networks().items():
        found += [(f"{network} ({task})", network) for network in networks]
    return found


def _backbones():
    names = dict.fromkeys(one["backbone"] for one in commands.weights())
    return [(name, name) for name in names]


def _weights():
    """The weights by their short names, which several backbones may share."""
    backbones = {}
    for one in commands.weights():
        if one["weights"] != "imagenet":
            key = (one["weights"], one["bands"], one["gsd_m"])
            backbones.setdefault(key, []).append(one["backbone"])
    found = list(_STARTS)
    for (name, bands, gsd), names in backbones.items():
        found.append((f"{name} ({bands} bands, {gsd} m; {', '.join(names)})", name))
    return found
