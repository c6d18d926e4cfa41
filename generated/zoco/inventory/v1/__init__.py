"""Generated from protos/zoco/inventory/v1 by `make gen`. Do not edit."""
