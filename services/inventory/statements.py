"""The SQL of inventory: one statement a use case, because other buyers wait as long as a transaction lasts.

Every statement that moves pieces locks the stock rows in the order of their product ids before it changes the first.
Under READ COMMITTED a row that somebody else changed after the statement began is locked, and read, as it is now: what
`locked` returns is the truth. The UPDATE after it still begins with the row as it was when the statement began, and
finds the newer one only after it has tested WHERE and CHECK on the old. So all that it tests and writes comes from
`locked`, and nothing from `stock`.

Where an array stands in a subquery, PostgreSQL cannot see its length, expects nothing of a plan made for it, and keeps
one plan for all calls: making one takes longer than running it.
"""

from typing import Final

from sqlalchemy import text

_STOCK: Final = "product_id::text AS product_id, available, reserved, sold, version, update_time"

FIND: Final = text(f"SELECT {_STOCK} FROM stock WHERE product_id = ANY(CAST((SELECT :product_ids) AS uuid[]))")  # noqa: S608 - constants only

MOVEMENTS: Final = text("""
    SELECT movement.*, (SELECT count(*) FROM movement WHERE product_id = CAST(:product_id AS uuid)) AS total
    FROM movement
    WHERE product_id = CAST(:product_id AS uuid) AND version < CAST(:before AS bigint)
    ORDER BY version DESC
    LIMIT :size
""")

OPEN: Final = text("""
    WITH changed AS (
        INSERT INTO stock (product_id, available, reserved, sold, received, version, update_time)
        SELECT product_id, pieces, 0, 0, pieces, 1, :now
        FROM unnest(CAST(:product_ids AS uuid[]), CAST(:pieces AS integer[])) AS fresh (product_id, pieces)
        ORDER BY product_id
        ON CONFLICT (product_id) DO NOTHING
        RETURNING *
    ), moved AS (
        INSERT INTO movement (product_id, version, kind, quantity, reason, create_time)
        SELECT product_id, version, 'ADJUSTED', available, :reason, :now FROM changed
    )
    SELECT product_id::text AS product_id, available, reserved, sold, version, update_time,
           available AS quantity, version AS event_version, :reason AS reason
    FROM changed
""")

ADJUST: Final = text("""
    WITH locked AS (
        SELECT stock.*, available >= :low AND available + CAST(:delta AS bigint) < :low AS gets_low
        FROM stock
        WHERE product_id = CAST(:product_id AS uuid)
        FOR NO KEY UPDATE
    ), changed AS (
        UPDATE stock
        SET available = locked.available + CAST(:delta AS integer),
            reserved = locked.reserved,
            sold = locked.sold,
            received = locked.received + CAST(:delta AS integer),
            version = locked.version + 1 + locked.gets_low::integer,
            update_time = :now
        FROM locked
        WHERE stock.product_id = locked.product_id
          AND locked.available + CAST(:delta AS bigint) >= 0
          AND locked.received + CAST(:delta AS bigint) <= :most
        RETURNING stock.*, stock.version - locked.gets_low::integer AS event_version
    ), moved AS (
        INSERT INTO movement (product_id, version, kind, quantity, reason, create_time)
        SELECT product_id, event_version, 'ADJUSTED', :delta, :reason, :now FROM changed
    )
    SELECT locked.available AS before, locked.product_id::text AS product_id, changed.available,
           changed.reserved, changed.sold, changed.version, changed.update_time, changed.event_version,
           :delta AS quantity, :reason AS reason
    FROM locked LEFT JOIN changed USING (product_id)
""")

# The hold comes first: whoever else works on this order waits there, before any stock is locked.
RESERVE: Final = text("""
    WITH held AS (
        INSERT INTO hold (order_id, state, update_time)
        VALUES (CAST(:order_id AS uuid), 'RESERVED', :now)
        ON CONFLICT (order_id) DO NOTHING
        RETURNING order_id
    ), wanted AS (
        SELECT held.order_id, line.product_id, line.quantity
        FROM held, unnest(
            (SELECT CAST(:product_ids AS uuid[])), (SELECT CAST(:quantities AS integer[]))
        ) AS line (product_id, quantity)
    ), locked AS (
        SELECT stock.*, wanted.order_id, wanted.quantity,
               stock.available >= :low AND stock.available - wanted.quantity < :low AS gets_low
        FROM wanted JOIN stock USING (product_id)
        ORDER BY stock.product_id
        FOR NO KEY UPDATE OF stock
    ), decision AS (
        SELECT count(*) = (SELECT count(*) FROM wanted) AS fits FROM locked WHERE available >= quantity
    ), changed AS (
        UPDATE stock
        SET available = locked.available - locked.quantity,
            reserved = locked.reserved + locked.quantity,
            sold = locked.sold,
            received = locked.received,
            version = locked.version + 1 + locked.gets_low::integer,
            update_time = :now
        FROM locked, decision
        WHERE stock.product_id = locked.product_id AND decision.fits
        RETURNING stock.*, locked.order_id, locked.quantity, stock.version - locked.gets_low::integer AS event_version
    ), lines AS (
        INSERT INTO reservation (order_id, product_id, quantity)
        SELECT order_id, product_id, quantity FROM changed
    ), moved AS (
        INSERT INTO movement (product_id, version, kind, quantity, order_id, create_time)
        SELECT product_id, event_version, 'RESERVED', quantity, order_id, :now FROM changed
    )
    SELECT wanted.product_id::text AS product_id, wanted.order_id::text AS order_id, wanted.quantity,
           COALESCE(locked.available, 0) AS before,
           changed.available, changed.reserved, changed.sold, changed.version, changed.update_time,
           changed.event_version
    FROM wanted LEFT JOIN locked USING (product_id) LEFT JOIN changed USING (product_id)
    ORDER BY wanted.product_id
""")

COMMIT: Final = text("""
    WITH held AS (
        UPDATE hold SET state = 'COMMITTED', update_time = :now
        WHERE order_id = CAST(:order_id AS uuid) AND state = 'RESERVED'
        RETURNING order_id
    ), locked AS (
        SELECT stock.*, held.order_id, reservation.quantity
        FROM held JOIN reservation USING (order_id) JOIN stock USING (product_id)
        ORDER BY stock.product_id
        FOR NO KEY UPDATE OF stock
    ), changed AS (
        UPDATE stock
        SET available = locked.available,
            reserved = locked.reserved - locked.quantity,
            sold = locked.sold + locked.quantity,
            received = locked.received,
            version = locked.version + 1,
            update_time = :now
        FROM locked
        WHERE stock.product_id = locked.product_id
        RETURNING stock.*, locked.order_id, locked.quantity
    ), moved AS (
        INSERT INTO movement (product_id, version, kind, quantity, order_id, create_time)
        SELECT product_id, version, 'COMMITTED', quantity, order_id, :now FROM changed
    )
    SELECT product_id::text AS product_id, order_id::text AS order_id, quantity,
           available, reserved, sold, version, update_time, version AS event_version
    FROM changed
    ORDER BY changed.product_id
""")

RELEASE: Final = text("""
    WITH held AS (
        SELECT order_id, state = 'COMMITTED' AS was_sold FROM hold
        WHERE order_id = CAST(:order_id AS uuid) AND state <> 'RELEASED'
        FOR NO KEY UPDATE
    ), let_go AS (
        UPDATE hold SET state = 'RELEASED', update_time = :now FROM held WHERE hold.order_id = held.order_id
    ), locked AS (
        SELECT stock.*, held.order_id, held.was_sold, reservation.quantity
        FROM held JOIN reservation USING (order_id) JOIN stock USING (product_id)
        ORDER BY stock.product_id
        FOR NO KEY UPDATE OF stock
    ), changed AS (
        UPDATE stock
        SET available = locked.available + locked.quantity,
            reserved = locked.reserved - CASE WHEN locked.was_sold THEN 0 ELSE locked.quantity END,
            sold = locked.sold - CASE WHEN locked.was_sold THEN locked.quantity ELSE 0 END,
            received = locked.received,
            version = locked.version + 1,
            update_time = :now
        FROM locked
        WHERE stock.product_id = locked.product_id
        RETURNING stock.*, locked.order_id, locked.quantity
    ), moved AS (
        INSERT INTO movement (product_id, version, kind, quantity, order_id, create_time)
        SELECT product_id, version, 'RELEASED', quantity, order_id, :now FROM changed
    )
    SELECT product_id::text AS product_id, order_id::text AS order_id, quantity,
           available, reserved, sold, version, update_time, version AS event_version
    FROM changed
    ORDER BY changed.product_id
""")

BURY: Final = text("""
    INSERT INTO hold (order_id, state, update_time) VALUES (CAST(:order_id AS uuid), 'RELEASED', :now)
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id
""")

UNHOLD: Final = text("DELETE FROM hold WHERE order_id = CAST(:order_id AS uuid)")

HELD: Final = text("""
    SELECT hold.state, reservation.product_id::text AS product_id, reservation.quantity
    FROM hold LEFT JOIN reservation USING (order_id)
    WHERE order_id = CAST(:order_id AS uuid)
    ORDER BY reservation.product_id
""")
