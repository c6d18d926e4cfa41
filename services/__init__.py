"""One folder a service; what each looks like inside stands in ARCHITECTURE.md."""
