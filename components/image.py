"""The image every step runs in on a cluster; it holds this project and its packages."""

from hemix import __version__

IMAGE = f"hemix/python:{__version__}"
