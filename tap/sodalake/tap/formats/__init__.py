"""Tables out: an answer as VOTable, CSV, TSV, FITS, JSON, Parquet, Arrow or HTML, column by column, as a stream.

::

    form, content_type = output_format(request.responseformat)
    for chunk in write(form, answer):
        ...

`offered` knows what there is; `slices` makes batches of a good size; `texts`, `binary`, … turn a batch into bytes;
`votable`, `delimited`, … put around it what belongs there.
"""

from __future__ import annotations

from .offered import FORMATS, OutputFormat, output_format
from .votable import error_document
from .writing import write

__all__ = ["FORMATS", "OutputFormat", "error_document", "output_format", "write"]
