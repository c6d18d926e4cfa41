"""Requests over HTTP/1.1 as they stand, with targets and headers that a client library would mend or refuse."""

import asyncio


async def send_raw(authority: str, line: str, content_type: str, body: bytes, *headers: str) -> tuple[int, bytes]:
    """Send the request line `line` to `authority`, `host:port`, with these headers; give the answer's status and head.

    Who hangs up without an answer said the status 0.
    """
    host, _, port = authority.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    own = (f"host: {authority}", f"content-type: {content_type}", f"content-length: {len(body)}", "connection: close")
    writer.write("\r\n".join([line, *own, *headers, "", ""]).encode() + body)
    try:
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b""
    finally:
        writer.transport.abort()
    return int(head.split(b" ")[1]), head
