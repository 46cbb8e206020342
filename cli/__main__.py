"""`python -m eo_dl_cli`: for programs that know an environment by its Python, such as the QGIS plug-in."""

from .main import main

if __name__ == "__main__":
    main()
