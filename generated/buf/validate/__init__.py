"""Generated from protos/buf/validate by `make gen`. Do not edit."""
