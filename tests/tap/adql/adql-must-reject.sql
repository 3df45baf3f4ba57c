-- One query a line; each must be refused with a VOTable error naming the place. `-- name: ` precedes it.
-- name: limit
SELECT * FROM t LIMIT 5
-- name: dml
DELETE FROM t
-- name: multi
SELECT 1 FROM a; SELECT 2 FROM b
-- name: window
SELECT ROW_NUMBER() OVER (ORDER BY a) FROM t
-- name: into
SELECT * INTO x FROM t
-- name: case
SELECT CASE WHEN a>1 THEN 2 END FROM t
-- name: recur
WITH RECURSIVE x AS (SELECT 1) SELECT * FROM x
-- name: brack
SELECT [a] FROM t
-- name: duff
DUFF QUERY
-- name: cte_in_sub
SELECT * FROM (WITH x AS (SELECT a FROM t) SELECT * FROM x) AS y
-- name: nofrom
SELECT 1
-- name: qualify
SELECT a FROM t QUALIFY a>1
-- name: lateral
SELECT * FROM a, LATERAL (SELECT 1) b
-- name: pragma
PRAGMA x
-- name: arrow
SELECT a->'b' FROM t
-- name: mod%
SELECT a % 2 FROM t
-- name: empty_select
SELECT FROM a
-- name: no_table
SELECT id FROM
-- name: insert
INSERT INTO a VALUES (1)
-- name: update
UPDATE a SET x = 1
-- name: drop
DROP TABLE a
-- name: create
CREATE TABLE z AS SELECT * FROM a
-- name: explain
EXPLAIN SELECT * FROM a
-- name: show
SHOW TABLES
-- name: attach
ATTACH 'x.db'
-- name: copy
COPY a TO 'x'
-- name: set
SET threads = 1
-- name: values
VALUES (1, 2)
-- name: from_first
FROM a SELECT id
-- name: table_statement
TABLE a
-- name: block_comment
SELECT id /* x */ FROM a
-- name: hint
SELECT /*+ x */ id FROM a
-- name: double_colon
SELECT x::INTEGER FROM a
-- name: parameter
SELECT id FROM a WHERE id = :id
-- name: question_mark
SELECT id FROM a WHERE id = ?
-- name: at_variable
SELECT @id FROM a
-- name: dollar
SELECT $1 FROM a
-- name: braces
SELECT {d '2020-01-01'} FROM a
-- name: backticks
SELECT `id` FROM a
-- name: escape_string
SELECT E'x' FROM a
-- name: hex_string
SELECT X'12' FROM a
-- name: hex_number
SELECT 0x12 FROM a
-- name: underscored_number
SELECT 1_000 FROM a
-- name: number_glued_to_name
SELECT 12abc FROM a
-- name: two_strings
SELECT 'a' 'b' FROM a
-- name: string_alias
SELECT id AS 'k' FROM a
-- name: unclosed_text
SELECT 'abc FROM a
-- name: unclosed_name
SELECT "abc FROM a
-- name: empty_name
SELECT "" FROM a
-- name: unclosed_paren
SELECT (id FROM a
-- name: closed_twice
SELECT id) FROM a
-- name: union_missing
SELECT id FROM a UNION
-- name: order_in_operand
SELECT id FROM a ORDER BY id UNION SELECT id FROM b
-- name: cte_in_operand
SELECT id FROM a UNION (WITH p AS (SELECT id FROM b) SELECT id FROM p)
-- name: cte_columns
WITH p (k) AS (SELECT id FROM a) SELECT k FROM p
-- name: top_before_distinct
SELECT TOP 5 DISTINCT id FROM a
-- name: top_negative
SELECT TOP -1 id FROM a
-- name: offset_name
SELECT id FROM a OFFSET n
-- name: fetch_first
SELECT id FROM a FETCH FIRST 5 ROWS ONLY
-- name: nulls_first
SELECT id FROM a ORDER BY x NULLS FIRST
-- name: distinct_on
SELECT DISTINCT ON (id) x FROM a
-- name: star_except
SELECT * EXCEPT (id) FROM a
-- name: star_in_function
SELECT MAX(*) FROM a
-- name: count_nothing
SELECT COUNT() FROM a
-- name: count_two
SELECT COUNT(id, x) FROM a
-- name: filter
SELECT COUNT(*) FILTER (WHERE x > 1) FROM a
-- name: over
SELECT SUM(x) OVER (PARTITION BY id) FROM a
-- name: within_group
SELECT ivo_string_agg(name, ',' ORDER BY id) FROM a
-- name: group_by_all
SELECT id FROM a GROUP BY ALL
-- name: rollup
SELECT id FROM a GROUP BY ROLLUP (id)
-- name: grouping_sets
SELECT id FROM a GROUP BY GROUPING SETS ((id))
-- name: cross_join
SELECT * FROM a CROSS JOIN b
-- name: left_without_on
SELECT * FROM a LEFT JOIN b
-- name: two_conditions
SELECT * FROM a NATURAL JOIN b ON a.id = b.id
-- name: tablesample
SELECT * FROM a TABLESAMPLE (10 PERCENT)
-- name: pivot
SELECT * FROM a PIVOT (SUM(x) FOR id IN (1, 2))
-- name: unnest
SELECT * FROM UNNEST(a)
-- name: table_function
SELECT * FROM read_csv('x')
-- name: table_literal
SELECT * FROM 'x.parquet'
-- name: derived_without_name
SELECT * FROM (SELECT id FROM a)
-- name: values_in_from
SELECT * FROM (VALUES (1)) AS v
-- name: for_update
SELECT id FROM a FOR UPDATE
-- name: escape_in_like
SELECT id FROM a WHERE name LIKE 'x' ESCAPE '!'
-- name: similar
SELECT id FROM a WHERE name SIMILAR TO 'x'
-- name: regexp
SELECT id FROM a WHERE name ~ 'x'
-- name: is_true
SELECT id FROM a WHERE x IS TRUE
-- name: is_value
SELECT id FROM a WHERE x IS 5
-- name: is_distinct
SELECT id FROM a WHERE x IS DISTINCT FROM t
-- name: any
SELECT id FROM a WHERE x = ANY (SELECT x FROM b)
-- name: all_of
SELECT id FROM a WHERE x > ALL (SELECT x FROM b)
-- name: row_value
SELECT id FROM a WHERE (id, x) IN (SELECT id, x FROM b)
-- name: in_name
SELECT id FROM a WHERE x IN b
-- name: in_nothing
SELECT id FROM a WHERE x IN ()
-- name: interval
SELECT INTERVAL '1' DAY FROM a
-- name: date_literal
SELECT DATE '2020-01-01' FROM a
-- name: current_date
SELECT CURRENT_DATE FROM a
-- name: boolean_literal
SELECT id FROM a WHERE TRUE
-- name: reserved_alias
SELECT id AS size FROM a
-- name: reserved_type_alias
SELECT id AS INTEGER FROM a
-- name: unknown_function
SELECT POINTS(1, 2) FROM a
-- name: other_math
SELECT LN(x) FROM a
-- name: quoted_function
SELECT "ABS"(x) FROM a
-- name: too_many_arguments
SELECT ABS(x, 2) FROM a
-- name: lambda
SELECT ABS(x -> 1) FROM a
-- name: named_argument
SELECT ABS(x => 1) FROM a
-- name: argument_alias
SELECT ABS(x AS y) FROM a
-- name: query_as_argument
SELECT ABS(SELECT 1 FROM a) FROM a
-- name: cast_array
SELECT CAST(x AS INTEGER[]) FROM a
-- name: cast_struct
SELECT CAST(x AS STRUCT) FROM a
-- name: cast_length
SELECT CAST(x AS INTEGER(4)) FROM a
-- name: try_cast
SELECT TRY_CAST(x AS INTEGER) FROM a
-- name: extract
SELECT EXTRACT(YEAR FROM t) FROM a
-- name: subscript
SELECT x[1] FROM a
-- name: member
SELECT POINT(1, 2).x FROM a
-- name: double_not
SELECT id FROM a WHERE NOT NOT x = 1
-- name: three_signs
SELECT - - -1 FROM a
-- name: bits
SELECT x & 1 FROM a
-- name: shift
SELECT x << 1 FROM a
-- name: equals_twice
SELECT id FROM a WHERE x == 1
-- name: spaceship
SELECT id FROM a WHERE x <=> 1
-- name: pipe
SELECT id FROM a |> WHERE x = 1
-- name: missing_operand
SELECT id FROM a WHERE x =
-- name: dangling_and
SELECT id FROM a WHERE x = 1 AND
-- name: trailing_comma
SELECT id, FROM a
-- name: two_commas
SELECT id,, x FROM a
-- name: wrong_order
SELECT id FROM a ORDER BY id WHERE x = 1
-- name: two_wheres
SELECT id FROM a WHERE x = 1 WHERE t = 2
-- name: using_names
SELECT id FROM a JOIN b USING (a.id)
-- name: as_of
SELECT id FROM a AS OF TIMESTAMP '2020-01-01'
-- name: start_with
SELECT id FROM a START WITH id = 1 CONNECT BY PRIOR id = x
-- name: collate
SELECT id FROM a ORDER BY name COLLATE nocase
-- name: at_time_zone
SELECT t AT TIME ZONE 'UTC' FROM a
-- name: overlaps
SELECT id FROM a WHERE (x, t) OVERLAPS (1, 2)
-- name: unicode_name
SELECT é FROM a
