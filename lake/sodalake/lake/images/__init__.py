"""Survey images: what an archive of tiles or exposures is, where every image's pixels are, and how it is found.

Nothing is copied, and nothing is scanned when a request comes. An ingest reads headers (and, of compressed images, the
table that says where each tile is) and writes for each image a row with its coordinates, its times, its outline, and
the place of its pixels; the outline also goes into an index of the sky.

================ =====================================================================
`imagesurvey`    the file that describes a survey of images
`records`        an image as the index has it; `imagepacking`: as bytes
`headers`        FITS headers by ranged reads
`compressed`     the table of a tile-compressed image
`outlines`       what an image covers
`describing`     a file's images, as its survey's file understands them
`overviews`      images made smaller, at ingest
`outlineindex`   the index of the sky: cells, rows, and which outlines a cap meets
`indexing`       one file into the tables; `ingesting` does many, side by side
`finding`        images by id, and by place
`imagerows`      images as tables of columns (`imagecolumns`)
================ =====================================================================
"""
