"""The `zoco` command line and the platform that runs the whole shop on one machine."""
