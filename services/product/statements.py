"""The SQL of the catalog but for lists: one statement for one row and for a thousand.

Where an array stands in a subquery, PostgreSQL cannot see its length, expects nothing of a plan made for it, and keeps
one plan for all calls.
"""

from typing import Final

from sqlalchemy import text

PRODUCT: Final = """
    product.id::text AS id, product.category_id::text AS category_id, product.name, product.description, product.price,
    product.currency, product.image_url, product.attributes, product.state, product.version, product.create_time,
    product.update_time
"""

FIND: Final = text(f"""
    SELECT {PRODUCT}, COALESCE(availability.available, 0) AS available
    FROM product LEFT JOIN availability ON availability.product_id = product.id
    WHERE product.id = ANY(CAST((SELECT :ids) AS uuid[]))
""")  # noqa: S608 - constants only

LOCK: Final = text(f"""
    SELECT {PRODUCT},
           COALESCE((SELECT available FROM availability WHERE product_id = product.id), 0) AS available
    FROM product
    WHERE product.id = CAST(:id AS uuid)
    FOR NO KEY UPDATE
""")  # noqa: S608 - constants only

# What an import calls by category and name. Of namesakes made by hand it means the one on sale, of those the oldest.
# Rows are locked by id, the order in which every import does.
LOCK_NAMED: Final = text(f"""
    SELECT {PRODUCT}, 0 AS available, wanted.position
    FROM unnest(CAST(:category_ids AS uuid[]), CAST(:name_keys AS text[])) WITH ORDINALITY
         AS wanted (category_id, name_key, position)
    CROSS JOIN LATERAL (
        SELECT id FROM product
        WHERE product.category_id = wanted.category_id AND product.name_key = wanted.name_key
        ORDER BY state, id
        LIMIT 1
    ) AS named
    JOIN product ON product.id = named.id
    ORDER BY product.id
    FOR NO KEY UPDATE OF product
""")  # noqa: S608 - constants only

# Rows come as one JSON text: a thousand of them are written and read faster than a dozen arrays.
# The category is looked up in the same statement: where it does not exist, nothing is inserted.
# Two imports that make the same product meet in product_import_key: the later one inserts nothing, and looks again.
INSERT: Final = text("""
    INSERT INTO product (id, category_id, name, name_key, sort_key, twin, description, price, currency, image_url,
                         attributes, state, version, create_time, update_time)
    SELECT fresh.id, fresh.category_id, fresh.name, fresh.name_key, fresh.sort_key, fresh.twin, fresh.description,
           fresh.price, fresh.currency, fresh.image_url, fresh.attributes, 'ACTIVE', 1, fresh.create_time,
           fresh.create_time
    FROM json_to_recordset(CAST(:products AS json)) AS fresh (
        id uuid, category_id uuid, name text, name_key text, sort_key text, twin uuid, description text, price bigint,
        currency text, image_url text, attributes jsonb, create_time timestamptz
    )
    JOIN category ON category.id = fresh.category_id
    ORDER BY fresh.category_id, fresh.name_key
    ON CONFLICT ON CONSTRAINT product_import_key DO NOTHING
    RETURNING id::text AS id
""")

# A product that gets another name or category is no longer the one that an import made there.
UPDATE: Final = text("""
    UPDATE product
    SET category_id = changed.category_id,
        name = changed.name,
        name_key = changed.name_key,
        sort_key = changed.sort_key,
        twin = CASE WHEN product.category_id = changed.category_id AND product.name_key = changed.name_key
                    THEN product.twin ELSE product.id END,
        description = changed.description,
        price = changed.price,
        currency = changed.currency,
        image_url = changed.image_url,
        attributes = changed.attributes,
        version = changed.version,
        update_time = changed.update_time
    FROM json_to_recordset(CAST(:products AS json)) AS changed (
        id uuid, category_id uuid, name text, name_key text, sort_key text, description text, price bigint,
        currency text, image_url text, attributes jsonb, version integer, update_time timestamptz
    )
    JOIN category ON category.id = changed.category_id
    WHERE product.id = changed.id
    RETURNING product.id::text AS id
""")

ARCHIVE: Final = text("""
    UPDATE product SET state = 'ARCHIVED', version = :version, update_time = :now WHERE id = CAST(:id AS uuid)
""")

HEAR: Final = text("""
    INSERT INTO availability (product_id, available, version)
    SELECT product_id, available, version
    FROM unnest(CAST(:product_ids AS uuid[]), CAST(:available AS integer[]), CAST(:versions AS bigint[]))
         AS heard (product_id, available, version)
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET available = excluded.available, version = excluded.version
    WHERE availability.version < excluded.version
""")

CATEGORIES: Final = text("""
    SELECT id::text AS id, name, name_key, description, create_time, (SELECT count(*) FROM category) AS total
    FROM category
    WHERE name_key > :after
    ORDER BY name_key
    LIMIT :size
""")

CATEGORIES_NAMED: Final = text("""
    SELECT id::text AS id, name_key FROM category WHERE name_key = ANY(CAST(:name_keys AS text[]))
""")

INSERT_CATEGORIES: Final = text("""
    INSERT INTO category (id, name, name_key, description, create_time)
    SELECT id, name, name_key, description, create_time
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:names AS text[]), CAST(:name_keys AS text[]), CAST(:descriptions AS text[]),
        CAST(:times AS timestamptz[])
    ) AS fresh (id, name, name_key, description, create_time)
    ORDER BY name_key
    ON CONFLICT (name_key) DO NOTHING
    RETURNING id::text AS id, name_key
""")
