"""Generated from protos/zoco/gateway by `make gen`. Do not edit."""
