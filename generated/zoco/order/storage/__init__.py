"""Generated from protos/zoco/order/storage by `make gen`. Do not edit."""
