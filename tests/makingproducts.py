"""Sentinel-2 and Landsat products in miniature, with the folders, names and metadata of real ones.

    python -m tests.makingproducts FOLDER     writes one of each kind, as docs/walks/sentinel2.md uses them

Pixels are generated: fields with two crops, a wood and a lake, and clouds with shadows in the quality band.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

TILE, DATE = "T33UUP", "20230601T100601"
CRS = "EPSG:32633"
CORNER = (399_960.0, 5_400_000.0)
_SIZES = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}
_ALL = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_CENTRES_NM = (442.7, 492.7, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1373.5, 1613.7, 2202.4)

# Reflectance of wood, crop, bare soil and water in the order of _ALL: rough values of spectral libraries.
_SPECTRA = {
    0: (0.03, 0.03, 0.05, 0.03, 0.08, 0.20, 0.26, 0.28, 0.30, 0.30, 0.003, 0.14, 0.07),
    1: (0.04, 0.04, 0.08, 0.05, 0.13, 0.32, 0.40, 0.42, 0.44, 0.44, 0.003, 0.22, 0.11),
    2: (0.09, 0.11, 0.14, 0.18, 0.20, 0.22, 0.24, 0.26, 0.27, 0.27, 0.003, 0.33, 0.28),
    3: (0.05, 0.05, 0.04, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.003, 0.01, 0.01),
}
CLOUD, SHADOW, CLEAR = 9, 3, 4


def ground(side_px: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) kind of ground (0 wood, 1 crop, 2 soil, 3 water) and (H, W) SCL, pixels of 10 m."""
    noise = np.random.default_rng(seed)
    fields = noise.integers(0, 3, (side_px // 30 + 1, side_px // 30 + 1))
    kinds = np.kron(fields, np.ones((30, 30), int))[:side_px, :side_px]
    rows, cols = np.mgrid[:side_px, :side_px]
    kinds[(rows - side_px * 0.7) ** 2 + (cols - side_px * 0.3) ** 2 < (side_px * 0.12) ** 2] = 3
    scl = np.full((side_px, side_px), CLEAR)
    cloud = (rows - side_px * 0.25) ** 2 + (cols - side_px * 0.7) ** 2 < (side_px * 0.15) ** 2
    scl[np.roll(cloud, (12, -12), (0, 1))] = SHADOW
    scl[cloud] = CLOUD
    return kinds, scl


def reflectance(band: str, kinds: np.ndarray, scl: np.ndarray, seed: int = 0) -> np.ndarray:
    """(H, W) reflectance of a Sentinel-2 band, with noise; clouds are bright, shadows dark."""
    place = _ALL.index(band)
    spectrum = np.array([_SPECTRA[kind][place] for kind in range(4)])
    noise = np.random.default_rng([seed, place])
    values = spectrum[kinds] * (1 + 0.05 * noise.standard_normal(kinds.shape))
    values[scl == CLOUD] = 0.8
    values[scl == SHADOW] *= 0.3
    return values


def coarser(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor pixels."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    return values.reshape(height, factor, width, factor).mean(axis=(1, 3))


def _write(path: Path, values: np.ndarray, size_m: float, dtype: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_jp2 = path.suffix == ".jp2"
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if is_jp2 else {"compress": "deflate"}
    place = Affine(size_m, 0, CORNER[0], 0, -size_m, CORNER[1])
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG" if is_jp2 else "GTiff",
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        dtype=dtype,
        crs=CRS,
        transform=place,
        **options,
    ) as dataset:
        dataset.write(values.astype(dtype), 1)


def make_sentinel2(
    folder: Path, level: str = "L2A", *, baseline: str = "05.09", side_px: int = 60, seed: int = 0
) -> Path:
    """A SAFE folder. Stored values carry the offset of the baseline; 0 in a strip at the western edge.

    Args:
        folder: Where it is made.
        level: "L1C" or "L2A".
        baseline: Processing baseline; from 04.00 on with the offset of -1000.
        side_px: Side of the tile in pixels of 10 m, divisible by 6.
        seed: Other ground.
    """
    product = f"S2A_MSI{level}_{DATE}_N{baseline.replace('.', '')}_R022_{TILE}_20230601T160000"
    root = folder / f"{product}.SAFE"
    granule = root / "GRANULE" / f"{level}_{TILE}_A041483_20230601T100604"
    offset = -1000 if float(baseline) >= 4 else 0
    kinds, scl = ground(side_px, seed)
    for band in _ALL:
        if level == "L2A" and band == "B10":
            continue
        size_m = _SIZES.get(band, 20)
        stored = np.round(coarser(reflectance(band, kinds, scl, seed), size_m // 10) * 10_000) - offset
        stored[:, : max(1, 60 // size_m)] = 0
        name = f"{TILE}_{DATE}_{band}"
        if level == "L1C":
            _write(granule / "IMG_DATA" / f"{name}.jp2", stored, size_m, "uint16")
            continue
        _write(granule / "IMG_DATA" / f"R{size_m}m" / f"{name}_{size_m}m.jp2", stored, size_m, "uint16")
        if size_m == 10:  # real products have it at 20 m, too
            coarse = granule / "IMG_DATA" / "R20m" / f"{name}_20m.jp2"
            _write(coarse, coarser(stored, 2), 20, "uint16")
    if level == "L2A":
        at_20_m = scl[::2, ::2].copy()
        at_20_m[:, :3] = 0
        _write(granule / "IMG_DATA" / "R20m" / f"{TILE}_{DATE}_SCL_20m.jp2", at_20_m, 20, "uint8")
        probability = np.where(at_20_m == CLOUD, 90, 2)
        _write(granule / "QI_DATA" / "MSK_CLDPRB_20m.jp2", probability, 20, "uint8")
    _write_sentinel2_metadata(root / f"MTD_MSI{level}.xml", level, baseline, offset)
    (granule / "MTD_TL.xml").write_text(
        "<n1:Level-2A_Tile_ID xmlns:n1='https://psd-14.sentinel2.eo.esa.int'/>"
    )
    return root


def _write_sentinel2_metadata(path: Path, level: str, baseline: str, offset: int) -> None:
    offsets, quantification = "", ""
    tag = "BOA_ADD_OFFSET" if level == "L2A" else "RADIO_ADD_OFFSET"
    if offset:
        items = "".join(f'<{tag} band_id="{number}">{offset}</{tag}>' for number in range(13))
        group = "BOA_ADD_OFFSET_VALUES_LIST" if level == "L2A" else "Radiometric_Offset_List"
        offsets = f"<{group}>{items}</{group}>"
    if level == "L2A":
        quantification = (
            '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000'
            '</BOA_QUANTIFICATION_VALUE><AOT_QUANTIFICATION_VALUE unit="none">1000.0'
            "</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>"
        )
    else:
        quantification = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    spectral = "".join(
        f'<Spectral_Information bandId="{number}" physicalBand="{band.replace("B0", "B")}">'
        f'<Wavelength><CENTRAL unit="nm">{centre}</CENTRAL></Wavelength></Spectral_Information>'
        for number, (band, centre) in enumerate(zip(_ALL, _CENTRES_NM, strict=True))
    )
    name = "Level-2A" if level == "L2A" else "Level-1C"
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        f'<n1:{name}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_{name}.xsd">'
        "<n1:General_Info><Product_Info><PRODUCT_START_TIME>2023-06-01T10:06:01.024Z</PRODUCT_START_TIME>"
        f"<PROCESSING_LEVEL>{name}</PROCESSING_LEVEL><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>"
        "</Product_Info><Product_Image_Characteristics><Special_Values><SPECIAL_VALUE_TEXT>NODATA"
        "</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>"
        f"{quantification}{offsets}<Spectral_Information_List>{spectral}</Spectral_Information_List>"
        f"</Product_Image_Characteristics></n1:General_Info></n1:{name}_User_Product>"
    )


_LANDSAT_BANDS = {1: "B01", 2: "B02", 3: "B03", 4: "B04", 5: "B8A", 6: "B11", 7: "B12"}


def make_landsat(folder: Path, level: str = "L2SP", *, side_px: int = 60, seed: int = 0) -> Path:
    """The folder of a Landsat 8 Collection 2 product; side in pixels of 30 m. Clouds in QA_PIXEL."""
    product = f"LC08_{level}_193026_20230601_20230607_02_T1"
    root = folder / product
    root.mkdir(parents=True)
    kinds, scl = ground(side_px, seed)
    prefix = "SR_" if level == "L2SP" else ""
    scale, offset = (2.75e-05, -0.2) if level == "L2SP" else (2.0e-05, -0.1)
    sun = np.sin(np.radians(60.0)) if level == "L1TP" else 1.0
    for number, band in _LANDSAT_BANDS.items():
        stored = np.round((reflectance(band, kinds, scl, seed) * sun - offset) / scale)
        stored[:, :2] = 0
        _write(root / f"{product}_{prefix}B{number}.TIF", stored, 30, "uint16")
    if level == "L2SP":
        kelvin = np.where(scl == CLOUD, 270.0, 300.0)
        _write(root / f"{product}_ST_B10.TIF", (kelvin - 149.0) / 0.00341802, 30, "uint16")
    else:
        pan = np.kron(reflectance("B03", kinds, scl, seed), np.ones((2, 2)))
        _write(root / f"{product}_B8.TIF", (pan * sun - offset) / scale, 15, "uint16")
    quality = np.full((side_px, side_px), 1 << 6)
    quality[scl == CLOUD] = 1 << 3
    quality[scl == SHADOW] = 1 << 4
    quality[:, :2] = 1
    _write(root / f"{product}_QA_PIXEL.TIF", quality, 30, "uint16")
    (root / f"{product}_MTL.txt").write_text(_mtl(product, level, prefix, scale, offset))
    return root


def _mtl(product: str, level: str, prefix: str, scale: float, offset: float) -> str:
    numbers = [*_LANDSAT_BANDS, *(() if level == "L2SP" else (8,))]
    files = [f'FILE_NAME_BAND_{number} = "{product}_{prefix}B{number}.TIF"' for number in numbers]
    reflectances = []
    for number in numbers:
        reflectances.append(f"REFLECTANCE_MULT_BAND_{number} = {scale:.4E}")
        reflectances.append(f"REFLECTANCE_ADD_BAND_{number} = {offset:.6f}")
    groups = [
        (
            "PRODUCT_CONTENTS",
            [
                f'LANDSAT_PRODUCT_ID = "{product}"',
                f'PROCESSING_LEVEL = "{level}"',
                "COLLECTION_NUMBER = 02",
                *files,
                f'FILE_NAME_QUALITY_L1_PIXEL = "{product}_QA_PIXEL.TIF"',
            ],
        ),
        (
            "IMAGE_ATTRIBUTES",
            [
                'SPACECRAFT_ID = "LANDSAT_8"',
                'SENSOR_ID = "OLI_TIRS"',
                "DATE_ACQUIRED = 2023-06-01",
                'SCENE_CENTER_TIME = "10:03:42.7Z"',
                "SUN_ELEVATION = 60.0",
            ],
        ),
    ]
    if level == "L2SP":
        groups[0][1].append(f'FILE_NAME_BAND_ST_B10 = "{product}_ST_B10.TIF"')
        groups.append(("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", reflectances))
        temperature = ["TEMPERATURE_MULT_BAND_ST_B10 = 0.00341802", "TEMPERATURE_ADD_BAND_ST_B10 = 149.0"]
        groups.append(("LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", temperature))
        source = [f'FILE_NAME_BAND_{number} = "LC08_L1TP_B{number}.TIF"' for number in range(1, 12)]
        groups.append(("LEVEL1_PROCESSING_RECORD", source))
        groups.append(("LEVEL1_RADIOMETRIC_RESCALING", ["REFLECTANCE_MULT_BAND_1 = 2.0000E-05"]))
    else:
        groups.append(("LEVEL1_RADIOMETRIC_RESCALING", reflectances))
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for name, values in groups:
        lines += [f"  GROUP = {name}", *(f"    {value}" for value in values), f"  END_GROUP = {name}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END"]) + "\n"


def zipped(folder: Path) -> Path:
    """A product's folder as a zip archive beside it."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())
    return target


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for made in (
        make_sentinel2(out, side_px=600),
        make_sentinel2(out, "L1C", side_px=600, seed=1),
        make_landsat(out, side_px=300),
    ):
        print(made)
