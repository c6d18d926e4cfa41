"""Generated from protos/zoco/gateway/v1 by `make gen`. Do not edit."""
