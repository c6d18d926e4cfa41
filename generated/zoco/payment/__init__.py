"""Generated from protos/zoco/payment by `make gen`. Do not edit."""
