"""How a value is written as text so that both ends write the same: SQL expressions for Postgres and for ClickHouse.

What Postgres prints is the measure; where ClickHouse has a type of its own, the text is brought to one form. Arrays are compared
element by element, as JSON.
"""

import decimal
import json
import re

# concat() writes as the type's output function does, where a cast to text takes padding away or adds a netmask.
POSTGRES_TEXT = {
    "boolean": "{}::text",
    "money": "({}::numeric)::text",
    "pg_lsn": "({} - '0/0'::pg_lsn)::text",
    "timestamp with time zone": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    "timestamp without time zone": "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')",
}
CLICKHOUSE_TEXT = {"bytea": "concat('\\\\x', lower(hex({})))"}
FLOATS = {"real", "double precision"}
NUMBERS = {"numeric", "money"}

# What an Array has no place for is compared as the text of the whole.
ELEMENT_FITS = {
    "date": "{} BETWEEN '1900-01-01' AND '2299-12-31'",
    "timestamp with time zone": "{} BETWEEN '1900-01-01 00:00:00+00' AND '2299-12-31 23:59:59.999999+00'",
    "timestamp without time zone": "{} BETWEEN '1900-01-01' AND '2299-12-31 23:59:59.999999'",
}

# The settings under which Postgres prints what the events hold.
SETTINGS = ("SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres; SET TimeZone = UTC; SET extra_float_digits = 3; "
            "SET bytea_output = hex; SET lc_monetary = 'C'; SET search_path = pg_catalog; ")


def postgres_scalar(kind, expression):
    # A composite is neither NULL nor NOT NULL when one of its columns is NULL.
    return POSTGRES_TEXT.get(kind, "CASE WHEN num_nulls({0}) = 0 THEN concat({0}) END").format(expression)


def postgres_text(kind, column, type_name):
    if kind.startswith("reg") and type_name == "UInt32":
        return f"{column}::oid::text"
    if not kind.endswith("[]") or "Array(" not in type_name:
        return postgres_scalar(kind, column)
    element = kind[:-2]
    item = f"({column})[i]"
    fits = "{} <> 'NaN'" if "Decimal(" in type_name and element == "numeric" else ELEMENT_FITS.get(element, "true")
    return f"""CASE WHEN {column} IS NULL THEN NULL WHEN cardinality({column}) = 0 THEN '[]'
        WHEN array_ndims({column}) = 1 AND array_lower({column}, 1) = 1
            AND NOT EXISTS (SELECT FROM generate_subscripts({column}, 1) i WHERE NOT ({fits.format(item)}))
        THEN (SELECT json_agg({postgres_scalar(element, item)} ORDER BY i)::text FROM generate_subscripts({column}, 1) i)
        ELSE to_json({column}::text)::text END"""


def clickhouse_text(kind, column, type_name):
    if not kind.endswith("[]") or "Array(" not in type_name:
        return CLICKHOUSE_TEXT.get(kind, "toString({})").format(column)
    element = CLICKHOUSE_TEXT.get(kind[:-2], "toString({})").format("x")
    variant = re.fullmatch(r"Variant\((Array\(.*\)), String\)", type_name)
    if variant is None:
        return f"toJSONString(arrayMap(x -> {element}, {column}))"
    array = f"toJSONString(arrayMap(x -> {element}, {column}.`{variant[1]}`))"
    return f"multiIf(isNull({column}), NULL, variantType({column}) = 'String', toJSONString({column}.String), {array})"


def number(text):
    return decimal.Decimal(text) if decimal.Decimal(text).is_finite() else text


def comparable(value, kind, type_name):
    """Numbers by value, where ClickHouse has a number: 1.00 and 1 are one to both databases, and each writes it in its way."""
    if value is None or type_name in ("String", "Nullable(String)"):
        return value
    if kind.endswith("[]"):
        elements = json.loads(value)
        if isinstance(elements, str):
            return elements
        inner = re.search(r"Array\(Nullable\((.*?)\)\)", type_name)[1]
        return tuple(comparable(element, kind[:-2], inner) for element in elements)
    if kind in FLOATS:
        return repr(float(value))
    return number(value) if kind in NUMBERS else value
