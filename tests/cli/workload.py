"""A tiny program to supervise: answers /healthz, writes down how it ends, and misbehaves on request."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path


async def main(port: int, directory: Path, name: str) -> None:
    def wants(misbehaviour: str) -> bool:
        return (directory / f"{name}.{misbehaviour}").exists()

    if wants("dies"):
        sys.exit(f"{name}: cannot start, the setting COLOUR is missing")
    stopped = asyncio.Event()
    if not wants("deaf"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        status = "503 Service Unavailable" if wants("sick") else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    print(f"{name}: pid {os.getpid()} listens", flush=True)
    async with server:
        await stopped.wait()
    with (directory / "ended").open("a") as file:
        file.write(f"{name}\n")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
