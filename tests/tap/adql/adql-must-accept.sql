-- One ADQL 2.1 query a line; each must parse, resolve and run. `-- name: ` precedes it.
-- name: top+cone
SELECT TOP 100 o.id, ra FROM fink.obj AS o WHERE 1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',1,2,0.5)) ORDER BY jd DESC
-- name: nocoosys
SELECT * FROM t WHERE DISTANCE(POINT(ra,dec),POINT(10.6,41.2))<=2.5
-- name: top+offset
SELECT TOP 5 * FROM t ORDER BY a OFFSET 10
-- name: offset
SELECT * FROM t OFFSET 10
-- name: cast
SELECT CAST('12.3 45.6' AS POINT), CAST(a AS BIGINT), CAST(x AS DOUBLE PRECISION), CAST(x AS CHAR(4)) FROM t
-- name: sets
(SELECT TOP 10 id FROM a ORDER BY id) UNION (SELECT TOP 10 id FROM a ORDER BY id DESC)
-- name: intersectprec
SELECT a FROM t1 UNION SELECT a FROM t2 INTERSECT SELECT a FROM t3
-- name: natjoin
SELECT * FROM a NATURAL JOIN b
-- name: using
SELECT * FROM a FULL OUTER JOIN b USING (id)
-- name: nestedjoin
SELECT * FROM (a JOIN b ON a.x=b.x) JOIN c ON c.x=a.x
-- name: concat
SELECT a || 'x''y' FROM t -- comment
-- name: upload
SELECT * FROM TAP_UPLOAD.mytable AS u JOIN t ON 1=CONTAINS(POINT(u.ra,u.dec),CIRCLE(t.ra,t.dec,0.01))
-- name: udf
SELECT ivo_healpix_index(12, ra, dec) AS h, COUNT(*) FROM t GROUP BY ivo_healpix_index(12, ra, dec)
-- name: gbexpr
SELECT ROUND(mag,1) AS m, COUNT(*) FROM t GROUP BY ROUND(mag,1) ORDER BY 2 DESC
-- name: coalesce
SELECT COALESCE(a,'') FROM t
-- name: ilike
SELECT * FROM t WHERE a NOT ILIKE 'x%'
-- name: math
SELECT LOG(x), LOG10(x), TRUNCATE(x,2), CEILING(x), ATAN2(a,b), MOD(a,b), RAND(), RAND(5), COT(x), POWER(a,2), PI() FROM t
-- name: delim
SELECT "size", t."Weird Col" FROM "My Schema".t
-- name: box
SELECT * FROM t WHERE 1=INTERSECTS(s_region, BOX('ICRS',1,2,3,4))
-- name: poly
SELECT AREA(POLYGON(10,-10,20,20,30,30)) FROM t
-- name: region
SELECT REGION('Circle ICRS 1 2 3') FROM t
-- name: centroid
SELECT COORD1(CENTROID(s_region)) FROM t
-- name: exists
SELECT * FROM a WHERE EXISTS (SELECT * FROM b WHERE b.x=a.x)
-- name: scalarsub
SELECT * FROM a WHERE t >= (SELECT MIN(t) FROM b)
-- name: lowercase
select top 3 a from t where b < 3 order by a desc
-- name: distinct+top
SELECT DISTINCT TOP 3 id FROM a ORDER BY id
-- name: all
SELECT ALL id FROM a
-- name: top0
SELECT TOP 0 * FROM a
-- name: semicolon
SELECT id FROM a ;
-- name: comment_at_end
SELECT id FROM a -- ; DROP TABLE a
-- name: alias_without_as
SELECT id k, x AS "From" FROM a z
-- name: qualified_star
SELECT a.*, b.id FROM a, b
-- name: upload_schema_case
SELECT * FROM tap_upload.MyTable
-- name: literal_forms
SELECT 12, 12.3, .5, 1.2E-3, 1e5, 7., 'it''s', -3, +4, NULL FROM a
-- name: arithmetic
SELECT -x + 3 * (x - 1) / 2, x * -1, x - -1 FROM a
-- name: comparisons
SELECT id FROM a WHERE x = 1 AND x <> 2 AND x != 3 OR x < 4 AND x <= 5 OR x > 6 AND NOT x >= 7
-- name: between
SELECT id FROM a WHERE x BETWEEN 1 AND 2 OR x NOT BETWEEN 0 AND 3
-- name: in_list
SELECT id FROM a WHERE id IN (1, 2, 3) AND x NOT IN (4, 5.5)
-- name: in_query
SELECT id FROM a WHERE id IN (SELECT id FROM b) AND id NOT IN (SELECT id FROM b WHERE id > 100)
-- name: nulls
SELECT id FROM a WHERE x IS NULL OR t IS NOT NULL
-- name: not_parens
SELECT id FROM a WHERE NOT (x = 1 OR (t = 2 AND NOT (id = 3)))
-- name: like
SELECT name FROM a WHERE name LIKE 'a_%' OR name NOT LIKE '%b'
-- name: like_expression
SELECT name FROM a WHERE name || 'x' LIKE LOWER(name) || '%'
-- name: exists_not
SELECT * FROM a WHERE NOT EXISTS (SELECT * FROM b WHERE b.x = a.x)
-- name: scalar_in_list
SELECT id, (SELECT MAX(x) FROM b) AS most FROM a
-- name: correlated_select
SELECT id, (SELECT COUNT(*) FROM b WHERE b.id = a.id) AS n FROM a
-- name: aggregates
SELECT COUNT(*), COUNT(x), COUNT(DISTINCT x), SUM(x), AVG(DISTINCT x), MIN(name), MAX(x), SUM(ALL x) FROM a
-- name: group_having
SELECT name, COUNT(*) AS n FROM a GROUP BY name HAVING COUNT(*) > 0 AND MIN(x) < 100
-- name: having_alone
SELECT MAX(x) FROM a HAVING COUNT(*) > 1
-- name: group_by_alias
SELECT FLOOR(x) AS k, COUNT(*) FROM a GROUP BY k ORDER BY k
-- name: group_by_ordinal
SELECT FLOOR(x), COUNT(*) FROM a GROUP BY 1 ORDER BY 1
-- name: order_by_aggregate
SELECT name FROM a GROUP BY name ORDER BY COUNT(*) DESC, name ASC
-- name: order_by_expression
SELECT id FROM a ORDER BY ABS(x) DESC, a.t
-- name: order_by_not_selected
SELECT TOP 2 id FROM a ORDER BY x
-- name: inner_join
SELECT a.id FROM a INNER JOIN b ON a.id = b.id
-- name: left_join
SELECT a.id, b.x FROM a LEFT JOIN b ON a.id = b.id AND b.x > 0
-- name: right_outer
SELECT a.id, b.x FROM a RIGHT OUTER JOIN b ON a.id = b.id
-- name: full_outer
SELECT a.id, b.x FROM a FULL OUTER JOIN b ON a.id = b.id
-- name: natural_left
SELECT id FROM a NATURAL LEFT OUTER JOIN b
-- name: natural_inner
SELECT id FROM a NATURAL INNER JOIN b
-- name: using_two
SELECT id, x FROM a JOIN b USING (id, x)
-- name: three_joins
SELECT a.id FROM a JOIN b ON a.id = b.id LEFT JOIN c ON c.id = b.id JOIN a AS d ON d.id = a.id
-- name: comma_and_join
SELECT a.id FROM a, b JOIN c ON b.id = c.id WHERE a.id = b.id
-- name: nested_right
SELECT a.id FROM a JOIN (b JOIN c ON b.x = c.x) ON a.x = b.x
-- name: self_join
SELECT p.id, q.id FROM a AS p JOIN a AS q ON p.id < q.id
-- name: derived
SELECT d.k FROM (SELECT id AS k FROM a WHERE x > 0) AS d WHERE d.k > 0
-- name: derived_in_parens
SELECT k FROM ((SELECT id AS k FROM a)) d
-- name: derived_union
SELECT k FROM (SELECT id AS k FROM a UNION SELECT id FROM b) AS d
-- name: derived_join
SELECT d.k, b.x FROM (SELECT id AS k FROM a) AS d LEFT JOIN b ON b.id = d.k
-- name: cte
WITH p AS (SELECT id, x FROM a) SELECT p.id FROM p WHERE p.x > 0
-- name: two_ctes
WITH p AS (SELECT id FROM a), q AS (SELECT id FROM p WHERE id > 1) SELECT * FROM p JOIN q USING (id)
-- name: cte_of_union
WITH p AS (SELECT id FROM a UNION SELECT id FROM b) SELECT COUNT(*) FROM p
-- name: cte_before_union
WITH p AS (SELECT id FROM a) SELECT id FROM p UNION ALL SELECT id FROM b
-- name: union_all_order
SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY id DESC OFFSET 1
-- name: except
SELECT id FROM a EXCEPT SELECT id FROM b
-- name: except_all
SELECT id FROM a EXCEPT ALL SELECT id FROM b
-- name: intersect_all
SELECT id FROM a INTERSECT ALL SELECT id FROM b
-- name: three_unions
SELECT id FROM a UNION SELECT id FROM b UNION ALL SELECT id FROM c ORDER BY 1
-- name: top_in_operand
SELECT TOP 1 id FROM a UNION SELECT TOP 1 id FROM b
-- name: parenthesised_whole
(SELECT id FROM a)
-- name: parens_of_sets
(SELECT id FROM a UNION SELECT id FROM b) EXCEPT (SELECT id FROM c)
-- name: casts
SELECT CAST(x AS INTEGER), CAST(x AS SMALLINT), CAST(x AS REAL), CAST(x AS VARCHAR), CAST(name AS VARCHAR(3)), CAST(name AS CHAR), CAST('2020-01-02T03:04:05' AS TIMESTAMP) FROM a
-- name: cast_shapes
SELECT CAST('1 2 3' AS CIRCLE), CAST('1 2 3 4 5 2' AS POLYGON) FROM a
-- name: string_functions
SELECT UPPER(name), LOWER(name) || 'x' FROM a WHERE name ILIKE 'A%'
-- name: in_unit
SELECT IN_UNIT(ra, 'rad'), IN_UNIT(ra + 1, 'arcmin') FROM sky.places
-- name: timestamps
SELECT t_obs FROM sky.places WHERE t_obs >= '2020-01-01' AND t_obs BETWEEN '2019-01-01T00:00:00' AND '2030-01-01T00:00:00.5Z' AND t_obs NOT IN ('2021-01-01')
-- name: cone_circle_point
SELECT id FROM sky.places WHERE CONTAINS(POINT(ra, dec), CIRCLE(POINT(10, 20), 5)) = 1
-- name: cone_zero
SELECT id FROM sky.places WHERE 0 = CONTAINS(POINT('', ra, dec), CIRCLE('', 10, 20, 5))
-- name: distance_four
SELECT id, DISTANCE(ra, dec, 10, 20) AS d FROM sky.places WHERE DISTANCE(ra, dec, 10, 20) < 30/3600. ORDER BY d
-- name: distance_columns
SELECT p.id FROM sky.places AS p JOIN sky.places AS q ON DISTANCE(POINT(p.ra, p.dec), POINT(q.ra, q.dec)) < 0.1
-- name: point_column
SELECT COORD1(pos), COORD2(pos), DISTANCE(pos, POINT(1, 2)), COORDSYS(pos) FROM sky.places
-- name: shapes
SELECT POINT(ra, dec), CIRCLE(ra, dec, 1), CIRCLE(pos, 1), POLYGON(ra, dec, ra + 1, dec, ra, dec + 1), POLYGON(pos, POINT(1, 2), POINT(3, 5)), BOX(pos, 1, 2), BOX(ra, dec, 1, 1) FROM sky.places
-- name: region_forms
SELECT REGION('Position ICRS 1 2'), REGION('Polygon 1 2 3 4 5 2'), REGION('Box ICRS 10 20 1 2'), REGION('CIRCLE 1 2 3') FROM sky.places
-- name: intersects_pairs
SELECT INTERSECTS(s_region, CIRCLE(10, 20, 1)), INTERSECTS(CIRCLE(ra, dec, 1), CIRCLE(1, 2, 3)), INTERSECTS(pos, s_region), INTERSECTS(s_region, s_region) FROM sky.places
-- name: contains_pairs
SELECT CONTAINS(s_region, CIRCLE(10, 20, 9)), CONTAINS(CIRCLE(ra, dec, 1), s_region), CONTAINS(s_region, s_region), CONTAINS(stcs, CIRCLE(10, 20, 9)), AREA(stcs) FROM sky.places
-- name: measures
SELECT AREA(s_region), AREA(CIRCLE(1, 2, 3)), CENTROID(s_region), COORD2(CENTROID(CIRCLE(1, 2, 3))) FROM sky.places
-- name: trigonometry
SELECT ACOS(0.5), ASIN(0.5), ATAN(x), COS(x), SIN(x), TAN(x), DEGREES(x), RADIANS(x), EXP(1), SQRT(x), FLOOR(x), ABS(x), ROUND(x), TRUNCATE(x), ROUND(x, -1) FROM a
-- name: healpix_point
SELECT ivo_healpix_index(5, pos), ivo_healpix_center(5, 17) FROM sky.places
-- name: udf_case
SELECT IVO_NoCaseMatch(name, 'A%') FROM a WHERE ivo_hasword(name, 'x') = 0
-- name: keyword_names
SELECT "select", "Group" FROM sky."Odd One" WHERE "a""b" > 0
-- name: schema_qualified_column
SELECT sky.places.ra FROM sky.places
-- name: deep_parentheses
SELECT ((((((((((((((((x)))))))))))))))) FROM a WHERE ((((((((x > 0))))))))
-- name: tabs
SELECT	id	FROM	a	WHERE	x	>	0
