"""Generated from protos/zoco/analytics by `make gen`. Do not edit."""
