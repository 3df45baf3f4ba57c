"""HiPS of a collection of images (HiPS 1.0): the sky as a tree of tiles that clients such as Aladin walk through.

Tiles of the deepest order are mosaics of the images that meet them, read piece by piece as for any cut; every tile
above is the mean of the four below it. A HiPS of a band holds its numbers (FITS) and pictures of them (PNG), one in
colour pictures made of the numbers of three bands. What is being made stands beside, under a name that nobody looks
for, until it is whole; work that was cut off goes on where it was.

`reproject.hips` makes HiPS too, of one image each, and its `coadd_hips` refuses to join those whose FITS tiles overlap,
which those of a survey always do. So tiles are filled here, by the mosaics that cuts are made of; of a single image
they are reproject's own, to which the tests compare them.

============ =======================================================================
`grids`      the pixels of a tile
`tiles`      tiles as files: numbers, pictures, and the tree above the deepest order
`filling`    a tile's pixels, from the images
`building`   a band, from images to files
`colouring`  three bands as one in colour
`properties` what a HiPS says of itself
`names`      what folders are called
`publishing` from the folder it was made in to its place in a lake
============ =======================================================================
"""
