"""Generated from protos/zoco/order/storage/v2 by `make gen`. Do not edit."""
