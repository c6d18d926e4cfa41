"""Generated from protos/zoco/inventory by `make gen`. Do not edit."""
