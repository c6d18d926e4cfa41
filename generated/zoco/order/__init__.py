"""Generated from protos/zoco/order by `make gen`. Do not edit."""
