"""How words find products: what is indexed, and how a query is read."""

import unicodedata
from typing import Final

from sqlalchemy import ColumnElement, case, func, literal, text

# Letters that many keyboards lack, and what people type for them. PostgreSQL's own `unaccent` is an extension, and
# not every server has it.
_ACCENTED: Final = (
    "àáâãäåçèéêëìíîïñòóôõöùúûüýÿāăąćčďęěğīńňőřśşšťůűųźżžÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝŸĀĂĄĆČĎĘĚĞĪŃŇŐŘŚŞŠŤŮŰŲŹŻŽ"
)
_PLAIN: Final = "aaaaaaceeeeiiiinooooouuuuyyaaaccdeeginnorssstuuuzzzAAAAAACEEEEIIIINOOOOOUUUUYYAAACCDEEGINNORSSSTUUUZZZ"

_WITHOUT_ACCENTS: Final = str.maketrans(_ACCENTED, _PLAIN)


def _plain_sql(expression: str) -> str:
    # Looking each letter up is slow, and most text is ASCII: that is when it has as many bytes as characters.
    translated = f"translate({expression}, '{_ACCENTED}', '{_PLAIN}')"
    return f"CASE WHEN octet_length({expression}) = char_length({expression}) THEN {expression} ELSE {translated} END"


# A name counts most and facts least. The last line keeps the words that English takes for fillers: a book may be
# called It. Between two fields stands what nobody can type, so that no phrase reaches from one into the next
# (the backslash keeps SQLAlchemy from taking it for a parameter).
SEARCH_VECTOR: Final = f"""
setweight(to_tsvector('english', {_plain_sql("name")}), 'A')
|| '|\\:1'::tsvector || setweight(to_tsvector('english', {_plain_sql("description")}), 'B')
|| '|\\:1'::tsvector
|| setweight(jsonb_to_tsvector('english', ({_plain_sql("attributes::text")})::jsonb, '["string"]'), 'C')
|| '|\\:1'::tsvector || setweight(to_tsvector('simple', {_plain_sql("name")}), 'D')
"""
"""The generated column `product.search`. A change of it needs a revision that makes the column anew."""


def words(query: str) -> ColumnElement[str]:
    """A tsquery of what a person typed, in web-search syntax; of nothing but fillers it takes those."""
    typed = literal(unicodedata.normalize("NFC", query).translate(_WITHOUT_ACCENTS))
    english = func.websearch_to_tsquery(text("'english'"), typed)
    return case((func.numnode(english) > 0, english), else_=func.websearch_to_tsquery(text("'simple'"), typed))
