"""Packed rows: all flat columns of an alert in one cell, and N cells into columns without a loop over rows.

A cell a column is what makes row stores slow to read: 130 cells a row are 130 keys, 130 lengths and 130
Python objects. Here a row is one cell. All rows of one schema begin with a head of the same length, so N
heads joined are an N × width matrix of bytes, and a column is a transposed slice of it.

=============== ======================= ====================================================================
bytes           what                    detail
=============== ======================= ====================================================================
2               schema number           little-endian, unsigned; which `Packing` made the row
⌈(c+b)/8⌉       bits                    one for each of the c columns: *has a value*; then one for each of the
                                        b booleans: its value (least significant bit first, as in Arrow)
8 × …           8-byte columns          int64, uint64, double, timestamps; little-endian, no padding
4 × …           4-byte columns          int32, uint32, float, date; and the byte length of each text (uint32)
2 × …, 1 × …    2- and 1-byte columns   int16, uint16; int8, uint8
the rest        texts                   UTF-8, one after the other, in the order of the columns
=============== ======================= ====================================================================

A null's bytes are zeros, so that the row store's compression removes them. A new column is a new schema and a
number; old rows stay as they are, and `sodalake.lake.widening` unifies rows of several schemas by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.errors import Damaged, UsageError
from sodalake.lake.widening import EXACT, is_exact, unify, widened

__all__ = ["Packing", "unified_schema", "unpack"]

_ROWS_AT_ONCE = 8192  # heads of 8192 rows × 1 kB stay near the cache; larger blocks pack no faster

_TYPES: dict[str, pa.DataType] = {
    str(kind): kind
    for kind in (
        pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(),
        pa.uint32(), pa.uint64(), pa.float32(), pa.float64(), pa.date32(), pa.timestamp("us"),
        pa.timestamp("ns"), pa.string(),
    )
}  # fmt: skip


class Packing:
    """How rows of one flat schema become cells.

    Parameters
    ----------
    schema
        Flat columns: null, bool, integers, float, double, date32, timestamp (µs or ns, no zone) and string.
    number
        The schema's number in its lake, 0 to 65535.

    Raises
    ------
    UsageError
        A column of another type, a repeated name, or a number out of range.
    """

    def __init__(self, schema: pa.Schema, number: int) -> None:
        if not 0 <= number < 1 << 16:
            raise UsageError(f"A schema number is 0 to 65535, not {number}.")
        if len(set(schema.names)) != len(schema.names):
            raise UsageError("Two columns of a packed row have the same name.")
        for field in schema:
            if str(field.type) not in _TYPES:
                raise UsageError(f"Column {field.name} is {field.type}, which a packed row cannot hold.")
        self.schema = schema.remove_metadata()
        self.number = number
        self.index = {name: position for position, name in enumerate(schema.names)}
        # a Field and a DataType are made anew each time a schema is asked for one
        self.fields = list(self.schema)
        self.types = [field.type for field in self.fields]
        self.texts = [position for position, field in enumerate(schema) if pa.types.is_string(field.type)]
        self.text_rank = {position: rank for rank, position in enumerate(self.texts)}
        booleans = [position for position, field in enumerate(schema) if pa.types.is_boolean(field.type)]
        self.bit_of = {position: len(schema) + rank for rank, position in enumerate(booleans)}
        self.bits = len(schema) + len(booleans)
        self.bit_bytes = -(-self.bits // 8)
        # for each width: where its columns begin in the head, and which they are
        self.groups: dict[int, tuple[int, list[int]]] = {}
        start = 2 + self.bit_bytes
        for width in (8, 4, 2, 1):
            members = [position for position, field in enumerate(schema) if _width(field.type) == width]
            if members:
                self.groups[width] = (start, members)
                start += width * len(members)
        self.head_bytes = start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packing) and self.number == other.number and self.packs(other.schema)

    def __hash__(self) -> int:
        return hash((self.number, tuple(self.schema.names)))

    def __repr__(self) -> str:
        return f"Packing({len(self.schema)} columns, number={self.number})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Packing, (self.schema, self.number)

    def packs(self, schema: pa.Schema) -> bool:
        """Whether rows of `schema` (its names, types, order and exact columns) are packed by this."""
        return bool(self.schema.equals(schema.remove_metadata(), check_metadata=True))

    def to_json(self) -> str:
        """Return the schema as JSON, to be stored in the lake beside its number."""
        columns = [
            [field.name, str(field.type)] + (["exact"] if is_exact(field) else []) for field in self.schema
        ]
        return json.dumps({"number": self.number, "columns": columns}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Packing:
        """Return the packing that `to_json` wrote.

        Raises
        ------
        Damaged
            The text is no such JSON.
        """
        try:
            stored = json.loads(text)
            fields = [
                pa.field(name, _TYPES[kind], metadata={EXACT: b"1"} if marks else None)
                for name, kind, *marks in stored["columns"]
            ]
            return cls(pa.schema(fields), stored["number"])
        except (ValueError, KeyError, TypeError, UsageError) as problem:
            raise Damaged(f"A stored row schema cannot be read: {problem!r}.") from problem

    def pack(self, table: pa.Table) -> list[bytes]:
        """Pack every row of a table of exactly these columns.

        Returns
        -------
        list of bytes
            One cell a row, in order.

        Raises
        ------
        UsageError
            The table has other columns.
        """
        if not table.schema.equals(self.schema):
            differ = set(table.schema) ^ set(self.schema)
            names = ", ".join(sorted({field.name for field in differ})[:5]) or "their order"
            raise UsageError(
                f"The table's columns are not those of row schema {self.number}: {names} differ."
            )
        cells: list[bytes] = []
        for first in range(0, table.num_rows, _ROWS_AT_ONCE):
            cells += self._pack_block(table.slice(first, _ROWS_AT_ONCE))
        return cells

    def _pack_block(self, table: pa.Table) -> list[bytes]:
        rows = table.num_rows
        columns = [_one_array(column) for column in table.columns]
        head = np.zeros((rows, self.head_bytes), np.uint8)
        head[:, 0] = self.number & 255
        head[:, 1] = self.number >> 8
        bits = np.zeros((self.bits, rows), np.bool_)
        for position, array in enumerate(columns):
            bits[position] = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else True
            if pa.types.is_null(array.type):
                bits[position] = False
        for position, bit in self.bit_of.items():
            bits[bit] = pc.fill_null(columns[position], False).to_numpy(zero_copy_only=False)
        head[:, 2 : 2 + self.bit_bytes] = np.packbits(bits.T, axis=1, bitorder="little")
        for width, (start, members) in self.groups.items():
            block = np.empty((len(members), rows), f"<u{width}")
            for rank, position in enumerate(members):
                block[rank] = _fixed(columns[position], width)
            end = start + width * len(members)
            head[:, start:end] = np.ascontiguousarray(block.T).view(np.uint8).reshape(rows, -1)
        heads = head.tobytes()
        size = self.head_bytes
        if not self.texts:
            return [heads[at : at + size] for at in range(0, len(heads), size)]
        texts, ends = _row_by_row([columns[position] for position in self.texts])
        cells = []
        begin = 0
        for at, end in zip(range(0, len(heads), size), ends.tolist(), strict=True):
            cells.append(heads[at : at + size] + texts[begin:end])
            begin = end
        return cells


def unpack(
    cells: Sequence[bytes],
    packings: Mapping[int, Packing],
    columns: Sequence[str] | None = None,
    *,
    skip: int = 0,
) -> pa.Table:
    """Make columns of packed rows.

    Parameters
    ----------
    cells
        N packed rows, of one or several schemas.
    packings
        The lake's packings, by schema number.
    columns
        Names wanted, in the order wanted; None: all, in the order of the first packing that has each. A name
        no packing has becomes a column of type null.
    skip
        Bytes in front of each cell that are not the packed row's.

    Returns
    -------
    pyarrow.Table
        N rows, in the order of `cells`.

    Raises
    ------
    Damaged
        A cell is shorter or longer than its schema says, or its schema is unknown.
    """
    numbers = _schema_numbers(cells, skip)
    used = np.unique(numbers).tolist()
    unknown = [number for number in used if number not in packings]
    if unknown:
        raise Damaged(
            f"Rows are packed with schema {unknown[0]}, which this lake does not know.",
            "Read the lake's schemas again; if it stays so, ingest the rows' file again.",
        )
    if not used:
        schema = unified_schema(packings.values(), columns)
        return schema.empty_table()
    if len(used) == 1:
        packing = packings[used[0]]
        if columns is None:
            columns = packing.schema.names
        return _unpack_one(cells, packing, columns, skip)
    schema = unified_schema([packings[number] for number in used], columns)
    parts = []
    order = []
    for number in used:
        members = np.flatnonzero(numbers == number)
        part = _unpack_one([cells[row] for row in members.tolist()], packings[number], schema.names, skip)
        parts.append(widened(part, schema))
        order.append(members)
    together = pa.concat_tables(parts)
    back = np.argsort(np.concatenate(order), kind="stable")
    return together.take(pa.array(back)).combine_chunks()


def unified_schema(packings: Iterable[Packing], columns: Sequence[str] | None = None) -> pa.Schema:
    """Return the schema that rows of all these packings have together (`sodalake.lake.widening`).

    Parameters
    ----------
    columns
        As in `unpack`.
    """
    return unify((packing.schema for packing in packings), columns)


def _width(kind: pa.DataType) -> int:
    """Bytes of a column in the head: 0 for booleans and nulls (bits only), 4 for a text's length."""
    if pa.types.is_string(kind):
        return 4
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return 0
    return int(kind.bit_width) // 8


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.combine_chunks()


def _fixed(array: pa.Array, width: int) -> npt.NDArray[Any]:
    """A column's values as unsigned integers of its width, zero where null; of texts, their lengths."""
    if pa.types.is_string(array.type):
        lengths = pc.fill_null(pc.binary_length(array), 0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False)).astype("<u4")
    values = np.frombuffer(array.buffers()[1], f"<u{width}", len(array), array.offset * width)
    if array.null_count:
        return np.where(array.is_valid().to_numpy(zero_copy_only=False), values, 0)
    return values


def _row_by_row(texts: list[pa.Array]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """The bytes of all texts, row by row, and where each row's end."""
    rows = len(texts[0])
    # large_binary: a block of texts may pass 2 GB, where 32-bit offsets end
    stacked = pa.concat_arrays([text.cast(pa.binary()).cast(pa.large_binary()) for text in texts])
    row_major = np.arange(len(texts) * rows).reshape(len(texts), rows).T.ravel()
    mixed = pc.fill_null(stacked.take(pa.array(row_major)), b"")
    offsets = np.frombuffer(mixed.buffers()[1], np.int64, len(mixed) + 1, mixed.offset * 8)
    data = mixed.buffers()[2]
    content = b"" if data is None else data.to_pybytes()[offsets[0] : offsets[-1]]
    return content, offsets[len(texts) :: len(texts)] - offsets[0]


def _schema_numbers(cells: Sequence[bytes], skip: int) -> npt.NDArray[np.uint16]:
    joined = b"".join([cell[skip : skip + 2] for cell in cells])
    if len(joined) != 2 * len(cells):
        raise Damaged("A packed row is shorter than its schema number.", "Ingest the row's file again.")
    return np.frombuffer(joined, "<u2")


def _unpack_one(cells: Sequence[bytes], packing: Packing, columns: Sequence[str], skip: int) -> pa.Table:
    """Unpack rows of one schema; a column the schema lacks is all null."""
    rows = len(cells)
    tail = skip + packing.head_bytes
    joined = b"".join([cell[skip:tail] for cell in cells])
    if len(joined) != rows * packing.head_bytes:
        raise _wrong_length(packing)
    head = np.frombuffer(joined, np.uint8).reshape(rows, packing.head_bytes)
    wanted = [packing.index[name] for name in columns if name in packing.index]
    values = _values(head, packing, wanted)
    values |= _texts(
        cells, head, packing, tail, [position for position in wanted if position in packing.text_rank]
    )
    booleans = [position for position in wanted if position in packing.bit_of]
    bitmaps, nulls = _bitmaps(head, wanted + [packing.bit_of[position] for position in booleans])
    for rank, position in enumerate(booleans):
        values[position] = [bitmaps[len(wanted) + rank]]
    valid = dict(zip(wanted, zip(bitmaps, nulls, strict=True), strict=False))
    fields = [
        packing.fields[packing.index[name]] if name in packing.index else pa.field(name, pa.null())
        for name in columns
    ]
    arrays = []
    for name in columns:
        position = packing.index.get(name, -1)
        if position not in values:
            arrays.append(pa.nulls(rows))
            continue
        bitmap, missing = valid[position]
        buffers = [bitmap if missing else None, *values[position]]
        arrays.append(pa.Array.from_buffers(packing.types[position], rows, buffers, missing))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _wrong_length(packing: Packing) -> Damaged:
    return Damaged(
        f"A packed row does not have the length that row schema {packing.number} asks for.",
        "Ingest the row's file again.",
    )


def _bitmaps(head: npt.NDArray[np.uint8], wanted: Sequence[int]) -> tuple[list[pa.Buffer], list[int]]:
    """The wanted bits of all rows, as an Arrow bitmap a bit; and how many rows have it zero."""
    if not wanted:
        return [], []
    rows = len(head)
    where = np.asarray(wanted)
    bits = (head[:, 2 + where // 8] >> (where % 8).astype(np.uint8)) & 1
    zeros = (rows - bits.sum(axis=0, dtype=np.int64)).tolist()
    size = -(-rows // 8)
    buffer = pa.py_buffer(np.packbits(bits.T, axis=1, bitorder="little"))
    return [buffer.slice(start, size) for start in range(0, len(wanted) * size, size)], zeros


def _values(
    head: npt.NDArray[np.uint8], packing: Packing, wanted: Sequence[int]
) -> dict[int, list[pa.Buffer]]:
    """The values of the wanted fixed-width columns, a buffer each; texts and their lengths are not among them."""
    rows = len(head)
    chosen = set(wanted) - packing.text_rank.keys()
    buffers: dict[int, list[pa.Buffer]] = {}
    for width, (start, members) in packing.groups.items():
        ranks = [rank for rank, position in enumerate(members) if position in chosen]
        if not ranks:
            continue
        block = head[:, start : start + width * len(members)].view(f"<u{width}")
        picked = block.T if len(ranks) == len(members) else block.T[ranks]
        buffer = pa.py_buffer(np.ascontiguousarray(picked))
        size = rows * width
        for place, rank in enumerate(ranks):
            buffers[members[rank]] = [buffer.slice(place * size, size)]
    return buffers


def _texts(
    cells: Sequence[bytes], head: npt.NDArray[np.uint8], packing: Packing, tail: int, wanted: Sequence[int]
) -> dict[int, list[pa.Buffer]]:
    """Offsets and bytes of the wanted text columns; and every row's length is checked.

    The tails of all rows, joined, are all texts row by row without a gap: one Arrow array. Taken in the order of
    columns, it is all columns one after the other: one copy, in C.
    """
    rows, count = len(cells), len(packing.text_rank)
    if not count:
        if sum(map(len, cells)) != rows * tail:
            raise _wrong_length(packing)
        return {}
    start, members = packing.groups[4]
    block = head[:, start : start + 4 * len(members)].view("<u4")
    lengths = block[:, [rank for rank, position in enumerate(members) if position in packing.text_rank]]
    ends = np.cumsum(lengths, dtype=np.int64)
    sizes = np.fromiter(map(len, cells), np.int64, rows) - tail
    if not np.array_equal(ends[count - 1 :: count], np.cumsum(sizes)):
        raise _wrong_length(packing)
    if not wanted:
        return {}
    joined = pa.py_buffer(b"".join([cell[tail:] for cell in cells]))
    starts = pa.py_buffer(np.concatenate(([0], ends)))
    row_major = pa.LargeBinaryArray.from_buffers(pa.large_binary(), rows * count, [None, starts, joined], 0)
    ranks = np.array([packing.text_rank[position] for position in wanted])
    taken = row_major.take(pa.array((np.arange(rows) * count + ranks[:, None]).ravel())).buffers()[2]
    offsets = np.zeros((len(wanted), rows + 1), np.int64)
    np.cumsum(lengths[:, ranks].T, axis=1, out=offsets[:, 1:])
    totals = offsets[:, -1].tolist()
    if max(totals) >= 1 << 31:
        raise UsageError("More than 2 GB of text in one column.", "Ask for fewer rows at a time.")
    offset_buffer = pa.py_buffer(offsets.astype(np.int32))
    buffers: dict[int, list[pa.Buffer]] = {}
    first = 0
    for place, (position, total) in enumerate(zip(wanted, totals, strict=True)):
        size = 4 * (rows + 1)
        buffers[position] = [offset_buffer.slice(place * size, size), taken.slice(first, total)]
        first += total
    return buffers
