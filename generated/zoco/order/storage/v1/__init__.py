"""Generated from protos/zoco/order/storage/v1 by `make gen`. Do not edit."""
