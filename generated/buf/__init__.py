"""Generated from protos/buf by `make gen`. Do not edit."""
