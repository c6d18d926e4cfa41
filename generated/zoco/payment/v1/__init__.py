"""Generated from protos/zoco/payment/v1 by `make gen`. Do not edit."""
