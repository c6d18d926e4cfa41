"""Generated from protos/zoco/order/v1 by `make gen`. Do not edit."""
