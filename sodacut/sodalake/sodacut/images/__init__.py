"""Cuts of survey images: from what is asked to FITS files and pictures.

=============== ======================================================================
`requests`      what can be asked, as plain values
`choosing`      which images a request is answered with
`costs`         what it will cost, and whether that is too much
`session`       answers, on a worker: finds, reads, makes; `asking` how a lane asks it
`codecs`        compressed tiles to numbers; `quantized`, `scaling` make values of them
`pixelfiles`    reads the pixels of cuts; `tiles` puts those of compressed ones together
`frames`, `cut` coordinates of an image, the box that is asked for; `cutfits`: its FITS file
`grids`         pixels for a mosaic; `mosaic` fills them
`placing`       where these are in an image; `resampling` looks what is there
`combining`     several images in one pixel; `background` brings them to one level
`shrinking`     fewer pixels for the same sky
`colour`        several bands as one picture; `drawing`, `avm` write it
`extensions`    several bands as one FITS file
`coverage`      what a collection covers, as MOC
`jobs`          lists and combinations of requests, as jobs do them
=============== ======================================================================
"""
