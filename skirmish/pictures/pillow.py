"""What the pictures use of Pillow, which only they need: its absence is explained here, once."""

from skirmish.extras import needed_for

with needed_for("pictures and films", "Pillow", extra="films"):
    from PIL import Image, ImageChops, ImageDraw, ImageFont
    from PIL.GifImagePlugin import getdata, getheader

__all__ = ["Image", "ImageChops", "ImageDraw", "ImageFont", "getdata", "getheader"]
