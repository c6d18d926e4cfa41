"""Generated from protos/zoco by `make gen`. Do not edit."""
