"""Generated from protos/zoco/mesh by `make gen`. Do not edit."""
