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
new number; old rows stay as they are. Rows of several schemas are unified by name (`unified_schema`):

- integers widen to the larger, float and double to double, an integer below 64 bits and a float to double;
- a 64-bit integer and a float have no common type that keeps both an id's last digit and a fraction. If the
  integer column says it is exact (field metadata ``exact``, which `sodalake.lake.flatten` sets on columns that
  the survey declares ``long``), it stays int64, and a float joins it where it is a whole number that doubles
  tell apart, else as null. Otherwise both become text, which loses nothing;
- whatever else does not fit together (text and number, time and number) becomes text;
- a column which a row's schema does not have is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.errors import Damaged, UsageError

__all__ = ["EXACT", "Packing", "unified_schema", "unpack"]

EXACT = b"exact"
"""Key of the field metadata of an integer column whose every digit counts."""

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
        self.texts = [position for position, field in enumerate(schema) if pa.types.is_string(field.type)]
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
            [field.name, str(field.type)] + (["exact"] if _exact(field) else []) for field in self.schema
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
        parts.append(_cast_table(part, schema))
        order.append(members)
    together = pa.concat_tables(parts)
    back = np.argsort(np.concatenate(order), kind="stable")
    return together.take(pa.array(back)).combine_chunks()


def unified_schema(packings: Sequence[Packing] | Any, columns: Sequence[str] | None = None) -> pa.Schema:
    """Return the schema that rows of all these packings have together (see the module's rules).

    Parameters
    ----------
    packings
        Any iterable of packings.
    columns
        As in `unpack`.
    """
    packings = list(packings)
    fields: dict[str, pa.Field] = {}
    for packing in packings:
        for field in packing.schema:
            known = fields.get(field.name)
            fields[field.name] = field if known is None else _common(known, field)
    if columns is None:
        return pa.schema(list(fields.values()))
    return pa.schema([fields.get(name, pa.field(name, pa.null())) for name in columns])


def _width(kind: pa.DataType) -> int:
    """Bytes of a column in the head: 0 for booleans and nulls (bits only), 4 for a text's length."""
    if pa.types.is_string(kind):
        return 4
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return 0
    return int(kind.bit_width) // 8


def _exact(field: pa.Field) -> bool:
    return field.metadata is not None and EXACT in field.metadata


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
    validity = _Bitmaps(head, wanted)
    values = _Bitmaps(head, [packing.bit_of[position] for position in wanted if position in packing.bit_of])
    fixed = _transposed(head, packing, wanted)
    texts = _Texts(cells, head, packing, tail, [position for position in wanted if position in packing.texts])
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    for name in columns:
        position = packing.index.get(name)
        if position is None:
            arrays.append(pa.nulls(rows))
            fields.append(pa.field(name, pa.null()))
            continue
        field = packing.schema.field(position)
        valid, nulls = validity.of(position)
        if position in packing.bit_of:
            bits, _ = values.of(packing.bit_of[position])
            array = pa.Array.from_buffers(field.type, rows, [valid, bits], nulls)
        elif position in texts.members:
            array = texts.array(position, valid, nulls)
        elif pa.types.is_null(field.type):
            array = pa.nulls(rows)
        else:
            array = pa.Array.from_buffers(field.type, rows, [valid, fixed[position]], nulls)
        arrays.append(array)
        fields.append(field)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _wrong_length(packing: Packing) -> Damaged:
    return Damaged(
        f"A packed row does not have the length that row schema {packing.number} asks for.",
        "Ingest the row's file again.",
    )


class _Bitmaps:
    """Bits of many rows, turned into one Arrow bitmap a column in one go."""

    def __init__(self, head: npt.NDArray[np.uint8], wanted: Sequence[int]) -> None:
        self._rank = {bit: rank for rank, bit in enumerate(wanted)}
        rows = len(head)
        self._size = -(-rows // 8)
        if not wanted:
            return
        where = np.asarray(wanted)
        bits = (head[:, 2 + where // 8] >> (where % 8).astype(np.uint8)) & 1
        self._nulls = (rows - bits.sum(axis=0, dtype=np.int64)).tolist()
        self._buffer = pa.py_buffer(np.packbits(bits.T, axis=1, bitorder="little"))

    def of(self, bit: int) -> tuple[pa.Buffer | None, int]:
        rank = self._rank[bit]
        return self._buffer.slice(rank * self._size, self._size), self._nulls[rank]


def _transposed(head: npt.NDArray[np.uint8], packing: Packing, wanted: Sequence[int]) -> dict[int, pa.Buffer]:
    """The values of the wanted fixed-width columns, a buffer each."""
    rows = len(head)
    chosen = set(wanted)
    buffers: dict[int, pa.Buffer] = {}
    for width, (start, members) in packing.groups.items():
        ranks = [rank for rank, position in enumerate(members) if position in chosen]
        if not ranks:
            continue
        block = head[:, start : start + width * len(members)].view(f"<u{width}")
        picked = block.T if len(ranks) == len(members) else block.T[ranks]
        buffer = pa.py_buffer(np.ascontiguousarray(picked))
        for place, rank in enumerate(ranks):
            buffers[members[rank]] = buffer.slice(place * rows * width, rows * width)
    return buffers


class _Texts:
    """Texts of many rows, gathered a column at a time.

    The tails of all rows are joined; a column's texts are then pieces of that, in increasing order. Taken as
    a binary array of 2N-1 pieces (text, gap, text, …), every other one is wanted: one `take` copies them.
    """

    def __init__(
        self,
        cells: Sequence[bytes],
        head: npt.NDArray[np.uint8],
        packing: Packing,
        tail: int,
        wanted: Sequence[int],
    ) -> None:
        self.members = frozenset(wanted)
        if not packing.texts:
            if sum(map(len, cells)) != len(cells) * tail:
                raise _wrong_length(packing)
            return
        start, members = packing.groups[4]
        block = head[:, start : start + 4 * len(members)].view("<u4")
        ranks = [rank for rank, position in enumerate(members) if position in packing.texts]
        rows = len(cells)
        # ends of all texts, row by row: each begins where the one before ends
        ends = np.cumsum(block[:, ranks], dtype=np.int64).reshape(rows, len(ranks))
        sizes = np.fromiter(map(len, cells), np.int64, rows) - tail
        row_ends = np.cumsum(sizes)
        if not np.array_equal(ends[:, -1], row_ends):
            raise _wrong_length(packing)
        self._ends = ends
        self._column = {position: place for place, position in enumerate(packing.texts)}
        self._lengths = block[:, ranks]
        self._rows = rows
        self._joined = pa.py_buffer(b"".join([cell[tail:] for cell in cells])) if wanted else None

    def array(self, position: int, valid: pa.Buffer | None, nulls: int) -> pa.Array:
        place = self._column[position]
        ends = self._ends[:, place]
        lengths = self._lengths[:, place]
        offsets = np.zeros(self._rows + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if offsets[-1] >= 1 << 31:
            raise UsageError("More than 2 GB of text in one column.", "Ask for fewer rows at a time.")
        pieces = np.empty(2 * self._rows, np.int64)
        pieces[0::2] = ends - lengths
        pieces[1::2] = ends
        array = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), 2 * self._rows - 1, [None, pa.py_buffer(pieces), self._joined], 0
        )
        gathered = array.take(pa.array(np.arange(0, 2 * self._rows, 2)))
        offset_buffer = pa.py_buffer(offsets.astype(np.int32))
        return pa.StringArray.from_buffers(self._rows, offset_buffer, gathered.buffers()[2], valid, nulls)


def _common(one: pa.Field, two: pa.Field) -> pa.Field:
    """The field that holds the values of both."""
    if one.type == two.type:
        return one if _exact(one) or not _exact(two) else two
    kinds = {one.type, two.type}
    if pa.null() in kinds:
        return two if pa.types.is_null(one.type) else one
    integers = [field for field in (one, two) if pa.types.is_integer(field.type)]
    floats = [field for field in (one, two) if pa.types.is_floating(field.type)]
    if len(floats) == 2:
        return pa.field(one.name, pa.float64())
    if len(integers) == 2:
        return _common_integer(one, two)
    if integers and floats:
        if _exact(integers[0]):
            return integers[0].with_type(pa.int64())
        if integers[0].type.bit_width < 64:
            return pa.field(one.name, pa.float64())
    if all(pa.types.is_timestamp(kind) for kind in kinds):
        return pa.field(one.name, pa.timestamp("us"))
    if pa.types.is_boolean(one.type) and integers:
        return two
    if pa.types.is_boolean(two.type) and integers:
        return one
    return pa.field(one.name, pa.string())


def _common_integer(one: pa.Field, two: pa.Field) -> pa.Field:
    exact = {EXACT: b"1"} if _exact(one) or _exact(two) else None
    signed = pa.types.is_signed_integer(one.type), pa.types.is_signed_integer(two.type)
    if signed[0] == signed[1]:
        wider = one if one.type.bit_width >= two.type.bit_width else two
        return pa.field(one.name, wider.type, metadata=exact)
    unsigned = two if signed[0] else one
    kind = pa.string() if unsigned.type.bit_width == 64 else pa.int64()
    return pa.field(one.name, kind, metadata=exact if kind == pa.int64() else None)


def _cast_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    arrays = [_cast(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_floating(column.type) and pa.types.is_integer(kind):
        # an exact column: whole numbers which a double tells apart; the rest is null, not rounded
        double = column.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(double), double), pc.less_equal(pc.abs(double), 2.0**53))
        return pc.if_else(whole, double, pa.scalar(None, pa.float64())).cast(kind)
    return column.cast(kind, safe=False)
