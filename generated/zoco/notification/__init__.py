"""Generated from protos/zoco/notification by `make gen`. Do not edit."""
