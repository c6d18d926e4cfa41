"""Generated from protos/zoco/mesh/v1 by `make gen`. Do not edit."""
