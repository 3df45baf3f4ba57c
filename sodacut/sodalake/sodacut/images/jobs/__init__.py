"""Jobs on images: lists of places and of images, and every combination of SODA's filters.

They go the way of all jobs (`sodalake.sodacut.jobs`), with parts, reports, manifests and zips of its making.

========= ======================================================================
`reading` what the columns of a list mean
`work`    combinations and rows in one form; the questions for the index
`units`   which images go into which target, and units of neighbours
`running` doing a unit
`steps`   all of it, as whoever runs jobs wants it
========= ======================================================================
"""
